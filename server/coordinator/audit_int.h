/* audit_int.h - what the two files of the audit share: audit.c walks records,
 * audit_step.c takes one round's step again.
 */
#ifndef PF_AUDIT_INT_H
#define PF_AUDIT_INT_H

#include "audit.h"
#include "record.h"

/* An accepted update of a round that has not ended yet. */
struct pf_audit_update {
    uint64_t round;
    struct pf_device_ref device;
    struct pf_accepted accepted;
};

struct pf_auditing {
    const struct pf_audit *a;
    struct pf_store *store;
    struct pf_store_reader *reader;
    struct pf_objects *objects;
    struct pf_live_task *t;
    struct pf_audit_task said;
    /* the state that the next record must begin with */
    uint8_t model[32], state[32];
    uint8_t previous[32]; /* SHA-256 of the last round record */
    struct pf_audit_update *update;
    size_t n_updates, room;
    float *scratch; /* PF_ADMIT_BLOCK */
};

/* Notes that a round differs, with a sentence. */
void pf_audit_differs(struct pf_auditing *d, uint64_t round, const char *fmt,
                      ...) PF_PRINTF(3, 4);

/* The step of a published round again; its updates are those of d->update with
 * that round. Says in d->said how deep it went, or how the round differs. */
enum pocketfed_status pf_audit_step(struct pf_auditing *d,
                                    const struct pf_record *published,
                                    const uint8_t sums[32],
                                    struct pf_error *err);

#endif
