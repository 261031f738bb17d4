/* messages.h - the control messages as structs, and the field tables that turn
 * them into JSON and back (json.h): both directions from one table.
 *
 * Unknown members are ignored.  Strings are bounded; ids and digests are hex;
 * 64-bit numbers are decimal strings.  OMIT_EMPTY members are absent when zero.
 */
#ifndef PF_MESSAGES_H
#define PF_MESSAGES_H

#include <stddef.h>
#include <stdint.h>
#include "json.h"
#include "wire.h"

/* POST .../enrol */
struct pf_enrol_request {
    char token[PF_TOKEN_LEN + 1];
    char alg[32]; /* pf_key_alg_name */
    struct {
        size_t len;
        uint8_t data[65];
    } key; /* raw public key, base64url */
    char label[PF_LABEL_MAX + 1];
    char client_version[32];
};
struct pf_enrol_reply { /* 201 first, 200 again; signed, label "enrolment" */
    char task[PF_TASK_NAME_MAX + 1];
    uint8_t device[PF_DEVICE_LEN];
    uint64_t ordinal;
    uint8_t record_key[32]; /* raw Ed25519; its SHA-256 must be the link's id */
    int64_t server_time_ms;
};

/* POST .../checkin */
struct pf_checkin_request {
    uint8_t held_model[32], held_plan[32]; /* zeros: none */
    char client_version[32];
    char codecs[PF_MAX_CODECS][16];
    size_t n_codecs;
    uint64_t memory;       /* bytes the app allows; 0: no limit stated */
    char device_class[32]; /* "", or the app's word for it */
};
enum pf_checkin_kind { PF_CHECKIN_TRAIN, PF_CHECKIN_WAIT };
extern const char *const pf_checkin_kinds[]; /* "train", "wait" */
enum pf_wait_reason {
    PF_WAIT_NONE,         /* not a wait: kind is train; not written */
    PF_WAIT_ROUND_FULL,   /* enough devices in this round */
    PF_WAIT_CONTRIBUTED,  /* this device's update is in; round still open */
    PF_WAIT_PUBLISHING,   /* the next model is being made */
    PF_WAIT_PAUSED,       /* by the operator */
    PF_WAIT_BACKOFF,      /* after an abandoned round */
    PF_WAIT_FINISHED,     /* the task is over: stop asking */
    PF_WAIT_DONE,         /* this device gave as many updates as it may */
    PF_WAIT_RESTING,      /* it contributed a short while ago */
    PF_WAIT_NOT_ELIGIBLE, /* the task takes devices of other classes */
};
extern const char *const pf_wait_reasons[];
struct pf_checkin_reply { /* 200; kind train: signed, label "assignment" */
    int kind;
    char task[PF_TASK_NAME_MAX + 1];
    uint8_t device[PF_DEVICE_LEN];
    /* train */
    uint64_t round;
    uint8_t base[32]; /* digest of the model to start from */
    uint8_t plan[32];
    uint64_t seed;
    int64_t lease_ms; /* from now */
    /* wait; with reason finished: signed like an assignment */
    int64_t min_ms, max_ms; /* come back between */
    int reason;
    uint8_t final_model[32]; /* FINISHED: digest of the last model */
};

/* PUT .../update: 201 first, 200 again; signed, label "acknowledgement" */
struct pf_ack {
    char task[PF_TASK_NAME_MAX + 1];
    uint8_t device[PF_DEVICE_LEN];
    uint64_t round;   /* the assignment's */
    uint64_t counted; /* the round whose model it counts in: the same, unless
                         rounds are asynchronous */
    uint8_t base[32], plan[32];
    uint8_t digest[32]; /* SHA-256 of the frame */
    uint64_t examples, weight;
};

/* POST .../failure -> 204 */
enum pf_failure_code {
    PF_FAILURE_NO_EXAMPLES,
    PF_FAILURE_TOO_FEW_EXAMPLES,
    PF_FAILURE_MEMORY,
    PF_FAILURE_NON_FINITE,
    PF_FAILURE_INTERRUPTED,
    PF_FAILURE_UNSUPPORTED,
    PF_FAILURE_OTHER,
    /* Said by the server of a device that is gone, by no device. */
    PF_FAILURE_REVOKED,
    PF_FAILURE_LEFT,
};
extern const char *const pf_failure_codes[];
struct pf_failure_report {
    int code;
    char detail[200];
};

