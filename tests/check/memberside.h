/* memberside.h - the client's half of a test: a participation with its member,
 * its examples and an io in memory, driven against a fake server.
 */
#ifndef PF_MEMBERSIDE_H
#define PF_MEMBERSIDE_H

#include "fakeserver.h"
#include "participation.h"

#define PF_SIDE_FILES 12
#define PF_SIDE_KEYS  6

struct pf_side {
    struct pf_member member;
    struct pf_examples examples;
    struct pf_participation_io io;
    struct pf_participation *p;
    struct {
        char name[72];
        struct pf_buf data;
    } files[PF_SIDE_FILES]; /* saved state, and objects by their hex digest */
    struct pf_fake *fake;
    /* The record keys that were followed, the newest first. */
    const struct pf_key *view[PF_SIDE_KEYS];
    struct pf_key *own_key[PF_SIDE_KEYS];
    int rotations;
    int cannot_append; /* the disk is full */
    struct pf_error err;
    int64_t waited_ms; /* the last wait */
    int waits;
    /* How many bytes of a body a connection carries before it breaks; 0: any
     * number. And what all of them carried. */
    size_t up_limit, down_limit;
    uint64_t carried_up, carried_down;
    int failures;
    int64_t failed_wait_ms; /* after the last failure */
};

void pf_side_start(struct pf_side *s, struct pf_fake *fake);
/* As after a kill: a new participation over the same files. */
void pf_side_restart(struct pf_side *s);
void pf_side_stop(struct pf_side *s);
/* Drives until it ends, a reply is refused, or `max` moves were made. Returns
 * the last status of reply or train. */
enum pocketfed_status pf_side_run(struct pf_side *s, int max);
/* One move. */
enum pocketfed_status pf_side_move(struct pf_side *s, enum pf_want *want);
/* Drives until that phase is reached; 1 or 0. */
int pf_side_until(struct pf_side *s, const char *phase);
/* The saved file, or NULL. */
struct pf_buf *pf_side_file(struct pf_side *s, const char *name);

#endif
