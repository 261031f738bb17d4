/* store_bench.h - a store in a directory of its own, for the store's contract
 * suite.
 */
#ifndef STORE_BENCH_H
#define STORE_BENCH_H

#include "store.h"

struct bench {
    char dir[256];
    struct pf_store *s;
    struct pf_store_reader *r;
    struct pf_error err;
};

/* As cmocka wants them; *state is the bench. */
int bench_set_up(void **state);
int bench_tear_down(void **state);
void bench_open(struct bench *b);
void bench_close(struct bench *b);
void bench_restart(struct bench *b); /* close, open */
void bench_begin(struct bench *b);
void bench_commit(struct bench *b);
/* 32 bytes of value i; good for a few calls. */
const uint8_t *bench_digest(int i);
/* A committed task: plan digest `mark`, initial model `mark` + 2. */
int64_t bench_add_task(struct bench *b, const char *name, int mark);
/* SQL behind the store's back. */
void bench_query(struct bench *b, const char *sql);

#endif
