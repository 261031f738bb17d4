/* clock.h - the daemon's two clocks.
 *
 * Only the edges of the daemon read them; the round engine is told the time
 * with every event.
 */
#ifndef PF_CLOCK_H
#define PF_CLOCK_H

#include <stdint.h>

/* Never set back; from an arbitrary start. */
int64_t pf_monotonic_ns(void);
int64_t pf_monotonic_ms(void);
int64_t pf_monotonic_s(void);
/* Since 1970: for people and tokens, never for rounds. */
int64_t pf_wall_ms(void);

#endif
