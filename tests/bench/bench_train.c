/* Samples per second of one training thread, on drawn images that can be
 * learnt: bench_train [MODEL [BATCH [SECONDS [sgd|adam]]]].
 *
 * Kernels skip what is zero, so a figure means little without the loss and
 * accuracy of the same run: both are printed.  POCKETFED_KERNELS chooses the
 * family. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels.h"
#include "rng.h"
#include "train.h"

#define SIDE       28
#define N_EXAMPLES 6000

struct images {
    pf_real glyph[10][SIDE * SIDE];
};

/* Three strokes, each a walk of a round brush. */
static void draw_glyph(uint64_t which, pf_real *to)
{
    struct pf_rng r = pf_rng_make(7, which, 0, PF_RNG_TEST);
    uint64_t at = 0;

    memset(to, 0, SIDE * SIDE * sizeof *to);
    for (int stroke = 0; stroke < 3; stroke++) {
        double x = 7 + 14 * pf_rng_double(&r, at++);
        double y = 7 + 14 * pf_rng_double(&r, at++);
        double dx = 1.6 * pf_rng_double(&r, at++) - 0.8;
        double dy = 1.6 * pf_rng_double(&r, at++) - 0.8;
        for (int i = 0; i < 12; i++, x += dx, y += dy)
            for (int p = 0; p < SIDE * SIDE; p++) {
                double ex = p % SIDE - x, ey = p / SIDE - y;
                if (ex * ex + ey * ey < 2.5)
                    to[p] = 1;
            }
    }
}

/* A glyph moved by up to three pixels, its ink uneven. */
static enum pocketfed_status get(void *ctx, size_t i, pf_real *x,
                                 uint32_t *label)
{
    const struct images *m = ctx;
    struct pf_rng r = pf_rng_make(11, i, 0, PF_RNG_TEST);
    int down = (int)pf_rng_below(&r, 0, 7) - 3;
    int right = (int)pf_rng_below(&r, 1, 7) - 3;
    const pf_real *glyph;
    pf_real ink;

    *label = (uint32_t)(i % 10);
    glyph = m->glyph[*label];
    for (int p = 0; p < SIDE * SIDE; p++) {
        int row = p / SIDE + down, col = p % SIDE + right;
        int inside = row >= 0 && row < SIDE && col >= 0 && col < SIDE;
        ink = (pf_real)(8 + ((unsigned)p * 37u + (unsigned)i) % 8) / 15;
        x[p] = inside ? glyph[row * SIDE + col] * ink : 0;
    }
    return POCKETFED_OK;
}

struct stored {
    pf_real *x;
    uint32_t *label;
};

static enum pocketfed_status fetch(void *ctx, size_t i, pf_real *x,
                                   uint32_t *label)
{
    const struct stored *s = ctx;

    memcpy(x, s->x + i * SIDE * SIDE, SIDE * SIDE * sizeof *x);
    *label = s->label[i];
    return POCKETFED_OK;
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static enum pocketfed_status run(const char *model,
                                 const struct pf_train_config *c,
                                 const struct pf_examples *all, double seconds,
                                 struct pf_error *err)
{
    const char *spec = pf_zoo_spec(model);
    struct pf_trainer *t = NULL;
    struct pf_evaluation e;
    struct pf_model *m = NULL;
    pf_real *params = NULL;
    enum pocketfed_status st;
    double start, used, best = 0, chunk;
    uint64_t seen = 0;

    if (!spec)
        return pf_fail(err, POCKETFED_NOT_FOUND, "no zoo model %s", model);
    st = pf_model_create(spec, strlen(spec), &m, err);
    if (st == POCKETFED_OK)
        st = pf_trainer_create(m, c, all, 1, NULL, &t, err);
    if (st != POCKETFED_OK)
        goto out;
    params = malloc(pf_model_n_params(m) * sizeof *params);
    if (!params) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory");
        goto out;
    }
    pf_model_init(m, 1, params);
    pf_trainer_set_params(t, params);
    start = now();
    do {
        uint64_t before = pf_trainer_position(t)->examples;
        chunk = now();
        for (int i = 0; i < 50; i++)
            st = pf_trainer_step(t);
        seen = pf_trainer_position(t)->examples;
        used = now();
        if ((double)(seen - before) / (used - chunk) > best)
            best = (double)(seen - before) / (used - chunk);
        used -= start;
    } while (used < seconds && st == POCKETFED_AGAIN);
    pf_trainer_get_params(t, params);
    st = pf_evaluate(m, params, all, 0, 1000, &e, err);
    if (st == POCKETFED_OK)
        printf("%s batch %u %s: %.0f samples/s (best 50 steps %.0f) in CPU "
               "time; %llu samples, loss %.4f, accuracy %.3f\n",
               model, c->batch, pf_optimizer_names[c->optimizer],
               (double)seen / used, best, (unsigned long long)seen,
               pf_trainer_loss(t), (double)e.correct / 1000);
out:
    free(params);
    pf_trainer_free(t);
    pf_model_free(m);
    return st;
}

int main(int argc, char **argv)
{
    static struct images glyphs;
    struct stored s = {0};
    struct pf_examples all = {&s, N_EXAMPLES, fetch};
    const struct pf_kernels *k;
    struct pf_train_config c;
    struct pf_error err = {0};

    pf_train_config_default(&c);
    c.epochs = 1000;
    c.batch = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 10;
    if (argc > 4 && strcmp(argv[4], "adam") == 0) {
        c.optimizer = PF_ADAM;
        c.lr = 0.001;
    }
    s.x = malloc(sizeof *s.x * N_EXAMPLES * SIDE * SIDE);
    s.label = malloc(sizeof *s.label * N_EXAMPLES);
    if (!s.x || !s.label)
        return 1;
    for (uint64_t i = 0; i < 10; i++)
        draw_glyph(i, glyphs.glyph[i]);
    for (size_t i = 0; i < N_EXAMPLES; i++)
        get(&glyphs, i, s.x + i * SIDE * SIDE, &s.label[i]);
    if (pf_kernels_get(&k, &err) == POCKETFED_OK) {
        printf("kernels: %s\n", k->name);
        run(argc > 1 ? argv[1] : "lenet5", &c, &all,
            argc > 3 ? strtod(argv[3], NULL) : 5, &err);
    }
    free(s.x);
    free(s.label);
    if (err.status != POCKETFED_OK)
        fprintf(stderr, "bench_train: %s\n", err.text);
    return err.status == POCKETFED_OK ? 0 : 1;
}
