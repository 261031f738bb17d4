#include "record.h"

#include <string.h>
#include "bytes.h"
#include "field_rows.h"
#include "text.h"

#define LEAF_TAG      "pf/leaf1"
#define STATE_TAG     "pf/state1\n"
#define SUMS_TAG      "pf/sums1\n"
#define PSEUDONYM_TAG "pf/pseudonym1"

/* ---- leaves ---- */

void pf_pseudonym(const uint8_t device[PF_DEVICE_LEN], const char *task,
                  uint64_t round, uint8_t out[32])
{
    uint8_t m[sizeof PSEUDONYM_TAG + PF_TASK_NAME_MAX + 1 + 8];
    size_t n = strnlen(task, PF_TASK_NAME_MAX);

    memcpy(m, PSEUDONYM_TAG, sizeof PSEUDONYM_TAG); /* with its 0 */
    memcpy(m + sizeof PSEUDONYM_TAG, task, n);
    n += sizeof PSEUDONYM_TAG;
    m[n++] = 0;
    pf_put64(m + n, round);
    pf_hmac_sha256(device, PF_DEVICE_LEN, m, n + 8, out);
}

void pf_leaf_write(const struct pf_leaf *leaf, uint8_t out[PF_LEAF_LEN])
{
    memcpy(out, LEAF_TAG, 8);
    pf_put64(out + 8, leaf->round);
    memcpy(out + 16, leaf->pseudonym, 32);
    memcpy(out + 48, leaf->digest, 32);
    pf_put64(out + 80, leaf->weight);
    pf_put32(out + 88, leaf->staleness);
    out[92] = (uint8_t)leaf->status;
}

void pf_leaf_hash(const struct pf_leaf *leaf, uint8_t out[32])
{
    uint8_t bytes[PF_LEAF_LEN];

    pf_leaf_write(leaf, bytes);
    pf_merkle_leaf(bytes, sizeof bytes, out);
}

enum pocketfed_status pf_leaf_read(const void *p, size_t n, struct pf_leaf *out)
{
    const uint8_t *b = p;

    if (n != PF_LEAF_LEN || memcmp(b, LEAF_TAG, 8) != 0 ||
        (b[92] != PF_LEAF_COUNTED && b[92] != PF_LEAF_ABANDONED))
        return POCKETFED_MALFORMED;
    out->round = pf_get64(b + 8);
    memcpy(out->pseudonym, b + 16, 32);
    memcpy(out->digest, b + 48, 32);
    out->weight = pf_get64(b + 80);
    out->staleness = pf_get32(b + 88);
    out->status = b[92];
    return POCKETFED_OK;
}

int pf_leaf_compare(const void *a, const void *b)
{
    uint8_t x[PF_LEAF_LEN], y[PF_LEAF_LEN];

    pf_leaf_write(a, x);
    pf_leaf_write(b, y);
    return memcmp(x + 16, y + 16, PF_LEAF_LEN - 16);
}

/* ---- digests ---- */

void pf_state_digest(const uint8_t model[32], const uint8_t strategy[32],
                     uint32_t shift, uint8_t out[32])
{
    uint8_t m[sizeof STATE_TAG - 1 + 68];
    size_t n = sizeof STATE_TAG - 1;

    memcpy(m, STATE_TAG, n);
    memcpy(m + n, model, 32);
    memcpy(m + n + 32, strategy, 32);
    pf_put32(m + n + 64, shift);
    pf_sha256(m, sizeof m, out);
}

void pf_sums_head_write(const struct pf_sums_head *h, uint8_t out[PF_SUMS_HEAD])
{
    memset(out, 0, 16);
    memcpy(out, SUMS_TAG, sizeof SUMS_TAG - 1);
    pf_put64(out + 16, h->n);
    pf_put64(out + 24, h->updates);
    pf_put64(out + 32, h->weight);
    pf_putd(out + 40, h->divisor);
    pf_put64(out + 48, h->saturated);
}

enum pocketfed_status pf_sums_head_read(const void *p, size_t len,
                                        struct pf_sums_head *out)
{
    uint8_t tag[16] = SUMS_TAG;
    const uint8_t *b = p;
    uint64_t n;

    if (len < PF_SUMS_HEAD || memcmp(b, tag, sizeof tag) != 0)
        return POCKETFED_MALFORMED;
    n = pf_get64(b + 16);
    if ((len - PF_SUMS_HEAD) % 8 != 0 || n != (len - PF_SUMS_HEAD) / 8)
        return POCKETFED_MALFORMED;
    out->n = n;
    out->updates = pf_get64(b + 24);
    out->weight = pf_get64(b + 32);
    out->divisor = pf_getd(b + 40);
    out->saturated = pf_get64(b + 48);
    return POCKETFED_OK;
}

/* ---- messages ---- */

const char *const pf_record_outcomes[] = {
    [PF_RECORD_PUBLISHED] = "published",
    [PF_RECORD_ABANDONED] = "abandoned",
    [PF_RECORD_ROLLED_BACK] = "rolled-back",
    NULL,
};

/* clang-format off */
#define BYTES(S, k, f, h)                                                      \
    {.key = #k, .type = PF_JSON_BASE64URL, .flags = (f),                       \
     .offset = offsetof(struct S, k),                                          \
     .size = sizeof ((struct S *)0)->k.data, .help = (h)}
