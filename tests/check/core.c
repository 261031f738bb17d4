#include "core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "codec.h"
#include "publish.h"
#include "rng.h"
#include "text.h"
#include "tmpdir.h"
#include "update.h"

static void die(const char *what, const struct pf_error *err)
{
    fprintf(stderr, "core: %s: %s\n", what, err ? err->text : "");
    abort();
}

/* ---- life -------------------------------------------------------------- */

static void announce(void *ctx, const char *line)
{
    struct core *k = ctx;

    pthread_mutex_lock(&k->lock);
    snprintf(k->told[k->n_told++ % 64], sizeof k->told[0], "%s", line);
    pthread_mutex_unlock(&k->lock);
}

static void fatal(void *ctx, const struct pf_error *err)
{
    struct core *k = ctx;

    pthread_mutex_lock(&k->lock);
    k->n_fatal++;
    snprintf(k->fatal, sizeof k->fatal, "%s", err->text);
    pthread_cond_broadcast(&k->wake);
    pthread_mutex_unlock(&k->lock);
}

enum pocketfed_status core_try_open(struct core *k, const char *dir,
                                    struct pf_error *err)
{
    struct pf_coordinator_config config = {0};
    enum pocketfed_status st;
    char at[sizeof k->dir]; /* dir may be k's own */

    snprintf(at, sizeof at, "%s", dir);
    dir = at;
    memset(k, 0, sizeof *k);
    memcpy(k->dir, at, sizeof at);
    k->log =
        (struct pf_log){pf_log_stderr, NULL,
                        getenv("CORE_VERBOSE") ? PF_LOG_DEBUG : PF_LOG_ERROR};
    pthread_mutex_init(&k->lock, NULL);
    pthread_cond_init(&k->wake, NULL);
    if (pf_key_generate(PF_KEY_ED25519, &k->key) != POCKETFED_OK)
        die("key", NULL);
    st = pf_store_open(dir, &k->log, &k->store, err);
    if (st == POCKETFED_OK)
        st = pf_reader_open(k->store, &k->reader, err);
    if (st == POCKETFED_OK)
        st = pf_objects_open(dir, &k->log, &k->objects, err);
    if (st != POCKETFED_OK)
        return st;
    config.state_dir = k->dir;
    config.log = &k->log;
    config.store = k->store;
    config.objects = k->objects;
    config.record_key = k->key;
    config.fold_threads = 2;
    config.queue_capacity = 64;
    config.fatal = fatal;
    config.announce = announce;
    config.ctx = k;
    return pf_coordinator_start(&config, &k->c, err);
}

void core_open(struct core *k, const char *dir)
{
    struct pf_error err = {0};

    if (core_try_open(k, dir, &err) != POCKETFED_OK)
        die("start", &err);
}

void core_close(struct core *k)
{
    pf_coordinator_stop(k->c);
    pf_objects_close(k->objects);
    pf_reader_close(k->reader);
    pf_store_close(k->store);
    pf_key_free(k->key);
    pthread_cond_destroy(&k->wake);
    pthread_mutex_destroy(&k->lock);
    k->c = NULL;
}

int core_set_up(void **state)
{
    char dir[256];

    core_open(*state, pf_tmpdir_make(dir, sizeof dir));
    return 0;
}

int core_tear_down(void **state)
{
    struct core *k = *state;

    core_close(k);
    pf_tmpdir_remove(k->dir);
    return 0;
}

unsigned core_told(struct core *k, const char *text)
{
    unsigned i, n = 0;

    pthread_mutex_lock(&k->lock);
    for (i = 0; i < k->n_told && i < 64; i++)
        n += strncmp(k->told[i], text, strlen(text)) == 0;
    pthread_mutex_unlock(&k->lock);
    return n;
}

/* ---- waiting ----------------------------------------------------------- */

struct wait {
    struct pf_waiter waiter; /* first: done gets it */
    struct core *k;
    int done;
    struct pf_answer answer;
};

static void answered(struct pf_waiter *self, const struct pf_answer *a)
{
    struct wait *w = (struct wait *)(void *)self;

    pthread_mutex_lock(&w->k->lock);
    w->answer = *a;
    w->done = 1;
    pthread_cond_broadcast(&w->k->wake);
    pthread_mutex_unlock(&w->k->lock);
}

