/* crafted.h - signed requests as the client library makes them, to be bent
 * afterwards; and devices that exist only as a key.
 */
#ifndef PF_CRAFTED_H
#define PF_CRAFTED_H

#include "joinlink.h"
#include "messages.h"
#include "problem.h"
#include "rawhttp.h"
#include "request.h"
#include "testdaemon.h"

/* Where the daemon of a join link is, and who it must be. */
struct pf_server {
    struct pf_join_link link;
    struct pf_peer peer;       /* borrows from link */
    uint8_t record_public[32]; /* known after the first enrolment */
    struct pf_key *record_key; /* NULL until then */
};
void pf_server_of(struct pf_server *s, const char *link);
void pf_server_free(struct pf_server *s);

struct pf_keyholder {
    struct pf_key *key;
    struct pf_identity id;
    uint64_t ordinal;
    struct pf_checkin_reply work; /* of the last check-in */
};
void pf_keyholder_make(struct pf_keyholder *k);
void pf_keyholder_free(struct pf_keyholder *k);

#define PF_CRAFTED_HEADERS 16
struct pf_crafted {
    char method[16], target[512];
    struct {
        char name[40], value[1300];
    } header[PF_CRAFTED_HEADERS];
    unsigned n_headers;
    struct pf_buf body;
    size_t sent; /* of the body, by pf_crafted_send */
};

/* What the client library would send. digest: what to sign for the body, NULL:
 * its true one. created_s 0: now. Free it when done; zeroed to begin with. */
void pf_craft(struct pf_crafted *c, const struct pf_server *s,
              const struct pf_keyholder *k, enum pf_call_id call,
              const struct pf_call_args *args, const void *body, size_t len,
              const uint8_t *digest, int64_t created_s);
void pf_crafted_free(struct pf_crafted *c);
/* Replaces or adds; value NULL: removes. */
void pf_crafted_set(struct pf_crafted *c, const char *name, const char *value);
const char *pf_crafted_header(const struct pf_crafted *c, const char *name);
/* Appends the request's head: request line, headers, blank line. */
void pf_crafted_head(const struct pf_crafted *c, struct pf_buf *out);
/* On a connection of its own. With Expect, the body goes only after a 100. */
void pf_crafted_send(struct pf_crafted *c, const struct pf_server *s,
                     struct pf_raw_reply *reply);
/* The problem's slug; the test fails when the reply is no problem document
 * that agrees with the table. */
const char *pf_problem_slug(const struct pf_raw_reply *reply,
                            struct pf_problem *out);

/* Enrols; the reply is for the caller to judge. */
void pf_enrol(const struct pf_server *s, const struct pf_keyholder *k,
              const char *token, struct pf_raw_reply *reply);
/* Enrols with the link's token and proves the answer. */
void pf_enrol_well(struct pf_server *s, struct pf_keyholder *k);
/* Checks in; k->work is the answer, which must be signed when it is work. */
void pf_checkin(const struct pf_server *s, struct pf_keyholder *k);

#endif
