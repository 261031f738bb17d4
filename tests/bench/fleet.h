/* fleet.h - a real daemon and many devices of one task, as the load sees them:
 * keys, signed requests, valid updates; no training.
 */
#ifndef PF_BENCH_FLEET_H
#define PF_BENCH_FLEET_H

#include "crafted.h"
#include "load.h"
#include "testdaemon.h"

struct fleet {
    struct pf_testdaemon *daemon;
    struct pf_server server;
    struct pf_keyholder *device; /* n */
    unsigned n;
    char task[PF_TASK_NAME_MAX + 1];
    struct pf_buf file; /* the task's */
    /* The open round, after fleet_checkin. */
    uint64_t round;
    uint8_t base[32], plan[32], layout[32];
    size_t n_params;
    /* The update that all send: other numbers would cost the server the same.
     */
    struct pf_buf frame;
    uint8_t digest[32];
    double *seconds; /* n, of the last fleet_upload: from head to answer */
    /* Requests under way, one per connection. */
    struct fleet_slot *slot;
    unsigned n_slots;
    enum pf_call_id call; /* of what is crafted */
};

struct fleet_slot {
    struct pf_built_request built;
    struct pf_buf head, body;
    unsigned device;
};

/* A daemon in a fresh directory below `dir`, without limits on how often one
 * address or device asks. Its options are the environment's POCKETFED_*. */
void fleet_daemon(struct pf_testdaemon *d, const char *dir);
/* A task named `task` over a zoo model or a spec (it begins with "{") whose
 * rounds take `cohort` devices and as many updates, and n devices that join
 * over l. */
void fleet_join(struct fleet *f, struct pf_testdaemon *d, struct load *l,
                const char *task, const char *model, unsigned cohort,
                unsigned n);
void fleet_free(struct fleet *f);

/* Devices first .. first + n - 1 check in: each must get an assignment of the
 * same round. Makes the round's update. */
void fleet_checkin(struct fleet *f, struct load *l, unsigned first, unsigned n);
/* They upload; each must be acknowledged. */
void fleet_upload(struct fleet *f, struct load *l, unsigned first, unsigned n);
/* All of it for a cohort: check in, upload, wait for the next round. */
void fleet_round(struct fleet *f, struct load *l, unsigned first, unsigned n);
/* Waits until `published` rounds of this daemon are out. */
void fleet_await(const struct pf_testdaemon *d, uint64_t published);
/* A number of /metrics, by its name without "pocketfed_". */
double fleet_metric(const struct pf_testdaemon *d, const char *name);
/* Room for the requests of n connections. */
void fleet_slots(struct fleet *f, unsigned n);
/* f->call by one device, signed, in a slot; borrowed until the slot is used
 * again. */
void fleet_craft(struct fleet *f, unsigned slot, unsigned device,
                 struct load_request *out);

#endif
