/* sender.h - a device of a test's daemon with a frame that is ready to be sent,
 * in one piece or with cuts.
 */
#ifndef PF_CHECK_SENDER_H
#define PF_CHECK_SENDER_H

#include "conn.h"

struct sender {
    struct edge *e;
    struct pf_key *key;
    struct pf_buf frame;
    uint64_t round;
    char path[EDGE_PATH];
};

/* Joins task t and gets work. */
void sender_ready(struct sender *s, struct edge *e);
/* No upload of the daemon may hold a place any more. */
void sender_done(struct sender *s);
/* Places of the coordinator's queue that uploads hold. */
unsigned sender_places(struct edge *e);
uint64_t sender_counted(const struct edge *e, enum pf_counter which);

/* The PUT of the whole, signed, in pieces of 4096 bytes. */
void sender_put(struct sender *s, struct edge_request *rq);
/* Sends `bytes` of it; then the connection is lost. */
void sender_cut(struct sender *s, size_t bytes);
/* The PATCH that goes on at `offset`, all but signed; signed. */
void sender_patch_unsigned(struct sender *s, size_t offset,
                           struct edge_request *rq);
void sender_patch(struct sender *s, size_t offset, struct edge_request *rq);
/* Sends it; it must be answered so. */
void sender_patches(struct sender *s, size_t offset, int status,
                    enum pf_problem_id problem, struct edge_reply *r);
/* What a HEAD says: the offset, or -1 for 404. */
int64_t sender_look(struct sender *s);

#endif
