/* From the base model to a frame that is ready to be sent: training in slices,
 * checkpoints, delta, clipping, encoding.
 */
#include "participation.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "participation_core.h"
#include "safetensors.h"

#define CKPT_MAGIC 0x304b4650u /* "PFK0" */
#define CKPT_HEAD  160u

/* A checkpoint: magic, 0; the assignment (round, seed, base, plan), how much
 * data and parameters it speaks of, the position, then parameters and optimiser
 * state, all little-endian; last, the SHA-256 of everything before it. */
static size_t checkpoint_bytes(const struct pf_participation *p)
{
    size_t n = pf_model_n_params(p->model) + pf_trainer_n_state(p->trainer);

    return CKPT_HEAD + n * 4 + 32;
}

static void put_head(const struct pf_participation *p, size_t n_state,
                     const struct pf_train_position *at,
                     uint8_t head[CKPT_HEAD])
{
    memset(head, 0, CKPT_HEAD);
    pf_put32(head, CKPT_MAGIC);
    pf_put64(head + 8, p->work.round);
    pf_put64(head + 16, p->work.seed);
    memcpy(head + 24, p->work.base, 32);
    memcpy(head + 56, p->work.plan, 32);
    pf_put64(head + 88, p->capped.n);
    pf_put64(head + 96, pf_model_n_params(p->model));
    pf_put64(head + 104, n_state);
    /* Everything up to here must be equal; the rest is the position. */
    pf_put32(head + 112, at->epoch);
    pf_put64(head + 120, at->batch);
    pf_put64(head + 128, at->step);
    pf_put64(head + 136, at->examples);
    pf_putd(head + 144, at->loss_sum);
    pf_put64(head + 152, at->loss_examples);
}

/* n floats at `at`, which is aligned for them, between the processor's order of
 * bytes and the file's, in place. */
static void to_little_endian(uint8_t *at, size_t n)
{
    const float *x = (const void *)at;
    size_t i;

    for (i = 0; i < n; i++)
        pf_putf(at + 4 * i, x[i]);
}

static void from_little_endian(uint8_t *at, size_t n)
{
    float *x = (void *)at;
    size_t i;

    for (i = 0; i < n; i++)
        x[i] = pf_getf(at + 4 * i);
}

enum pocketfed_status pf_participation_checkpoint(struct pf_participation *p,
                                                  struct pf_error *err)
{
    size_t n, n_state, len;
    enum pocketfed_status st;
    uint8_t *out, *floats;

    if (p->phase != PF_PHASE_TRAIN || !p->io.save)
        return POCKETFED_OK;
    n = pf_model_n_params(p->model);
    n_state = pf_trainer_n_state(p->trainer);
    len = checkpoint_bytes(p);
    out = malloc(len);
    if (!out)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a checkpoint");
    put_head(p, n_state, pf_trainer_position(p->trainer), out);
    floats = out + CKPT_HEAD;
    pf_trainer_get_params(p->trainer, (void *)floats);
    pf_trainer_get_state(p->trainer, (void *)(floats + 4 * n));
    to_little_endian(floats, n + n_state);
    pf_sha256(out, len - 32, out + len - 32);
    st = p->io.save(p->io.ctx, PF_SAVED_TRAIN, out, len);
    free(out);
    if (st)
        return pf_fail(err, st, "cannot save the checkpoint of round %" PRIu64,
                       p->work.round);
    return POCKETFED_OK;
}

/* Goes on where an earlier run stopped, when it was about the same work. */
static void resume_training(struct pf_participation *p)
{
    size_t n = pf_model_n_params(p->model), len;
    size_t n_state = pf_trainer_n_state(p->trainer);
    struct pf_train_position at;
    uint8_t head[CKPT_HEAD], digest[32], *floats;
    struct pf_buf in;

    len = checkpoint_bytes(p);
    pf_buf_init(&in, len);
    if (pf_part_load(p, PF_SAVED_TRAIN, &in) || in.len != len)
        goto out;
    memset(&at, 0, sizeof at);
    put_head(p, n_state, &at, head);
    pf_sha256(in.data, len - 32, digest);
    if (memcmp(digest, in.data + len - 32, 32) != 0 ||
        memcmp(head, in.data, 112) != 0)
        goto out;
    at.epoch = pf_get32(in.data + 112);
    at.batch = pf_get64(in.data + 120);
    at.step = pf_get64(in.data + 128);
    at.examples = pf_get64(in.data + 136);
    at.loss_sum = pf_getd(in.data + 144);
    at.loss_examples = pf_get64(in.data + 152);
    /* A position that cannot be leaves the training at its beginning. */
    floats = in.data + CKPT_HEAD;
    from_little_endian(floats, n + n_state);
    pf_trainer_resume(p->trainer, &at, (const void *)floats,
                      (const void *)(floats + 4 * n));
out:
    pf_buf_free(&in);
}

