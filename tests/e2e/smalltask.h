/* smalltask.h - one daemon, one task of two places, four devices that are keys:
 * two with an assignment in round 1, one without, one never enrolled.  What
 * must not change when a request is refused, and how to say that.
 */
#ifndef PF_E2E_SMALLTASK_H
#define PF_E2E_SMALLTASK_H

#include "crafted.h"

struct world {
    struct pf_testdaemon d;
    struct pf_server server; /* of the first join link */
    struct pf_keyholder a, b, waiting, stranger;
    uint8_t layout[32];
    size_t n_params;
    char used[512];  /* a's join link, spent */
    uint8_t pin[32]; /* of the server's key, when links carry none */
    int has_pin;
};

void world_start(struct world *w);
/* The same in two steps. In between the daemon's configuration can be written:
 * INI text, which is read again on SIGHUP. */
void world_prepare(struct world *w);
void world_config(struct world *w, const char *ini);
void world_run(struct world *w);
/* A join link of task m, with a pin. */
void world_link(struct world *w, char out[512]);
void world_end(struct world *w); /* for teardowns */

/* The state that only accepted things change. */
struct world_view {
    struct pf_task_status task;
    struct pf_round_status round; /* round 1; without the counts of refusals */
};
void world_look(const struct world *w, struct world_view *out);

/* Sends it: refused with this status and slug, and nothing has changed. The
 * problem goes to *out when that is not NULL. */
void world_refuses(struct world *w, struct pf_crafted *c, int status,
                   const char *slug, struct pf_raw_reply *reply);
/* The same for a reply that is there already, against `before`. */
void world_refused(struct world *w, const struct world_view *before,
                   const struct pf_raw_reply *reply, int status,
                   const char *slug);

/* A check-in of k, signed by it. */
void world_checkin(struct world *w, const struct pf_keyholder *k,
                   struct pf_crafted *c, int64_t created_s);
/* An honest frame for k's assignment: every coordinate 0.001. */
void world_frame(const struct world *w, const struct pf_keyholder *k,
                 struct pf_buf *out);
/* Its PUT as round `round`. digest NULL: the frame's. */
void world_put(struct world *w, const struct pf_keyholder *k, uint64_t round,
               const struct pf_buf *frame, const uint8_t *digest,
               struct pf_crafted *c);

#endif
