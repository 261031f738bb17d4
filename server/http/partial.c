#include "partial.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

#define BUCKETS 4096u

/* Held: holder is set, `kept` is zeroed. Parked: the other way round, and in
 * the list of the parked, oldest first. */
struct pf_partial {
    struct pf_partial *next; /* in its bucket, or in a list of victims */
    struct pf_partial *older, *newer;
    struct pf_partial_key key;
    struct pf_holder *holder;
    int busy; /* between take or begin and end */
    struct pf_kept kept;
    int64_t since_s;
};

struct pf_partials {
    pthread_mutex_t lock;
    pthread_cond_t calm; /* somebody is not busy any more */
    struct pf_partial *bucket[BUCKETS];
    struct pf_partial *oldest, *newest;
    unsigned parked;
    uint64_t bytes, max_bytes;
    int64_t age_s;
    struct pf_metrics *metrics;
};

void pf_kept_free(struct pf_kept *k)
{
    if (k->segment)
        pf_segment_release(k->segment, &k->extent);
    pf_segment_unref(k->segment);
    pf_hash_free(k->hash);
    memset(k, 0, sizeof *k);
}

enum pocketfed_status pf_partials_create(uint64_t bytes, int64_t age_s,
                                         struct pf_metrics *metrics,
                                         struct pf_partials **out)
{
    struct pf_partials *t = calloc(1, sizeof *t);

    if (!t)
        return POCKETFED_NO_MEMORY;
    pthread_mutex_init(&t->lock, NULL);
    pthread_cond_init(&t->calm, NULL);
    t->max_bytes = bytes;
    t->age_s = age_s;
    t->metrics = metrics;
    *out = t;
    return POCKETFED_OK;
}

/* ---- with the lock held ------------------------------------------------ */

/* A device's id is a piece of a SHA-256: spread evenly as it is. */
static struct pf_partial **bucket_of(struct pf_partials *t,
                                     const struct pf_partial_key *key)
{
    return &t->bucket[pf_get64(key->device) & (BUCKETS - 1)];
}

static struct pf_partial *find(struct pf_partials *t,
                               const struct pf_partial_key *key)
{
    struct pf_partial *e;

    for (e = *bucket_of(t, key); e; e = e->next)
        if (e->key.task == key->task && e->key.round == key->round &&
            memcmp(e->key.device, key->device, sizeof key->device) == 0)
            return e;
    return NULL;
}

/* The place of the key when nobody is busy with it; NULL when there is none. */
static struct pf_partial *find_calm(struct pf_partials *t,
                                    const struct pf_partial_key *key)
{
    struct pf_partial *e;

    while ((e = find(t, key)) != NULL && e->busy)
        pthread_cond_wait(&t->calm, &t->lock);
    return e;
}

static void tell(struct pf_partials *t)
{
    atomic_store(&t->metrics->kept, t->parked);
    atomic_store(&t->metrics->kept_bytes, t->bytes);
}

static void unpark(struct pf_partials *t, struct pf_partial *e)
{
    *(e->older ? &e->older->newer : &t->oldest) = e->newer;
    *(e->newer ? &e->newer->older : &t->newest) = e->older;
    e->older = e->newer = NULL;
    t->parked--;
    t->bytes -= e->kept.extent.length;
    tell(t);
}

/* Out of the table, onto the list of victims. */
static void remove_place(struct pf_partials *t, struct pf_partial *e,
                         struct pf_partial **victims)
{
    struct pf_partial **at = bucket_of(t, &e->key);

    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    if (e->kept.segment)
        unpark(t, e);
    e->next = *victims;
    *victims = e;
}

/* Nobody is at it any more: what there is of it is parked when it is worth
 * that and there is room, for which the oldest make way. 1 when it stays. */
static int let_go(struct pf_partials *t, struct pf_partial *e,
                  struct pf_kept *what, int64_t now_s,
                  struct pf_partial **victims)
{
    e->holder = NULL;
    e->busy = 0;
    if (!what->segment || what->received == 0 ||
        what->extent.length > t->max_bytes) {
        remove_place(t, e, victims);
        return 0;
    }
    while (t->parked == PF_PARTIALS_MAX ||
           t->bytes > t->max_bytes - what->extent.length) {
        remove_place(t, t->oldest, victims);
        pf_count(t->metrics, PF_COUNT_UPLOADS_EXPIRED, 1);
    }
    e->kept = *what;
    memset(what, 0, sizeof *what);
    e->since_s = now_s;
    e->older = t->newest;
    *(t->newest ? &t->newest->newer : &t->oldest) = e;
    t->newest = e;
    t->parked++;
    t->bytes += e->kept.extent.length;
    tell(t);
    pf_count(t->metrics, PF_COUNT_UPLOADS_PARKED, 1);
    return 1;
}

