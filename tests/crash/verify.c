#include "verify_inside.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admit.h"
#include "bytes.h"
#include "file.h"
#include "text.h"
#include "tmpdir.h"

enum pocketfed_status verify_wrong(struct history *h, const char *fmt, ...)
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

void *verify_grown(void *list, size_t *room, size_t n, size_t item)
{
    if (n < *room)
        return list;
    *room = *room ? 2 * *room : 64;
    list = realloc(list, *room * item);
    if (!list)
        abort();
    return list;
}

void verify_add_model(struct history *h, const uint8_t digest[32])
{
    h->models = verify_grown(h->models, &h->models_room, h->n_models,
                             sizeof *h->models);
    memcpy(h->models[h->n_models++], digest, 32);
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
        st = verify_wrong(h, "%s is not there: %s", what, path);
    } else {
        pf_sha256(b.data, b.len, is);
        if (memcmp(is, digest, 32) != 0)
            st = verify_wrong(h, "%s is damaged: %s", what, path);
    }
    pf_buf_free(&b);
    return st;
}

/* ---- the end of a task ------------------------------------------------- */

/* What was acknowledged in a round that has not ended lies in its segment. */
static enum pocketfed_status check_segment(struct history *h,
                                           const struct tally *t)
{
    char path[400];
    struct pf_buf b;
    uint8_t is[32];
    enum pocketfed_status st = POCKETFED_OK;
    size_t i;

    snprintf(path, sizeof path, "%s/journal/%lld/%llu.seg", h->state,
             (long long)h->id, (unsigned long long)t->round);
    pf_buf_init(&b, 1u << 28);
    if (t->n > 0 && pf_file_read(path, &b, NULL) != POCKETFED_OK)
        st = verify_wrong(h, "the segment of acknowledged updates is gone");
    for (i = 0; i < t->n && st == POCKETFED_OK; i++) {
        const struct pf_extent *e = &t->ones[i].extent;

        if (e->offset > b.len || e->length > b.len - e->offset) {
            st = verify_wrong(h, "the segment ends in an acknowledged update");
            break;
        }
        pf_sha256(b.data + e->offset, (size_t)e->length, is);
        if (memcmp(is, t->ones[i].digest, 32) != 0)
            st = verify_wrong(h, "the bytes of an acknowledged update differ");
    }
    pf_buf_free(&b);
    return st;
}

static void describe(struct history *h)
{
    struct verified *out = h->out;
    const struct tally *t;
    size_t i;

    out->newest = h->round;
    memcpy(out->model, verify_newest(h), 32);
    if (h->n_models > 2)
        memcpy(out->before, h->models[h->n_models - 2], 32);
    for (t = h->tally; t < h->tally + 2; t++)
        for (i = 0; t->round == h->round && i < t->n; i++)
            if (t->ones[i].extent.offset >= out->last.offset)
                out->last = t->ones[i].extent;
}

static void forget_task(struct history *h)
{
    int i;

    pf_buf_free(&h->newest);
    pf_plan_free(&h->plan);
    pf_model_free(h->model);
    pf_task_free(&h->task);
    for (i = 0; i < 2; i++)
        pf_sum_free(&h->tally[i].sum);
    free(h->strategy_state);
    h->model = NULL;
    h->strategy_state = NULL;
    h->has_task = 0;
}

static enum pocketfed_status end_task(struct history *h)
{
    enum pocketfed_status st = POCKETFED_OK;
    size_t i, keep = h->task.keep.models;

    if (!h->has_task)
        return POCKETFED_OK;
    for (i = 0; i < 2 && st == POCKETFED_OK; i++) {
        if (h->tally[i].round == 0)
            continue;
        h->out->open_accepted += h->tally[i].n;
        st = check_segment(h, &h->tally[i]);
    }
    for (i = 0; i < keep && i < h->n_models && st == POCKETFED_OK; i++)
        st = check_object(h, h->models[h->n_models - 1 - i],
                          "a model that is kept");
    if (st == POCKETFED_OK && h->out->tasks == 1)
        describe(h);
    forget_task(h);
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
        st = verify_wrong(h, "its plan cannot be read: %s", err.text);
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
    h->round = h->n_models = h->n_counted = 0;
    h->tally[0].round = h->tally[1].round = 0;
    pf_task_init(&h->task);
    pf_plan_init(&h->plan);
    pf_buf_init(&h->newest, PF_MAX_MODEL_FILE);
    memcpy(h->plan_digest, t->plan, 32);
    if (pf_task_parse(pf_buf_str(&t->file), t->file.len, &h->task, err) ||
        pf_model_create(pf_buf_str(&h->task.spec), h->task.spec.len, &h->model,
                        err))
        return verify_wrong(h, "its file cannot be read: %s", err->text);
    h->has_task = 1;
    if (read_plan(h))
        return POCKETFED_PROOF;
    if (pf_publish_initial(&h->task, h->model, h->plan_digest, NULL, &h->newest,
                           digest) ||
        memcmp(digest, t->initial_model, 32) != 0)
        return verify_wrong(h, "another initial model");
    verify_add_model(h, digest);
    n = pf_model_n_params(h->model);
    strategy = pf_strategy_find(h->task.strategy.name);
    h->n_strategy_state = strategy ? strategy->n_state(n) : 0;
    h->strategy_state = calloc(h->n_strategy_state + 1, sizeof(float));
    if (!h->strategy_state || pf_sum_init(&h->tally[0].sum, n) ||
        pf_sum_init(&h->tally[1].sum, n))
        abort();
    return check_object(h, t->initial_model, "the initial model");
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
    const struct pf_store_visitor visitor = {NULL, begin_task, verify_record};
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
    if (h.has_task)
        forget_task(&h);
    free(h.seen);
    free(h.tally[0].ones);
    free(h.tally[1].ones);
    free(h.models);
    free(h.counted);
    pf_tmpdir_remove(dir);
    return st == POCKETFED_OK;
}
