#include "messages.h"

#include "field_rows.h"

const char *const pf_checkin_kinds[] = {"train", "wait", NULL};
const char *const pf_wait_reasons[] = {
    [PF_WAIT_NONE] = "none",
    [PF_WAIT_ROUND_FULL] = "round-full",
    [PF_WAIT_CONTRIBUTED] = "contributed",
    [PF_WAIT_PUBLISHING] = "publishing",
    [PF_WAIT_PAUSED] = "paused",
    [PF_WAIT_BACKOFF] = "backoff",
    [PF_WAIT_FINISHED] = "finished",
    [PF_WAIT_DONE] = "done",
    [PF_WAIT_RESTING] = "resting",
    [PF_WAIT_NOT_ELIGIBLE] = "not-eligible",
    NULL,
};
const char *const pf_failure_codes[] = {
    [PF_FAILURE_NO_EXAMPLES] = "no-examples",
    [PF_FAILURE_TOO_FEW_EXAMPLES] = "too-few-examples",
    [PF_FAILURE_MEMORY] = "memory",
    [PF_FAILURE_NON_FINITE] = "non-finite",
    [PF_FAILURE_INTERRUPTED] = "interrupted",
    [PF_FAILURE_UNSUPPORTED] = "unsupported",
    [PF_FAILURE_OTHER] = "other",
    [PF_FAILURE_REVOKED] = "revoked",
    [PF_FAILURE_LEFT] = "left",
    NULL,
};
/* What a device may say of itself. */
static const char *const reportable_codes[] = {
    [PF_FAILURE_NO_EXAMPLES] = "no-examples",
    [PF_FAILURE_TOO_FEW_EXAMPLES] = "too-few-examples",
    [PF_FAILURE_MEMORY] = "memory",
    [PF_FAILURE_NON_FINITE] = "non-finite",
    [PF_FAILURE_INTERRUPTED] = "interrupted",
    [PF_FAILURE_UNSUPPORTED] = "unsupported",
    [PF_FAILURE_OTHER] = "other",
    NULL,
};
const char *const pf_device_states[] = {
    [PF_DEVICE_ACTIVE] = "active",
    [PF_DEVICE_REVOKED] = "revoked",
    [PF_DEVICE_LEFT] = "left",
    NULL,
};
const char *const pf_task_states[] = {
    [PF_TASK_RUNNING] = "running",
    [PF_TASK_PAUSED] = "paused",
    [PF_TASK_FINISHED] = "finished",
    NULL,
};

const char *const pf_task_orders[] = {
    [PF_ORDER_NONE] = "none",
    [PF_ORDER_RUNNING] = "running",
    [PF_ORDER_PAUSED] = "paused",
    [PF_ORDER_FINISHED] = "finished",
    NULL,
};

/* clang-format off */
const struct pf_json_field pf_enrol_request_fields[] = {
    TEXT(pf_enrol_request, token, REQ, "The join link's token"),
    TEXT(pf_enrol_request, alg, REQ, "The device key's algorithm"),
    {.key = "key", .type = PF_JSON_BASE64URL, .flags = REQ,
     .offset = offsetof(struct pf_enrol_request, key),
     .size = sizeof ((struct pf_enrol_request *)0)->key.data,
     .help = "The raw public key of the device"},
    TEXT(pf_enrol_request, label, OMIT, "The device's name for people"),
    TEXT(pf_enrol_request, client_version, OMIT, "Version of the library"),
    END,
};

const struct pf_json_field pf_enrol_reply_fields[] = {
    TEXT(pf_enrol_reply, task, REQ, "The task that was joined"),
    HEX(pf_enrol_reply, device, REQ, "The device's id"),
    U64(pf_enrol_reply, ordinal, REQ, "The device's number in the task"),
    HEX(pf_enrol_reply, record_key, REQ,
        "The server's raw Ed25519 key; its SHA-256 is the join link's id"),
    TIME(pf_enrol_reply, server_time_ms, REQ,
         "The server's clock, milliseconds since 1970"),
    END,
};

