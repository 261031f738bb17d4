/* book.h - what the clients of a harness know: every frame they made, every
 * acknowledgement they were given.  It outlives the daemon; thread-safe.
 */
#ifndef CRASH_BOOK_H
#define CRASH_BOOK_H

#include <pthread.h>
#include "buf.h"
#include "messages.h"

struct book_frame {
    uint8_t digest[32];
    uint8_t *bytes;
    size_t len;
};

struct book {
    pthread_mutex_t lock;
    struct book_frame *frames;
    size_t n_frames, frames_room;
    struct pf_ack *acks; /* one for each (task, round, device) */
    size_t n_acks, acks_room;
    char wrong[400]; /* what a client must never see; "" */
};

void book_init(struct book *b);
void book_free(struct book *b);
/* Keeps a frame that is about to be sent; the same one again changes nothing.
 */
void book_frame(struct book *b, const uint8_t digest[32], const void *p,
                size_t len);
/* An acknowledgement whose signature is proved. Another one for the same
 * (task, round, device) must be the same. */
void book_ack(struct book *b, const struct pf_ack *ack);
/* Only the first sentence is kept. */
void book_wrong(struct book *b, const char *fmt, ...) PF_PRINTF(2, 3);
size_t book_n_acks(struct book *b);
/* The frame, or NULL. Nobody may add meanwhile. */
const struct book_frame *book_find(const struct book *b,
                                   const uint8_t digest[32]);

#endif
