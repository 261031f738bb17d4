/* What the server says: every reply is proved, compared with what was asked,
 * and moves the machine to its next phase.
 */
#include "participation.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "participation_core.h"
#include "refusal.h"
#include "safetensors.h"
#include "statement.h"
#include "text.h"

#define MAX_CLOCKS 3 /* corrections in a row before it counts as trouble */

static enum pocketfed_status wrong_proof(struct pf_participation *p,
                                         const char *what)
{
    pf_part_not_signed(p, what);
    return pf_part_refuse(p);
}

/* A success that cannot be read is trouble on the way: ask again. */
static enum pocketfed_status unreadable(struct pf_participation *p,
                                        const struct pf_want_reply *r)
{
    pf_part_retry(p, r->retry_after_ms);
    return POCKETFED_OK;
}

/* --- model --- */

static enum pocketfed_status begin(struct pf_participation *p,
                                   const uint8_t *file, size_t len)
{
    enum pocketfed_status st = pf_part_begin_training(p, file, len);

    if (st == POCKETFED_OK)
        return POCKETFED_OK;
    if (st != POCKETFED_NO_MEMORY)
        return pf_part_refuse(p);
    pf_part_fail(p, PF_FAILURE_MEMORY);
    return POCKETFED_OK;
}

/* The plan is in use: from the cache, or by asking for it. */
enum pocketfed_status pf_part_ask_for_model(struct pf_participation *p)
{
    enum pocketfed_status st = pf_part_plan_ready(p);
    struct pf_buf file;

    if (st || p->phase == PF_PHASE_FAILURE)
        return st;
    p->phase = PF_PHASE_MODEL;
    if (!p->io.object_get)
        return POCKETFED_OK;
    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    if (p->io.object_get(p->io.ctx, p->work.base, &file) == POCKETFED_OK &&
        pf_part_has_digest(file.data, file.len, p->work.base))
        st = begin(p, file.data, file.len);
    pf_buf_free(&file);
    return st;
}

static enum pocketfed_status on_model(struct pf_participation *p,
                                      const struct pf_want_reply *r)
{
    enum pocketfed_status st;
    const uint8_t *file;
    size_t len;

    st = pf_part_take_file(p, r, p->work.base, &file, &len);
    if (st == POCKETFED_AGAIN)
        return POCKETFED_OK;
    if (st)
        return pf_part_wrong_digest(p, "model", p->work.base);
    if (p->io.object_put)
        p->io.object_put(p->io.ctx, p->work.base, file, len);
    st = begin(p, file, len);
    pf_part_end_download(p);
    return st;
}

static enum pocketfed_status on_final_model(struct pf_participation *p,
                                            const struct pf_want_reply *r)
{
    struct pf_model_meta meta;
    struct pf_model *m = NULL;
    float *params = NULL;
    enum pocketfed_status st;
    const uint8_t *file;
    size_t len;

    st = pf_part_take_file(p, r, p->work.final_model, &file, &len);
    if (st == POCKETFED_AGAIN)
        return POCKETFED_OK;
    if (st == POCKETFED_OK &&
        pf_safetensors_read(file, len, &m, &params, &meta, NULL) ==
            POCKETFED_OK &&
        strcmp(meta.task, p->member->task) == 0 && p->io.object_put &&
        pf_part_check_made(p, &meta, p->work.final_model) == POCKETFED_OK)
        p->io.object_put(p->io.ctx, p->work.final_model, file, len);
    pf_part_end_download(p);
    pf_model_free(m);
    free(params);
    pf_part_end(p, PF_OUTCOME_FINISHED);
    return POCKETFED_OK;
}

/* --- check-in --- */

static enum pocketfed_status on_assignment(struct pf_participation *p)
{
    const struct pf_checkin_reply *w = &p->work;

    if (strcmp(w->task, p->member->task) != 0) {
        pf_fail(&p->why, POCKETFED_PROOF,
                "the assignment is for task %s, not %s", w->task,
                p->member->task);
        return pf_part_refuse(p);
    }
    if (memcmp(w->device, p->member->device, PF_DEVICE_LEN) != 0) {
        pf_fail(&p->why, POCKETFED_PROOF,
                "the assignment is for another device");
        return pf_part_refuse(p);
    }
    if (w->round == 0 || w->round < p->member->last_round) {
        pf_fail(&p->why, POCKETFED_PROOF,
                "the assignment is for round %" PRIu64 ", but round %" PRIu64
                " was already accepted",
                w->round, p->member->last_round);
        pf_hint(&p->why, "the server's state is older than this device's; its "
                         "operator may have restored a backup");
        return pf_part_refuse(p);
    }
    if (pf_part_check_base(p))
        return pf_part_refuse(p);
    if (p->has_plan && memcmp(p->plan_digest, w->plan, 32) == 0)
        return pf_part_ask_for_model(p);
    p->phase = PF_PHASE_PLAN;
    return pf_part_use_kept_plan(p);
}

