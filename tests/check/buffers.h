/* buffers.h - words in which the stories of asynchronous tasks are told, over
 * the engine e on its bench (engine.h): at most 3 devices train at a time; a
 * buffer closes with 2 updates, or with 1 after 10 s; a lease lasts 50 s; an
 * update may be 2 models old.  Each is an assertion of cmocka.
 */
#ifndef BUFFERS_H
#define BUFFERS_H

#include "engine.h"

extern struct engine e;

int buffers_set_up(void **state);
/* The device asks and trains from that model, its work being of that round. */
void is_assigned(unsigned device, uint64_t round, uint8_t base);
/* Its work of round `assigned` counts in the open buffer, `counted`. */
void is_counted(unsigned device, uint64_t assigned, uint64_t counted,
                uint32_t staleness);
/* Two devices fill the open buffer; its model is not made yet. */
void closes(uint64_t round, unsigned one, unsigned other);
/* And then it is. */
void publishes(uint64_t round, unsigned one, unsigned other);
/* The last step opened that buffer. */
void opened(uint64_t round, uint8_t base);
/* That record of the last step. */
void is_abandoned(unsigned which, uint64_t round, const char *reason);

#endif
