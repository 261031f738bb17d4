/* modes.h - what tests/bench/ingest can measure: one function a mode, each
 * prints its JSON lines and checks its gates (say.h).
 */
#ifndef PF_BENCH_MODES_H
#define PF_BENCH_MODES_H

struct options {
    const char *dir; /* on a real file system; things are made below it */
    unsigned rounds; /* repetitions that medians are of */
};

void mode_speed(const struct options *o);
void mode_batches(const struct options *o);
void mode_crowd(const struct options *o);
void mode_memory(const struct options *o);
void mode_download(const struct options *o);
void mode_pools(const struct options *o);
void mode_suspended(const struct options *o);
void mode_tickets(const struct options *o);

#endif
