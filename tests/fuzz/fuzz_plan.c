/* A plan. What is accepted must be written and accepted as the same again, and
 * its fixed-point arithmetic must be within 64 bits. */
#include <stdlib.h>
#include <string.h>
#include "plan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_plan p, q;
    struct pf_buf a, b;
    struct pf_error err;

    pf_plan_init(&p);
    pf_plan_init(&q);
    pf_buf_init(&a, 2 * PF_MAX_PLAN);
    pf_buf_init(&b, 2 * PF_MAX_PLAN);
    if (!pf_plan_decode((const char *)data, size, &p, &err)) {
        int shift = pf_plan_shift(&p.update);

        if (shift < 0 || shift > 62 || pf_plan_encode(&p, &a) ||
            pf_plan_decode(pf_buf_str(&a), a.len, &q, &err) ||
            pf_plan_encode(&q, &b) || a.len != b.len ||
            memcmp(a.data, b.data, a.len))
            abort();
    }
    pf_plan_free(&p);
    pf_plan_free(&q);
    pf_buf_free(&a);
    pf_buf_free(&b);
    return 0;
}
