/* problem.h - every refusal by name: RFC 9457 problem documents.
 *
 * One row: slug (the type URI's last part, stable), HTTP status, title, and
 * what a client does about it.  Clients map the slug, never the text.
 */
#ifndef PF_PROBLEM_H
#define PF_PROBLEM_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"

enum pf_problem_action {
    PF_DO_RETRY, /* the same request later (Retry-After or backoff) */
    PF_DO_DROP,  /* this piece of work is over; check in again */
    PF_DO_STOP,  /* for good; tell the person */
    PF_DO_CLOCK, /* correct the signing clock from server_time_ms, try again */
};

/* X(NAME, "slug", status, action, "title") */
#define PF_PROBLEMS(X)                                                         \
    X(BAD_REQUEST, "bad-request", 400, STOP, "The request is not valid")       \
    X(MALFORMED, "malformed", 400, DROP, "The body is not what it claims")     \
    X(DIGEST, "digest", 400, RETRY, "The body does not match its digest")      \
    X(LENGTH, "length", 400, DROP, "The body has the wrong length")            \
    X(SIGNATURE_MISSING, "signature-missing", 401, STOP,                       \
      "The request is not signed")                                             \
    X(SIGNATURE_WRONG, "signature-wrong", 401, STOP,                           \
      "The request's signature does not verify")                               \
    X(DEVICE_UNKNOWN, "device-unknown", 401, STOP,                             \
      "No such device is enrolled in this task")                               \
    X(CLOCK_SKEW, "clock-skew", 401, CLOCK,                                    \
      "The request's time is too far from the server's")                       \
    X(REPLAYED, "replayed", 401, RETRY, "This request was seen before")        \
    X(CREATED_BEFORE_START, "created-before-start", 401, RETRY,                \
      "The request was made before this server started")                       \
    X(RECORD_KEY, "record-key", 421, STOP,                                     \
      "The request was meant for a server with another record key")            \
    X(TOKEN_UNKNOWN, "token-unknown", 403, STOP, "No such join token")         \
    X(TOKEN_EXPIRED, "token-expired", 403, STOP, "The join token has expired") \
    X(TOKEN_USED, "token-used", 403, STOP,                                     \
      "The join token was used by another device")                             \
    X(ORDINAL_TAKEN, "ordinal-taken", 409, STOP,                               \
      "Another device of the task has this ordinal")                           \
    X(DEVICE_REVOKED, "device-revoked", 403, STOP, "The device was revoked")   \
    X(FORBIDDEN, "forbidden", 403, STOP, "Not allowed")                        \
    X(ADMIN_TOKEN, "admin-token", 401, STOP,                                   \
      "The admin token is missing or wrong")                                   \
    X(LIMIT, "limit", 403, STOP, "A limit of this server is reached")          \
    X(NOT_FOUND, "not-found", 404, STOP, "There is no such thing")             \
    X(TASK_UNKNOWN, "task-unknown", 404, STOP, "There is no such task")        \
    X(METHOD, "method", 405, STOP, "The method is not allowed here")           \
    X(NOT_ASSIGNED, "not-assigned", 403, DROP,                                 \
      "The device has no assignment in this round")                            \
    X(ALREADY_DIFFERENT, "already-different", 409, DROP,                       \
      "The device already gave another update for this round")                 \
    X(UPLOAD_UNKNOWN, "upload-unknown", 404, RETRY,                            \
      "Nothing of this upload is kept")                                        \
    X(UPLOAD_MISMATCH, "upload-mismatch", 409, RETRY,                          \
      "What is kept of this upload is other than the request says")            \
    X(EXISTS, "exists", 409, STOP, "There is one of that name already")        \
    X(STATE, "state", 409, STOP, "Not possible in the present state")          \
    X(ROUND_CLOSED, "round-closed", 410, DROP, "The round is closed")          \
    X(TASK_FINISHED, "task-finished", 410, DROP, "The task is finished")       \
    X(LENGTH_REQUIRED, "length-required", 411, STOP,                           \
      "A body needs a Content-Length")                                         \
    X(TOO_LARGE, "too-large", 413, STOP, "The body is too large")              \
    X(ENCODING, "encoding", 415, STOP, "Encoded bodies are not taken")         \
    X(RANGE, "range", 416, STOP, "The range cannot be satisfied")              \
    X(EXPECTATION, "expectation", 417, STOP, "Only 100-continue is known")     \
    X(NON_FINITE, "non-finite", 422, DROP, "The update is not finite")         \
    X(NORM, "norm", 422, DROP, "The update's norm is over the plan's limit")   \
    X(EXAMPLES, "examples", 422, DROP,                                         \
      "The number of examples is outside the plan's limits")                   \
    X(LAYOUT, "layout", 422, DROP, "The update is for another model")          \
    X(CODEC_UNKNOWN, "codec-unknown", 422, STOP,                               \
      "The update's codec is not the plan's")                                  \
    X(SECTION_UNKNOWN, "section-unknown", 422, STOP,                           \
      "The update has a section this task does not use")                       \
    X(NO_COMMON_CODEC, "no-common-codec", 422, STOP,                           \
      "The client lacks the plan's codec")                                     \
    X(PLAN_TOO_BIG, "plan-too-big", 422, STOP,                                 \
      "The plan needs more memory than the device gives")                      \
    X(CLIENT_TOO_OLD, "client-too-old", 422, STOP,                             \
      "The plan needs a newer library")                                        \
    X(TASK_INVALID, "task-invalid", 422, STOP, "The task file is not valid")   \
    X(TOO_MANY_REQUESTS, "too-many-requests", 429, RETRY, "Too many requests") \
    X(INTERNAL, "internal", 500, RETRY, "The server has a defect")             \
    X(BUSY, "busy", 503, RETRY, "The server is busy")                          \
    X(DRAINING, "draining", 503, RETRY, "The server is stopping")

enum pf_problem_id {
    PF_PROBLEM_NONE = 0,
#define PF_PROBLEM_ENUM(name, slug, status, action, title) PF_PROBLEM_##name,
    PF_PROBLEMS(PF_PROBLEM_ENUM)
#undef PF_PROBLEM_ENUM
        PF_PROBLEM_COUNT,
};

struct pf_problem_row {
    const char *slug;
    int status;
    enum pf_problem_action action;
    const char *title;
};
extern const struct pf_problem_row pf_problem_rows[PF_PROBLEM_COUNT];

/* One refusal: an id, a sentence for people, and the few extensions. */
struct pf_problem {
    enum pf_problem_id id;
    char detail[256];
    char pointer[96];       /* JSON pointer into a refused document, or "" */
    char hint[160];         /* what to do, or "" */
    int64_t server_time_ms; /* CLOCK_SKEW, CREATED_BEFORE_START; else 0 */
    int64_t retry_after_ms; /* > 0: also sent as Retry-After (seconds, up) */
};

void pf_problem_set(struct pf_problem *p, enum pf_problem_id id,
                    const char *fmt, ...) PF_PRINTF(3, 4);
/* application/problem+json: {type, title, status, detail, ...}; type is
 * "https://pocketfed.dev/problems/<slug>". */
enum pocketfed_status pf_problem_encode(const struct pf_problem *p,
                                        struct pf_buf *out);
/* An unknown type gives id NONE with detail filled; the HTTP status decides
 * then (pf_problem_action_of). MALFORMED when it is not a problem document. */
enum pocketfed_status pf_problem_decode(const char *text, size_t len,
                                        struct pf_problem *out);
enum pf_problem_action pf_problem_action_of(const struct pf_problem *p,
                                            int http_status);

#endif
