/* A problem document. What is read and known must be written and read as the
 * same again. */
#include <stdlib.h>
#include <string.h>
#include "problem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_problem p, q;
    struct pf_buf text;

    if (pf_problem_decode((const char *)data, size, &p) ||
        p.id == PF_PROBLEM_NONE)
        return 0;
    pf_buf_init(&text, 8192);
    if (pf_problem_encode(&p, &text) ||
        pf_problem_decode(pf_buf_str(&text), text.len, &q) || p.id != q.id ||
        strcmp(p.pointer, q.pointer) || strcmp(p.hint, q.hint) ||
        (p.detail[0] && strcmp(p.detail, q.detail)) ||
        p.server_time_ms != q.server_time_ms ||
        p.retry_after_ms != q.retry_after_ms)
        abort();
    pf_buf_free(&text);
    return 0;
}
