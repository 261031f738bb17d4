/* The task file's tables: keys, kinds, bounds and what docs/TASKS.md says. */
#include "task.h"

#include "json.h"
#include "roster.h"

#define MONTH_S     2592000 /* longest time that may be given */
#define DEVICES_MAX (PF_ROSTER_MAX / 2)

#define SIZE(S, m) sizeof(((struct S *)0)->m)
#define ROW(S, k, t, h)                                                        \
    .key = #k, .type = PF_JSON_##t, .offset = offsetof(struct S, k),           \
    .size = SIZE(S, k), .help = (h)
/* A member of a nested struct that has no name of its own. */
#define INNER(o, k, t, h)                                                      \
    .key = #k, .type = PF_JSON_##t,                                            \
    .offset = offsetof(struct pf_task, o.k) - offsetof(struct pf_task, o),     \
    .size = SIZE(pf_task, o.k), .help = (h)

static const char *const policies[] = {
    [PF_POLICY_SYNC] = "sync",
    [PF_POLICY_ASYNC] = "async",
    NULL,
};
static const char *const divides[] = {"all", "discounted", NULL};

/* clang-format off */
/* The plan's table without cohort_max, which follows from round.collect. */
static const struct pf_json_field update_fields[] = {
    {ROW(pf_plan_update, codec, STRING,
         "How deltas travel: f32, or f16 at half the size")},
    {ROW(pf_plan_update, range, DOUBLE,
         "Bound of one coordinate of a delta, a power of two; what is larger "
         "is clamped and counted")},
    {ROW(pf_plan_update, bits, U32,
         "Bits of a coordinate in the server's exact sum, 16 to 48")},
    {ROW(pf_plan_update, max_norm, DOUBLE,
         "L2 norm that devices clip a delta to; more is refused")},
    {ROW(pf_plan_update, min_examples, U64,
         "A device with fewer examples does not take part")},
    {ROW(pf_plan_update, max_examples, U64,
         "A device with more examples uses this many")},
    {ROW(pf_plan_update, weight, ENUM,
         "How much an update counts in the mean: examples, or uniform, each "
         "the same"), .names = pf_weight_names},
    {.key = NULL},
};

static const struct pf_json_field select_fields[] = {
    {ROW(pf_window, min, U32,
         "Devices that are enough once min_s has passed; default: collect.max"),
     .min = 1, .max = DEVICES_MAX},
    {ROW(pf_window, max, U32,
         "Devices assigned at most, which start the collecting at once; async: "
         "that train at the same time; default: over_select times collect.max, "
         "rounded up"),
     .min = 1, .max = DEVICES_MAX},
    {ROW(pf_window, min_s, DOUBLE, "Seconds to go on when min are assigned"),
     .min = 0, .max = MONTH_S},
    {ROW(pf_window, max_s, DOUBLE,
         "Seconds after which a round with fewer than min is abandoned"),
     .min = 0.001, .max = MONTH_S},
    {.key = NULL},
};

static const struct pf_json_field collect_fields[] = {
    {ROW(pf_window, min, U32,
         "Updates that are enough once min_s has passed; default: four fifths "
         "of max"),
     .min = 1, .max = DEVICES_MAX},
    {ROW(pf_window, max, U32, "Updates that close the round at once"),
     .min = 1, .max = DEVICES_MAX},
    {ROW(pf_window, min_s, DOUBLE, "Seconds to go on when min are in"),
     .min = 0, .max = MONTH_S},
    {ROW(pf_window, max_s, DOUBLE,
         "Seconds after which a round with fewer than min is abandoned"),
     .min = 0.001, .max = MONTH_S},
    {.key = NULL},
};

static const struct pf_json_field round_fields[] = {
    {ROW(pf_task_round, policy, ENUM,
         "sync: a round ends before the next begins; async: devices train "
         "from the newest model, and each collect.max updates make the next "
         "(FedBuff)"), .names = policies},
    {ROW(pf_task_round, over_select, DOUBLE,
         "How many times collect.max devices are asked, because some never "
         "answer"), .min = 1, .max = 10},
    {ROW(pf_task_round, select, OBJECT, "When enough devices are assigned"),
     .fields = select_fields},
    {ROW(pf_task_round, collect, OBJECT,
         "When enough updates are in, counted from the end of the selecting"),
     .fields = collect_fields},
    {ROW(pf_task_round, lease_s, DOUBLE,
         "Seconds after which a device that was assigned and sent nothing "
         "gives its place to another; 0: as long as the round can last, "
         "async: collect.max_s"), .min = 0, .max = MONTH_S},
    {ROW(pf_task_round, max_staleness, U32,
         "async: models that may come between the one an update was trained "
         "from and the one it counts in; an older update is refused. One of s "
         "counts 1/sqrt(1 + s)"), .min = 0, .max = 1000},
    {.key = "divide", .type = PF_JSON_ENUM, .names = divides,
     .offset = offsetof(struct pf_task_round, discounted),
     .size = SIZE(pf_task_round, discounted),
     .help = "async: what the mean divides by: all, the weights (FedBuff), so "
             "that stale buffers take smaller steps; discounted, the weights "
             "times their factors"},
    {ROW(pf_task_round, checkins_per_s, U32,
         "Check-ins a second that waiting devices make together; what they "
         "are told to wait follows from it, from how many there are, and from "
         "how long rounds last"), .min = 1, .max = 1000000},
    {ROW(pf_task_round, retry_s, DOUBLE,
         "Seconds to wait after an abandoned round, doubled each time up to "
         "one hour"), .min = 0.1, .max = 3600},
    {ROW(pf_task_round, poll_min_s, DOUBLE,
         "A waiting device comes back after this many seconds, or longer when "
         "there are more devices than a round can use"),
     .min = 0.01, .max = MONTH_S},
    {ROW(pf_task_round, poll_max_s, DOUBLE,
         "and before this many, at a random moment"),
     .min = 0.01, .max = MONTH_S},
    {.key = NULL},
};

