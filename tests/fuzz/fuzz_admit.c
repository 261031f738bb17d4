/* An update frame of any bytes, for a model of as many parameters as the first
 * byte says: refused by name, or admitted; then its numbers are in bounds and
 * it folds. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "frame.h"
#include "sum.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static float scratch[PF_ADMIT_BLOCK];
    struct pf_admitted a;
    struct pf_problem why;
    struct pf_sum sum;
    struct frame f;

    if (size < 1)
        return 0;
    frame_init(&f, 1u + data[0]);
    why.id = PF_PROBLEM_NONE;
    if (pf_admit(&f.want, data + 1, size - 1, scratch, &a, &why)) {
        if (why.id == PF_PROBLEM_NONE || !why.detail[0])
            abort();
        frame_free(&f);
        return 0;
    }
    if (a.weight != a.examples || a.weight < 2 || a.weight > 1000 ||
        !(a.norm >= 0 && a.norm < 101) || !isfinite(a.train_loss))
        abort();
    if (pf_sum_init(&sum, f.want.n_params) ||
        pf_sum_fold(&sum, &f.plan, data + 1, size - 1, a.weight, 1, scratch))
        abort();
    if (sum.weight != a.weight || sum.saturated != a.saturated)
        abort();
    pf_sum_free(&sum);
    frame_free(&f);
    return 0;
}
