/* Bytes -> a task's windows and moves, synchronous or not: after each, the
 * engine's promises hold and the dull engine says the same (engine_check.h);
 * every eighth time it is made again from its records. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD      12
#define MOVE      4
#define MAX_MOVES 2000

static void check(const char *wrong)
{
    if (!wrong)
        return;
    fprintf(stderr, "fuzz_round: %s\n", wrong);
    abort();
}

static void read_task(struct pf_task *t, const uint8_t *p)
{
    t->round.collect.max = 1 + p[0] % 6;
    t->round.collect.min = 1 + p[1] % t->round.collect.max;
    t->round.select.max = t->round.collect.max + p[2] % 4;
    t->round.select.min =
        t->round.collect.min +
        p[3] % (t->round.select.max - t->round.collect.min + 1);
    t->round.collect.min_s = p[4] % 20;
    t->round.select.min_s = p[4] / 20;
    t->stop.rounds = p[5] % 16;
    t->stop.after_s = p[6] < 128 ? 0 : 10 * p[6];
    if (p[7] != 0) {
        snprintf(t->evaluate.data, sizeof t->evaluate.data, "/data");
        t->evaluate.every = 1 + p[7] % 3;
        t->stop.accuracy = p[7] & 128 ? 0.9 : 0;
    }
    t->round.policy = p[8] & 1 ? PF_POLICY_ASYNC : PF_POLICY_SYNC;
    t->round.discounted = p[8] >> 1 & 1;
    t->round.max_staleness = p[8] >> 2 & 7;
    t->stop.min_rounds = p[8] >> 5;
    t->round.lease_s = p[9] / 2;
    t->device.max_updates = p[10] % 16;
    t->device.rest_rounds = p[10] / 16 % 4;
    t->device.n_classes = p[11] % 3; /* "a", "b" */
    t->device.classes[0][0] = 'a';
    t->device.classes[1][0] = 'b';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct engine_check *c;
    struct engine e;
    size_t i, n;

    if (size < HEAD)
        return 0;
    engine_init(&e);
    read_task(&e.task, data);
    c = engine_check_new(&e);
    engine_go(&e);
    check(engine_check_step(&e, c));
    n = (size - HEAD) / MOVE < MAX_MOVES ? (size - HEAD) / MOVE : MAX_MOVES;
    for (i = 0; i < n; i++) {
        const uint8_t *p = data + HEAD + MOVE * i;
        struct engine_move m;

        m.what = p[0] % ENGINE_MOVES;
        m.round_back = p[0] / ENGINE_MOVES;
        m.device = p[1] % 16;
        m.digest = (uint8_t)(p[1] / 16 % 3);
        m.pass_ms = 20u * p[2];
        m.accuracy = p[3] / 255.0;
        engine_move(&e, c, &m);
        check(engine_check_step(&e, c));
        if (i % 8 == 0)
            check(engine_check_replay(&e));
    }
    engine_check_free(c);
    engine_free(&e);
    return 0;
}
