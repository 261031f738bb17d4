#include "loss.h"

#include <string.h>

#include "expneg.h"
#include "fmath.h"

static size_t largest(const pf_real *z, size_t n)
{
    size_t best = 0;

    for (size_t j = 1; j < n; j++)
        if (z[j] > z[best])
            best = j;
    return best;
}

/* e (may be NULL) = exp(z - max); returns their sum. */
static double exponentials(const pf_real *z, size_t n, pf_real max, pf_real *e)
{
    double sum = 0;

    if (!e) {
        for (size_t j = 0; j < n; j++)
            sum += (double)pf_exp_neg(z[j] - max);
        return sum;
    }
    for (size_t j = 0; j < n; j++)
        e[j] = pf_exp_neg(z[j] - max);
    for (size_t j = 0; j < n; j++)
        sum += (double)e[j];
    return sum;
}

double pf_softmax_cross_entropy(const pf_real *outputs, const uint32_t *labels,
                                size_t n, size_t size, double scale,
                                pf_real *gradient, uint64_t *correct)
{
    double loss = 0;

    for (size_t i = 0; i < n; i++) {
        const pf_real *z = outputs + i * size;
        size_t best = largest(z, size), label = labels[i];
        double sum = exponentials(z, size, z[best], gradient);

        loss += pf_ln(sum) + (double)z[best] - (double)z[label];
        if (correct)
            *correct += best == label;
        if (!gradient)
            continue;
        sum = 1 / sum;
        z = gradient + label;
        for (size_t j = 0; j < size; j++, gradient++) {
            double p = (double)*gradient * sum;
            *gradient = (pf_real)(scale * (gradient == z ? p - 1 : p));
        }
    }
    return loss;
}

void pf_softmax(const pf_real *logits, size_t classes, pf_real *out)
{
    double sum =
        exponentials(logits, classes, logits[largest(logits, classes)], out);

    for (size_t j = 0; j < classes; j++)
        out[j] = (pf_real)((double)out[j] / sum);
}

/* mse: the mean over the outputs of (output - target)^2, the target being 1 at
 * the label and 0 elsewhere. */
static double mse(const pf_real *outputs, const uint32_t *labels, size_t n,
                  size_t size, double scale, pf_real *gradient,
                  uint64_t *correct)
{
    double loss = 0, share = 1 / (double)size;

    for (size_t i = 0; i < n; i++, outputs += size) {
        double sum = 0;

        for (size_t j = 0; j < size; j++) {
            double d = (double)outputs[j] - (j == labels[i] ? 1 : 0);

            sum += d * d;
            if (gradient)
                *gradient++ = (pf_real)(scale * share * 2 * d);
        }
        loss += sum * share;
        if (correct)
            *correct += largest(outputs, size) == labels[i];
    }
    return loss;
}

static void as_they_are(const pf_real *outputs, size_t size, pf_real *p)
{
    memcpy(p, outputs, size * sizeof *p);
}

/* binary_cross_entropy: the mean over the outputs z, logits of independent
 * yes-or-no questions, of -log sigmoid(z) or -log(1 - sigmoid(z)), which is
 * max(z, 0) - z target + log(1 + exp(-|z|)).  A single output asks whether the
 * label is 1, several ask each whether the label is theirs. */
static size_t answer(const pf_real *z, size_t size)
{
    return size == 1 ? z[0] > 0 : largest(z, size);
}

static double binary(const pf_real *outputs, const uint32_t *labels, size_t n,
                     size_t size, double scale, pf_real *gradient,
                     uint64_t *correct)
{
    double loss = 0, share = 1 / (double)size;

    for (size_t i = 0; i < n; i++, outputs += size) {
        size_t yes = size == 1 ? 1 - labels[i] : labels[i];
        double sum = 0;

        for (size_t j = 0; j < size; j++) {
            double z = (double)outputs[j], target = j == yes ? 1 : 0;
            double e = pf_exp(z < 0 ? z : -z);

            sum += (z > 0 ? z : 0) - z * target + pf_ln(1 + e);
            if (gradient)
                *gradient++ = (pf_real)(scale * share *
                                        ((z < 0 ? e : 1) / (1 + e) - target));
        }
        loss += sum * share;
        if (correct)
            *correct += answer(outputs, size) == labels[i];
    }
    return loss;
}

static void sigmoids(const pf_real *outputs, size_t size, pf_real *p)
{
    for (size_t j = 0; j < size; j++)
        p[j] = pf_real_sigmoid(outputs[j]);
    if (size == 1) {
        p[1] = p[0];
        p[0] = 1 - p[1];
    }
}

static const struct pf_loss_type softmax_row = {"softmax_cross_entropy", 2,
                                                pf_softmax_cross_entropy,
                                                pf_softmax},
                                 mse_row = {"mse", 2, mse, as_they_are},
                                 binary_row = {"binary_cross_entropy", 1,
                                               binary, sigmoids};

const struct pf_loss_type *const pf_loss_types[] = {&softmax_row, &mse_row,
                                                    &binary_row, NULL};
