/* Every family that runs here against the reference, over the list of kernels:
 * a kernel that joins PF_KERNELS needs a function check_<name>, or this does
 * not link. Here: the walk, the choice of a family, the kernels that treat
 * each value by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

#include "trial.h"

#define TRIALS 96

static const struct pf_kernels *const oracle = &pf_kernels_reference;

static struct pf_pool draw_pool(struct trial *t, size_t *n)
{
    struct pf_pool s;

    s.c = trial_between(t, 1, 37);
    s.size = trial_between(t, 1, 4);
    s.stride = trial_between(t, 1, 4);
    s.h = trial_between(t, s.size, 11);
    s.w = trial_between(t, s.size, 13);
    s.oh = (s.h - s.size) / s.stride + 1;
    s.ow = (s.w - s.size) / s.stride + 1;
    *n = trial_between(t, 1, 3);
    return s;
}

/* Pooling is exact: values and places, also among equals. */
void check_pool_forward(struct trial *t)
{
    size_t n, m;
    struct pf_pool s = draw_pool(t, &n);
    pf_real *x = trial_solid(t, n * s.h * s.w * s.c), *y[2];
    uint32_t *where[2];

    for (size_t i = 0; i < n * s.h * s.w * s.c; i += 2)
        if (isfinite(x[i]))
            x[i] = (pf_real)0.5;
    m = n * s.oh * s.ow * s.c;
    for (int i = 0; i < 2; i++) {
        y[i] = trial_empty(t, m);
        where[i] = trial_block(t, m * sizeof(uint32_t));
    }
    oracle->pool_forward(&s, n, x, y[0], where[0]);
    t->k->pool_forward(&s, n, x, y[1], where[1]);
    trial_close(t, y[1], y[0], m, 0);
    assert_memory_equal(where[1], where[0], m * sizeof(uint32_t));
}

void check_pool_backward(struct trial *t)
{
    size_t n, m, in;
    struct pf_pool s = draw_pool(t, &n);
    pf_real *x = trial_noise(t, n * s.h * s.w * s.c), *y, *dy, *dx[2];
    uint32_t *where;

    m = n * s.oh * s.ow * s.c;
    in = n * s.h * s.w * s.c;
    y = trial_empty(t, m);
    dy = trial_solid(t, m);
    where = trial_block(t, m * sizeof(uint32_t));
    oracle->pool_forward(&s, n, x, y, where);
    dx[0] = trial_solid(t, in);
    dx[1] = trial_solid(t, in);
    oracle->pool_backward(&s, n, dy, where, dx[0]);
    t->k->pool_backward(&s, n, dy, where, dx[1]);
    trial_close(t, dx[1], dx[0], in, s.size * s.size);
}

void check_relu_forward(struct trial *t)
{
    size_t n = trial_between(t, 1, 67);
    pf_real *x = trial_solid(t, n), *y[2];

    y[0] = trial_empty(t, n);
    y[1] = trial_empty(t, n);
    oracle->relu_forward(n, x, y[0]);
    t->k->relu_forward(n, x, y[1]);
    trial_close(t, y[1], y[0], n, 0);
    t->k->relu_forward(n, x, x);
    trial_close(t, x, y[0], n, 0);
}

void check_relu_backward(struct trial *t)
{
    size_t n = trial_between(t, 1, 67);
    pf_real *y = trial_noise(t, n), *dy = trial_solid(t, n), *dx[2];

    if (t->odd)
        y[n / 2] = (pf_real)NAN;
    dx[0] = trial_empty(t, n);
    dx[1] = trial_empty(t, n);
    oracle->relu_backward(n, y, dy, dx[0]);
    t->k->relu_backward(n, y, dy, dx[1]);
    trial_close(t, dx[1], dx[0], n, 0);
    t->k->relu_backward(n, y, dy, dy);
    trial_close(t, dy, dx[0], n, 0);
}

void check_channels_first(struct trial *t)
{
    size_t n = trial_between(t, 1, 3), c = trial_between(t, 1, 35);
    size_t hw = trial_between(t, 1, 67);
    pf_real *x = trial_solid(t, n * c * hw), *y[2];

    y[0] = trial_empty(t, n * c * hw);
    y[1] = trial_empty(t, n * c * hw);
    oracle->channels_first(n, c, hw, x, y[0]);
    t->k->channels_first(n, c, hw, x, y[1]);
    assert_memory_equal(y[1], y[0], n * c * hw * sizeof *x);
}

