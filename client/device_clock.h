/* device_clock.h - the device's two clocks, for the handle, the transport and
 * the command line; an app may give the handle another wall clock.
 */
#ifndef PF_DEVICE_CLOCK_H
#define PF_DEVICE_CLOCK_H

#include <stdint.h>

int64_t pf_device_monotonic_ms(void); /* never set back; arbitrary start */
int64_t pf_device_wall_ms(void);      /* since 1970 */

#endif
