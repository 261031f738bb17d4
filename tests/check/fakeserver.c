#include "fakeserver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rng.h"
#include "safetensors.h"
#include "statement.h"
#include "update.h"

#define SPEC(units)                                                            \
    "{\"version\":1,\"input\":[1,4,4],\"layers\":["                            \
    "{\"name\":\"flatten\",\"type\":\"flatten\"},"                             \
    "{\"name\":\"fc1\",\"type\":\"dense\",\"units\":" units "},"               \
    "{\"name\":\"relu1\",\"type\":\"relu\"},"                                  \
    "{\"name\":\"fc2\",\"type\":\"dense\",\"units\":3}],"                      \
    "\"loss\":\"softmax_cross_entropy\"}"

/* The harness itself must not fail. */
#define MUST(what)                                                             \
    do {                                                                       \
        if (!(what)) {                                                         \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);         \
            abort();                                                           \
        }                                                                      \
    } while (0)

enum pocketfed_status pf_fake_example(void *ctx, size_t i, float *x,
                                      uint32_t *label)
{
    struct pf_rng rng = pf_rng_make(1, i, 0, PF_RNG_TEST);
    size_t k;

    (void)ctx;
    *label = (uint32_t)(i % 3);
    for (k = 0; k < 16; k++)
        x[k] = pf_rng_float(&rng, k) + (k % 3 == *label ? 0.5f : 0.0f);
    return POCKETFED_OK;
}

void pf_fake_publish(struct pf_fake *f)
{
    size_t n = pf_model_n_params(f->model);
    float *params = malloc(n * sizeof *params);
    struct pf_model_meta meta;

    MUST(params);
    pf_buf_clear(&f->plan_bytes);
    MUST(!pf_plan_encode(&f->plan, &f->plan_bytes));
    pf_sha256(f->plan_bytes.data, f->plan_bytes.len, f->plan_digest);
    memset(&meta, 0, sizeof meta);
    snprintf(meta.task, sizeof meta.task, "%s", f->plan.task);
    memcpy(meta.plan, f->plan_digest, 32);
    pf_model_init(f->model, 7, params);
    pf_buf_clear(&f->model_file);
    MUST(!pf_safetensors_write(f->model, params, &meta, &f->model_file));
    pf_sha256(f->model_file.data, f->model_file.len, f->model_digest);
    memcpy(f->work.plan, f->plan_digest, 32);
    memcpy(f->work.base, f->model_digest, 32);
    free(params);
}

