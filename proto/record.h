/* record.h - what a server commits itself to when a round has ended, and how
 * its log and its key change hands.
 *
 *   leaf      one acknowledged update, 93 bytes, little-endian; the leaves of a
 *             round, sorted, are the leaves of a tree (merkle.h)
 *   record    one ended round, JSON, signed with label "record"; the records
 *             of a task, in order, are the leaves of its log, which only grows
 *   log head  size and root of that log, JSON, signed with label "log"
 *   rotation  old and new record key, JSON, signed with label "rotation" by the
 *             old key
 *   proof     all of it that concerns one update, JSON
 *
 * A leaf names its device by a pseudonym of that round, so that who sees the
 * leaves of two rounds learns of no device that it was in both.  Records are
 * signed and hashed as the bytes they were written as: nobody writes them anew
 * to check them.
 */
#ifndef PF_PROTO_RECORD_H
#define PF_PROTO_RECORD_H

#include "crypto.h"
#include "json.h"
#include "merkle.h"
#include "wire.h"

/* ---- leaves ---- */

#define PF_LEAF_LEN 93 /* "pf/leaf1" and the members of pf_leaf, as ordered */
enum pf_leaf_status {
    PF_LEAF_COUNTED = 1,   /* in the round's model */
    PF_LEAF_ABANDONED = 2, /* acknowledged in a round that was abandoned */
};
struct pf_leaf {
    uint64_t round;
    uint8_t pseudonym[32], digest[32]; /* of the update's frame */
    uint64_t weight;
    uint32_t staleness; /* rounds between its base and its round; 0: none */
    int status;         /* enum pf_leaf_status */
};
/* HMAC-SHA256 with the device's id as key over "pf/pseudonym1", 0, the task's
 * name, 0, the round as u64. Who knows the id can tell its leaf. */
void pf_pseudonym(const uint8_t device[PF_DEVICE_LEN], const char *task,
                  uint64_t round, uint8_t out[32]);
void pf_leaf_write(const struct pf_leaf *leaf, uint8_t out[PF_LEAF_LEN]);
/* What stands for it in its tree: merkle.h's hash of those bytes. */
void pf_leaf_hash(const struct pf_leaf *leaf, uint8_t out[32]);
/* MALFORMED: another length, tag or status; *out is then untouched. */
enum pocketfed_status pf_leaf_read(const void *p, size_t n,
                                   struct pf_leaf *out);
/* The order of leaves in their tree: by their bytes from the pseudonym on. As
 * qsort wants it, over struct pf_leaf. */
int pf_leaf_compare(const void *a, const void *b);

/* ---- digests that a record names ---- */

/* "pf/state1\n", model, strategy's state (zeros: none), shift as u32. */
void pf_state_digest(const uint8_t model[32], const uint8_t strategy[32],
                     uint32_t shift, uint8_t out[32]);

/* The sums blob begins with "pf/sums1\n", zeros up to 16 bytes, then these, 8
 * bytes each, the divisor as f64; n sums follow, an int64 each. Its SHA-256 is
 * what a record names. */
#define PF_SUMS_HEAD 56
struct pf_sums_head {
    uint64_t n, updates, weight;
    double divisor; /* of the mean; 0: the weight */
    uint64_t saturated;
};
void pf_sums_head_write(const struct pf_sums_head *h,
                        uint8_t out[PF_SUMS_HEAD]);
/* MALFORMED when it is none, or when len bytes do not hold n sums exactly. */
enum pocketfed_status pf_sums_head_read(const void *p, size_t len,
                                        struct pf_sums_head *out);

/* ---- messages ---- */

#define PF_RECORD_VERSION 1
enum pf_record_outcome {
    PF_RECORD_PUBLISHED,
    PF_RECORD_ABANDONED,   /* model and state stay those of before */
    PF_RECORD_ROLLED_BACK, /* the model of an older round is published anew */
};
extern const char *const pf_record_outcomes[];
struct pf_round_record {
    uint32_t version;
    char task[PF_TASK_NAME_MAX + 1];
    uint64_t round;
    int outcome; /* enum pf_record_outcome */
    uint8_t plan[32];
    uint8_t base[32], base_state[32]; /* model, state digest before the round */
    uint8_t model[32], state[32];     /* and after it */
    uint8_t sums[32];                 /* of the sums blob; zeros: none */
    uint64_t updates;                 /* leaves below root */
    uint64_t weight, saturated;       /* of them together */
    uint8_t root[32];
    uint8_t previous[32]; /* SHA-256 of the record before; zeros: the first */
    uint64_t source;      /* ROLLED_BACK: the round whose model this is */
    int64_t time_ms;      /* Unix */
};
struct pf_log_head {
    char task[PF_TASK_NAME_MAX + 1];
    uint64_t size; /* records */
    uint8_t root[32];
    int64_t time_ms; /* Unix, when it was said */
};
struct pf_rotation {
    uint8_t old_key[32], new_key[32]; /* raw Ed25519 */
    int64_t time_ms;
};

/* Bytes of the JSON, at most. */
#define PF_RECORD_MAX   2048
#define PF_LOG_HEAD_MAX 512
#define PF_ROTATION_MAX 512

/* GET .../proof, 200. Hashes of paths are in hex, from the leaf upwards. */
struct pf_proof {
    struct {
        size_t len;
        uint8_t data[PF_LEAF_LEN];
    } leaf;
    uint64_t index; /* of the leaf, among record.updates */
    char path[PF_MERKLE_PATH][65];
    size_t n_path;
    struct {
        size_t len;
        uint8_t data[PF_RECORD_MAX];
    } record; /* its exact bytes */
    uint8_t record_signature[PF_SIGNATURE_LEN];
    uint64_t log_index; /* of the record, among head.size */
    char log_path[PF_MERKLE_PATH][65];
    size_t n_log_path;
    struct {
        size_t len;
        uint8_t data[PF_LOG_HEAD_MAX];
    } head; /* its exact bytes */
    uint8_t head_signature[PF_SIGNATURE_LEN];
    uint64_t since;                  /* the size that was asked for; 0: none */
    char growth[PF_MERKLE_MOST][65]; /* from `since` to head.size */
    size_t n_growth;
};

extern const struct pf_json_field pf_round_record_fields[];
extern const struct pf_json_field pf_log_head_fields[];
extern const struct pf_json_field pf_rotation_fields[];
extern const struct pf_json_field pf_proof_fields[];

/* A record's bytes as a struct. UNSUPPORTED when its version is newer, else
 * MALFORMED; *out is then unspecified. */
enum pocketfed_status pf_round_record_read(const void *p, size_t n,
                                           struct pf_round_record *out,
                                           struct pf_error *err);

/* n hashes of a message's path as bytes and back. PROOF when one is no hash, or
 * when there are more than `most`. */
enum pocketfed_status pf_path_read(const char (*hex)[65], size_t n, size_t most,
                                   uint8_t (*out)[32]);
void pf_path_write(const uint8_t (*hash)[32], size_t n, char (*out)[65]);

#endif