const struct pf_json_field pf_checkin_request_fields[] = {
    HEX(pf_checkin_request, held_model, OMIT,
        "Digest of the newest model the device holds"),
    HEX(pf_checkin_request, held_plan, OMIT,
        "Digest of the plan the device holds"),
    TEXT(pf_checkin_request, client_version, REQ, "Version of the library"),
    {.key = "codecs", .type = PF_JSON_STRINGS, .flags = REQ,
     .offset = offsetof(struct pf_checkin_request, codecs),
     .size = sizeof ((struct pf_checkin_request *)0)->codecs[0],
     .count = PF_MAX_CODECS,
     .count_offset = offsetof(struct pf_checkin_request, n_codecs),
     .help = "Update codecs the client can write"},
    U64(pf_checkin_request, memory, OMIT,
        "Bytes the app allows; absent: no limit stated"),
    TEXT(pf_checkin_request, device_class, OMIT,
         "The app's word for this kind of device"),
    END,
};

const struct pf_json_field pf_checkin_reply_fields[] = {
    ENUM(pf_checkin_reply, kind, REQ, pf_checkin_kinds,
         "train: an assignment; wait: come back later"),
    TEXT(pf_checkin_reply, task, REQ, "The task this is about"),
    HEX(pf_checkin_reply, device, REQ, "The device this is for"),
    U64(pf_checkin_reply, round, OMIT, "train: the round"),
    HEX(pf_checkin_reply, base, OMIT,
        "train: digest of the model to start from"),
    HEX(pf_checkin_reply, plan, OMIT, "train: digest of the plan"),
    U64(pf_checkin_reply, seed, OMIT, "train: seed of the local training"),
    TIME(pf_checkin_reply, lease_ms, OMIT,
         "train: how long the assignment holds, from now"),
    TIME(pf_checkin_reply, min_ms, OMIT, "wait: come back after"),
    TIME(pf_checkin_reply, max_ms, OMIT, "wait: and before"),
    ENUM(pf_checkin_reply, reason, OMIT, pf_wait_reasons, "wait: why"),
    HEX(pf_checkin_reply, final_model, OMIT,
        "finished: digest of the last model"),
    END,
};

const struct pf_json_field pf_ack_fields[] = {
    TEXT(pf_ack, task, REQ, "The task"),
    HEX(pf_ack, device, REQ, "The device whose update this is"),
    U64(pf_ack, round, REQ, "The round of its assignment"),
    U64(pf_ack, counted, REQ, "The round whose model it counts in"),
    HEX(pf_ack, base, REQ, "Digest of the model it started from"),
    HEX(pf_ack, plan, REQ, "Digest of its plan"),
    HEX(pf_ack, digest, REQ, "SHA-256 of the update frame"),
    U64(pf_ack, examples, REQ, "Examples it was trained on"),
    U64(pf_ack, weight, REQ, "Its weight in the round's mean"),
    END,
};

const struct pf_json_field pf_failure_report_fields[] = {
    ENUM(pf_failure_report, code, REQ, reportable_codes,
         "Why the device gives the assignment back"),
    TEXT(pf_failure_report, detail, OMIT, "A sentence for people"),
    END,
};

const struct pf_json_field pf_task_status_fields[] = {
    TEXT(pf_task_status, task, REQ, "The task"),
    ENUM(pf_task_status, state, REQ, pf_task_states, "Its state"),
    TEXT(pf_task_status, phase, REQ, "Phase of the open round"),
    U64(pf_task_status, round, REQ, "The open round, or the last one"),
    U64(pf_task_status, assigned, REQ, "Devices assigned in it"),
    U64(pf_task_status, accepted, REQ, "Updates accepted in it"),
    U64(pf_task_status, needed, REQ, "Updates it needs"),
    U64(pf_task_status, devices, REQ, "Devices enrolled"),
    U64(pf_task_status, published, REQ, "Rounds published"),
    HEX(pf_task_status, model, REQ, "Digest of the newest model"),
    HEX(pf_task_status, plan, REQ, "Digest of the plan"),
    REAL(pf_task_status, test_accuracy, REQ,
         "Accuracy on the operator's test set; -1: none yet"),
    REAL(pf_task_status, test_loss, REQ,
         "Loss on the operator's test set; -1: none yet"),
    U64(pf_task_status, evaluated_round, OMIT,
        "The round these two were measured after"),
    TEXT(pf_task_status, reason, OMIT, "Why the task stopped"),
    END,
};

const struct pf_json_field pf_task_set_fields[] = {
    ENUM(pf_task_set, state, OMIT, pf_task_orders,
         "running, paused or, for good, finished"),
    BOOL(pf_task_set, abort_round, OMIT, "Give up the round that is under way"),
    U64(pf_task_set, rollback, OMIT,
        "Publish the model of that round again, under a new number"),
    END,
};