static int is_for_us(const struct pf_participation *p)
{
    return strcmp(p->work.task, p->member->task) == 0 &&
           memcmp(p->work.device, p->member->device, PF_DEVICE_LEN) == 0;
}

/* Only the record key may say that the task is over; else it is a wait like
 * any other. */
static enum pocketfed_status on_wait(struct pf_participation *p, int proved)
{
    p->work.round = 0; /* a wait belongs to none */
    if (p->work.reason == PF_WAIT_FINISHED && proved && is_for_us(p)) {
        if (p->io.object_put && !pf_is_zero(p->work.final_model, 32))
            p->phase = PF_PHASE_FINAL_MODEL;
        else
            pf_part_end(p, PF_OUTCOME_FINISHED);
    } else if (p->work.max_ms > 0 || p->work.min_ms > 0) {
        p->attempts = 0;
        p->wait_ms = pf_part_between(p, p->work.min_ms, p->work.max_ms);
    } else { /* it names no time */
        pf_part_retry(p, 0);
    }
    return POCKETFED_OK;
}

static enum pocketfed_status on_checkin(struct pf_participation *p,
                                        const struct pf_want_reply *r)
{
    struct pf_checkin_reply said;
    int proved;

    memset(&said, 0, sizeof said);
    if (pf_json_decode(pf_checkin_reply_fields, PF_JSON_IGNORE,
                       (const char *)r->body, r->body_len, &said, &p->why))
        return unreadable(p, r);
    proved = pf_statement_verify_field(p->member->record_key, PF_SAY_ASSIGNMENT,
                                       r->body, r->body_len,
                                       r->statement) == POCKETFED_OK;
    if (said.kind == PF_CHECKIN_TRAIN && !proved)
        return wrong_proof(p, "the assignment");
    p->work = said;
    p->work_proved = proved;
    if (proved)
        p->rotations = 0;
    if (!pf_part_wants_proof(p))
        return pf_part_go_on(p);
    p->phase = PF_PHASE_PROOF;
    return POCKETFED_OK;
}

enum pocketfed_status pf_part_go_on(struct pf_participation *p)
{
    p->phase = PF_PHASE_CHECKIN;
    return p->work.kind == PF_CHECKIN_TRAIN ? on_assignment(p)
                                            : on_wait(p, p->work_proved);
}

/* --- acknowledgement --- */

static enum pocketfed_status on_ack(struct pf_participation *p,
                                    const struct pf_want_reply *r)
{
    struct pf_ack ack;
    const char *differs = NULL;

    if (pf_statement_verify_field(p->member->record_key, PF_SAY_ACK, r->body,
                                  r->body_len, r->statement))
        return wrong_proof(p, "the acknowledgement");
    memset(&ack, 0, sizeof ack);
    if (pf_json_decode(pf_ack_fields, PF_JSON_IGNORE, (const char *)r->body,
                       r->body_len, &ack, &p->why))
        return unreadable(p, r);
    if (strcmp(ack.task, p->member->task) != 0)
        differs = "task";
    else if (memcmp(ack.device, p->member->device, PF_DEVICE_LEN) != 0)
        differs = "device";
    else if (ack.round != p->work.round)
        differs = "round";
    else if (ack.counted < ack.round)
        differs = "round to count in";
    else if (memcmp(ack.base, p->work.base, 32) != 0)
        differs = "base model";
    else if (memcmp(ack.plan, p->work.plan, 32) != 0)
        differs = "plan";
    else if (memcmp(ack.digest, p->digest, 32) != 0)
        differs = "update digest";
    else if (ack.examples != p->frame_examples || ack.weight == 0)
        differs = "number of examples";
    if (differs) {
        pf_fail(&p->why, POCKETFED_PROOF,
                "the acknowledgement is signed but names another %s", differs);
        return pf_part_refuse(p);
    }
    p->ack = ack;
    pf_part_keep_receipt(p, r);
    p->drops = 0;
    pf_part_end(p, PF_OUTCOME_ACCEPTED);
    return POCKETFED_OK;
}

/* --- refusals --- */

static const char *doing(enum pf_phase phase)
{
    switch (phase) {
    case PF_PHASE_PLAN:
        return "plan";
    case PF_PHASE_MODEL:
    case PF_PHASE_FINAL_MODEL:
        return "model";
    case PF_PHASE_UPLOAD:
        return "update";
    case PF_PHASE_FAILURE:
        return "failure report";
    case PF_PHASE_PROOF:
        return "question for a proof";
    case PF_PHASE_KEY:
        return "question for a new record key";
    case PF_PHASE_START:
    case PF_PHASE_CHECKIN:
    case PF_PHASE_TRAIN:
    case PF_PHASE_ENDED:
        break;
    }
    return "check-in";
}

