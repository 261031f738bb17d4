#include "readers.h"

#include <pthread.h>
#include <stdlib.h>

#define KEPT 64 /* more idle readers than this are closed */

struct pf_readers {
    pthread_mutex_t lock;
    struct pf_store *store;
    struct pf_store_reader *idle[KEPT];
    unsigned n_idle;
};

enum pocketfed_status pf_readers_create(struct pf_store *store,
                                        struct pf_readers **out)
{
    struct pf_readers *r = calloc(1, sizeof *r);

    if (!r)
        return POCKETFED_NO_MEMORY;
    r->store = store;
    pthread_mutex_init(&r->lock, NULL);
    *out = r;
    return POCKETFED_OK;
}

void pf_readers_free(struct pf_readers *r)
{
    if (!r)
        return;
    while (r->n_idle > 0)
        pf_reader_close(r->idle[--r->n_idle]);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

struct pf_store_reader *pf_readers_take(struct pf_readers *r,
                                        struct pf_error *err)
{
    struct pf_store_reader *reader = NULL;

    pthread_mutex_lock(&r->lock);
    if (r->n_idle > 0)
        reader = r->idle[--r->n_idle];
    pthread_mutex_unlock(&r->lock);
    if (!reader && pf_reader_open(r->store, &reader, err) != POCKETFED_OK)
        return NULL;
    return reader;
}

void pf_readers_give(struct pf_readers *r, struct pf_store_reader *reader)
{
    if (!reader)
        return;
    pthread_mutex_lock(&r->lock);
    if (r->n_idle < KEPT) {
        r->idle[r->n_idle++] = reader;
        reader = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    pf_reader_close(reader);
}