/* Whoever is at it loses it; what there was goes to *out. */
static void empty(struct pf_partials *t, struct pf_partial *e,
                  struct pf_kept *out)
{
    if (e->holder) {
        e->holder->at = NULL;
        e->holder->yield(e->holder, out);
        e->holder = NULL;
    } else if (e->kept.segment) {
        unpark(t, e);
        *out = e->kept;
        memset(&e->kept, 0, sizeof e->kept);
    }
}

/* ---- without it -------------------------------------------------------- */

static void free_victims(struct pf_partial *e)
{
    struct pf_partial *next;

    for (; e; e = next) {
        next = e->next;
        pf_kept_free(&e->kept);
        free(e);
    }
}

void pf_partials_free(struct pf_partials *t)
{
    size_t i;

    if (!t)
        return;
    for (i = 0; i < BUCKETS; i++)
        free_victims(t->bucket[i]);
    pthread_cond_destroy(&t->calm);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

enum pocketfed_status pf_partials_take(struct pf_partials *t,
                                       const struct pf_partial_key *key,
                                       struct pf_holder *me,
                                       struct pf_kept *out)
{
    struct pf_partial *made = calloc(1, sizeof *made), *e;

    memset(out, 0, sizeof *out);
    if (!made)
        return POCKETFED_NO_MEMORY;
    pthread_mutex_lock(&t->lock);
    e = find_calm(t, key);
    if (!e) {
        e = made;
        made = NULL;
        e->key = *key;
        e->next = *bucket_of(t, key);
        *bucket_of(t, key) = e;
    }
    empty(t, e, out);
    e->holder = me;
    e->busy = 1;
    me->at = e;
    pthread_mutex_unlock(&t->lock);
    free(made);
    return POCKETFED_OK;
}

int pf_partials_begin(struct pf_partials *t, struct pf_holder *me)
{
    int ok;

    pthread_mutex_lock(&t->lock);
    ok = me->at != NULL;
    if (ok)
        me->at->busy = 1;
    pthread_mutex_unlock(&t->lock);
    return ok;
}

void pf_partials_end(struct pf_partials *t, struct pf_holder *me)
{
    pthread_mutex_lock(&t->lock);
    me->at->busy = 0;
    pthread_cond_broadcast(&t->calm);
    pthread_mutex_unlock(&t->lock);
}

int pf_partials_leave(struct pf_partials *t, struct pf_holder *me,
                      struct pf_kept *what, int64_t now_s)
{
    struct pf_kept nothing = {0};
    struct pf_partial *victims = NULL, *e;
    int stays = 0;

    pthread_mutex_lock(&t->lock);
    e = me->at;
    me->at = NULL;
    if (e)
        stays = let_go(t, e, what ? what : &nothing, now_s, &victims);
    pthread_cond_broadcast(&t->calm);
    pthread_mutex_unlock(&t->lock);
    if (what)
        pf_kept_free(what);
    free_victims(victims);
    return stays;
}

int pf_partials_look(struct pf_partials *t, const struct pf_partial_key *key,
                     int64_t now_s, struct pf_standing *out)
{
    struct pf_partial *victims = NULL, *e;
    struct pf_kept kept = {0};
    int found = 0;

    pthread_mutex_lock(&t->lock);
    e = find_calm(t, key);
    found = e != NULL;
    if (found && e->holder) {
        empty(t, e, &kept);
        found = let_go(t, e, &kept, now_s, &victims);
    }
    if (found) {
        out->offset = e->kept.received;
        out->length = e->kept.extent.length;
        memcpy(out->digest, e->kept.digest, sizeof out->digest);
    }
    pthread_mutex_unlock(&t->lock);
    pf_kept_free(&kept);
    free_victims(victims);
    return found;
}

void pf_partials_sweep(struct pf_partials *t, int64_t now_s,
                       int (*is_open)(void *ctx, struct pf_live_task *task,
                                      uint64_t segment_round),
                       void *ctx)
{
    struct pf_partial *victims = NULL, *e, *newer;
    struct pf_live_task *task = NULL;
    uint64_t round = 0;
    int open = 0;

    pthread_mutex_lock(&t->lock);
    for (e = t->oldest; e; e = newer) {
        newer = e->newer;
        /* Neighbours are mostly of one round: ask once for them. */
        if (e->key.task != task || e->kept.segment_round != round) {
            task = e->key.task;
            round = e->kept.segment_round;
            open = is_open(ctx, task, round);
        }
        if (open && now_s - e->since_s <= t->age_s)
            continue;
        remove_place(t, e, &victims);
        pf_count(t->metrics, PF_COUNT_UPLOADS_EXPIRED, 1);
    }
    pthread_mutex_unlock(&t->lock);
    free_victims(victims);
}
