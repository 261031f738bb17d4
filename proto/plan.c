#include "plan.h"

#include <string.h>
#include "bytes.h"
#include "calls.h"
#include "text.h"

#define PLAN_VERSION   1
#define MIN_RANGE_LOG2 (-15) /* with 16..48 bits the shift is 0..62 */
#define MAX_RANGE_LOG2 15
#define MAX_NORM       1e9
#define MAX_MEMORY     (UINT64_C(1) << 53)

#define ROW(S, k, t, h)                                                        \
    .key = #k, .type = PF_JSON_##t, .offset = offsetof(struct S, k),           \
    .size = sizeof((struct S *)0)->k, .help = (h)

const char *const pf_weight_names[] = {
    [PF_WEIGHT_EXAMPLES] = "examples",
    [PF_WEIGHT_UNIFORM] = "uniform",
    NULL,
};

/* clang-format off */
/* No row is required: a task file gives what differs from the defaults. The
 * bounds are pf_train_config_check's and pf_plan_check's. */
const struct pf_json_field pf_train_config_fields[] = {
    {ROW(pf_train_config, optimizer, ENUM, "sgd, adam or adamw"),
     .names = pf_optimizer_names},
    {ROW(pf_train_config, lr, DOUBLE, "Learning rate, (0, 10]")},
    {ROW(pf_train_config, momentum, DOUBLE, "Momentum of sgd, [0, 1)")},
    {ROW(pf_train_config, nesterov, BOOL, "Nesterov's form of momentum")},
    {ROW(pf_train_config, beta1, DOUBLE, "First decay rate of adam, [0, 1)")},
    {ROW(pf_train_config, beta2, DOUBLE, "Second decay rate of adam, [0, 1)")},
    {ROW(pf_train_config, epsilon, DOUBLE, "Denominator's term of adam, > 0")},
    {ROW(pf_train_config, weight_decay, DOUBLE,
         "L2 penalty added to the gradient; adamw: taken from the weights, "
         "[0, 1]")},
    {ROW(pf_train_config, schedule, ENUM,
         "Of the learning rate: constant, step or cosine"),
     .names = pf_schedule_names},
    {ROW(pf_train_config, warmup, U32,
         "Optimiser steps in which the rate first grows from 0")},
    {ROW(pf_train_config, decay_epochs, U32,
         "step: the rate is multiplied by gamma every so many epochs")},
    {ROW(pf_train_config, decay_steps, U32,
         "step: or every so many optimiser steps")},
    {ROW(pf_train_config, gamma, DOUBLE, "step: the factor, (0, 1]")},
    {ROW(pf_train_config, lr_min, DOUBLE,
         "cosine: the rate at the end, [0, lr]")},
    {ROW(pf_train_config, clip_norm, DOUBLE,
         "L2 norm that each step's gradient is clipped to; 0: it is not")},
    {ROW(pf_train_config, mu, DOUBLE,
         "FedProx: pull towards the model of the round, [0, 100]; 0: none")},
    {ROW(pf_train_config, epochs, U32, "Passes over the examples, 1..1000")},
    {ROW(pf_train_config, batch, U32, "Examples in a mini-batch, 1..4096")},
    {ROW(pf_train_config, shuffle, BOOL,
         "Whether each epoch has its own order of examples")},
    {.key = NULL},
};

const struct pf_json_field pf_plan_update_fields[] = {
    {ROW(pf_plan_update, codec, STRING, "Encoding of updates: f32, f16")},
    {ROW(pf_plan_update, range, DOUBLE,
         "Bound of a delta's coordinates, a power of two, 2^-15..2^15")},
    {ROW(pf_plan_update, bits, U32,
         "Bits of a coordinate in the server's exact sum, 16..48")},
    {ROW(pf_plan_update, max_norm, DOUBLE,
         "L2 norm that clients clip a delta to, (0, 1e9]")},
    {ROW(pf_plan_update, min_examples, U64,
         "A device with fewer does not take part, >= 1")},
    {ROW(pf_plan_update, max_examples, U64,
         "A device with more uses this many")},
    {ROW(pf_plan_update, weight, ENUM,
         "What an update counts: examples, or uniform: 1"),
     .names = pf_weight_names},
    {ROW(pf_plan_update, cohort_max, U32, "Updates in one round at most")},
    {.key = NULL},
};