size_t pf_part_memory(const struct pf_participation *p, size_t n_examples)
{
    size_t n = pf_model_n_params(p->model), total, frame, saved;
    size_t states = p->plan.train.optimizer == PF_SGD ? 1 : 2;

    total = pf_trainer_bytes(p->model, &p->plan.train, n_examples,
                             pf_parallel_workers(p->io.threads));
    frame = p->codec->max_bytes(n);
    /* Besides the trainer: the base model, and one of: model file, checkpoint,
     * the trained parameters, frame. */
    if (!pf_mul_size(n, 4 * (1 + states), &saved) ||
        !pf_add_size(frame, PF_UPDATE_FIXED + 1024, &frame))
        return SIZE_MAX;
    if (frame < n * 4)
        frame = n * 4;
    if (frame < saved && p->io.save)
        frame = saved;
    if (!pf_add_size(total, n * 4, &total) ||
        !pf_add_size(total, frame, &total))
        return SIZE_MAX;
    return total;
}

enum pocketfed_status pf_part_plan_ready(struct pf_participation *p)
{
    const struct pf_plan_update *u = &p->plan.update;
    uint64_t n = p->examples->n;
    size_t bytes;

    if (n == 0) {
        pf_fail(&p->why, POCKETFED_INELIGIBLE, "there are no examples here");
        pf_part_fail(p, PF_FAILURE_NO_EXAMPLES);
        return POCKETFED_OK;
    }
    if (n < u->min_examples) {
        pf_fail(&p->why, POCKETFED_INELIGIBLE,
                "%" PRIu64 " examples here; the plan wants at least %" PRIu64,
                n, u->min_examples);
        pf_part_fail(p, PF_FAILURE_TOO_FEW_EXAMPLES);
        return POCKETFED_OK;
    }
    if (n > u->max_examples)
        n = u->max_examples;
    p->capped = *p->examples;
    p->capped.n = (size_t)n;
    bytes = pf_part_memory(p, (size_t)n);
    if (bytes == SIZE_MAX || (p->member->memory && bytes > p->member->memory)) {
        pf_fail(&p->why, POCKETFED_LIMIT,
                "this round needs %zu bytes of memory; the app gives %" PRIu64,
                bytes, p->member->memory);
        pf_part_fail(p, PF_FAILURE_MEMORY);
    }
    return POCKETFED_OK;
}

/* The file says whose child it is; that must fit the assignment. */
static enum pocketfed_status check_chain(struct pf_participation *p,
                                         const struct pf_model_meta *meta)
{
    if (strcmp(meta->task, p->member->task) != 0 &&
        (meta->task[0] || meta->round > 0))
        return pf_fail(&p->why, POCKETFED_PROOF,
                       "the model is of task %s, not %s", meta->task,
                       p->member->task);
    if (meta->round >= p->work.round)
        return pf_fail(&p->why, POCKETFED_PROOF,
                       "the model of round %" PRIu64
                       " cannot be the base of round %" PRIu64,
                       meta->round, p->work.round);
    if (!pf_is_zero(meta->plan, 32) &&
        memcmp(meta->plan, p->work.plan, 32) != 0)
        return pf_fail(&p->why, POCKETFED_PROOF,
                       "the model was made under another plan");
    return pf_part_check_made(p, meta, p->work.base);
}

enum pocketfed_status pf_part_begin_training(struct pf_participation *p,
                                             const uint8_t *file, size_t len)
{
    struct pf_model_meta meta;
    struct pf_model *model = NULL;
    float *params = NULL;
    uint8_t layout[32];
    enum pocketfed_status st;

    st = pf_safetensors_read(file, len, &model, &params, &meta, &p->why);
    if (st)
        goto out;
    st = check_chain(p, &meta);
    if (st)
        goto out;
    pf_model_layout_digest(model, layout);
    if (memcmp(layout, p->layout, sizeof layout) != 0) {
        st = pf_fail(&p->why, POCKETFED_PROOF,
                     "the model's tensors are not those of the plan");
        goto out;
    }
    st = pf_trainer_create(p->model, &p->plan.train, &p->capped, p->work.seed,
                           p->io.threads, &p->trainer, &p->why);
    if (st)
        goto out;
    pf_trainer_set_params(p->trainer, params);
    p->base = params;
    params = NULL;
    memcpy(p->held_model, p->work.base, sizeof p->held_model);
    resume_training(p);
    p->phase = PF_PHASE_TRAIN;
out:
    pf_model_free(model);
    free(params);
    return st;
}

/* p->base becomes the delta, clipped to the plan's norm. Sums in double and in
 * order, so that the bits are the same everywhere. */
static enum pocketfed_status make_delta(struct pf_participation *p)
{
    size_t n = pf_model_n_params(p->model), i;
    float *trained = malloc(n * sizeof *trained), *x = p->base;
    double norm2 = 0, norm, scale;

    if (!trained)
        return pf_fail(&p->why, POCKETFED_NO_MEMORY,
                       "no memory for the trained parameters");
    pf_trainer_get_params(p->trainer, trained);
    for (i = 0; i < n; i++) {
        x[i] = trained[i] - x[i];
        norm2 += (double)x[i] * (double)x[i];
    }
    free(trained);
    norm = sqrt(norm2);
    if (!isfinite(norm))
        return pf_fail(&p->why, POCKETFED_NON_FINITE,
                       "the training diverged: the update is not finite");
    if (norm > p->plan.update.max_norm) {
        scale = p->plan.update.max_norm / norm;
        for (i = 0; i < n; i++)
            x[i] = (float)((double)x[i] * scale);
    }
    return POCKETFED_OK;
}