static const struct pf_json_field device_fields[] = {
    {.key = "classes", .type = PF_JSON_STRINGS,
     .offset = offsetof(struct pf_task_device, classes),
     .size = SIZE(pf_task_device, classes[0]), .count = PF_MAX_CLASSES,
     .count_offset = offsetof(struct pf_task_device, n_classes),
     .help = "Device classes that may take part, as the apps name them; none: "
             "any"},
    {ROW(pf_task_device, max_updates, U64,
         "Updates that one device contributes in the whole task; 0: no limit")},
    {ROW(pf_task_device, rest_rounds, U64,
         "Rounds that a device rests after one it contributed to"),
     .min = 0, .max = 1000000},
    {.key = NULL},
};

static const struct pf_json_field strategy_fields[] = {
    {INNER(strategy, name, STRING, "fedavg")},
    {INNER(strategy, eta, DOUBLE,
           "Server learning rate: how much of the mean update is applied, "
           "(0, 10]")},
    {.key = NULL},
};

static const struct pf_json_field evaluate_fields[] = {
    {INNER(evaluate, data, STRING,
           "Folder on the server with a test set (t10k-images-idx3-ubyte and "
           "t10k-labels-idx1-ubyte, gzipped or not); empty: no evaluation")},
    {INNER(evaluate, every, U32,
           "Rounds from one evaluation to the next; the last model always is"),
     .min = 1, .max = 1000000},
    {.key = NULL},
};

static const struct pf_json_field stop_fields[] = {
    {ROW(pf_task_stop, rounds, U64, "Published rounds; 0: no limit")},
    {ROW(pf_task_stop, accuracy, DOUBLE, "Test accuracy; 0: no limit"),
     .min = 0, .max = 1},
    {ROW(pf_task_stop, min_rounds, U64,
         "Published rounds before `accuracy` counts")},
    {ROW(pf_task_stop, after_s, DOUBLE,
         "Seconds since the first round opened, while the daemon runs; 0: no "
         "limit"), .min = 0, .max = 1e9},
    {.key = NULL},
};

static const struct pf_json_field keep_fields[] = {
    {INNER(keep, models, U32, "Past models that stay on the server"),
     .min = 2, .max = 1000000},
    {INNER(keep, sums, U32,
           "Past rounds whose exact sum stays on the server, for `pocketfedd "
           "audit`"), .min = 0, .max = 1000000},
    {INNER(keep, updates, STRING,
           "What stays of devices' updates when their round is over: none, all, "
           "or \"N rounds\". The plan tells it to the devices")},
    {.key = NULL},
};

const struct pf_json_field pf_task_fields[] = {
    {ROW(pf_task, name, STRING,
         "1 to 64 of a-z, 0-9, '.', '_' and '-', beginning with a letter or "
         "digit"), .flags = PF_JSON_REQUIRED},
    {ROW(pf_task, seed, U64,
         "Fixes the initial model and every device's order of examples")},
    {.key = "model", .type = PF_JSON_RAW, .flags = PF_JSON_REQUIRED,
     .offset = offsetof(struct pf_task, spec), .size = SIZE(pf_task, spec),
     .help = "A model by name, or a specification as an object"},
    {ROW(pf_task, init, STRING,
         "File of parameters to start from, .safetensors; empty: random ones "
         "from the seed")},
    {ROW(pf_task, train, OBJECT, "Training on the device"),
     .fields = pf_train_config_fields},
    {ROW(pf_task, update, OBJECT, "What a device sends back"),
     .fields = update_fields},
    {ROW(pf_task, round, OBJECT, "When rounds open and close"),
     .fields = round_fields},
    {ROW(pf_task, device, OBJECT, "Who may take part, and how often"),
     .fields = device_fields},
    {ROW(pf_task, strategy, OBJECT, "From the mean update to the next model"),
     .fields = strategy_fields},
    {ROW(pf_task, evaluate, OBJECT, "Measuring each model on the server"),
     .fields = evaluate_fields},
    {ROW(pf_task, stop, OBJECT, "When the task is finished"),
     .fields = stop_fields},
    {ROW(pf_task, keep, OBJECT, "What is kept"), .fields = keep_fields},
    {.key = NULL},
};
/* clang-format on */
