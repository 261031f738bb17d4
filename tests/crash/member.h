/* member.h - a device that takes part and never gives up: the client's own
 * participation, its signed requests and its curl transport, on a thread of its
 * own, with waits cut short.
 *
 * It asks again after every failure, as the library's client does, and
 * sometimes behaves as one that was killed before it had stored its
 * acknowledgement.  Threads only note what went wrong (book_wrong).
 */
#ifndef CRASH_MEMBER_H
#define CRASH_MEMBER_H

#include <stdatomic.h>
#include "book.h"
#include "joinlink.h"
#include "participation.h"
#include "request.h"
#include "rng.h"
#include "transport.h"

#define MEMBER_FILES    3
#define MEMBER_EXAMPLES 4

struct member {
    struct book *book;
    struct pf_join_link link;
    struct pf_peer peer; /* borrows from link */
    struct pf_key *key, *record_key;
    struct pf_identity id;
    struct pf_member self;
    struct pocketfed_transport transport;
    struct pf_examples examples;
    struct pf_participation *part;
    struct {
        char name[16];
        struct pf_buf data;
    } saved[MEMBER_FILES];
    struct pf_rng rng;
    uint64_t draws;
    int64_t offset_ms;        /* the server's clock beside ours */
    unsigned offset_s;        /* asked of it: how many s our clock is off */
    unsigned n_acks, most;    /* ends after so many; 0: never */
    atomic_int *stop, *pause; /* the fleet's */
    atomic_int running;       /* in a request or between two */
    pthread_t thread;
};

/* A new key for this join link; nothing is sent. 1, or 0. */
int member_make(struct member *m, struct book *book, const char *link,
                uint64_t seed);
void member_free(struct member *m);
/* Enrols: 1 when it was done (again counts), 0 when it is worth another try, -1
 * when it was refused for good. */
int member_enrol(struct member *m);
/* Takes part until *stop or its `most`; begins no request while *pause. After
 * member_join it may be started again. */
void member_start(struct member *m, atomic_int *stop, atomic_int *pause);
void member_join(struct member *m);

#endif
