#include "tables.h"

#include <string.h>

#define TABLE(name)                                                            \
    {                                                                          \
#name, pf_##name##_fields, sizeof(struct pf_##name)                    \
    }

const struct pf_table pf_tables[] = {
    TABLE(enrol_request), TABLE(enrol_reply),  TABLE(checkin_request),
    TABLE(checkin_reply), TABLE(ack),          TABLE(failure_report),
    TABLE(task_status),   TABLE(task_set),     TABLE(token_request),
    TABLE(token_reply),   TABLE(round_status), TABLE(admin_info),
    TABLE(class_status),  TABLE(round_record), TABLE(log_head),
    TABLE(rotation),      TABLE(proof),        TABLE(device_status),
    TABLE(plan),          TABLE(train_config), TABLE(plan_update),
    {NULL, NULL, 0},
};
const size_t pf_n_tables = sizeof pf_tables / sizeof *pf_tables - 1;

/* Gives member f of m a value: `high` the largest one, else a small one. */
static void fill(const struct pf_json_field *f, char *m, int high)
{
    char *at = m + f->offset;
    struct pf_json_bytes *bytes = (void *)at;
    uint64_t u64 = f->max > 0 ? (uint64_t)f->max : UINT64_MAX;
    int64_t i64 = f->max > 0 ? (int64_t)f->max : INT64_C(1) << 53;
    size_t n = 0;

    switch (f->type) {
    case PF_JSON_STRING:
        memset(at, 'x', high ? f->size - 1 : 1);
        break;
    case PF_JSON_HEX:
        memset(at, high ? 0xff : 0x5a, f->size);
        break;
    case PF_JSON_BASE64URL:
        bytes->len = high ? f->size : 1;
        memset(bytes->data, 0xfb, bytes->len);
        break;
    case PF_JSON_U32:
        *(uint32_t *)(void *)at = high ? UINT32_MAX : 1;
        break;
    case PF_JSON_U64:
        *(uint64_t *)(void *)at = high ? u64 : 1;
        break;
    case PF_JSON_I64:
        *(int64_t *)(void *)at = high ? i64 : 1;
        break;
    case PF_JSON_DOUBLE:
        *(double *)(void *)at = high ? 1.7976931348623157e308 : 0.1;
        break;
    case PF_JSON_BOOL:
        *(int *)(void *)at = 1;
        break;
    case PF_JSON_ENUM:
        while (high && f->names[n + 1])
            n++;
        *(int *)(void *)at = (int)n;
        break;
    case PF_JSON_STRINGS:
        n = high ? f->count : 1;
        for (size_t i = 0; i < n; i++)
            memset(at + i * f->size, 'a', high ? f->size - 1 : 1);
        memcpy(m + f->count_offset, &n, sizeof n);
        break;
    case PF_JSON_OBJECT:
    case PF_JSON_RAW:
        break; /* no message has one */
    }
}

void table_fill(const struct pf_table *t, void *message, int high)
{
    const struct pf_json_field *f;

    for (f = t->fields; f->key; f++)
        fill(f, message, high);
}