void check_channels_last(struct trial *t)
{
    size_t n = trial_between(t, 1, 3), c = trial_between(t, 1, 35);
    size_t hw = trial_between(t, 1, 67);
    pf_real *x = trial_solid(t, n * c * hw), *y = trial_empty(t, n * c * hw);
    pf_real *back = trial_empty(t, n * c * hw);

    t->k->channels_last(n, c, hw, x, y);
    oracle->channels_first(n, c, hw, y, back);
    assert_memory_equal(back, x, n * c * hw * sizeof *x);
}

static struct pf_update draw_update(struct trial *t)
{
    struct pf_update u = {.rule = (enum pf_rule)trial_between(t, 0, 4),
                          .lr = (pf_real)0.1,
                          .momentum = (pf_real)0.9,
                          .beta1 = (pf_real)0.9,
                          .beta2 = (pf_real)0.999,
                          .epsilon = (pf_real)1e-8,
                          .rate = (pf_real)0.1,
                          .correction = (pf_real)1.5,
                          .scale = 1};

    if (trial_between(t, 0, 1))
        u.scale = (pf_real)0.3;
    if (trial_between(t, 0, 1))
        u.decay = (pf_real)0.01;
    if (trial_between(t, 0, 1))
        u.mu = (pf_real)0.5;
    return u;
}

void check_update(struct trial *t)
{
    struct pf_update u = draw_update(t), v;
    size_t at = trial_between(t, 0, 9), n = trial_between(t, 1, 99);
    size_t size = at + n, cut = trial_between(t, 0, n);
    pf_real *g = trial_solid(t, n), *zero = trial_empty(t, size);
    pf_real *w = trial_noise(t, size), *m = trial_noise(t, size);
    pf_real *s = trial_noise(t, size), *a = trial_noise(t, size);
    pf_real *c = trial_noise(t, size), *kept[3];

    for (size_t i = 0; i < size; i++) /* squares: not negative, not tiny */
        s[i] = (pf_real)0.25 + s[i] * s[i];
    u.anchor = u.mu != 0 ? a : NULL;
    u.control = trial_between(t, 0, 1) ? c : NULL;
    u.w = trial_copy(t, w, size);
    u.m = trial_copy(t, m, size);
    u.v = trial_copy(t, s, size);
    v = u;
    v.w = kept[0] = trial_copy(t, w, size);
    v.m = kept[1] = trial_copy(t, m, size);
    v.v = kept[2] = trial_copy(t, s, size);
    oracle->update(&u, at, n, g);
    t->k->update(&v, at, n, g);
    trial_close(t, v.w, u.w, size, 4);
    trial_close(t, v.m, u.m, size, 4);
    trial_close(t, v.v, u.v, size, 4);
    /* In two runs come the same bits. */
    v.w = trial_copy(t, w, size);
    v.m = trial_copy(t, m, size);
    v.v = trial_copy(t, s, size);
    t->k->update(&v, at, cut, g);
    t->k->update(&v, at + cut, n - cut, g + cut);
    assert_memory_equal(v.w, kept[0], size * sizeof *w);
    assert_memory_equal(v.m, kept[1], size * sizeof *m);
    assert_memory_equal(v.v, kept[2], size * sizeof *s);
    /* What padding adds is zero and stays zero under every rule. */
    u.w = trial_empty(t, size);
    u.m = trial_empty(t, size);
    u.v = trial_empty(t, size);
    u.anchor = u.control = zero;
    t->k->update(&u, at, n, zero + at);
    for (size_t i = 0; i < size; i++)
        assert_true(u.w[i] == 0 && u.m[i] == 0 && u.v[i] == 0);
}

void check_peak(struct trial *t)
{
    pf_real x = (pf_real)0.5;

    assert_true(t->k->peak(10, &x) >= 10 * 2);
    assert_true(isfinite(x));
}

