#include "blob.h"

#include "bytes.h"
#include "record.h"

enum pocketfed_status pf_sum_write(const struct pf_sum *s, struct pf_buf *out)
{
    const struct pf_sums_head head = {s->n, s->updates, s->weight, s->divisor,
                                      s->saturated};
    size_t bytes, i;
    uint8_t *at;

    if (!pf_mul_size(s->n, 8, &bytes) ||
        !pf_add_size(bytes, PF_SUMS_HEAD, &bytes))
        return POCKETFED_LIMIT;
    at = pf_buf_extend(out, bytes);
    if (!at)
        return pf_buf_status(out);
    pf_sums_head_write(&head, at);
    for (i = 0; i < s->n; i++)
        pf_put64(at + PF_SUMS_HEAD + 8 * i, (uint64_t)s->value[i]);
    return POCKETFED_OK;
}

enum pocketfed_status pf_sum_read(const void *p, size_t len, struct pf_sum *s)
{
    const uint8_t *from = p;
    struct pf_sums_head head;
    size_t i;

    if (pf_sums_head_read(p, len, &head) != POCKETFED_OK || head.n != s->n)
        return POCKETFED_MALFORMED;
    s->updates = head.updates;
    s->weight = head.weight;
    s->divisor = head.divisor;
    s->saturated = head.saturated;
    for (i = 0; i < s->n; i++)
        s->value[i] = (int64_t)pf_get64(from + PF_SUMS_HEAD + 8 * i);
    return POCKETFED_OK;
}

enum pocketfed_status pf_strategy_state_write(const float *state, size_t n,
                                              struct pf_buf *out)
{
    size_t bytes, i;
    uint8_t *at;

    if (!pf_mul_size(n, 4, &bytes))
        return POCKETFED_LIMIT;
    at = pf_buf_extend(out, bytes);
    if (!at)
        return pf_buf_status(out);
    for (i = 0; i < n; i++)
        pf_putf(at + 4 * i, state[i]);
    return POCKETFED_OK;
}

enum pocketfed_status pf_strategy_state_read(const void *p, size_t len,
                                             float *state, size_t n)
{
    const uint8_t *from = p;
    size_t i;

    if (len / 4 != n || len % 4 != 0)
        return POCKETFED_MALFORMED;
    for (i = 0; i < n; i++)
        state[i] = pf_getf(from + 4 * i);
    return POCKETFED_OK;
}
