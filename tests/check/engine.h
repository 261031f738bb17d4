/* engine.h - a round engine on a bench: a task, a clock that the test turns,
 * and every record the engine ever gave, so that it can be built again from
 * them.
 *
 * Devices are numbers; a digest is one byte repeated; a round's model is the
 * round's number, so that a test reads as the story it tells.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "round.h"

struct engine {
    struct pf_task task;
    struct pf_round *round;
    struct pf_round *shadow; /* gets the same events; NULL: none */
    int differs;             /* its step was another one */
    int64_t now_ms;
    struct pf_event event;   /* the last */
    struct pf_step step;     /* of it */
    struct pf_answer answer; /* to it, when it was asked */
    /* What a check-in says besides the device; of each device, what counts. */
    char device_class[PF_CLASS_MAX + 1];
    struct {
        uint64_t updates, last_round;
    } counted[64];
    struct pf_record *record;
    size_t n_records, cap;
};

/* select 3 of 3 within 100 s, collect 2 of 3 within 50 s after 10 s; retry 8 s,
 * poll 4..9 s; evaluation off, no stop rule. Change e->task before go. */
void engine_init(struct engine *e);
void engine_go(struct engine *e);   /* makes the engine, gives START */
void engine_make(struct engine *e); /* only makes it */
void engine_free(struct engine *e);
/* Fixtures of cmocka over the engine that is the test's prestate. */
int engine_set_up(void **state);
int engine_tear_down(void **state);
/* The task is asynchronous: buffers of 2 at once, or of 1 after 10 s; at most 3
 * train at a time, for 50 s; no model older than 2. */
void engine_async(struct engine *e);
/* The same task, an engine made of the records so far. */
struct pf_round *engine_again(const struct engine *e);
/* Makes one of them the shadow from now on. */
void engine_shadow(struct engine *e);
/* The process ends; another one loads the records and resumes. */
void engine_restart(struct engine *e);

/* The event goes to the engine at e->now_ms; step and answer are of it. */
void engine_event(struct engine *e, const struct pf_event *ev);
const struct pf_answer *engine_checkin(struct engine *e, unsigned device);
const struct pf_answer *engine_offer(struct engine *e, unsigned device,
                                     uint64_t round, uint8_t digest);
/* 10 examples, train loss 0.5; the bytes are in the newest round's segment. */
const struct pf_answer *engine_update(struct engine *e, unsigned device,
                                      uint64_t round, uint8_t digest);
/* They are in that of another round. */
const struct pf_answer *engine_update_in(struct engine *e, unsigned device,
                                         uint64_t round, uint8_t digest,
                                         uint64_t segment);
const struct pf_answer *engine_failure(struct engine *e, unsigned device,
                                       uint64_t round);
const struct pf_answer *engine_command(struct engine *e, enum pf_command c);
/* To the model that the round published. */
const struct pf_answer *engine_roll_back(struct engine *e, uint64_t round);
void engine_finished(struct engine *e, uint64_t round);
void engine_finish_failed(struct engine *e, uint64_t round);
void engine_evaluated(struct engine *e, uint64_t round, double accuracy);
void engine_pass(struct engine *e, double seconds); /* then a TICK */
void engine_resume(struct engine *e);

/* Of the last step: how many records of a kind, an effect of a kind or NULL. */
unsigned engine_records(const struct engine *e, enum pf_record_kind kind);
const struct pf_effect *engine_effect(const struct engine *e,
                                      enum pf_effect_kind kind);
const struct pf_record *engine_record(const struct engine *e,
                                      enum pf_record_kind kind);
/* The last step abandoned the round for that reason and drops its updates: 1 or
 * 0. */
int engine_abandoned(const struct engine *e, const char *reason);
/* The answer to the last question was this problem: 1 or 0. */
int engine_refused(const struct engine *e, enum pf_problem_id id);
/* A check-in that is answered by an assignment, or by a wait for that reason:
 * 1 or 0. */
int engine_assigned(struct engine *e, unsigned device);
int engine_waits(struct engine *e, unsigned device, enum pf_wait_reason reason);
/* Devices 1, 2 and 3 contribute to the open round. */
void engine_fill(struct engine *e, uint64_t round);
struct pf_task_status engine_status(const struct engine *e);
struct pf_device_ref engine_device(unsigned number);
void engine_digest(uint8_t byte, uint8_t out[32]);

#endif
