#include "json_sample.h"

static const char *const phases[] = {"open", "closed", "failed", NULL};

static const struct pf_json_field inner_fields[] = {
    {.key = "batch",
     .type = PF_JSON_U32,
     .offset = offsetof(struct sample_inner, batch),
     .flags = PF_JSON_REQUIRED,
     .min = 1,
     .max = 4096},
    {.key = "lr",
     .type = PF_JSON_DOUBLE,
     .offset = offsetof(struct sample_inner, lr)},
    {.key = NULL},
};

#define AT(member)                                                             \
    .offset = offsetof(struct sample, member),                                 \
    .size = sizeof((struct sample *)0)->member

const struct pf_json_field sample_fields[] = {
    {.key = "name",
     .type = PF_JSON_STRING,
     AT(name),
     .flags = PF_JSON_REQUIRED},
    {.key = "digest", .type = PF_JSON_HEX, AT(digest)},
    {.key = "nonce",
     .type = PF_JSON_BASE64URL,
     .offset = offsetof(struct sample, nonce),
     .size = 10},
    {.key = "count", .type = PF_JSON_U32, AT(count)},
    {.key = "seed", .type = PF_JSON_U64, AT(seed)},
    {.key = "offset", .type = PF_JSON_I64, AT(offset)},
    {.key = "scale", .type = PF_JSON_DOUBLE, AT(scale)},
    {.key = "shuffle",
     .type = PF_JSON_BOOL,
     AT(shuffle),
     .flags = PF_JSON_OMIT_EMPTY},
    {.key = "phase", .type = PF_JSON_ENUM, AT(phase), .names = phases},
    {.key = "train",
     .type = PF_JSON_OBJECT,
     AT(train),
     .flags = PF_JSON_OMIT_EMPTY,
     .fields = inner_fields},
    {.key = "hosts",
     .type = PF_JSON_STRINGS,
     .offset = offsetof(struct sample, hosts),
     .size = 8,
     .count = 3,
     .count_offset = offsetof(struct sample, n_hosts),
     .flags = PF_JSON_OMIT_EMPTY},
    {.key = "extra", .type = PF_JSON_RAW, AT(extra)},
    {.key = NULL},
};
