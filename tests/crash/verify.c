#include "verify.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admit.h"
#include "bytes.h"
#include "file.h"
#include "publish.h"
#include "store.h"
#include "text.h"
#include "tmpdir.h"

struct one { /* an update that is counted */
    uint8_t device[PF_DEVICE_LEN], digest[32];
    struct pf_extent extent;
};

struct history {
    const char *state;
    struct book *book;
    struct verified *out;
    char *why;
    size_t why_len;
    uint8_t *seen; /* how often each acknowledgement was found */

    /* the task in hand */
    int has_task;
    int64_t id;
    struct pf_task task;
    struct pf_model *model;
    struct pf_plan plan;
    uint8_t plan_digest[32];
    struct pf_buf newest; /* file of the newest published model */
    uint8_t newest_digest[32];
    uint8_t recent[64][32]; /* digests, newest at (n_models - 1) % 64 */
    unsigned n_models;
    float *strategy_state;
    size_t n_strategy_state;

    /* its round */
    uint64_t round;
    int open, closed;
    struct pf_sum sum;
    struct one *ones;
    size_t n_ones, room;
    /* all frames counted in rounds that ended */
    uint8_t (*counted)[32];
    size_t n_counted, counted_room;
};

static enum pocketfed_status wrong(struct history *h, const char *fmt, ...)
    PF_PRINTF(2, 3);

static enum pocketfed_status wrong(struct history *h, const char *fmt, ...)
{
    size_t n;
    va_list ap;

    n = (size_t)snprintf(h->why, h->why_len,
                         "task %s round %llu: ", h->task.name,
                         (unsigned long long)h->round);
    va_start(ap, fmt);
    if (n < h->why_len)
        vsnprintf(h->why + n, h->why_len - n, fmt, ap);
    va_end(ap);
    return POCKETFED_PROOF;
}

/* ---- files ------------------------------------------------------------- */

static void object_path(const struct history *h, const uint8_t digest[32],
                        char *out, size_t cap)
{
    char hex[65];

    pf_hex(digest, 32, hex);
    snprintf(out, cap, "%s/objects/%.2s/%s", h->state, hex, hex);
}

static enum pocketfed_status
check_object(struct history *h, const uint8_t digest[32], const char *what)
{
    char path[400];
    struct pf_buf b;
    uint8_t is[32];
    enum pocketfed_status st;

    object_path(h, digest, path, sizeof path);
    pf_buf_init(&b, 1u << 26);
    st = pf_file_read(path, &b, NULL);
    if (st != POCKETFED_OK) {
        st = wrong(h, "%s is not there: %s", what, path);
    } else {
        pf_sha256(b.data, b.len, is);
        if (memcmp(is, digest, 32) != 0)
            st = wrong(h, "%s is damaged: %s", what, path);
    }
    pf_buf_free(&b);
    return st;
}

/* ---- the end of a task ------------------------------------------------- */

/* What was acknowledged in the open round lies in its segment. */
static enum pocketfed_status check_segment(struct history *h)
{
    char path[400];
    struct pf_buf b;
    uint8_t is[32];
    enum pocketfed_status st = POCKETFED_OK;
    size_t i;

    snprintf(path, sizeof path, "%s/journal/%lld/%llu.seg", h->state,
             (long long)h->id, (unsigned long long)h->round);
    pf_buf_init(&b, 1u << 28);
    if (h->n_ones > 0 && pf_file_read(path, &b, NULL) != POCKETFED_OK)
        st = wrong(h, "the segment of acknowledged updates is gone");
    for (i = 0; i < h->n_ones && st == POCKETFED_OK; i++) {
        const struct pf_extent *e = &h->ones[i].extent;

        if (e->offset > b.len || e->length > b.len - e->offset) {
            st = wrong(h, "the segment ends within an acknowledged update");
            break;
        }
        pf_sha256(b.data + e->offset, (size_t)e->length, is);
        if (memcmp(is, h->ones[i].digest, 32) != 0)
            st = wrong(h, "the bytes of an acknowledged update have changed");
    }
    pf_buf_free(&b);
    return st;
}

static void describe(struct history *h)
{
    struct verified *out = h->out;
    size_t i;

    out->newest = h->round;
    memcpy(out->model, h->newest_digest, 32);
    if (h->n_models > 1)
        memcpy(out->before, h->recent[(h->n_models - 2) % 64], 32);
    for (i = 0; h->open && i < h->n_ones; i++)
        if (h->ones[i].extent.offset >= out->last.offset)
            out->last = h->ones[i].extent;
}

