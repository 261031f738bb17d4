/* routes.h - which function answers which call.
 *
 * A handler is a row {begin, data, end}; a missing begin reads the body, a
 * missing data gathers it in ex->body, so most rows have an `end` alone.  What
 * is the same for all calls (framing, 404, 405, limits, authentication) is
 * done by routes.c before a handler sees the exchange.
 */
#ifndef PF_ROUTES_H
#define PF_ROUTES_H

#include "exchange.h"

struct pf_handler {
    enum pf_next (*begin)(struct pf_exchange *ex);
    void (*data)(struct pf_exchange *ex, const void *p, size_t n);
    enum pf_next (*end)(struct pf_exchange *ex);
};

extern const struct pf_handler pf_handlers[PF_CALL_COUNT];

/* routes_client.c */
enum pf_next pf_route_enrol(struct pf_exchange *ex);
enum pf_next pf_route_checkin(struct pf_exchange *ex);
enum pf_next pf_route_plan(struct pf_exchange *ex);
enum pf_next pf_route_model(struct pf_exchange *ex);
enum pf_next pf_route_failure(struct pf_exchange *ex);
enum pf_next pf_route_task_status(struct pf_exchange *ex);

/* routes_proof.c */
enum pf_next pf_route_proof(struct pf_exchange *ex);
enum pf_next pf_route_key(struct pf_exchange *ex);

/* routes_admin.c */
enum pf_next pf_route_admin_info(struct pf_exchange *ex);
enum pf_next pf_route_admin_tasks(struct pf_exchange *ex);
enum pf_next pf_route_admin_task_create(struct pf_exchange *ex);
enum pf_next pf_route_admin_task(struct pf_exchange *ex);
enum pf_next pf_route_admin_task_set(struct pf_exchange *ex);
enum pf_next pf_route_admin_token_create(struct pf_exchange *ex);
enum pf_next pf_route_admin_rounds(struct pf_exchange *ex);
enum pf_next pf_route_admin_round(struct pf_exchange *ex);
enum pf_next pf_route_admin_classes(struct pf_exchange *ex);

/* routes_device.c */
enum pf_next pf_route_leave(struct pf_exchange *ex);
enum pf_next pf_route_admin_devices(struct pf_exchange *ex);
enum pf_next pf_route_admin_device(struct pf_exchange *ex);
enum pf_next pf_route_admin_device_revoke(struct pf_exchange *ex);

/* routes_ops.c */
enum pf_next pf_route_livez(struct pf_exchange *ex);
enum pf_next pf_route_readyz(struct pf_exchange *ex);
enum pf_next pf_route_metrics(struct pf_exchange *ex);

/* Shared by the files above. */

/* The body decoded by a table; 0 with the refusal in the reply. */
int pf_route_decode(struct pf_exchange *ex, const struct pf_json_field *fields,
                    enum pf_json_unknown unknown, void *out);
/* Fills ex->job as a PF_JOB_VIEW of the task. */
enum pf_next pf_route_view(struct pf_exchange *ex, struct pf_live_task *t,
                           pf_then_fn then);
/* The task's status out of the finished view job, devices and bytes added. */
void pf_route_status(struct pf_exchange *ex, struct pf_task_status *out);
/* A whole decimal query parameter; `absent` when it is not there; 0 when it
 * is not a number in range (refusal in the reply). */
int pf_route_query(struct pf_exchange *ex, const char *name, uint64_t max,
                   uint64_t absent, uint64_t *out);
/* Where the value of a query parameter begins, its length in *len; NULL when it
 * is not there. */
const char *pf_route_query_text(const struct pf_exchange *ex, const char *name,
                                size_t *len);

/* Which task's round a model goes down for, so that its bytes are counted
 * there: check-ins note it, downloads ask. Thread-safe, bounded, forgetful. */
enum pocketfed_status pf_downlink_create(struct pf_downlink **out);
void pf_downlink_free(struct pf_downlink *d);
void pf_downlink_note(struct pf_downlink *d, const uint8_t digest[32],
                      struct pf_live_task *t);
struct pf_live_task *pf_downlink_task(struct pf_downlink *d,
                                      const uint8_t digest[32]);

#endif
