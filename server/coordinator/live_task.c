#include "coordinator_int.h"

#include <stdlib.h>
#include <string.h>

#include "file.h"
#include "publish.h"
#include "statement.h"

void pf_live_task_free(struct pf_live_task *t)
{
    if (!t)
        return;
    pf_round_free(t->round);
    pf_object_release(t->plan_object);
    pf_plan_free(&t->plan);
    pf_model_free(t->model);
    pf_task_free(&t->task);
    pf_buf_free(&t->stored.file);
    free(t);
}

/* What both ways share: the file parsed, the model made. */
static enum pocketfed_status begin(const char *file, size_t len,
                                   struct pf_live_task **out,
                                   struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_live_task *t;

    t = calloc(1, sizeof *t);
    if (!t)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a task");
    pf_buf_init(&t->stored.file, PF_MAX_TASK_FILE);
    pf_task_init(&t->task);
    pf_plan_init(&t->plan);
    st = pf_task_parse(file, len, &t->task, err);
    if (st == POCKETFED_OK)
        st = pf_model_create(pf_buf_str(&t->task.spec), t->task.spec.len,
                             &t->model, err);
    if (st != POCKETFED_OK) {
        pf_live_task_free(t);
        return st;
    }
    pf_retention_rounds(t->task.keep.updates,
                        &t->keep_rounds); /* parsed: fine */
    pf_model_layout_digest(t->model, t->layout);
    memcpy(t->stored.name, t->task.name, sizeof t->stored.name);
    *out = t;
    return POCKETFED_OK;
}

/* The engine, once plan and initial model are known. */
static enum pocketfed_status begin_round(struct pf_live_task *t,
                                         struct pf_error *err)
{
    enum pocketfed_status st;

    memcpy(t->model_digest, t->stored.initial_model, 32);
    st = pf_round_create(&t->task, t->stored.plan, t->stored.initial_model,
                         &t->round);
    if (st != POCKETFED_OK)
        pf_fail(err, st, "cannot run task %s: %s", t->stored.name,
                pocketfed_status_text(st));
    return st;
}

static enum pocketfed_status make_plan(struct pf_live_task *t,
                                       struct pf_objects *objects,
                                       const struct pf_key *record_key,
                                       struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf bytes;

    pf_buf_init(&bytes, PF_MAX_PLAN);
    st = pf_task_plan(&t->task, t->model, &t->plan, err);
    if (st != POCKETFED_OK)
        goto out;
    st = pf_plan_encode(&t->plan, &bytes);
    if (st == POCKETFED_OK)
        st = pf_statement_sign(record_key, PF_SAY_PLAN, bytes.data, bytes.len,
                               t->stored.plan_signature);
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "cannot write the plan of task %s: %s", t->stored.name,
                pocketfed_status_text(st));
        goto out;
    }
    st = pf_objects_put(objects, bytes.data, bytes.len, t->stored.plan, err);
    if (st == POCKETFED_OK)
        st = pf_objects_get(objects, t->stored.plan, &t->plan_object, err);
out:
    pf_buf_free(&bytes);
    return st;
}

/* The parameters of the file that task.init names. */
static enum pocketfed_status read_init(const struct pf_live_task *t,
                                       float **out, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_error inner = {0};
    struct pf_buf bytes;
    float *params;

    pf_buf_init(&bytes, PF_MAX_MODEL_FILE);
    params = malloc(pf_model_n_params(t->model) * sizeof *params);
    st = params ? pf_file_read(t->task.init, &bytes, &inner)
                : pf_fail(&inner, POCKETFED_NO_MEMORY, "no memory for a model");
    if (st == POCKETFED_OK)
        st = pf_safetensors_params(bytes.data, bytes.len, t->model, params,
                                   &inner);
    if (st == POCKETFED_OK) {
        *out = params;
        params = NULL;
    } else if (st == POCKETFED_NO_MEMORY) {
        pf_fail(err, st, "%s", inner.text);
    } else {
        st = pf_fail(err, POCKETFED_CONFIG, "init: %s", inner.text);
        pf_hint(err, "the server reads this file: give a full path on it");
    }
    free(params);
    pf_buf_free(&bytes);
    return st;
}

