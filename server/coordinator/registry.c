#include "coordinator_int.h"

static enum pocketfed_status enrol(struct pf_store *store, struct pf_job *job,
                                   struct pf_error *err)
{
    enum pocketfed_status st;

    st = pf_store_enrol(store, job->task->stored.id, job->u.enrol.token_hash,
                        pf_wall_ms(), &job->u.enrol.device, &job->u.enrol.again,
                        &job->problem, err);
    return st == POCKETFED_REFUSED ? POCKETFED_OK : st;
}

static enum pocketfed_status token(struct pf_store *store, struct pf_job *job,
                                   struct pf_error *err)
{
    enum pocketfed_status st;

    st = pf_store_token_add(store, job->task->stored.id, job->u.token.hash,
                            job->u.token.uses, job->u.token.expires_ms,
                            job->u.token.has_ordinal, job->u.token.ordinal,
                            job->u.token.label, err);
    if (st != POCKETFED_INVALID)
        return st;
    pf_problem_set(&job->problem, PF_PROBLEM_BAD_REQUEST,
                   "a token has at least one use and an ordinal below 2^63");
    return POCKETFED_OK;
}

static enum pocketfed_status task(struct pf_store *store, struct pf_job *job,
                                  struct pf_error *err)
{
    struct pf_live_task *t = job->u.add;
    enum pocketfed_status st;

    st = pf_store_task_add(store, &t->stored, err);
    if (st != POCKETFED_EXISTS)
        return st;
    pf_problem_set(&job->problem, PF_PROBLEM_EXISTS,
                   "there is a task %s already", t->stored.name);
    return POCKETFED_OK;
}

static enum pocketfed_status
end_device(struct pf_store *store, struct pf_job *job, struct pf_error *err)
{
    enum pf_device_state state =
        job->kind == PF_JOB_REVOKE ? PF_DEVICE_REVOKED : PF_DEVICE_LEFT;
    enum pocketfed_status st;

    st = pf_store_device_end(store, job->task->stored.id, job->u.gone.device.id,
                             state, pf_wall_ms(), &job->u.gone.was, err);
    if (st != POCKETFED_NOT_FOUND)
        return st;
    pf_problem_set(&job->problem, PF_PROBLEM_NOT_FOUND,
                   "no such device is enrolled in task %s",
                   job->task->stored.name);
    return POCKETFED_OK;
}

enum pocketfed_status pf_registry_run(struct pf_store *store,
                                      struct pf_job *job, struct pf_error *err)
{
    switch (job->kind) {
    case PF_JOB_ENROL:
        return enrol(store, job, err);
    case PF_JOB_TOKEN:
        return token(store, job, err);
    case PF_JOB_TASK:
        return task(store, job, err);
    case PF_JOB_REVOKE:
    case PF_JOB_LEAVE:
        return end_device(store, job, err);
    case PF_JOB_TASK_SET:
    case PF_JOB_VIEW:
        break;
    }
    return POCKETFED_OK;
}
