/* queue.h - a bounded queue between threads, of items that are plain bytes.
 *
 * What comes from outside takes a free place or is refused; a place can be
 * reserved before the work that ends in a push, so that the push cannot fail.
 * What the program itself owes (a finished round, a job per task) goes in
 * beyond the capacity: its number is bounded by its source.
 */
#ifndef PF_QUEUE_H
#define PF_QUEUE_H

#include <stddef.h>
#include <stdint.h>
#include <pocketfed/status.h>

struct pf_queue;

enum pocketfed_status pf_queue_create(size_t item_size, size_t capacity,
                                      struct pf_queue **out);
void pf_queue_free(struct pf_queue *q); /* nobody uses it; NULL is fine */
/* 1, or 0 when it is full or closed. */
int pf_queue_reserve(struct pf_queue *q);
void pf_queue_unreserve(struct pf_queue *q);
/* Copies the item in: 1, or 0 when it is full or closed. */
int pf_queue_push(struct pf_queue *q, const void *item);
/* Into a place reserved before: cannot fail, even when closed meanwhile. */
void pf_queue_push_reserved(struct pf_queue *q, const void *item);
/* Waits for a place: 1, or 0 when it is closed. */
int pf_queue_push_wait(struct pf_queue *q, const void *item);
/* Beyond the capacity: 1, or 0 when closed or without memory. */
int pf_queue_push_extra(struct pf_queue *q, const void *item);
/* Takes up to max items in order, waiting for the first at most wait_ms (< 0:
 * for ever). 0 items: the time is up, or *ended = 1: it is closed, empty, and
 * no reservation is left. */
size_t pf_queue_take(struct pf_queue *q, void *out, size_t max, int64_t wait_ms,
                     int *ended);
/* Nothing more is let in but what was reserved; what is in can be taken. */
void pf_queue_close(struct pf_queue *q);
size_t pf_queue_depth(struct pf_queue *q);
/* Places taken or reserved, per mille of the capacity; at most 1000. */
uint32_t pf_queue_fill(struct pf_queue *q);

#endif