static enum pocketfed_status make_initial(struct pf_live_task *t,
                                          struct pf_objects *objects,
                                          struct pf_error *err)
{
    enum pocketfed_status st = POCKETFED_OK;
    uint8_t digest[32];
    float *params = NULL;
    struct pf_buf file;

    pf_buf_init(&file, PF_MAX_MODEL_FILE);
    if (t->task.init[0])
        st = read_init(t, &params, err);
    if (st != POCKETFED_OK)
        goto out;
    st = pf_publish_initial(&t->task, t->model, t->stored.plan, params, &file,
                            digest);
    if (st != POCKETFED_OK) {
        pf_fail(err, st, "cannot make the initial model of task %s: %s",
                t->stored.name, pocketfed_status_text(st));
        goto out;
    }
    st = pf_objects_put(objects, file.data, file.len, t->stored.initial_model,
                        err);
out:
    free(params);
    pf_buf_free(&file);
    return st;
}

/* Better now than after the first round. */
static enum pocketfed_status check_test_set(const struct pf_live_task *t,
                                            struct pf_error *err)
{
    struct pf_error inner = {0};
    struct pf_idx set = {0};
    enum pocketfed_status st;

    if (!t->task.evaluate.data[0])
        return POCKETFED_OK;
    st = pf_test_set_load(t->task.evaluate.data, t->model, &set, &inner);
    pf_idx_free(&set);
    if (st == POCKETFED_OK)
        return POCKETFED_OK;
    if (st == POCKETFED_NO_MEMORY)
        return pf_fail(err, st, "%s", inner.text);
    st = pf_fail(err, POCKETFED_CONFIG, "evaluate.data: %s", inner.text);
    pf_hint(err, "the server reads this folder: give a full path on it, with "
                 "t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte");
    return st;
}

enum pocketfed_status pf_live_task_make(struct pf_objects *objects,
                                        const struct pf_key *record_key,
                                        const char *file, size_t len,
                                        struct pf_live_task **out,
                                        struct pf_error *err)
{
    struct pf_live_task *t = NULL;
    enum pocketfed_status st;

    st = begin(file, len, &t, err);
    if (st != POCKETFED_OK)
        return st;
    st = check_test_set(t, err);
    if (st == POCKETFED_OK)
        st = make_plan(t, objects, record_key, err);
    if (st == POCKETFED_OK)
        st = make_initial(t, objects, err);
    if (st == POCKETFED_OK)
        st = begin_round(t, err);
    if (st == POCKETFED_OK) {
        st = pf_buf_add(&t->stored.file, file, len);
        if (st != POCKETFED_OK)
            pf_fail(err, st, "cannot keep the task file: %s",
                    pocketfed_status_text(st));
    }
    if (st != POCKETFED_OK) {
        pf_live_task_free(t);
        return st;
    }
    t->stored.created_ms = pf_wall_ms();
    *out = t;
    return POCKETFED_OK;
}

enum pocketfed_status pf_live_task_load(struct pf_objects *objects,
                                        const struct pf_store_task *stored,
                                        struct pf_live_task **out,
                                        struct pf_error *err)
{
    struct pf_live_task *t = NULL;
    enum pocketfed_status st;

    st = begin(pf_buf_str(&stored->file), stored->file.len, &t, err);
    if (st != POCKETFED_OK)
        return st;
    t->stored.id = stored->id;
    t->stored.created_ms = stored->created_ms;
    memcpy(t->stored.plan, stored->plan, 32);
    memcpy(t->stored.plan_signature, stored->plan_signature, 64);
    memcpy(t->stored.initial_model, stored->initial_model, 32);
    st = pf_objects_get(objects, t->stored.plan, &t->plan_object, err);
    if (st == POCKETFED_OK)
        st = pf_plan_decode((const char *)t->plan_object->bytes,
                            t->plan_object->len, &t->plan, err);
    if (st == POCKETFED_OK)
        st = begin_round(t, err);
    if (st != POCKETFED_OK) {
        pf_live_task_free(t);
        return st;
    }
    *out = t;
    return POCKETFED_OK;
}
