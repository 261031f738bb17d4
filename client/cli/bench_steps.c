#include "bench_steps.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "cli.h"

static uint64_t nanoseconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

uint64_t bench_clock_wall(void)
{
    return nanoseconds(CLOCK_MONOTONIC);
}

uint64_t bench_clock_cpu(void)
{
    return nanoseconds(CLOCK_THREAD_CPUTIME_ID);
}

static int is_conv(const struct pf_step *s)
{
    return s->kind == &pf_conv_step || s->kind == &pf_conv_half_step;
}

static int is_dense(const struct pf_step *s)
{
    return s->kind == &pf_dense_step || s->kind == &pf_dense_half_step;
}

static int is_bytes(const struct pf_step *s)
{
    return s->kind == &pf_conv_int8_step || s->kind == &pf_dense_int8_step;
}

void bench_steps_begin(struct bench_steps *b, const struct pf_exec *e)
{
    memset(b, 0, sizeof *b);
    b->n = e->n_steps;
    for (size_t i = 0; i < b->n; i++) {
        const struct pf_step *s = &e->steps[i];
        struct bench_step *to = &b->step[i];
        size_t len = 0;

        for (unsigned j = 0; j < s->n_layers; j++)
            len +=
                (size_t)snprintf(to->name + len, sizeof to->name - len, "%s%s",
                                 j ? "+" : "", e->m->layers[s->layers[j]].name);
        to->method = s->kind->method ? s->kind->method(s, e->k) : "";
        to->dense = (double)s->macs * (1 + (s->l->n_params > 0 && e->training) +
                                       (s->wants_dx[0] && e->training));
    }
}

static double share_not_zero(const pf_real *v, size_t n)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++)
        count += v[i] != 0;
    return (double)count / (double)n;
}

/* Products of a convolution's forward pass for one that its formula has:
 * Winograd's F(2x2, kxk) makes four outputs of (k + 1)^2. */
static double share_forward(const struct pf_step *s, const char *method)
{
    double k = (double)s->conv.k;

    return strstr(method, "winograd") ? (k + 1) * (k + 1) / (4 * k * k) : 1;
}

/* Of the gradient that reaches a convolution's sums. */
static double share_alive(const struct pf_exec *e, const struct pf_step *s,
                          size_t n)
{
    double share = 1;

    if (s->conv.pool == PF_POOL_MAX2) /* one in four; a row may be left over */
        share = (double)(s->conv.ph * s->conv.pw) /
                (double)(s->conv.oh * s->conv.ow);
    if (s->conv.act == PF_ACT_RELU && s->conv.pool != PF_POOL_AVG2)
        share *= share_not_zero(e->act[s->out], n * s->out_size);
    return share;
}

void bench_steps_look(struct bench_steps *b, const struct pf_exec *e, size_t n)
{
    b->looks++;
    for (size_t i = 0; i < b->n; i++) {
        const struct pf_step *s = &e->steps[i];
        struct bench_step *to = &b->step[i];
        double macs = (double)s->macs, x;

        x = share_not_zero(e->act[s->in[0]], n * s->in_size);
        to->density += x;
        if (is_dense(s) && s->wants_dx[0] && !s->dense.zero_is_dead)
            to->executed += macs * x + (to->dense - macs);
        else if (is_dense(s))
            to->executed += to->dense * x;
        else if (is_conv(s))
            to->executed += macs * share_forward(s, to->method) +
                            (to->dense - macs) * share_alive(e, s, n);
        else if (is_bytes(s))
            to->executed += macs;
    }
}

void bench_steps_end(struct bench_steps *b, const struct pf_exec *e,
                     uint64_t examples)
{
    double times = b->looks ? b->looks : 1;
    double of_one = examples ? 1e-3 / (double)examples : 0;

    for (size_t i = 0; i < b->n; i++) {
        b->step[i].density /= times;
        b->step[i].executed /= times;
        b->step[i].forward_us = (double)e->ticks[i].forward * of_one;
        b->step[i].backward_us = (double)e->ticks[i].backward * of_one;
    }
}

void bench_steps_print(const struct bench_steps *b, double rest_us)
{
    cli_out("\n%-26s %9s %9s %10s %10s %7s  %s\n", "us per example", "forward",
            "backward", "dense", "executed", "input", "method");
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_step *s = &b->step[i];

        cli_out("%-26s %9.3f %9.3f %9.3fM %9.3fM %6.0f%%  %s\n", s->name,
                s->forward_us, s->backward_us, s->dense * 1e-6,
                s->executed * 1e-6, 100 * s->density, s->method);
    }
    if (rest_us >= 0)
        cli_out("%-26s %19.3f\n", "examples, loss, the rest", rest_us);
}

void bench_steps_json(const struct bench_steps *b, struct pf_buf *out)
{
    pf_buf_adds(out, "\"steps\":[");
    for (size_t i = 0; i < b->n; i++) {
        const struct bench_step *s = &b->step[i];

        pf_buf_addf(
            out, "%s{\"layers\":\"%s\",\"method\":\"%s\",\"dense_macs\":%.0f",
            i ? "," : "", s->name, s->method, s->dense);
        if (b->looks)
            pf_buf_addf(out,
                        ",\"executed_macs\":%.0f,\"input_density\":%.4f,"
                        "\"forward_us\":%.4f,\"backward_us\":%.4f",
                        s->executed, s->density, s->forward_us, s->backward_us);
        pf_buf_adds(out, "}");
    }
    pf_buf_adds(out, "]");
}
