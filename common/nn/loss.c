#include "loss.h"

#include "fmath.h"

static size_t largest(const pf_real *z, size_t n)
{
    size_t best = 0;

    for (size_t j = 1; j < n; j++)
        if (z[j] > z[best])
            best = j;
    return best;
}

/* sum of exp(z - max) */
static double partition(const pf_real *z, size_t n, double max)
{
    double sum = 0;

    for (size_t j = 0; j < n; j++)
        sum += pf_exp((double)z[j] - max);
    return sum;
}

double pf_softmax_cross_entropy(const pf_real *logits, const uint32_t *labels,
                                size_t n, size_t classes, double scale,
                                pf_real *gradient, uint64_t *correct)
{
    double loss = 0;

    for (size_t i = 0; i < n; i++) {
        const pf_real *z = logits + i * classes;
        size_t best = largest(z, classes), label = labels[i];
        double max = (double)z[best], sum = partition(z, classes, max);

        loss += pf_ln(sum) + max - (double)z[label];
        if (correct)
            *correct += best == label;
        for (size_t j = 0; gradient && j < classes; j++) {
            double p = pf_exp((double)z[j] - max) / sum;
            *gradient++ = (pf_real)(scale * (p - (j == label ? 1.0 : 0.0)));
        }
    }
    return loss;
}

void pf_softmax(const pf_real *logits, size_t classes, pf_real *out)
{
    double max = (double)logits[largest(logits, classes)];
    double sum = partition(logits, classes, max);

    for (size_t j = 0; j < classes; j++)
        out[j] = (pf_real)(pf_exp((double)logits[j] - max) / sum);
}
