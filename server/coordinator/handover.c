#include "coordinator_int.h"

/* What the loop takes in and hands out. In a file of its own so that the crash
 * harness can stand between (points.h). */

void pf_coordinator_drain(struct pf_coordinator *c, int64_t wait_ms, int *ended)
{
    c->n_items =
        pf_queue_take(c->inbox, c->items, PF_BATCH_ITEMS, wait_ms, ended);
}

void pf_coordinator_answer(struct pf_coordinator *c, const struct pf_effect *e)
{
    struct pf_waiter *w = (struct pf_waiter *)(uintptr_t)e->reply_to;

    if (!w)
        return;
    if (e->u.answer.kind == PF_ANSWER_ACK)
        atomic_fetch_add(&c->acked, 1);
    w->done(w, &e->u.answer);
}

void pf_coordinator_announce(struct pf_coordinator *c, const char *line)
{
    if (c->config.announce)
        c->config.announce(c->config.ctx, line);
}