const struct pf_json_field pf_plan_fields[] = {
    {ROW(pf_plan, version, U32, "1"), .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, task, STRING, "The task"), .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, revision, U32, "Of the task, from 1"),
     .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, model, RAW, "The model's specification"),
     .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, train, OBJECT, "Local training"),
     .fields = pf_train_config_fields, .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, update, OBJECT, "What is sent back"),
     .fields = pf_plan_update_fields, .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, retention, STRING,
         "What the server keeps of updates after their round: none, all or "
         "\"N rounds\""),
     .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, memory, U64, "Bytes a device needs at most"),
     .flags = PF_JSON_REQUIRED},
    {ROW(pf_plan, min_version, STRING, "Oldest library that may take part"),
     .flags = PF_JSON_REQUIRED},
    {.key = NULL},
};
/* clang-format on */

void pf_plan_init(struct pf_plan *p)
{
    memset(p, 0, sizeof *p);
    p->version = PLAN_VERSION;
    p->revision = 1;
    pf_buf_init(&p->model, PF_MODEL_MAX_SPEC);
    pf_train_config_default(&p->train);
    memcpy(p->update.codec, "f32", sizeof "f32");
    p->update.range = 1;
    p->update.bits = 32;
    p->update.max_norm = 50;
    p->update.min_examples = 1;
    p->update.max_examples = 16384;
    p->update.cohort_max = 1000;
    memcpy(p->retention, "none", sizeof "none");
    memcpy(p->min_version, "0.1.0", sizeof "0.1.0");
}

void pf_plan_free(struct pf_plan *p)
{
    if (p)
        pf_buf_free(&p->model);
}

/* e of x = 2^e, from the bits: no C library is asked. 0 when x is none. */
static int power_of_two(double x, int *e)
{
    uint8_t bytes[8];
    uint64_t u;

    pf_putd(bytes, x);
    u = pf_get64(bytes);
    /* Sign and mantissa zero; exponent neither subnormal nor infinite. */
    if (u & ~(UINT64_C(0x7ff) << 52) || u >> 52 == 0 || u >> 52 == 0x7ff)
        return 0;
    *e = (int)(u >> 52) - 1023;
    return 1;
}

int pf_plan_shift(const struct pf_plan_update *u)
{
    int e = 0;

    power_of_two(u->range, &e);
    return (int)u->bits - 1 - e;
}