/* 0: the core has died. */
static int wait_for(struct core *k, const int *done)
{
    int ok;

    pthread_mutex_lock(&k->lock);
    while (!*done && k->n_fatal == 0)
        pthread_cond_wait(&k->wake, &k->lock);
    ok = *done;
    pthread_mutex_unlock(&k->lock);
    return ok;
}

int core_ask(struct core *k, struct pf_live_task *t, struct pf_event *ev,
             struct pf_answer *out)
{
    struct wait w = {{answered}, k, 0, {0}};

    if (pf_coordinator_submit(k->c, t, ev, &w.waiter, 0) != POCKETFED_OK)
        die("the queue is full", NULL);
    if (!wait_for(k, &w.done))
        return 0;
    *out = w.answer;
    return 1;
}

struct job_wait {
    struct pf_job job; /* first: done gets it */
    struct core *k;
    int done;
};

static void job_done(struct pf_job *self)
{
    struct job_wait *w = (struct job_wait *)(void *)self;

    pthread_mutex_lock(&w->k->lock);
    w->done = 1;
    pthread_cond_broadcast(&w->k->wake);
    pthread_mutex_unlock(&w->k->lock);
}

void core_run(struct core *k, struct pf_job *job)
{
    struct job_wait w = {*job, k, 0};

    w.job.done = job_done;
    if (pf_coordinator_run(k->c, &w.job) != POCKETFED_OK)
        die("the queue is full", NULL);
    wait_for(k, &w.done);
    *job = w.job;
}

/* ---- tasks and devices ------------------------------------------------- */

struct pf_live_task *core_add_task(struct core *k, const char *file,
                                   enum pf_problem_id *id)
{
    struct pf_live_task *t = NULL;
    struct pf_error err = {0};
    struct pf_job job = {0};

    if (pf_live_task_make(k->objects, k->key, file, strlen(file), &t, &err) !=
        POCKETFED_OK)
        die("task", &err);
    job.kind = PF_JOB_TASK;
    job.u.add = t;
    core_run(k, &job);
    if (job.problem.id != PF_PROBLEM_NONE) {
        pf_live_task_free(t);
        t = NULL;
    }
    if (id)
        *id = job.problem.id;
    return t;
}

struct pf_device_ref core_device(int i)
{
    struct pf_device_ref d = {{0}, (uint64_t)i};

    memset(d.id, i + 1, sizeof d.id);
    return d;
}

struct pf_live_task *core_begin(struct core *k, const char *file)
{
    struct pf_live_task *t = core_add_task(k, file, NULL);
    int i;

    if (!t)
        die("begin", NULL);
    for (i = 0; i < 3; i++)
        core_enrol(k, t, i);
    return t;
}

void core_enrol(struct core *k, struct pf_live_task *t, int i)
{
    struct pf_device_ref ref = core_device(i);
    struct pf_job job = {0};

    job.kind = PF_JOB_TOKEN;
    job.task = t;
    memset(job.u.token.hash, i + 1, 32);
    job.u.token.uses = 1;
    job.u.token.expires_ms = INT64_MAX;
    job.u.token.has_ordinal = 1;
    job.u.token.ordinal = (uint64_t)i;
    core_run(k, &job);
    memset(&job, 0, sizeof job);
    job.kind = PF_JOB_ENROL;
    job.task = t;
    memset(job.u.enrol.token_hash, i + 1, 32);
    memcpy(job.u.enrol.device.id, ref.id, sizeof ref.id);
    job.u.enrol.device.alg = PF_KEY_ED25519;
    job.u.enrol.device.key_len = 32;
    core_run(k, &job);
    if (job.problem.id != PF_PROBLEM_NONE ||
        job.u.enrol.device.ordinal != (uint64_t)i)
        die("enrol", NULL);
}

void core_view(struct core *k, struct pf_live_task *t, struct pf_job *out)
{
    memset(out, 0, sizeof *out);
    out->kind = PF_JOB_VIEW;
    out->task = t;
    core_run(k, out);
}

