/* First byte: what the rest claims to be. 0 a leaf, 1 a sums blob, 2 a record.
 * What is read must be written as the same bytes again, or the same fields. */
#include <stdlib.h>
#include <string.h>
#include "record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void leaf(const uint8_t *p, size_t n)
{
    uint8_t again[PF_LEAF_LEN];
    struct pf_leaf l;

    if (pf_leaf_read(p, n, &l))
        return;
    pf_leaf_write(&l, again);
    if (memcmp(again, p, n) != 0 || pf_leaf_compare(&l, &l) != 0)
        abort();
}

static void sums(const uint8_t *p, size_t n)
{
    uint8_t again[PF_SUMS_HEAD];
    struct pf_sums_head h;

    if (pf_sums_head_read(p, n, &h))
        return;
    pf_sums_head_write(&h, again);
    if (memcmp(again, p, sizeof again) != 0 || n != PF_SUMS_HEAD + 8 * h.n)
        abort();
}

static void record(const uint8_t *p, size_t n)
{
    struct pf_round_record r, back;
    struct pf_error err;
    struct pf_buf out;

    if (pf_round_record_read(p, n, &r, &err))
        return;
    pf_buf_init(&out, PF_RECORD_MAX);
    if (r.version != PF_RECORD_VERSION ||
        pf_json_encode(pf_round_record_fields, &r, &out) ||
        pf_round_record_read(out.data, out.len, &back, &err) ||
        memcmp(&r, &back, sizeof r) != 0)
        abort();
    pf_buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (data[0] == 0)
        leaf(data + 1, size - 1);
    else if (data[0] == 1)
        sums(data + 1, size - 1);
    else if (data[0] == 2)
        record(data + 1, size - 1);
    return 0;
}