#define CHECK_ROW(name, type, args) {#name, check_##name},
static const struct {
    const char *name;
    void (*check)(struct trial *t);
} checks[] = {PF_KERNELS(CHECK_ROW)};

static uint64_t try(const struct pf_kernels *k, size_t check, uint32_t number,
                    size_t shift)
{
    struct trial t = {.k = k, .odd = number % 4 == 3, .shift = shift};

    t.rng = pf_rng_make(number, check, 0, PF_RNG_TEST);
    checks[check].check(&t);
    trial_end(&t);
    return t.hash;
}

static void every_family_agrees_with_the_reference(void **state)
{
    const char *const *names = pf_kernels_names();

    (void)state;
    for (size_t f = 0; names[f]; f++)
        for (size_t c = 0; c < sizeof checks / sizeof *checks; c++)
            for (uint32_t i = 0; i < TRIALS; i++)
                try(pf_kernels_find(names[f]), c, i, 0);
}

static void bits_do_not_depend_on_alignment(void **state)
{
    const char *const *names = pf_kernels_names();

    (void)state;
    for (size_t f = 0; names[f]; f++)
        for (size_t c = 0; c < sizeof checks / sizeof *checks; c++)
            for (uint32_t i = 0; i < TRIALS / 4; i++) {
                const struct pf_kernels *k = pf_kernels_find(names[f]);

                if (try(k, c, i, 0) != try(k, c, i, 1 + i % 15))
                    fail_msg("%s of %s gives other bits elsewhere in memory",
                             checks[c].name, names[f]);
            }
}

static void the_families_that_run_here_are_found_by_name(void **state)
{
    const char *const *names = pf_kernels_names();
    size_t n = 0;

    (void)state;
    for (; names[n]; n++) {
        assert_string_equal(pf_kernels_find(names[n])->name, names[n]);
        assert_true(pf_kernels_find(names[n])->runs_here());
    }
    assert_true(n >= 2); /* portable and reference everywhere, last */
    assert_string_equal(names[n - 2], "portable");
    assert_string_equal(names[n - 1], "reference");
    assert_null(pf_kernels_find("avx1024"));
}

/* A process chooses once, so each choice has a process of its own: 0 when it
 * gets the family `wanted` (NULL: a refusal that names those that run here). */
static int choose(const char *value, const char *wanted)
{
    const struct pf_kernels *k = NULL, *again = NULL;
    struct pf_error err = {0};
    enum pocketfed_status s;

    if (value)
        setenv("POCKETFED_KERNELS", value, 1);
    else
        unsetenv("POCKETFED_KERNELS");
    s = pf_kernels_get(&k, &err);
    if (!wanted)
        return !(s == POCKETFED_CONFIG && !k && strstr(err.text, value) &&
                 strstr(err.hint, "portable or reference") &&
                 strstr(err.hint, pf_kernels_names()[0]));
    if (s != POCKETFED_OK || strcmp(k->name, wanted) != 0)
        return 2;
    setenv("POCKETFED_KERNELS", "reference", 1); /* too late to matter */
    return !(pf_kernels_get(&again, &err) == POCKETFED_OK && again == k);
}

static void assert_choice(const char *value, const char *wanted)
{
    int status = 0;
    pid_t child = fork();

    if (child == 0)
        _exit(choose(value, wanted));
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("POCKETFED_KERNELS=%s does not choose %s",
                 value ? value : "(unset)", wanted ? wanted : "a refusal");
}

static void POCKETFED_KERNELS_chooses_among_those_that_run_here(void **state)
{
    static const char *const all[] = {"avx512", "avx2", "neon", "portabel"};
    const char *const *names = pf_kernels_names();

    (void)state;
    assert_choice(NULL, names[0]);
    assert_choice("", names[0]);
    for (size_t i = 0; names[i]; i++)
        assert_choice(names[i], names[i]);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (!pf_kernels_find(all[i]))
            assert_choice(all[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(POCKETFED_KERNELS_chooses_among_those_that_run_here),
        cmocka_unit_test(the_families_that_run_here_are_found_by_name),
        cmocka_unit_test(every_family_agrees_with_the_reference),
        cmocka_unit_test(bits_do_not_depend_on_alignment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