int core_wait(struct core *k, struct pf_live_task *t, uint64_t published)
{
    const struct timespec pause = {0, 2000000};
    struct pf_job job;
    int i;

    for (i = 0; i < 10000; i++) {
        core_view(k, t, &job);
        if (job.u.view.status.published >= published)
            return 1;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int core_checkin(struct core *k, struct pf_live_task *t, int i,
                 struct pf_answer *out)
{
    struct pf_event ev = {0};

    ev.kind = PF_EV_CHECKIN;
    ev.device = core_device(i);
    return core_ask(k, t, &ev, out);
}

/* ---- updates ----------------------------------------------------------- */

static uint64_t examples_of(uint64_t round, int i)
{
    return 10 + (uint64_t)i + round % 5;
}

void core_frame(struct pf_live_task *t, uint64_t round, const uint8_t base[32],
                int i, int salt, struct pf_buf *out)
{
    struct pf_rng rng =
        pf_rng_make((uint64_t)salt, (uint64_t)i, (uint32_t)round, PF_RNG_TEST);
    size_t n = pf_model_n_params(t->model), j;
    struct pf_update u = {0};
    float x[CORE_PARAMS];

    if (n != CORE_PARAMS)
        die("another model", NULL);
    for (j = 0; j < n; j++)
        x[j] = pf_rng_float(&rng, j) * 0.2f - 0.1f;
    snprintf(u.task, sizeof u.task, "%s", t->stored.name);
    u.round = round;
    memcpy(u.plan, t->stored.plan, 32);
    memcpy(u.base, base, 32);
    memcpy(u.layout, t->layout, 32);
    u.examples = examples_of(round, i);
    u.n_sections = 1;
    u.sections[0].kind = PF_SECTION_DELTA;
    u.sections[0].codec = pf_codec_f32.id;
    u.sections[0].count = n;
    if (pf_update_begin(out, &u) != POCKETFED_OK)
        die("frame", NULL);
    j = out->len;
    if (pf_codec_f32.encode(x, n, 0, out) != POCKETFED_OK ||
        pf_update_section_end(out, &u, 0, j) != POCKETFED_OK)
        die("frame", NULL);
}

/* Into the segment and through admission, as ingest does. 0: the round has
 * closed meanwhile. */
static int deposit(struct core *k, struct pf_live_task *t, struct pf_event *ev,
                   const uint8_t base[32], const struct pf_buf *frame,
                   struct pf_segment **segment)
{
    struct pf_expected want;
    struct pf_problem why = {0};
    struct pf_error err = {0};
    float scratch[PF_ADMIT_BLOCK];
    const uint8_t *p;

    *segment = pf_coordinator_segment(k->c, t, ev->u.update.segment);
    if (!*segment)
        return 0;
    pf_live_expected(t, ev->round, base, &want);
    if (pf_segment_reserve(*segment, frame->len, &ev->u.update.extent, &err) !=
            POCKETFED_OK ||
        pf_segment_write(*segment, ev->u.update.extent.offset, frame->data,
                         frame->len, &err) != POCKETFED_OK ||
        pf_segment_map(*segment, &ev->u.update.extent, &p, &err) !=
            POCKETFED_OK)
        die("segment", &err);
    if (pf_admit(&want, p, frame->len, scratch, &ev->u.update.admitted, &why) !=
        POCKETFED_OK)
        die(why.detail, NULL);
    pf_segment_unmap(*segment, p, &ev->u.update.extent);
    return 1;
}

int core_upload(struct core *k, struct pf_live_task *t, uint64_t round,
                const uint8_t base[32], int i, int salt, struct pf_answer *out)
{
    struct pf_segment *segment = NULL;
    struct pf_event ev = {0};
    struct pf_buf frame;
    int alive;

    pf_buf_init(&frame, 1u << 20);
    core_frame(t, round, base, i, salt, &frame);
    ev.kind = PF_EV_OFFER;
    ev.device = core_device(i);
    ev.round = round;
    pf_sha256(frame.data, frame.len, ev.u.update.digest);
    ev.u.update.extent.length = frame.len;
    alive = core_ask(k, t, &ev, out);
    while (alive &&
           (out->kind == PF_ANSWER_GO || out->kind == PF_ANSWER_MOVE)) {
        ev.kind = PF_EV_UPDATE;
        ev.u.update.segment = out->u.go.round;
        if (deposit(k, t, &ev, base, &frame, &segment)) {
            alive = core_ask(k, t, &ev, out);
            if (alive && (out->kind != PF_ANSWER_ACK || out->again))
                pf_segment_release(segment, &ev.u.update.extent);
        } else {
            out->kind = PF_ANSWER_PROBLEM;
            pf_problem_set(&out->u.problem, PF_PROBLEM_ROUND_CLOSED, "closed");
        }
        pf_segment_unref(segment);
    }
    pf_buf_free(&frame);
    return alive;
}

int core_take_part(struct core *k, struct pf_live_task *t, int i,
                   struct pf_ack *ack)
{
    struct pf_checkin_reply c;
    struct pf_answer a;

    if (!core_checkin(k, t, i, &a))
        return 0;
    c = a.u.checkin;
    if (a.kind != PF_ANSWER_CHECKIN || c.kind != PF_CHECKIN_TRAIN ||
        !core_upload(k, t, c.round, c.base, i, 0, &a) ||
        a.kind != PF_ANSWER_ACK)
        return 0;
    *ack = a.u.ack;
    return 1;
}

/* ---- the second opinion ------------------------------------------------ */

struct chain {
    struct core *k;
    struct pf_live_task *t;
    int n_devices, n_models, wrong;
    struct pf_buf model; /* file of the last published one */
    uint8_t digest[32];
};

static void check_round(void *ctx, const struct pf_round_status *rs)
{
    struct chain *ch = ctx;
    struct pf_live_task *t = ch->t;
    float scratch[PF_ADMIT_BLOCK];
    struct pf_error err = {0};
    struct pf_buf frame, next;
    uint8_t digest[32];
    struct pf_sum sum;
    struct pf_ack ack;
    int i;

    if (ch->wrong || strcmp(rs->phase, "published") != 0)
        return;
    pf_buf_init(&frame, 1u << 20);
    pf_buf_init(&next, 1u << 20);
    if (pf_sum_init(&sum, CORE_PARAMS) != POCKETFED_OK)
        die("memory", NULL);
    for (i = 0; i < ch->n_devices; i++) {
        if (pf_reader_ack(ch->k->reader, t->stored.id, rs->round,
                          core_device(i).id, &ack) != POCKETFED_OK)
            continue;
        pf_buf_clear(&frame);
        core_frame(t, rs->round, ch->digest, i, 0, &frame);
        pf_sha256(frame.data, frame.len, digest);
        ch->wrong |= memcmp(digest, ack.digest, 32) != 0;
        pf_sum_fold(&sum, &t->plan, frame.data, frame.len, ack.weight, 1,
                    scratch);
    }
    ch->wrong |= sum.updates != rs->accepted;
    if (pf_publish(&t->task, t->model, rs->round, t->stored.plan,
                   ch->model.data, ch->model.len, ch->digest, &sum, NULL, &next,
                   digest, &err) != POCKETFED_OK)
        die("publish", &err);
    ch->wrong |= memcmp(digest, rs->model, 32) != 0;
    memcpy(ch->digest, digest, 32);
    pf_buf_free(&ch->model);
    ch->model = next;
    ch->n_models++;
    pf_sum_free(&sum);
    pf_buf_free(&frame);
}

int core_check_models(struct core *k, struct pf_live_task *t, int n)
{
    struct chain ch = {k, t, n, 0, 0, {0}, {0}};

    pf_buf_init(&ch.model, 1u << 20);
    if (pf_publish_initial(&t->task, t->model, t->stored.plan, NULL, &ch.model,
                           ch.digest) != POCKETFED_OK)
        die("initial model", NULL);
    pf_reader_rounds(k->reader, t->stored.id, 0, 1u << 20, check_round, &ch);
    pf_buf_free(&ch.model);
    return ch.wrong ? -1 : ch.n_models;
}