static int codec_name_ok(const char *s)
{
    size_t i, n = strnlen(s, 16);

    for (i = 0; i < n; i++)
        if (!((s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9') ||
              s[i] == '-'))
            return 0;
    return n > 0 && n < 16;
}

static enum pocketfed_status check_update(const struct pf_plan_update *u,
                                          struct pf_error *err)
{
    const enum pocketfed_status bad = POCKETFED_CONFIG;
    uint64_t room,
        heaviest = u->weight == PF_WEIGHT_UNIFORM ? 1 : u->max_examples;
    int e = 0;

    if (!codec_name_ok(u->codec))
        return pf_fail(err, bad,
                       "update.codec must be the name of a codec, such as f32");
    if (!power_of_two(u->range, &e) || e < MIN_RANGE_LOG2 || e > MAX_RANGE_LOG2)
        return pf_fail(err, bad,
                       "update.range is %g; it must be a power of two between "
                       "2^-15 and 2^15",
                       u->range);
    if (u->bits < 16 || u->bits > 48)
        return pf_fail(err, bad, "update.bits is %u; it must be 16 to 48",
                       (unsigned)u->bits);
    if (!(u->max_norm > 0 && u->max_norm <= MAX_NORM))
        return pf_fail(err, bad,
                       "update.max_norm is %g; it must be over 0 and at most "
                       "1e9",
                       u->max_norm);
    if (u->min_examples < 1)
        return pf_fail(err, bad, "update.min_examples must be at least 1");
    if (u->max_examples < u->min_examples)
        return pf_fail(err, bad,
                       "update.max_examples is %llu; it must be at least "
                       "update.min_examples, %llu",
                       (unsigned long long)u->max_examples,
                       (unsigned long long)u->min_examples);
    if (u->cohort_max < 1)
        return pf_fail(err, bad, "update.cohort_max must be at least 1");
    /* cohort_max * weight * 2^(bits-1) < 2^63, without overflow. */
    room = ((UINT64_C(1) << (64 - u->bits)) - 1) / u->cohort_max;
    if (heaviest > room) {
        pf_fail(err, bad,
                "update.max_examples is %llu; with %u updates of %u bits in "
                "one round it must be at most %llu, or the sum could overflow",
                (unsigned long long)u->max_examples, (unsigned)u->cohort_max,
                (unsigned)u->bits, (unsigned long long)room);
        pf_hint(err, "lower update.max_examples, update.bits or the cohort");
        return bad;
    }
    return POCKETFED_OK;
}

/* "major.minor.patch", each without leading zeros; 1 or 0. */
static int parse_version(const char *s, uint64_t v[3])
{
    int i;

    for (i = 0; i < 3; i++) {
        size_t len = strcspn(s, ".");

        if (!pf_parse_u64(s, len, 0, UINT32_MAX, &v[i]))
            return 0;
        s += len;
        if (*s != (i < 2 ? '.' : '\0'))
            return 0;
        s++;
    }
    return 1;
}

int pf_version_at_least(const char *a, const char *b)
{
    uint64_t va[3], vb[3];
    int i;

    if (!parse_version(a, va) || !parse_version(b, vb))
        return 0;
    for (i = 0; i < 3; i++)
        if (va[i] != vb[i])
            return va[i] > vb[i];
    return 1;
}

int pf_retention_rounds(const char *text, uint32_t *rounds)
{
    const char *blank = strchr(text, ' ');
    uint64_t n;

    if (strcmp(text, "none") == 0) {
        *rounds = 0;
    } else if (strcmp(text, "all") == 0) {
        *rounds = PF_KEEP_ALL;
    } else if (blank && strcmp(blank, " rounds") == 0 &&
               pf_parse_u64(text, (size_t)(blank - text), 1, 1000000, &n)) {
        *rounds = (uint32_t)n;
    } else {
        return 0;
    }
    return 1;
}

enum pocketfed_status pf_plan_check(const struct pf_plan *p,
                                    struct pf_error *err)
{
    const enum pocketfed_status bad = POCKETFED_CONFIG;
    struct pf_error train = {.text = ""};
    enum pocketfed_status st;
    uint32_t rounds;
    uint64_t v[3];

    if (p->version > PLAN_VERSION)
        return pf_fail(err, POCKETFED_TOO_OLD,
                       "version is %u; this library knows plans of version %d",
                       (unsigned)p->version, PLAN_VERSION);
    if (p->version < PLAN_VERSION)
        return pf_fail(err, bad, "version must be %d", PLAN_VERSION);
    if (!pf_task_name_ok(p->task))
        return pf_fail(err, bad,
                       "task must be 1 to %d of a-z, 0-9, '.', '_' and '-', "
                       "beginning with a letter or digit",
                       PF_TASK_NAME_MAX);
    if (p->revision < 1)
        return pf_fail(err, bad, "revision must be at least 1");
    if (p->model.len == 0)
        return pf_fail(err, bad, "model is missing");
    if (pf_train_config_check(&p->train, &train)) {
        pf_fail(err, bad, "train.%s", train.text);
        pf_hint(err, "%s", train.hint);
        return bad;
    }
    st = check_update(&p->update, err);
    if (st)
        return st;
    if (!pf_retention_rounds(p->retention, &rounds))
        return pf_fail(err, bad,
                       "retention is \"%s\"; it must be \"none\", \"all\" or "
                       "\"N rounds\"",
                       p->retention);
    if (p->memory > MAX_MEMORY)
        return pf_fail(err, bad, "memory must be at most 2^53 bytes");
    if (!parse_version(p->min_version, v))
        return pf_fail(err, bad, "min_version must be a version such as 0.1.0");
    return POCKETFED_OK;
}

enum pocketfed_status pf_plan_encode(const struct pf_plan *p,
                                     struct pf_buf *out)
{
    return pf_json_encode(pf_plan_fields, p, out);
}

enum pocketfed_status pf_plan_decode(const char *text, size_t len,
                                     struct pf_plan *p, struct pf_error *err)
{
    struct pf_plan next;
    enum pocketfed_status st;

    if (len > PF_MAX_PLAN)
        return pf_fail(err, POCKETFED_LIMIT,
                       "the plan has %zu bytes; at most %u are read", len,
                       PF_MAX_PLAN);
    pf_plan_init(&next);
    st = pf_json_decode(pf_plan_fields, PF_JSON_IGNORE, text, len, &next, err);
    if (!st)
        st = pf_plan_check(&next, err);
    if (st) {
        pf_plan_free(&next);
        return st;
    }
    pf_plan_free(p);
    *p = next;
    return POCKETFED_OK;
}