static enum pocketfed_status end_task(struct history *h)
{
    enum pocketfed_status st = POCKETFED_OK;
    unsigned i, keep = h->task.keep.models;

    if (!h->has_task)
        return POCKETFED_OK;
    if (h->open) {
        h->out->open_accepted += h->n_ones;
        st = check_segment(h);
        if (st == POCKETFED_OK)
            st = check_object(h, h->newest_digest, "the base");
    }
    for (i = 0; i < keep && i < h->n_models && st == POCKETFED_OK; i++)
        st = check_object(h, h->recent[(h->n_models - 1 - i) % 64],
                          "a model that is kept");
    if (h->out->tasks == 1)
        describe(h);
    pf_buf_free(&h->newest);
    pf_plan_free(&h->plan);
    pf_model_free(h->model);
    pf_task_free(&h->task);
    pf_sum_free(&h->sum);
    free(h->strategy_state);
    h->strategy_state = NULL;
    h->has_task = 0;
    return st;
}

/* ---- a task and its records -------------------------------------------- */

static enum pocketfed_status read_plan(struct history *h)
{
    enum pocketfed_status st = check_object(h, h->plan_digest, "the plan");
    struct pf_error err = {0};
    struct pf_buf bytes;
    char path[400];

    if (st != POCKETFED_OK)
        return st;
    object_path(h, h->plan_digest, path, sizeof path);
    pf_buf_init(&bytes, PF_MAX_PLAN);
    if (pf_file_read(path, &bytes, &err) ||
        pf_plan_decode(pf_buf_str(&bytes), bytes.len, &h->plan, &err))
        st = wrong(h, "its plan cannot be read: %s", err.text);
    pf_buf_free(&bytes);
    return st;
}

static enum pocketfed_status
begin_task(void *ctx, const struct pf_store_task *t, struct pf_error *err)
{
    const struct pf_strategy *strategy;
    struct history *h = ctx;
    uint8_t digest[32];
    size_t n;

    if (end_task(h))
        return POCKETFED_PROOF;
    h->out->tasks++;
    h->id = t->id;
    h->round = h->n_models = 0;
    h->open = h->closed = 0;
    h->n_ones = h->n_counted = 0;
    pf_task_init(&h->task);
    pf_plan_init(&h->plan);
    pf_buf_init(&h->newest, PF_MAX_MODEL_FILE);
    memcpy(h->plan_digest, t->plan, 32);
    if (pf_task_parse(pf_buf_str(&t->file), t->file.len, &h->task, err) ||
        pf_model_create(pf_buf_str(&h->task.spec), h->task.spec.len, &h->model,
                        err))
        return wrong(h, "its file cannot be read: %s", err->text);
    h->has_task = 1;
    if (read_plan(h))
        return POCKETFED_PROOF;
    if (pf_publish_initial(&h->task, h->model, h->plan_digest, NULL, &h->newest,
                           digest) ||
        memcmp(digest, t->initial_model, 32) != 0)
        return wrong(h, "another initial model");
    memcpy(h->newest_digest, digest, 32);
    n = pf_model_n_params(h->model);
    strategy = pf_strategy_find(h->task.strategy.name);
    h->n_strategy_state = strategy ? strategy->n_state(n) : 0;
    h->strategy_state = calloc(h->n_strategy_state + 1, sizeof(float));
    if (!h->strategy_state || pf_sum_init(&h->sum, n))
        abort();
    return check_object(h, t->initial_model, "the initial model");
}

static enum pocketfed_status opened(struct history *h,
                                    const struct pf_record *r)
{
    if (r->round != h->round + 1 || h->open)
        return wrong(h, "round %llu was opened after it",
                     (unsigned long long)r->round);
    h->round = r->round;
    h->open = 1;
    h->closed = 0;
    h->n_ones = 0;
    h->out->rounds++;
    pf_sum_clear(&h->sum);
    if (memcmp(r->u.opened.base, h->newest_digest, 32) != 0)
        return wrong(h, "it does not start from the newest model");
    return POCKETFED_OK;
}

