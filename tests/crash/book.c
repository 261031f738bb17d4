#include "book.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *grown(void *list, size_t *room, size_t n, size_t item)
{
    void *p = list;

    if (n < *room)
        return list;
    *room = *room ? 2 * *room : 64;
    p = realloc(list, *room * item);
    if (!p)
        abort();
    return p;
}

void book_init(struct book *b)
{
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->lock, NULL);
}

void book_free(struct book *b)
{
    size_t i;

    for (i = 0; i < b->n_frames; i++)
        free(b->frames[i].bytes);
    free(b->frames);
    free(b->acks);
    pthread_mutex_destroy(&b->lock);
    memset(b, 0, sizeof *b);
}

const struct book_frame *book_find(const struct book *b,
                                   const uint8_t digest[32])
{
    size_t i = b->n_frames;

    while (i-- > 0) /* mostly the newest are asked for */
        if (memcmp(b->frames[i].digest, digest, 32) == 0)
            return &b->frames[i];
    return NULL;
}

void book_frame(struct book *b, const uint8_t digest[32], const void *p,
                size_t len)
{
    struct book_frame *f;

    pthread_mutex_lock(&b->lock);
    if (!book_find(b, digest)) {
        b->frames =
            grown(b->frames, &b->frames_room, b->n_frames, sizeof *b->frames);
        f = &b->frames[b->n_frames];
        f->bytes = malloc(len ? len : 1);
        if (!f->bytes)
            abort();
        memcpy(f->digest, digest, 32);
        memcpy(f->bytes, p, len);
        f->len = len;
        b->n_frames++;
    }
    pthread_mutex_unlock(&b->lock);
}

static int is_same_place(const struct pf_ack *a, const struct pf_ack *b)
{
    return a->round == b->round && strcmp(a->task, b->task) == 0 &&
           memcmp(a->device, b->device, sizeof a->device) == 0;
}

static int is_same(const struct pf_ack *a, const struct pf_ack *b)
{
    return memcmp(a->base, b->base, 32) == 0 &&
           memcmp(a->plan, b->plan, 32) == 0 &&
           memcmp(a->digest, b->digest, 32) == 0 &&
           a->examples == b->examples && a->weight == b->weight;
}

void book_ack(struct book *b, const struct pf_ack *ack)
{
    int changed = 0;
    size_t i;

    pthread_mutex_lock(&b->lock);
    for (i = b->n_acks; i > 0; i--)
        if (is_same_place(&b->acks[i - 1], ack))
            break;
    if (i > 0) {
        changed = !is_same(&b->acks[i - 1], ack);
    } else {
        b->acks = grown(b->acks, &b->acks_room, b->n_acks, sizeof *b->acks);
        b->acks[b->n_acks++] = *ack;
    }
    pthread_mutex_unlock(&b->lock);
    if (changed)
        book_wrong(b,
                   "task %s round %llu: one device was given two different "
                   "acknowledgements",
                   ack->task, (unsigned long long)ack->round);
}

void book_wrong(struct book *b, const char *fmt, ...)
{
    va_list ap;

    pthread_mutex_lock(&b->lock);
    if (!b->wrong[0]) {
        va_start(ap, fmt);
        vsnprintf(b->wrong, sizeof b->wrong, fmt, ap);
        va_end(ap);
    }
    pthread_mutex_unlock(&b->lock);
}

size_t book_n_acks(struct book *b)
{
    size_t n;

    pthread_mutex_lock(&b->lock);
    n = b->n_acks;
    pthread_mutex_unlock(&b->lock);
    return n;
}
