/* wire.h - the numbers and names that both sides of the protocol share.
 */
#ifndef PF_WIRE_H
#define PF_WIRE_H

#define PF_API_VERSION "v1"
#define PF_SIGNATURE_TAG                                                       \
    "pocketfed-1" /* RFC 9421 tag of every signed request */

/* Header names, lower case as in signature bases. */
#define PF_HEADER_RECORD_KEY                                                   \
    "pocketfed-record-key" /* hex fingerprint the                              \
client pinned; signed, so a request for one server is none for another */
#define PF_HEADER_STATEMENT                                                    \
    "pocketfed-signature" /* response: base64 Ed25519                          \
by the record key over a label and the body, see statement.h */

#define PF_TASK_NAME_MAX 64 /* [a-z0-9][a-z0-9._-]* */
#define PF_LABEL_MAX     64 /* a device's name for people */
#define PF_CLASS_MAX     31 /* letters of a device class */
#define PF_MAX_CLASSES   16 /* that a task may name */
#define PF_DEVICE_LEN                                                          \
    16                          /* device id = keyid = first 16 bytes of       \
                                   SHA-256(raw public key); hex in text */
#define PF_NONCE_MAX        32  /* characters */
#define PF_TOKEN_LEN        53  /* "pft_" + 43 base64url + 6 checksum */
#define PF_SKEW_S           120 /* |created - server clock| that is accepted */
#define PF_MAX_CONTROL_BODY (64u << 10)
#define PF_MAX_TASK_FILE    (256u << 10)
#define PF_MAX_PLAN         (256u << 10)
#define PF_MAX_MODEL_FILE   ((size_t)300 << 20)
#define PF_MAX_UPDATE       ((size_t)300 << 20)
#define PF_MAX_SECTIONS     8
#define PF_MAX_METRICS      16
#define PF_METRIC_NAME_MAX  24
#define PF_MAX_CODECS       16
#define PF_DEFAULT_PORT     8443

#define PF_TYPE_JSON    "application/json"
#define PF_TYPE_PROBLEM "application/problem+json"
#define PF_TYPE_UPDATE  "application/vnd.pocketfed.update"
#define PF_TYPE_PARTIAL "application/partial-upload"
#define PF_TYPE_MODEL   "application/vnd.safetensors"
#define PF_TYPE_TEXT    "text/plain; charset=utf-8"

#endif