/* GET /v1/tasks/{task} and the admin's view of a task. */
enum pf_task_state {
    PF_TASK_RUNNING,
    PF_TASK_PAUSED,
    PF_TASK_FINISHED,
};
extern const char *const pf_task_states[];
struct pf_task_status {
    char task[PF_TASK_NAME_MAX + 1];
    int state;
    char phase[16];
    uint64_t round;                      /* open round, or the last one */
    uint64_t assigned, accepted, needed; /* of the open round */
    uint64_t devices;
    uint64_t published; /* rounds */
    uint8_t model[32], plan[32];
    double test_accuracy, test_loss; /* last evaluated; -1: none */
    uint64_t evaluated_round;
    char reason[48]; /* why it stopped, or "" */
};

/* PATCH /admin/v1/tasks/{task} */
enum pf_task_order {
    PF_ORDER_NONE, /* not written */
    PF_ORDER_RUNNING,
    PF_ORDER_PAUSED,
    PF_ORDER_FINISHED,
};
extern const char *const pf_task_orders[];
struct pf_task_set {   /* one of */
    int state;         /* enum pf_task_order */
    int abort_round;   /* 1: give up the round that is under way */
    uint64_t rollback; /* a round whose model is published again; 0: none */
};

/* POST /admin/v1/tasks/{task}/tokens */
struct pf_token_request {
    uint64_t uses;     /* default 1 */
    int64_t expires_s; /* default 3600 */
    int has_ordinal;
    uint64_t ordinal;
    char label[PF_LABEL_MAX + 1];
};
struct pf_token_reply {
    char link[512]; /* shown once */
    int64_t expires_ms;
    uint64_t uses;
};

/* GET /admin/v1/tasks/{task}/rounds/{round}, and one entry of {"rounds":[...]}
 * in the list: ?since=R&limit=N gives at most N rounds with number > R. */
struct pf_round_status {
    uint64_t round;
    char phase[16]; /* selecting collecting closing published abandoned */
    uint8_t base[32], model[32]; /* model: zeros until published */
    uint64_t assigned, accepted, needed, failed, late, refused;
    uint64_t weight, saturated;
    uint64_t bytes_up, bytes_down;
    int64_t elapsed_ms; /* from opening to publication (or now) */
    double train_loss;  /* example-weighted mean of clients' reports; -1 none */
    double test_loss, test_accuracy; /* -1 none */
    char reason[48];
    uint64_t source; /* rolled back to that round's model; 0: no */
};

/* GET /admin/v1/tasks/{task}/classes: one entry of {"classes":[...]} */
struct pf_class_status {
    char device_class[PF_CLASS_MAX + 1]; /* "" of devices that name none */
    uint64_t assigned, accepted;
};

/* GET, DELETE /admin/v1/tasks/{task}/devices/{device}, and one entry of
 * {"devices":[...]} in the list: ?after=ORDINAL&limit=N&id=DIGITS gives, by
 * ordinal, at most N devices with a greater one whose ids begin so. */
enum pf_device_state { /* as stored: never renumbered */
                       PF_DEVICE_ACTIVE,
                       PF_DEVICE_REVOKED, /* by the operator, for good */
                       PF_DEVICE_LEFT, /* by itself; a new token brings it back
                                        */
};
extern const char *const pf_device_states[];
struct pf_device_status {
    uint8_t device[PF_DEVICE_LEN];
    uint64_t ordinal;
    char label[PF_LABEL_MAX + 1];
    int state;
    int64_t enrolled_ms; /* first */
    int64_t state_ms;    /* when it was revoked, left or came back; 0: never */
    uint64_t rounds;     /* that count an update of its */
    uint64_t last_round; /* the newest of them; 0: none */
};

/* GET /admin/v1 */
struct pf_admin_info {
    char version[32];
    char state_dir[512];
    char client_address[128]; /* host:port that join links carry */
    uint8_t record_key[32];   /* fingerprint */
    uint64_t tasks, devices;
    int64_t uptime_ms;
};

extern const struct pf_json_field pf_enrol_request_fields[];
extern const struct pf_json_field pf_enrol_reply_fields[];
extern const struct pf_json_field pf_checkin_request_fields[];
extern const struct pf_json_field pf_checkin_reply_fields[];
extern const struct pf_json_field pf_ack_fields[];
extern const struct pf_json_field pf_failure_report_fields[];
extern const struct pf_json_field pf_task_status_fields[];
extern const struct pf_json_field pf_task_set_fields[];
extern const struct pf_json_field pf_token_request_fields[];
extern const struct pf_json_field pf_token_reply_fields[];
extern const struct pf_json_field pf_round_status_fields[];
extern const struct pf_json_field pf_class_status_fields[];
extern const struct pf_json_field pf_device_status_fields[];
extern const struct pf_json_field pf_admin_info_fields[];

#endif