static void make_model(struct pf_fake *f, const char *spec)
{
    struct pf_error err;

    pf_model_free(f->model);
    if (pf_model_create(spec, strlen(spec), &f->model, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

void pf_fake_grow(struct pf_fake *f)
{
    make_model(f, SPEC("1500"));
    pf_buf_clear(&f->plan.model);
    MUST(!pf_buf_adds(&f->plan.model, pf_model_spec(f->model)));
    pf_fake_publish(f);
}

void pf_fake_start(struct pf_fake *f, const char *task)
{

    memset(f, 0, sizeof *f);
    MUST(!pf_key_generate(PF_KEY_ED25519, &f->record_key));
    MUST(!pf_key_generate(PF_KEY_ED25519, &f->other_key));
    pf_buf_init(&f->plan_bytes, PF_MAX_PLAN);
    pf_buf_init(&f->model_file, 1 << 20);
    pf_buf_init(&f->frame, 1 << 20);
    pf_buf_init(&f->rotation, PF_ROTATION_MAX);
    pf_buf_init(&f->kept, 1 << 20);
    make_model(f, SPEC("8"));
    pf_plan_init(&f->plan);
    snprintf(f->plan.task, sizeof f->plan.task, "%s", task);
    MUST(!pf_buf_adds(&f->plan.model, pf_model_spec(f->model)));
    f->plan.revision = 1;
    f->plan.train.epochs = 2;
    f->plan.train.batch = 8;
    f->plan.train.momentum = 0.9;
    f->plan.memory = 1 << 20;
    snprintf(f->plan.min_version, sizeof f->plan.min_version, "0.1.0");
    f->work.kind = PF_CHECKIN_TRAIN;
    snprintf(f->work.task, sizeof f->work.task, "%s", task);
    f->work.round = 3;
    f->work.seed = UINT64_C(0x123456789abcdef);
    f->work.lease_ms = 60000;
    f->wrong_signature_at = -1;
    f->now_ms = INT64_C(1790000000000);
    pf_fake_publish(f);
}

void pf_fake_stop(struct pf_fake *f)
{
    pf_key_free(f->record_key);
    pf_key_free(f->other_key);
    pf_key_free(f->former_key);
    pf_buf_free(&f->rotation);
    pf_key_free(f->device_key);
    pf_model_free(f->model);
    pf_plan_free(&f->plan);
    pf_buf_free(&f->plan_bytes);
    pf_buf_free(&f->model_file);
    pf_buf_free(&f->frame);
    pf_buf_free(&f->kept);
}

void pf_fake_rotate(struct pf_fake *f)
{
    struct pf_rotation r = {.time_ms = f->now_ms};
    uint8_t raw[PF_PUBLIC_MAX], sig[PF_SIGNATURE_LEN];

    pf_key_free(f->former_key);
    f->former_key = f->record_key;
    MUST(!pf_key_generate(PF_KEY_ED25519, &f->record_key));
    pf_key_fingerprint(f->former_key, f->replaced);
    pf_key_public(f->former_key, raw);
    memcpy(r.old_key, raw, 32);
    pf_key_public(f->record_key, raw);
    memcpy(r.new_key, raw, 32);
    pf_buf_clear(&f->rotation);
    MUST(!pf_json_encode(pf_rotation_fields, &r, &f->rotation));
    MUST(!pf_statement_sign(f->former_key, PF_SAY_ROTATION, f->rotation.data,
                            f->rotation.len, sig));
    pf_statement_field(sig, f->rotation_statement);
}

void pf_fake_reply_free(struct pf_fake_reply *r)
{
    pf_buf_free(&r->body);
}

static void answer(struct pf_fake *f, enum pf_call_id call, const char *label,
                   struct pf_fake_reply *r)
{
    uint8_t sig[PF_SIGNATURE_LEN];
    const struct pf_key *key =
        f->wrong_signature_at == (int)call ? f->other_key : f->record_key;

    if (f->bend)
        f->bend(f, call, &r->body);
    if (!label)
        return;
    MUST(!pf_statement_sign(key, label, r->body.data, r->body.len, sig));
    pf_statement_field(sig, r->statement);
}

static void answer_json(struct pf_fake *f, enum pf_call_id call, int status,
                        const char *label, const struct pf_json_field *fields,
                        const void *message, struct pf_fake_reply *r)
{
    r->status = status;
    MUST(!pf_json_encode(fields, message, &r->body));
    answer(f, call, label, r);
}

static int serve_problem(struct pf_fake *f, enum pf_call_id call,
                         struct pf_fake_reply *r)
{
    if (f->problem_times <= 0 || f->problem_at != call)
        return 0;
    f->problem_times--;
    r->retry_after_s = f->retry_after_s;
    if (f->bare_status) {
        r->status = f->bare_status;
        MUST(!pf_buf_adds(&r->body, "<html>no</html>"));
        return 1;
    }
    r->status = pf_problem_rows[f->problem.id].status;
    MUST(!pf_problem_encode(&f->problem, &r->body));
    answer(f, call, f->problem_unsigned ? NULL : PF_SAY_TIME, r);
    return 1;
}

static void enrol(struct pf_fake *f, const uint8_t *body, size_t len,
                  struct pf_fake_reply *r)
{
    struct pf_enrol_request q;
    struct pf_enrol_reply a;
    enum pf_key_alg alg;
    uint8_t id[32], raw[PF_PUBLIC_MAX];

    memset(&q, 0, sizeof q);
    MUST(!pf_json_decode(pf_enrol_request_fields, PF_JSON_IGNORE,
                         (const char *)body, len, &q, NULL));
    MUST(pf_key_alg_find(q.alg, &alg));
    pf_key_free(f->device_key);
    MUST(!pf_key_from_public(alg, q.key.data, q.key.len, &f->device_key));
    pf_key_fingerprint(f->device_key, id);
    memcpy(f->device, id, sizeof f->device);
    memset(&a, 0, sizeof a);
    snprintf(a.task, sizeof a.task, "%s", f->plan.task);
    memcpy(a.device, f->device, sizeof a.device);
    a.ordinal = 5;
    pf_key_public(f->record_key, raw);
    memcpy(a.record_key, raw, sizeof a.record_key);
    a.server_time_ms = f->now_ms;
    answer_json(f, PF_CALL_ENROL, 201, PF_SAY_ENROLMENT, pf_enrol_reply_fields,
                &a, r);
}

static void take_update(struct pf_fake *f, const struct pf_call_args *args,
                        const uint8_t *body, size_t len,
                        struct pf_fake_reply *r)
{
    struct pf_update u;
    struct pf_ack a;

    MUST(!pf_update_parse(body, len, &u, NULL));
    pf_buf_clear(&f->frame);
    MUST(!pf_buf_add(&f->frame, body, len));
    memset(&a, 0, sizeof a);
    snprintf(a.task, sizeof a.task, "%s", u.task);
    memcpy(a.device, f->device, sizeof a.device);
    a.round = a.counted = args->round;
    memcpy(a.base, u.base, 32);
    memcpy(a.plan, u.plan, 32);
    pf_sha256(body, len, a.digest);
    a.examples = a.weight = u.examples;
    if (f->n_acks < sizeof f->acks / sizeof f->acks[0])
        f->acks[f->n_acks++] = a;
    if (f->keep_contributing && f->work.round == u.round)
        f->work.round++;
    answer_json(f, PF_CALL_UPDATE, 201, PF_SAY_ACK, pf_ack_fields, &a, r);
}

/* As the daemon does: 404 while the round has no record. */
static void prove(struct pf_fake *f, uint64_t round, struct pf_fake_reply *r)
{
    static struct pf_proof proof;
    const char *since = strstr(f->query, "since=");
    size_t i;

    memcpy(f->proof_query, f->query, sizeof f->proof_query);
    r->status = 404;
    for (i = 0; f->log && i < f->n_acks; i++) {
        if (f->acks[i].counted != round ||
            !fakelog_prove(f->log, &f->acks[i],
                           since ? strtoull(since + 6, NULL, 10) : 0, &proof))
            continue;
        answer_json(f, PF_CALL_PROOF, 200, NULL, pf_proof_fields, &proof, r);
        return;
    }
}

static void tell_key(struct pf_fake *f, const uint8_t asked[32],
                     struct pf_fake_reply *r)
{
    r->status = 404;
    if (!f->rotation.len || memcmp(asked, f->replaced, 32) != 0)
        return;
    r->status = 200;
    MUST(!pf_buf_add(&r->body, f->rotation.data, f->rotation.len));
    answer(f, PF_CALL_KEY, NULL, r);
    memcpy(r->statement, f->rotation_statement, sizeof r->statement);
}

static void refuse(enum pf_problem_id id, struct pf_fake_reply *r)
{
    struct pf_problem p;

    pf_problem_set(&p, id, "no");
    r->status = pf_problem_rows[id].status;
    MUST(!pf_problem_encode(&p, &r->body));
}

static int is_kept(const struct pf_fake *f)
{
    return f->kept.len > 0 &&
           memcmp(f->kept_digest, f->asked.digest, sizeof f->kept_digest) == 0;
}

void pf_fake_cut(struct pf_fake *f, enum pf_call_id call, const uint8_t *body,
                 size_t len)
{
    f->calls[call]++;
    if (call == PF_CALL_UPDATE)
        pf_buf_clear(&f->kept);
    else if (!is_kept(f) || f->asked.offset != f->kept.len)
        return;
    memcpy(f->kept_digest, f->asked.digest, sizeof f->kept_digest);
    if (!f->keeps_nothing)
        MUST(!pf_buf_add(&f->kept, body, len));
}

/* As a HEAD is answered: without a body. */
static void say_offset(struct pf_fake *f, struct pf_fake_reply *r)
{
    r->status = 404;
    if (f->kept.len == 0)
        return;
    r->status = 204;
    r->upload_offset = (int64_t)f->kept.len;
    r->has_digest = 1;
    memcpy(r->digest, f->kept_digest, sizeof r->digest);
}

static void append_update(struct pf_fake *f, const struct pf_call_args *args,
                          const uint8_t *body, size_t len,
                          struct pf_fake_reply *r)
{
    struct pf_buf whole;

    if (!is_kept(f)) {
        refuse(f->kept.len ? PF_PROBLEM_UPLOAD_MISMATCH
                           : PF_PROBLEM_UPLOAD_UNKNOWN,
               r);
        return;
    }
    if (f->asked.offset != f->kept.len) {
        refuse(PF_PROBLEM_UPLOAD_MISMATCH, r);
        r->upload_offset = (int64_t)f->kept.len;
        return;
    }
    pf_buf_init(&whole, 1 << 20);
    MUST(!pf_buf_add(&whole, f->kept.data, f->kept.len));
    MUST(!pf_buf_add(&whole, body, len));
    pf_buf_clear(&f->kept);
    take_update(f, args, whole.data, whole.len, r);
    pf_buf_free(&whole);
}

static void send_model(struct pf_fake *f, struct pf_fake_reply *r)
{
    size_t from = f->whole_models ? 0 : (size_t)f->asked.offset;

    if (from > 0 && from >= f->model_file.len) {
        refuse(PF_PROBLEM_RANGE, r);
        return;
    }
    r->status = from > 0 ? 206 : 200;
    if (from > 0)
        r->range_first = (int64_t)from;
    MUST(!pf_buf_add(&r->body, f->model_file.data + from,
                     f->model_file.len - from));
    answer(f, PF_CALL_MODEL, NULL, r);
}

void pf_fake_serve(struct pf_fake *f, enum pf_call_id call,
                   const struct pf_call_args *args, const uint8_t *body,
                   size_t len, struct pf_fake_reply *r)
{
    if (!r->body.max)
        pf_buf_init(&r->body, 1 << 20);
    pf_buf_clear(&r->body);
    r->statement[0] = '\0';
    r->retry_after_s = 0;
    r->upload_offset = r->range_first = -1;
    r->has_digest = 0;
    f->calls[call]++;
    if (serve_problem(f, call, r))
        return;
    switch (call) {
    case PF_CALL_ENROL:
        enrol(f, body, len, r);
        break;
    case PF_CALL_CHECKIN:
        memcpy(f->work.device, f->device, sizeof f->work.device);
        answer_json(f, call, 200, PF_SAY_ASSIGNMENT, pf_checkin_reply_fields,
                    &f->work, r);
        break;
    case PF_CALL_PLAN:
        r->status = 200;
        MUST(!pf_buf_add(&r->body, f->plan_bytes.data, f->plan_bytes.len));
        answer(f, call, PF_SAY_PLAN, r);
        break;
    case PF_CALL_MODEL:
        send_model(f, r);
        break;
    case PF_CALL_UPDATE:
        take_update(f, args, body, len, r);
        break;
    case PF_CALL_UPDATE_OFFSET:
        say_offset(f, r);
        break;
    case PF_CALL_UPDATE_APPEND:
        append_update(f, args, body, len, r);
        break;
    case PF_CALL_FAILURE:
        memset(&f->report, 0, sizeof f->report);
        MUST(!pf_json_decode(pf_failure_report_fields, PF_JSON_IGNORE,
                             (const char *)body, len, &f->report, NULL));
        r->status = 204;
        break;
    case PF_CALL_LEAVE:
        r->status = 204;
        break;
    case PF_CALL_PROOF:
        prove(f, args->round, r);
        break;
    case PF_CALL_KEY:
        tell_key(f, args->digest, r);
        break;
    default:
        r->status = 404;
        break;
    }
}
