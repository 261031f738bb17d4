/* task.h - the task file: one JSON object that says what is trained, how, by
 * how many, until when.  A simulator scenario embeds the same object.
 *
 * Every key but `name` and `model` has a default; an unknown key is an error
 * that names the nearest known one.  docs/TASKS.md is generated from the
 * tables' help texts.
 */
#ifndef PF_TASK_H
#define PF_TASK_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"
#include "model.h"
#include "messages.h"
#include "plan.h"
#include "wire.h"

/* A phase ends when `max` are in, or when `min` are in and min_s has passed;
 * when max_s passes with fewer than `min` the round is abandoned. */
struct pf_window {
    uint32_t min, max;
    double min_s, max_s;
};

enum pf_policy_kind { PF_POLICY_SYNC, PF_POLICY_ASYNC };

struct pf_task_round {
    int policy;               /* enum pf_policy_kind */
    double over_select;       /* >= 1: select.max defaults to
                                 ceil(over_select * collect.max) */
    struct pf_window select;  /* devices assigned; async: max alone, at once */
    struct pf_window collect; /* updates accepted */
    double lease_s; /* an assignment holds; 0: select.max_s + collect.max_s,
                       async: collect.max_s */
    uint32_t max_staleness;  /* async: an older update is refused */
    int discounted;          /* async: enum; 1: the mean divides by the weights
                                after the discount, 0: before */
    uint32_t checkins_per_s; /* that waiting devices make together at most */
    double retry_s;          /* wait after an abandoned round, doubled each time
                                up to one hour */
    double poll_min_s, poll_max_s; /* what a waiting device is told, as long as
                                      few devices wait (pace.h) */
};

struct pf_task_device {
    char classes[PF_MAX_CLASSES][PF_CLASS_MAX + 1];
    size_t n_classes;     /* 0: any class */
    uint64_t max_updates; /* that one device contributes; 0: no limit */
    uint64_t rest_rounds; /* between two contributions of one device */
};

struct pf_task_stop {
    uint64_t rounds;     /* published; 0: no limit */
    double accuracy;     /* test accuracy reached; 0: no limit */
    uint64_t min_rounds; /* published before `accuracy` counts */
    double after_s;      /* since creation, daemon running time; 0: no limit */
};

struct pf_task {
    char name[PF_TASK_NAME_MAX + 1];
    uint64_t seed;
    char model[64];     /* zoo name, or "" when `spec` is given inline */
    struct pf_buf spec; /* the model's canonical spec; owned */
    char init[512];     /* path of a .safetensors to start from, or "" */
    struct pf_train_config train;
    struct pf_plan_update update;
    struct pf_task_round round;
    struct pf_task_device device;
    struct {
        char name[24]; /* row of the strategy table */
        double eta;
    } strategy;
    struct {
        char data[512]; /* folder with t10k files, or "" */
        uint32_t every; /* rounds */
    } evaluate;
    struct pf_task_stop stop;
    struct {
        uint32_t models;  /* how many past models are kept, >= 2 */
        uint32_t sums;    /* of how many past rounds the exact sum is kept */
        char updates[20]; /* "none", "N rounds" or "all" */
    } keep;
};

void pf_task_init(struct pf_task *t); /* defaults */
void pf_task_free(struct pf_task *t);
/* Text -> task with every check that needs no disk (model made and thrown
 * away, plan checked, windows consistent). CONFIG names the member. *out is
 * overwritten on success (nothing in it is freed) and untouched on failure. */
enum pocketfed_status pf_task_parse(const char *text, size_t len,
                                    struct pf_task *out, struct pf_error *err);
/* The plan (revision 1) of a task; *plan initialised by the caller. */
enum pocketfed_status pf_task_plan(const struct pf_task *t,
                                   const struct pf_model *m,
                                   struct pf_plan *plan, struct pf_error *err);
/* Table rows, for generated documentation. */
extern const struct pf_json_field pf_task_fields[];

#endif
