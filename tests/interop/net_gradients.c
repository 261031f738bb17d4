/* net_gradients IN OUT - outputs, loss and gradients of networks, by every
 * kernel family that runs here, for a program that knows them otherwise.
 *
 * IN holds cases, each: 32 bits length of a spec, the spec; 32 bits number of
 * examples n; n labels of 32 bits; the parameters in the order of files and the
 * inputs [n][c][h][w], as 64-bit floats.  OUT gets, for each case and family:
 * the mean loss, the outputs [n][classes], and the gradient twice: gathered,
 * and as the step that is fused with the optimiser computes it.  All is
 * little-endian.  Prints the families, a line each.
 *
 * Compiled twice: with PF_REAL_DOUBLE there is only the reference. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "bytes.h"
#include "exec.h"
#include "file.h"
#include "layer.h"
#include "optim.h"

#define MAX_FILE ((size_t)1 << 31)

struct network {
    struct pf_model *m;
    size_t n, n_params, n_inputs;
    uint32_t *labels;
    pf_real *params, *x, *grads; /* parameters in the order of files */
};

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "net_gradients: %s\n", what);
    exit(1);
}

static void *take(size_t count, size_t size)
{
    void *p = aligned_alloc(64, (count * size + 64) / 64 * 64);

    if (!p)
        fail("out of memory");
    memset(p, 0, count * size);
    return p;
}

static pf_real *read_reals(struct pf_reader *in, size_t n)
{
    pf_real *p = take(n, sizeof *p);

    for (size_t i = 0; i < n; i++)
        p[i] = (pf_real)pf_readd(in);
    return p;
}

static void write_reals(struct pf_buf *out, size_t n, const pf_real *p)
{
    uint8_t *to = pf_buf_extend(out, 8 * n);

    if (!to)
        fail("too much to write");
    for (size_t i = 0; i < n; i++)
        pf_putd(to + 8 * i, (double)p[i]);
}

static void read_case(struct pf_reader *in, struct network *net)
{
    struct pf_error err = {0};
    uint32_t len = pf_read32(in);
    const uint8_t *spec = pf_read_bytes(in, len);
    struct pf_shape shape;

    if (!spec)
        fail("the file ends in a spec");
    if (pf_model_create((const char *)spec, len, &net->m, &err)) {
        fprintf(stderr, "%.*s\n", (int)len, (const char *)spec);
        fail(err.text);
    }
    shape = pf_model_input(net->m);
    net->n = pf_read32(in);
    net->n_params = pf_model_n_params(net->m);
    net->n_inputs = pf_shape_size(&shape);
    net->labels = take(net->n, sizeof *net->labels);
    for (size_t i = 0; i < net->n; i++)
        net->labels[i] = pf_read32(in);
    net->params = read_reals(in, net->n_params);
    net->x = read_reals(in, net->n * net->n_inputs);
    net->grads = take(net->n_params, sizeof *net->grads);
    if (!pf_reader_ok(in))
        fail("the file ends in a case");
}

/* A pass of all examples, forward and backward; outputs and loss are written
 * when out is there. */
static void pass(struct pf_exec *e, const struct network *net, struct pf_run *r,
                 struct pf_buf *out)
{
    size_t classes = pf_exec_outputs(e);
    pf_real *all = take(net->n * classes, sizeof *all);
    double loss = 0;

    for (r->first = 0; r->first < net->n; r->first += r->n) {
        const pf_real *outputs;

        r->n = net->n - r->first < e->chunk ? net->n - r->first : e->chunk;
        for (size_t i = 0; i < r->n; i++)
            memcpy(pf_exec_input(e, i), net->x + (r->first + i) * net->n_inputs,
                   net->n_inputs * sizeof(pf_real));
        outputs = pf_exec_forward(e, r);
        memcpy(all + r->first * classes, outputs, r->n * classes * sizeof *all);
        loss += net->m->loss->run(outputs, net->labels + r->first, r->n,
                                  classes, 1.0 / (double)net->n,
                                  pf_exec_output_gradient(e), NULL);
        pf_exec_backward(e, r);
    }
    if (out) {
        pf_real mean = (pf_real)(loss / (double)net->n);

        write_reals(out, 1, &mean);
        write_reals(out, net->n * classes, all);
    }
    free(all);
}

static void run_case(const struct network *net, const struct pf_kernels *k,
                     struct pf_buf *out)
{
    struct pf_exec_options o = {net->n, 1, NULL, PF_F32};
    struct pf_train_config c;
    struct pf_update u = {0};
    struct pf_run r = {0};
    struct pf_exec *e = take(1, sizeof *e);
    void *mem = take(pf_exec_plan(e, net->m, k, &o), 1);
    pf_real *w = take(e->n_packed, sizeof *w);
    pf_real *g = take(e->n_packed, sizeof *g);

    pf_exec_place(e, mem);
    pf_exec_pack(e, net->params, w);
    pf_exec_prepare(e, w);
    r.w = w;
    r.grads = g;
    pass(e, net, &r, out);
    pf_exec_unpack(e, g, net->grads);
    write_reals(out, net->n_params, net->grads);

    /* The first velocity of SGD with momentum is the gradient. Where a batch
     * takes several chunks, training gathers too. */
    if (e->chunk >= net->n) {
        pf_train_config_default(&c);
        c.optimizer = PF_SGD;
        c.momentum = 0.5;
        c.weight_decay = 0;
        u.w = w;
        u.m = g;
        pf_optim_set(&u, &c, 1, 1e-3);
        r.grads = NULL;
        r.update = &u;
        pf_exec_pack(e, net->params, w);
        pf_exec_prepare(e, w);
        pf_exec_zero(g, e->n_packed);
        pass(e, net, &r, NULL);
        pf_exec_unpack(e, g, net->grads);
    }
    write_reals(out, net->n_params, net->grads);
    free(g);
    free(w);
    free(mem);
    free(e);
}

int main(int argc, char **argv)
{
    const char *const *families = pf_kernels_names();
    struct pf_error err = {0};
    struct pf_reader in;
    struct pf_buf file, out;
    FILE *to;

    if (argc != 3)
        fail("usage: net_gradients IN OUT");
    pf_buf_init(&file, MAX_FILE);
    pf_buf_init(&out, MAX_FILE);
    if (pf_file_read(argv[1], &file, &err))
        fail(err.text);
    if (!(to = fopen(argv[2], "wb")))
        fail("the second file cannot be written");
    for (size_t f = 0; families[f]; f++)
        puts(families[f]);
    pf_reader_init(&in, file.data, file.len);
    while (pf_reader_left(&in)) {
        struct network net = {0};

        read_case(&in, &net);
        pf_buf_clear(&out);
        for (size_t f = 0; families[f]; f++)
            run_case(&net, pf_kernels_find(families[f]), &out);
        if (fwrite(out.data, 1, out.len, to) != out.len)
            fail("cannot write");
        free(net.grads);
        free(net.x);
        free(net.params);
        free(net.labels);
        pf_model_free(net.m);
    }
    pf_buf_free(&file);
    pf_buf_free(&out);
    return fclose(to) ? 1 : 0;
}
