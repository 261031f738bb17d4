/* calls.h - the API as one array: what can be asked, where, by whom, how much.
 *
 * Client and server both walk this table, and a test holds it against
 * openapi/: a call that is not here does not exist.
 */
#ifndef PF_CALLS_H
#define PF_CALLS_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "wire.h"

enum pf_listener { PF_LISTEN_CLIENT, PF_LISTEN_ADMIN, PF_LISTEN_OPS };

enum pf_auth {
    PF_AUTH_NONE,   /* the digest in the path is the capability, or public */
    PF_AUTH_TOKEN,  /* join token in the body, signed by the new device key */
    PF_AUTH_DEVICE, /* signed by an enrolled device key */
    PF_AUTH_ADMIN,  /* peer credentials of the Unix socket, or a token (TCP) */
};

enum pf_body {
    PF_BODY_NONE,
    PF_BODY_CONTROL, /* JSON; Content-Digest signed, unless from an admin */
    PF_BODY_UPDATE,  /* frame or its rest, Repr-Digest signed, streamed */
};

enum pf_call_id {
    PF_CALL_ENROL,
    PF_CALL_CHECKIN,
    PF_CALL_PLAN,
    PF_CALL_MODEL,
    PF_CALL_UPDATE,
    PF_CALL_UPDATE_OFFSET,
    PF_CALL_UPDATE_APPEND,
    PF_CALL_FAILURE,
    PF_CALL_PROOF,
    PF_CALL_KEY,
    PF_CALL_TASK_STATUS,
    PF_CALL_LEAVE,
    PF_CALL_ADMIN_INFO,
    PF_CALL_ADMIN_TASKS,
    PF_CALL_ADMIN_TASK_CREATE,
    PF_CALL_ADMIN_TASK,
    PF_CALL_ADMIN_TASK_SET,
    PF_CALL_ADMIN_TOKEN_CREATE,
    PF_CALL_ADMIN_ROUNDS,
    PF_CALL_ADMIN_ROUND,
    PF_CALL_ADMIN_CLASSES,
    PF_CALL_ADMIN_DEVICES,
    PF_CALL_ADMIN_DEVICE,
    PF_CALL_ADMIN_DEVICE_REVOKE,
    PF_CALL_ADMIN_MODEL,
    PF_CALL_LIVEZ,
    PF_CALL_READYZ,
    PF_CALL_METRICS,
    PF_CALL_COUNT,
};

struct pf_call {
    enum pf_call_id id;
    enum pf_listener listener;
    const char *method;
    const char *path; /* "/v1/tasks/{task}/rounds/{round}/update" */
    enum pf_auth auth;
    enum pf_body body;
    size_t max_body; /* bytes; longer is refused by Content-Length alone */
};

/* Values of the path's placeholders; which are set depends on the call. */
struct pf_call_args {
    char task[PF_TASK_NAME_MAX + 1];
    uint64_t round;
    uint8_t digest[32];
    uint8_t device[PF_DEVICE_LEN];
};

extern const struct pf_call pf_calls[PF_CALL_COUNT]; /* indexed by id */

/* The call of (listener, method, path without query), args filled; NULL when
 * there is none. *path_known says whether the path exists, perhaps with another
 * method: then 405, and *allow gets the value of the Allow field. HEAD matches
 * GET calls where it has no row of its own. args, path_known and allow may be
 * NULL. A path is matched letter by letter: no percent-decoding, no empty
 * segment, rounds without leading zeros, digests as 64 and devices as 32
 * lower-case digits. */
const struct pf_call *pf_call_match(enum pf_listener listener,
                                    const char *method, const char *path,
                                    struct pf_call_args *args, int *path_known,
                                    const char **allow);
#define PF_CALL_PATH_MAX 160 /* room for any path and its NUL */
/* Writes the path with its placeholders filled. LIMIT when cap is short,
 * INVALID for a task name that is none; out is then untouched. */
enum pocketfed_status pf_call_path(enum pf_call_id id,
                                   const struct pf_call_args *args, char *out,
                                   size_t cap);
/* 1 when name is a valid task name. */
int pf_task_name_ok(const char *name);

#endif