/* The server's time counts only under its record key. */
static void take_time(struct pf_participation *p, const struct pf_want_reply *r,
                      const struct pf_problem *problem)
{
    if (problem->server_time_ms > 0 &&
        pf_statement_verify_field(p->member->record_key, PF_SAY_TIME, r->body,
                                  r->body_len, r->statement) == POCKETFED_OK)
        p->server_time_ms = problem->server_time_ms;
}

/* A refusal for good, of this work or of everything. Nothing hangs on a report
 * or on the final model. */
static enum pocketfed_status give_up(struct pf_participation *p,
                                     enum pf_problem_action action)
{
    if (p->phase == PF_PHASE_KEY)
        return pf_part_key_stays(p);
    if (p->phase == PF_PHASE_FINAL_MODEL)
        pf_part_end(p, PF_OUTCOME_FINISHED);
    else if (action == PF_DO_DROP || p->phase == PF_PHASE_FAILURE)
        pf_part_drop(p);
    else
        return pf_part_refuse(p);
    return POCKETFED_OK;
}

static enum pocketfed_status on_problem(struct pf_participation *p,
                                        const struct pf_want_reply *r)
{
    struct pf_problem problem;
    struct pf_error why;
    enum pf_problem_action action;

    action = pf_refusal_read(r, doing(p->phase), &problem, &why);
    /* The round moved on while we asked for what belongs to it. */
    if ((p->phase == PF_PHASE_PLAN || p->phase == PF_PHASE_MODEL) &&
        (r->status == 404 || r->status == 410))
        action = PF_DO_DROP;
    if (problem.id == PF_PROBLEM_RECORD_KEY && p->phase != PF_PHASE_FAILURE &&
        p->phase != PF_PHASE_KEY) {
        p->why = why;
        return pf_part_doubt_key(p);
    }
    if (p->phase != PF_PHASE_FAILURE)
        p->why = why;
    take_time(p, r, &problem);
    if (p->phase == PF_PHASE_UPLOAD &&
        (action == PF_DO_RETRY || action == PF_DO_CLOCK))
        pf_part_upload_again(p, problem.id);
    switch (action) {
    case PF_DO_CLOCK:
        if (p->server_time_ms > 0 && p->clocks++ < MAX_CLOCKS)
            return POCKETFED_OK; /* at once, signed with the right time */
        break;
    case PF_DO_DROP:
    case PF_DO_STOP:
        if (p->phase == PF_PHASE_PROOF)
            break;
        return give_up(p, action);
    case PF_DO_RETRY:
        break;
    }
    if (p->phase == PF_PHASE_PROOF) /* not yet, or not today */
        return pf_part_skip_proof(p);
    pf_part_retry(p, problem.retry_after_ms);
    return POCKETFED_OK;
}

static enum pocketfed_status on_success(struct pf_participation *p,
                                        const struct pf_want_reply *r)
{
    switch (p->phase) {
    case PF_PHASE_CHECKIN:
        return on_checkin(p, r);
    case PF_PHASE_PLAN:
        return pf_part_on_plan(p, r);
    case PF_PHASE_MODEL:
        return on_model(p, r);
    case PF_PHASE_FINAL_MODEL:
        return on_final_model(p, r);
    case PF_PHASE_UPLOAD:
        return on_ack(p, r);
    case PF_PHASE_FAILURE:
        pf_part_drop(p);
        return POCKETFED_OK;
    case PF_PHASE_PROOF:
        return pf_part_on_proof(p, r);
    case PF_PHASE_KEY:
        return pf_part_on_key(p, r);
    case PF_PHASE_START:
    case PF_PHASE_TRAIN:
    case PF_PHASE_ENDED:
        break;
    }
    return pf_fail(&p->why, POCKETFED_INVALID, "no reply is awaited");
}

static int is_download(const struct pf_participation *p)
{
    return p->phase == PF_PHASE_MODEL || p->phase == PF_PHASE_FINAL_MODEL;
}

enum pocketfed_status pf_participation_reply(struct pf_participation *p,
                                             const struct pf_want_reply *reply,
                                             struct pf_error *err)
{
    enum pf_phase asked = p->phase;
    enum pocketfed_status st;
    int awaited = asked != PF_PHASE_START && asked != PF_PHASE_TRAIN &&
                  asked != PF_PHASE_ENDED;

    if (!awaited)
        return pf_fail(err, POCKETFED_INVALID, "no reply is awaited");
    p->server_time_ms = 0;
    if (asked != PF_PHASE_FAILURE) /* there it says why the work is in vain */
        memset(&p->why, 0, sizeof p->why);
    if (p->phase == PF_PHASE_UPLOAD && p->sending == PF_SEND_ASK) {
        pf_part_on_offset(p, reply);
        return POCKETFED_OK;
    }
    if ((reply->status >= 200 && reply->status < 300) ||
        (reply->status == 416 && is_download(p) && pf_part_downloaded(p) > 0))
        st = on_success(p, reply);
    else
        st = on_problem(p, reply);
    if (p->phase != asked)
        p->attempts = p->clocks = 0;
    if (st && err)
        *err = p->why;
    return st;
}