const struct pf_json_field pf_token_request_fields[] = {
    {ROW(pf_token_request, uses, U64, 0, "Devices that may enrol with it"),
     .min = 1, .max = 1e6},
    {ROW(pf_token_request, expires_s, I64, 0, "Seconds until it expires"),
     .min = 1, .max = 315360000},
    BOOL(pf_token_request, has_ordinal, OMIT, "Whether ordinal is meant"),
    U64(pf_token_request, ordinal, OMIT,
        "The number its device gets in the task"),
    TEXT(pf_token_request, label, OMIT, "A note for people"),
    END,
};

const struct pf_json_field pf_token_reply_fields[] = {
    TEXT(pf_token_reply, link, REQ, "The join link, shown this once"),
    TIME(pf_token_reply, expires_ms, REQ,
         "When it expires, milliseconds since 1970"),
    U64(pf_token_reply, uses, REQ, "Devices that may enrol with it"),
    END,
};

const struct pf_json_field pf_round_status_fields[] = {
    U64(pf_round_status, round, REQ, "The round's number"),
    TEXT(pf_round_status, phase, REQ,
         "selecting, collecting, closing, published or abandoned"),
    HEX(pf_round_status, base, REQ, "Digest of the model it starts from"),
    HEX(pf_round_status, model, OMIT, "Digest of the model it published"),
    U64(pf_round_status, assigned, REQ, "Devices assigned"),
    U64(pf_round_status, accepted, REQ, "Updates accepted"),
    U64(pf_round_status, needed, REQ, "Updates it needs"),
    U64(pf_round_status, failed, REQ, "Assignments given back"),
    U64(pf_round_status, late, REQ, "Updates that came after the close"),
    U64(pf_round_status, refused, REQ, "Updates refused"),
    U64(pf_round_status, weight, REQ, "Sum of the accepted weights"),
    U64(pf_round_status, saturated, REQ,
        "Coordinates that were clamped to the plan's range"),
    U64(pf_round_status, bytes_up, REQ, "Bytes of accepted updates"),
    U64(pf_round_status, bytes_down, REQ, "Bytes of models and plans sent"),
    TIME(pf_round_status, elapsed_ms, REQ,
         "From its opening to publication, or to now"),
    REAL(pf_round_status, train_loss, REQ,
         "Example-weighted mean of the clients' losses; -1: none"),
    REAL(pf_round_status, test_loss, REQ,
         "Loss on the operator's test set; -1: none"),
    REAL(pf_round_status, test_accuracy, REQ,
         "Accuracy on the operator's test set; -1: none"),
    TEXT(pf_round_status, reason, OMIT, "Why it was abandoned"),
    U64(pf_round_status, source, OMIT,
        "The earlier round whose model it published again"),
    END,
};

const struct pf_json_field pf_class_status_fields[] = {
    TEXT(pf_class_status, device_class, REQ,
         "The apps' word for the devices; empty: they have none"),
    U64(pf_class_status, assigned, REQ, "Assignments they got"),
    U64(pf_class_status, accepted, REQ, "Updates of theirs that were accepted"),
    END,
};

const struct pf_json_field pf_device_status_fields[] = {
    HEX(pf_device_status, device, REQ, "The device's id"),
    U64(pf_device_status, ordinal, REQ, "Its number in the task"),
    TEXT(pf_device_status, label, OMIT, "Its name for people"),
    ENUM(pf_device_status, state, REQ, pf_device_states, "What became of it"),
    TIME(pf_device_status, enrolled_ms, REQ,
         "When it was first enrolled, milliseconds since 1970"),
    TIME(pf_device_status, state_ms, OMIT,
         "When it was revoked, left or came back"),
    U64(pf_device_status, rounds, REQ, "Rounds that count an update of its"),
    U64(pf_device_status, last_round, OMIT, "The newest of them"),
    END,
};

const struct pf_json_field pf_admin_info_fields[] = {
    TEXT(pf_admin_info, version, REQ, "Version of the daemon"),
    TEXT(pf_admin_info, state_dir, REQ, "Where its state is"),
    TEXT(pf_admin_info, client_address, REQ,
         "host:port that join links carry"),
    HEX(pf_admin_info, record_key, REQ,
        "Fingerprint of the record key (SHA-256 of the raw key)"),
    U64(pf_admin_info, tasks, REQ, "Tasks"),
    U64(pf_admin_info, devices, REQ, "Devices enrolled, all tasks"),
    TIME(pf_admin_info, uptime_ms, REQ, "Since the daemon started"),
    END,
};
/* clang-format on */