static void add_metric(struct pf_update *u, const char *name, double value)
{
    if (!isfinite(value))
        return;
    memcpy(u->metrics[u->n_metrics].name, name, strlen(name) + 1);
    u->metrics[u->n_metrics++].value = value;
}

/* The frame into p->body, the delta encoded in its place. */
static enum pocketfed_status write_frame(struct pf_participation *p)
{
    size_t n = pf_model_n_params(p->model), at;
    struct pf_update u;
    enum pocketfed_status st;

    memset(&u, 0, sizeof u);
    memcpy(u.task, p->member->task, sizeof u.task);
    u.round = p->work.round;
    memcpy(u.plan, p->work.plan, 32);
    memcpy(u.base, p->work.base, 32);
    memcpy(u.layout, p->layout, 32);
    u.examples = p->capped.n;
    add_metric(&u, "train_loss", pf_trainer_loss(p->trainer));
    add_metric(&u, "steps", (double)pf_trainer_position(p->trainer)->step);
    u.n_sections = 1;
    u.sections[0].kind = PF_SECTION_DELTA;
    u.sections[0].codec = p->codec->id;
    u.sections[0].count = n;
    pf_buf_clear(&p->body);
    st = pf_update_begin(&p->body, &u);
    if (st == POCKETFED_OK) {
        at = p->body.len;
        st = p->codec->encode(p->base, n, p->work.seed, &p->body);
        if (st == POCKETFED_OK)
            st = pf_update_section_end(&p->body, &u, 0, at);
    }
    if (st)
        return pf_fail(&p->why, st, "the update cannot be encoded as %s: %s",
                       p->codec->name, pocketfed_status_text(st));
    return POCKETFED_OK;
}

static void ready(struct pf_participation *p, uint64_t examples, double loss,
                  int asked)
{
    p->loss = loss;
    pf_sha256(p->body.data, p->body.len, p->digest);
    p->frame_examples = examples;
    p->phase = PF_PHASE_UPLOAD;
    pf_part_begin_upload(p, asked);
}

/* The last mini-batch is done. */
static void finish_training(struct pf_participation *p)
{
    enum pocketfed_status st = make_delta(p);

    if (st == POCKETFED_OK)
        st = write_frame(p);
    if (st) {
        pf_part_fail(p, st == POCKETFED_NO_MEMORY ? PF_FAILURE_MEMORY
                                                  : PF_FAILURE_NON_FINITE);
        return;
    }
    pf_part_save(p, PF_SAVED_UPDATE, p->body.data, p->body.len);
    pf_part_remove(p, PF_SAVED_TRAIN);
    ready(p, p->capped.n, pf_trainer_loss(p->trainer), 0);
    pf_trainer_free(p->trainer);
    p->trainer = NULL;
    free(p->base);
    p->base = NULL;
}

int pf_part_resume_upload(struct pf_participation *p)
{
    struct pf_update u;

    pf_buf_clear(&p->body);
    if (pf_part_load(p, PF_SAVED_UPDATE, &p->body))
        return 0;
    if (pf_update_parse(p->body.data, p->body.len, &u, NULL) ||
        strcmp(u.task, p->member->task) != 0 ||
        u.round <= p->member->last_round) { /* accepted already */
        pf_part_remove(p, PF_SAVED_UPDATE);
        return 0;
    }
    p->work.round = u.round;
    memcpy(p->work.base, u.base, 32);
    memcpy(p->work.plan, u.plan, 32);
    /* Perhaps sent in part before the kill. */
    ready(p, u.examples, pf_update_metric(&u, "train_loss", (double)NAN), 1);
    return 1;
}

enum pocketfed_status pf_participation_train(struct pf_participation *p,
                                             int budget_ms,
                                             int64_t (*now_ms)(void *ctx),
                                             void *ctx, struct pf_error *err)
{
    int64_t end = now_ms ? now_ms(ctx) + budget_ms : 0;
    enum pocketfed_status st;

    if (p->phase != PF_PHASE_TRAIN)
        return pf_fail(err, POCKETFED_INVALID, "there is nothing to train");
    do {
        st = pf_trainer_step(p->trainer);
    } while (st == POCKETFED_AGAIN && now_ms && now_ms(ctx) < end);
    switch (st) {
    case POCKETFED_AGAIN:
        break;
    case POCKETFED_OK:
        finish_training(p);
        break;
    case POCKETFED_NON_FINITE:
        pf_fail(&p->why, st, "the training diverged: the loss is not finite");
        pf_part_fail(p, PF_FAILURE_NON_FINITE);
        break;
    default:
        pf_fail(&p->why, st, "the app's examples cannot be read: %s",
                pocketfed_status_text(st));
        pf_part_fail(p, PF_FAILURE_OTHER);
        break;
    }
    return POCKETFED_OK;
}