static int is_ack_of(const struct history *h, const struct pf_ack *a,
                     const struct pf_record *r)
{
    return a->round == r->round && strcmp(a->task, h->task.name) == 0 &&
           memcmp(a->device, r->device.id, PF_DEVICE_LEN) == 0;
}

static enum pocketfed_status tick_off(struct history *h,
                                      const struct pf_record *r)
{
    const struct pf_admitted *d = &r->u.accepted.admitted;
    const struct pf_ack *a;
    size_t i;

    for (i = 0; i < h->book->n_acks; i++) {
        a = &h->book->acks[i];
        if (!is_ack_of(h, a, r))
            continue;
        if (h->seen[i]++)
            return wrong(h, "an acknowledged update is counted twice");
        if (memcmp(a->digest, r->u.accepted.digest, 32) != 0 ||
            memcmp(a->base, h->newest_digest, 32) != 0 ||
            memcmp(a->plan, h->plan_digest, 32) != 0 ||
            a->examples != d->examples || a->weight != d->weight)
            return wrong(h, "a record is not what was acknowledged");
    }
    return POCKETFED_OK;
}

static void *grown(void *list, size_t *room, size_t n, size_t item)
{
    if (n < *room)
        return list;
    *room = *room ? 2 * *room : 64;
    list = realloc(list, *room * item);
    if (!list)
        abort();
    return list;
}

static enum pocketfed_status accepted(struct history *h,
                                      const struct pf_record *r)
{
    const struct book_frame *f = book_find(h->book, r->u.accepted.digest);
    float scratch[PF_ADMIT_BLOCK];
    struct one *one;
    size_t i;

    if (!h->open || h->closed || r->round != h->round)
        return wrong(h, "an update was counted that is not of the open round");
    if (!f)
        return wrong(h, "an update is counted that nobody made");
    for (i = 0; i < h->n_ones; i++)
        if (memcmp(h->ones[i].device, r->device.id, PF_DEVICE_LEN) == 0 ||
            memcmp(h->ones[i].digest, f->digest, 32) == 0)
            return wrong(h, "a device is counted twice");
    for (i = 0; i < h->n_counted; i++)
        if (memcmp(h->counted[i], f->digest, 32) == 0)
            return wrong(h, "an update of an earlier round is counted again");
    h->ones = grown(h->ones, &h->room, h->n_ones, sizeof *h->ones);
    one = &h->ones[h->n_ones++];
    memcpy(one->device, r->device.id, PF_DEVICE_LEN);
    memcpy(one->digest, f->digest, 32);
    one->extent = r->u.accepted.extent;
    h->counted =
        grown(h->counted, &h->counted_room, h->n_counted, sizeof *h->counted);
    memcpy(h->counted[h->n_counted++], f->digest, 32);
    h->out->accepted++;
    if (pf_sum_fold(&h->sum, &h->plan, f->bytes, f->len,
                    r->u.accepted.admitted.weight, scratch))
        return wrong(h, "an update is counted that cannot be added");
    return tick_off(h, r);
}

/* The digest of the strategy's state as an object: little-endian floats. */
static void digest_state(const struct history *h, uint8_t out[32])
{
    uint8_t *bytes = malloc(4 * h->n_strategy_state + 1);
    size_t i;

    if (!bytes)
        abort();
    memset(out, 0, 32);
    for (i = 0; i < h->n_strategy_state; i++)
        pf_putf(bytes + 4 * i, h->strategy_state[i]);
    if (h->n_strategy_state > 0)
        pf_sha256(bytes, 4 * h->n_strategy_state, out);
    free(bytes);
}

static enum pocketfed_status published(struct history *h,
                                       const struct pf_record *r)
{
    struct pf_error err = {0};
    uint8_t digest[32], state[32];
    struct pf_buf next;
    enum pocketfed_status st;

    if (!h->open || !h->closed || r->round != h->round)
        return wrong(h, "it was published without having been closed");
    if (r->u.published.accepted != h->n_ones ||
        r->u.published.weight != h->sum.weight)
        return wrong(h, "%llu updates were published, %zu are recorded",
                     (unsigned long long)r->u.published.accepted, h->n_ones);
    pf_buf_init(&next, PF_MAX_MODEL_FILE);
    st = pf_publish(&h->task, h->model, h->round, h->plan_digest,
                    h->newest.data, h->newest.len, h->newest_digest, &h->sum,
                    h->n_strategy_state ? h->strategy_state : NULL, &next,
                    digest, &err);
    if (st != POCKETFED_OK)
        return wrong(h, "no model: %s", err.text);
    digest_state(h, state);
    if (memcmp(digest, r->u.published.model, 32) != 0 ||
        memcmp(state, r->u.published.state, 32) != 0)
        return wrong(h, "the model is not what an undisturbed run makes");
    pf_buf_free(&h->newest);
    h->newest = next;
    memcpy(h->newest_digest, digest, 32);
    memcpy(h->recent[h->n_models++ % 64], digest, 32);
    h->open = 0;
    h->out->published++;
    return POCKETFED_OK;
}