#define HASHES(S, k, f, h)                                                     \
    {.key = #k, .type = PF_JSON_STRINGS, .flags = (f),                         \
     .offset = offsetof(struct S, k),                                          \
     .size = sizeof ((struct S *)0)->k[0],                                     \
     .count = sizeof ((struct S *)0)->k / sizeof ((struct S *)0)->k[0],        \
     .count_offset = offsetof(struct S, n_##k), .help = (h)}

const struct pf_json_field pf_round_record_fields[] = {
    {ROW(pf_round_record, version, U32, REQ, "Version of this record's form"),
     .min = 1, .max = UINT32_MAX},
    TEXT(pf_round_record, task, REQ, "The task"),
    U64(pf_round_record, round, REQ, "The round that has ended"),
    ENUM(pf_round_record, outcome, REQ, pf_record_outcomes, "How it ended"),
    HEX(pf_round_record, plan, REQ, "Digest of its plan"),
    HEX(pf_round_record, base, REQ, "Digest of the model before it"),
    HEX(pf_round_record, base_state, REQ,
        "Digest of the server's state before it"),
    HEX(pf_round_record, model, REQ,
        "Digest of the model after it; abandoned: the one before"),
    HEX(pf_round_record, state, REQ, "Digest of the server's state after it"),
    HEX(pf_round_record, sums, REQ,
        "Digest of the sums of its updates; zeros: there are none"),
    U64(pf_round_record, updates, REQ, "Leaves of its tree"),
    U64(pf_round_record, weight, REQ, "Sum of their weights"),
    U64(pf_round_record, saturated, REQ,
        "Coordinates that were clamped to the plan's range"),
    HEX(pf_round_record, root, REQ, "Root of the tree over its leaves"),
    HEX(pf_round_record, previous, REQ,
        "SHA-256 of the record before; zeros: this is the first"),
    U64(pf_round_record, source, REQ,
        "rolled-back: the round whose model this is, else 0"),
    TIME(pf_round_record, time_ms, REQ,
         "When it ended, milliseconds since 1970"),
    END,
};

const struct pf_json_field pf_log_head_fields[] = {
    TEXT(pf_log_head, task, REQ, "The task whose log this is"),
    U64(pf_log_head, size, REQ, "Records in it"),
    HEX(pf_log_head, root, REQ, "Root of the tree over them"),
    TIME(pf_log_head, time_ms, REQ,
         "When this was said, milliseconds since 1970"),
    END,
};

const struct pf_json_field pf_rotation_fields[] = {
    HEX(pf_rotation, old_key, REQ, "The raw Ed25519 key that signs this"),
    HEX(pf_rotation, new_key, REQ, "The raw Ed25519 key in its place"),
    TIME(pf_rotation, time_ms, REQ,
         "When it was replaced, milliseconds since 1970"),
    END,
};

const struct pf_json_field pf_proof_fields[] = {
    BYTES(pf_proof, leaf, REQ, "The leaf of the device's update"),
    U64(pf_proof, index, REQ, "Its place in the round's tree"),
    HASHES(pf_proof, path, REQ, "From the leaf up to the record's root"),
    BYTES(pf_proof, record, REQ, "The round's record (RoundRecord)"),
    HEX(pf_proof, record_signature, REQ,
        "Its statement, label \"record\""),
    U64(pf_proof, log_index, REQ, "The record's place in the task's log"),
    HASHES(pf_proof, log_path, REQ, "From the record up to the head's root"),
    BYTES(pf_proof, head, REQ, "The head of the log (LogHead)"),
    HEX(pf_proof, head_signature, REQ, "Its statement, label \"log\""),
    U64(pf_proof, since, OMIT, "The size of the log that was asked about"),
    HASHES(pf_proof, growth, OMIT,
           "That the log begins with the one of that size"),
    END,
};
/* clang-format on */

enum pocketfed_status pf_round_record_read(const void *p, size_t n,
                                           struct pf_round_record *out,
                                           struct pf_error *err)
{
    enum pocketfed_status st;

    memset(out, 0, sizeof *out);
    st = pf_json_decode(pf_round_record_fields, PF_JSON_IGNORE, p, n, out, err);
    if (st == POCKETFED_LIMIT)
        return POCKETFED_MALFORMED;
    if (st == POCKETFED_OK && out->version > PF_RECORD_VERSION)
        return pf_fail(err, POCKETFED_UNSUPPORTED,
                       "the record has version %lu, this program knows "
                       "versions up to %d",
                       (unsigned long)out->version, PF_RECORD_VERSION);
    return st;
}

enum pocketfed_status pf_path_read(const char (*hex)[65], size_t n, size_t most,
                                   uint8_t (*out)[32])
{
    size_t i;

    if (n > most)
        return POCKETFED_PROOF;
    for (i = 0; i < n; i++)
        if (!pf_unhex(hex[i], strnlen(hex[i], 65), out[i], 32))
            return POCKETFED_PROOF;
    return POCKETFED_OK;
}

void pf_path_write(const uint8_t (*hash)[32], size_t n, char (*out)[65])
{
    size_t i;

    for (i = 0; i < n; i++)
        pf_hex(hash[i], 32, out[i]);
}
