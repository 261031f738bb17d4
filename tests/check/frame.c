#include "frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "codec.h"

void frame_init(struct frame *f, size_t n_params)
{
    struct pf_expected *w = &f->want;

    memset(f, 0, sizeof *f);
    pf_plan_init(&f->plan);
    snprintf(f->plan.task, sizeof f->plan.task, "bench");
    f->plan.update.range = 4;
    f->plan.update.bits = 32;
    f->plan.update.max_norm = 100;
    f->plan.update.min_examples = 2;
    f->plan.update.max_examples = 1000;
    w->plan = &f->plan;
    memset(w->plan_digest, 1, 32);
    memset(w->base, 2, 32);
    memset(w->layout, 3, 32);
    w->round = 3;
    w->n_params = n_params;
    snprintf(f->head.task, sizeof f->head.task, "bench");
    memset(f->head.plan, 1, 32);
    memset(f->head.base, 2, 32);
    memset(f->head.layout, 3, 32);
    f->head.round = 3;
    f->head.examples = 10;
    f->head.n_sections = 1;
    pf_buf_init(&f->bytes, 1u << 22);
}

void frame_free(struct frame *f)
{
    pf_plan_free(&f->plan);
    pf_buf_free(&f->bytes);
}

void frame_make(struct frame *f, const char *codec, const float *x, size_t n)
{
    const struct pf_codec *c = pf_codec_find(codec);
    unsigned i;

    for (i = 0; i < f->head.n_sections; i++) {
        if (f->head.sections[i].kind == 0)
            f->head.sections[i].kind = PF_SECTION_DELTA;
        f->head.sections[i].codec = c->id;
        f->head.sections[i].count = n;
    }
    pf_buf_clear(&f->bytes);
    if (pf_update_begin(&f->bytes, &f->head))
        abort();
    for (i = 0; i < f->head.n_sections; i++) {
        size_t began = f->bytes.len;

        if (c->encode(x, n, 0, &f->bytes) ||
            pf_update_section_end(&f->bytes, &f->head, i, began))
            abort();
    }
}
