#include "routes.h"

#include <inttypes.h>
#include <string.h>

#include "text.h"

/* Devices after their enrolment: they leave, the operator looks at them and
 * revokes them. */

#define DEFAULT_DEVICES 100
#define MAX_DEVICES     1000

/* ---- leaving ---- */

static enum pf_next end_device(struct pf_exchange *ex, enum pf_job_kind kind,
                               const struct pf_device_ref *device,
                               pf_then_fn then)
{
    memset(&ex->job, 0, sizeof ex->job);
    ex->job.kind = kind;
    ex->job.task = ex->task;
    ex->job.u.gone.device = *device;
    return pf_exchange_run(ex, then);
}

static void tell(struct pf_exchange *ex, const char *what)
{
    char id[2 * PF_DEVICE_LEN + 1];

    if (ex->job.u.gone.was != PF_DEVICE_ACTIVE)
        return; /* it had gone already */
    pf_hex(ex->job.u.gone.device.id, PF_DEVICE_LEN, id);
    pf_log(ex->edge->log, PF_LOG_INFO,
           "device %s task=%s device=%s ordinal=%" PRIu64, what, ex->args.task,
           id, ex->job.u.gone.device.ordinal);
}

static enum pf_next left(struct pf_exchange *ex)
{
    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    tell(ex, "left");
    return pf_reply_empty(ex, 204);
}

enum pf_next pf_route_leave(struct pf_exchange *ex)
{
    return end_device(ex, PF_JOB_LEAVE, &ex->device, left);
}

/* ---- one device ---- */

/* 1 with the device of the path, 0 with the refusal in the reply. */
static int find_device(struct pf_exchange *ex, struct pf_device_status *out)
{
    struct pf_store_reader *reader;
    struct pf_error err = {0};
    enum pocketfed_status st;
    char id[2 * PF_DEVICE_LEN + 1];

    reader = pf_readers_take(ex->edge->readers, &err);
    if (!reader) {
        pf_reply_internal(ex, &err);
        return 0;
    }
    st = pf_reader_device_status(reader, ex->task->stored.id, ex->args.device,
                                 out);
    pf_readers_give(ex->edge->readers, reader);
    if (st == POCKETFED_OK)
        return 1;
    pf_hex(ex->args.device, PF_DEVICE_LEN, id);
    if (st == POCKETFED_NOT_FOUND) {
        pf_reply_refuse(ex, PF_PROBLEM_NOT_FOUND, "task %s has no device %s",
                        ex->args.task, id);
    } else {
        pf_fail(&err, st, "cannot read device %s", id);
        pf_reply_internal(ex, &err);
    }
    return 0;
}

enum pf_next pf_route_admin_device(struct pf_exchange *ex)
{
    struct pf_device_status d;

    if (!find_device(ex, &d))
        return PF_NEXT_REPLY;
    return pf_reply_json(ex, 200, pf_device_status_fields, &d, NULL);
}

static enum pf_next revoked(struct pf_exchange *ex)
{
    if (ex->job.problem.id != PF_PROBLEM_NONE)
        return pf_reply_problem(ex, &ex->job.problem);
    tell(ex, "revoked");
    return pf_route_admin_device(ex);
}

enum pf_next pf_route_admin_device_revoke(struct pf_exchange *ex)
{
    struct pf_device_status d;
    struct pf_device_ref ref;

    if (!find_device(ex, &d))
        return PF_NEXT_REPLY;
    memcpy(ref.id, d.device, sizeof ref.id);
    ref.ordinal = d.ordinal;
    return end_device(ex, PF_JOB_REVOKE, &ref, revoked);
}

/* ---- the list ---- */

struct list {
    struct pf_exchange *ex;
    enum pocketfed_status status; /* of the first that is no JSON */
};

static void add_device(void *ctx, const struct pf_device_status *d)
{
    struct list *list = ctx;
    struct pf_exchange *ex = list->ex;

    if (list->status != POCKETFED_OK)
        return;
    if (ex->listed++ > 0)
        pf_buf_adds(&ex->reply.body, ",");
    list->status = pf_json_encode(pf_device_status_fields, d, &ex->reply.body);
}

/* Which of them are asked for. */
struct wanted {
    uint64_t first, limit;
    int by_id;
    uint8_t lowest[PF_DEVICE_LEN], highest[PF_DEVICE_LEN];
};

/* All ids that begin with these digits lie between lowest and highest. */
static int read_prefix(struct pf_exchange *ex, struct wanted *w)
{
    char low[2 * PF_DEVICE_LEN + 1], high[2 * PF_DEVICE_LEN + 1];
    size_t len;
    const char *digits = pf_route_query_text(ex, "id", &len);

    if (!digits)
        return 1;
    memset(low, '0', sizeof low - 1);
    memset(high, 'f', sizeof high - 1);
    if (len > 0 && len < sizeof low) {
        memcpy(low, digits, len);
        memcpy(high, digits, len);
        w->by_id = pf_unhex(low, sizeof low - 1, w->lowest, PF_DEVICE_LEN) &&
                   pf_unhex(high, sizeof high - 1, w->highest, PF_DEVICE_LEN);
    }
    if (w->by_id)
        return 1;
    pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                    "id is not the beginning of a device's id: 1 to 32 digits "
                    "of 0-9 and a-f");
    return 0;
}

static int read_wanted(struct pf_exchange *ex, struct wanted *w)
{
    const uint64_t none = UINT64_MAX; /* the first ordinal is 0 */

    memset(w, 0, sizeof *w);
    if (!pf_route_query(ex, "after", INT64_MAX - 1, none, &w->first) ||
        !pf_route_query(ex, "limit", MAX_DEVICES, DEFAULT_DEVICES, &w->limit))
        return 0;
    w->first++;
    return read_prefix(ex, w);
}

enum pf_next pf_route_admin_devices(struct pf_exchange *ex)
{
    struct list list = {ex, POCKETFED_OK};
    struct pf_store_reader *reader;
    struct pf_error err = {0};
    enum pocketfed_status st;
    struct wanted w;

    if (!read_wanted(ex, &w))
        return PF_NEXT_REPLY;
    reader = pf_readers_take(ex->edge->readers, &err);
    if (!reader)
        return pf_reply_internal(ex, &err);
    pf_reply_clear(ex);
    pf_buf_adds(&ex->reply.body, "{\"devices\":[");
    st = pf_reader_devices(reader, ex->task->stored.id, w.first,
                           (size_t)w.limit, w.by_id ? w.lowest : NULL,
                           w.by_id ? w.highest : NULL, add_device, &list);
    pf_readers_give(ex->edge->readers, reader);
    if (st == POCKETFED_OK)
        st = list.status;
    if (st != POCKETFED_OK) {
        pf_fail(&err, st, "cannot read the devices of %s", ex->args.task);
        return pf_reply_internal(ex, &err);
    }
    pf_buf_adds(&ex->reply.body, "]}");
    pf_reply_header(ex, "Cache-Control", "no-store");
    return pf_reply_body(ex, 200, PF_TYPE_JSON);
}
