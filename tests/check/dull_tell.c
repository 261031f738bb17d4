#include "dull.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void dull_say(struct dull_words *w, const char *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(w->text + w->len, sizeof w->text - w->len, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof w->text - w->len)
        abort();
    w->len += (size_t)n;
}

#define N(x) ((unsigned long long)(x))

static void tell_record(const struct pf_record *r, struct dull_words *w)
{
    dull_say(w, "%lld ", (long long)r->at_ms);
    switch (r->kind) {
    case PF_REC_OPENED:
        dull_say(w, "opened %llu base %d", N(r->round), r->u.opened.base[31]);
        break;
    case PF_REC_ASSIGNED:
        dull_say(w, "assigned %llu to %llu of class \"%s\"", N(r->round),
                 N(r->device.ordinal), r->u.assigned.device_class);
        break;
    case PF_REC_COLLECTING:
        dull_say(w, "collecting %llu", N(r->round));
        break;
    case PF_REC_ACCEPTED:
        dull_say(w,
                 "accepted %llu from %llu for %llu base %d digest %d stale "
                 "%u",
                 N(r->round), N(r->device.ordinal), N(r->u.accepted.assigned),
                 r->u.accepted.base[31], r->u.accepted.digest[31],
                 r->u.accepted.staleness);
        break;
    case PF_REC_FAILED:
        dull_say(w, "failed %llu by %llu: %d", N(r->round),
                 N(r->device.ordinal), r->u.failure);
        break;
    case PF_REC_CLOSED:
        dull_say(w, "closed %llu", N(r->round));
        break;
    case PF_REC_PUBLISHED:
        dull_say(w,
                 "published %llu model %d of %llu weight %llu by %.9g from "
                 "%llu",
                 N(r->round), r->u.published.model[31],
                 N(r->u.published.accepted), N(r->u.published.weight),
                 r->u.published.divisor, N(r->u.published.source));
        break;
    case PF_REC_ABANDONED:
        dull_say(w, "abandoned %llu: %s", N(r->round), r->u.abandoned.reason);
        break;
    case PF_REC_EVALUATED:
        dull_say(w, "evaluated %llu: %g", N(r->round), r->u.evaluated.accuracy);
        break;
    case PF_REC_STATE:
        dull_say(w, "state %llu: %d %s", N(r->round), r->u.state.state,
                 r->u.state.reason);
        break;
    }
    dull_say(w, "\n");
}

static void tell_answer(const struct pf_answer *a, struct dull_words *w)
{
    switch (a->kind) {
    case PF_ANSWER_GO:
    case PF_ANSWER_MOVE:
        dull_say(w, a->kind == PF_ANSWER_GO ? "go" : "move");
        dull_say(w, " to %llu base %d", N(a->u.go.round), a->u.go.base[31]);
        break;
    case PF_ANSWER_CHECKIN:
        if (a->u.checkin.kind == PF_CHECKIN_TRAIN)
            dull_say(w, "train %llu base %d", N(a->u.checkin.round),
                     a->u.checkin.base[31]);
        else
            dull_say(w, "wait, %s, model %d",
                     pf_wait_reasons[a->u.checkin.reason],
                     a->u.checkin.final_model[31]);
        break;
    case PF_ANSWER_ACK:
        dull_say(w, "ack %llu in %llu base %d digest %d weight %llu%s",
                 N(a->u.ack.round), N(a->u.ack.counted), a->u.ack.base[31],
                 a->u.ack.digest[31], N(a->u.ack.weight),
                 a->again ? " again" : "");
        break;
    case PF_ANSWER_DONE:
        dull_say(w, "done");
        break;
    case PF_ANSWER_PROBLEM:
        dull_say(w, "problem %s", pf_problem_rows[a->u.problem.id].slug);
        break;
    }
}

static void tell_effect(const struct pf_effect *f, struct dull_words *w)
{
    switch (f->kind) {
    case PF_EFFECT_ANSWER:
        dull_say(w, "> %llu ", N(f->reply_to));
        tell_answer(&f->u.answer, w);
        break;
    case PF_EFFECT_FOLD:
        dull_say(w, "> fold %llu of %llu digest %d weight %llu x %.9g",
                 N(f->round), N(f->u.fold.device.ordinal), f->u.fold.digest[31],
                 N(f->u.fold.weight), f->u.fold.factor);
        break;
    case PF_EFFECT_FINISH:
        dull_say(w, "> finish %llu base %d by %.9g", N(f->round),
                 f->u.finish.base[31], f->u.finish.divisor);
        break;
    case PF_EFFECT_EVALUATE:
        dull_say(w, "> evaluate %llu model %d", N(f->round), f->u.model[31]);
        break;
    case PF_EFFECT_DROP:
        dull_say(w, "> drop %llu", N(f->round));
        break;
    case PF_EFFECT_DISCARD:
        dull_say(w, "> discard %llu model %d", N(f->round), f->u.model[31]);
        break;
    }
    dull_say(w, "\n");
}

void dull_tell(const struct pf_step *step, struct dull_words *out)
{
    unsigned i;

    out->len = 0;
    out->text[0] = '\0';
    for (i = 0; i < step->n_records; i++)
        tell_record(&step->record[i], out);
    for (i = 0; i < step->n_effects; i++)
        tell_effect(&step->effect[i], out);
}