static enum pocketfed_status
record(void *ctx, int64_t task, const struct pf_record *r, struct pf_error *err)
{
    struct history *h = ctx;

    (void)task;
    (void)err;
    switch (r->kind) {
    case PF_REC_OPENED:
        return opened(h, r);
    case PF_REC_ACCEPTED:
        return accepted(h, r);
    case PF_REC_CLOSED:
        h->closed = 1;
        return POCKETFED_OK;
    case PF_REC_PUBLISHED:
        return published(h, r);
    case PF_REC_ABANDONED:
        return wrong(h, "it was abandoned: %s", r->u.abandoned.reason);
    default:
        return POCKETFED_OK;
    }
}

/* ---- all of it --------------------------------------------------------- */

/* Database and log, without the shared memory that no crash leaves useful. */
static int copy_database(const char *state, const char *dir)
{
    static const char *const names[] = {"pocketfed.db", "pocketfed.db-wal"};
    char from[400], to[400];
    struct pf_buf b;
    size_t i;
    int ok = 1;

    for (i = 0; i < 2 && ok; i++) {
        snprintf(from, sizeof from, "%s/%s", state, names[i]);
        snprintf(to, sizeof to, "%s/%s", dir, names[i]);
        pf_buf_init(&b, 1u << 30);
        if (access(from, F_OK) == 0)
            ok = pf_file_read(from, &b, NULL) == POCKETFED_OK &&
                 pf_file_replace(to, b.data, b.len, 0600, NULL) == POCKETFED_OK;
        pf_buf_free(&b);
    }
    return ok;
}

static enum pocketfed_status all_found(struct history *h)
{
    size_t i;

    for (i = 0; i < h->book->n_acks; i++) {
        if (h->seen[i] == 1)
            continue;
        snprintf(h->why, h->why_len,
                 "task %s round %llu: an acknowledged update is not counted",
                 h->book->acks[i].task,
                 (unsigned long long)h->book->acks[i].round);
        return POCKETFED_PROOF;
    }
    return POCKETFED_OK;
}

int verify_state(const char *state, struct book *book, struct verified *out,
                 char *why, size_t why_len)
{
    const struct pf_store_visitor visitor = {NULL, begin_task, record};
    struct pf_store_visitor v = visitor;
    struct pf_error err = {0};
    struct pf_store *s = NULL;
    enum pocketfed_status st;
    struct history h;
    char dir[256];

    memset(&h, 0, sizeof h);
    memset(out, 0, sizeof *out);
    why[0] = '\0';
    pf_tmpdir_make(dir, sizeof dir);
    pthread_mutex_lock(&book->lock);
    h.state = state;
    h.book = book;
    h.out = out;
    h.why = why;
    h.why_len = why_len;
    h.seen = calloc(book->n_acks + 1, 1);
    if (!h.seen)
        abort();
    v.ctx = &h;
    st = copy_database(state, dir)
             ? pf_store_open(dir, NULL, &s, &err)
             : pf_fail(&err, POCKETFED_IO, "the database cannot be copied");
    if (st == POCKETFED_OK)
        st = pf_store_load(s, &v, &err);
    if (st == POCKETFED_OK)
        st = end_task(&h);
    if (st == POCKETFED_OK)
        st = all_found(&h);
    if (st != POCKETFED_OK && !why[0])
        snprintf(why, why_len, "%s", err.text);
    pthread_mutex_unlock(&book->lock);
    pf_store_close(s);
    if (h.has_task) {
        char said[512];
        snprintf(said, sizeof said, "%s", why);
        end_task(&h);
        snprintf(why, why_len, "%s", said);
    }
    free(h.seen);
    free(h.ones);
    free(h.counted);
    pf_tmpdir_remove(dir);
    return st == POCKETFED_OK;
}
