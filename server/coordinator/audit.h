/* audit.h - is every published state what its updates give?
 *
 * Walks the records of a state directory whose daemon is not running and takes
 * each server step again: from the updates where they were kept, else from the
 * exact sums, else it checks the round's record alone: its signature, its place
 * in the log, its tree, its base.  It stops at the first round that differs.
 */
#ifndef PF_AUDIT_H
#define PF_AUDIT_H

#include "coordinator.h"

/* How much of a round could be verified. */
enum pf_audit_depth {
    PF_AUDIT_UPDATES, /* all of it, from the updates */
    PF_AUDIT_SUMS,    /* from the int64 sums; the updates were not kept */
    PF_AUDIT_RECORD,  /* the record and the chain alone */
    PF_AUDIT_DEPTHS,
};

struct pf_audit_task {
    char name[PF_TASK_NAME_MAX + 1];
    uint64_t rounds[PF_AUDIT_DEPTHS]; /* published, by depth */
    uint64_t abandoned, rolled_back;
    uint64_t unsealed; /* ended before rounds had records (state version 1) */
    uint64_t differs;  /* the first round that does; 0: none */
    char why[512];     /* how it differs */
};

struct pf_audit {
    const char *state_dir;
    const struct pf_key *record_key; /* today's; older ones by the rotations */
    const struct pf_log *log;
    const char *only; /* name of one task; NULL: all */
    void (*task)(void *ctx,
                 const struct pf_audit_task *t); /* each, at its end */
    void *ctx;
};

/* OK with *verdict: 0 all from updates, 3 something only from sums or records,
 * 1 a round differs. NOT_FOUND when there is no task of that name; what cannot
 * be read at all is a failure. Whoever calls holds the directory's lock. */
enum pocketfed_status pf_audit_run(const struct pf_audit *a, int *verdict,
                                   struct pf_error *err);

#endif
