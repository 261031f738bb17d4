/* storage.h - the client's folder: everything that a kill must not lose.
 *
 *   DIR/             0700
 *     lock           one process at a time
 *     identity.key   0600, the device's Ed25519 key (none when the app signs)
 *     join.link      the link until the enrolment has ended, then wiped
 *     server.json    where the task is served, and who we are there
 *     counters.json  what has been done so far, and which models are kept
 *     objects/HEX    the two newest model files, named by their digest
 *     plan model train update    see participation.h
 *     leaving        there while the device is leaving its task
 *     receipt        the acknowledgement whose round has no record yet
 *     receipts.jsonl one line per acknowledged update, appended and synced
 *     proofs.jsonl   one line per update that was proved to be in a record
 *     evidence.jsonl signed statements of the server that contradict each other
 *     rotations.jsonl how the record key changed hands
 *
 * Every file is replaced whole, so a crash leaves the old or the new one. What
 * is damaged all the same counts as absent; only an identity key that cannot
 * be read is an error, because nobody may silently become another device.
 */
#ifndef PF_STORAGE_H
#define PF_STORAGE_H

#include "buf.h"
#include "fail.h"
#include "joinlink.h"
#include "json.h"
#include "wire.h"

#define PF_STORAGE_PATH   4096
#define PF_STORAGE_MODELS 2

struct pf_storage {
    char dir[PF_STORAGE_PATH];
    int lock_fd;
};

/* server.json */
struct pf_membership {
    char host[256];
    uint32_t port;
    char pins[PF_JOIN_MAX_PINS][65]; /* hex */
    size_t n_pins;
    char task[PF_TASK_NAME_MAX + 1];
    uint8_t record_key[32]; /* raw public key that the join link named */
    uint8_t device[PF_DEVICE_LEN];
    uint64_t ordinal;
};

/* counters.json */
struct pf_counters {
    uint64_t last_round;  /* accepted; 0: none */
    char last_update[65]; /* hex digest, or "" */
    int64_t last_accepted_ms;
    uint64_t participations, bytes_up, bytes_down;
    char models[PF_STORAGE_MODELS][65]; /* in objects/, newest first */
    size_t n_models;
};

/* Makes the folder when missing and locks it: LOCKED, IO, LIMIT. */
enum pocketfed_status pf_storage_open(const char *dir, struct pf_storage *out,
                                      struct pf_error *err);
void pf_storage_close(struct pf_storage *s);

/* One file under its name. Content is appended to out; NOT_FOUND, LIMIT, IO. */
enum pocketfed_status pf_storage_load(const struct pf_storage *s,
                                      const char *name, struct pf_buf *out,
                                      struct pf_error *err);
enum pocketfed_status pf_storage_save(const struct pf_storage *s,
                                      const char *name, const void *p,
                                      size_t len, struct pf_error *err);
void pf_storage_remove(const struct pf_storage *s, const char *name);
/* Overwrites with zeros, then removes. */
void pf_storage_wipe(const struct pf_storage *s, const char *name);
/* Wipes all that the library keeps here but receipts, proofs and evidence, the
 * key last. IO
 * names a file that stayed. */
enum pocketfed_status pf_storage_clear(const struct pf_storage *s,
                                       struct pf_error *err);
/* Receipts, proofs and evidence of a task that was left make room for those of
 * the next: receipts.jsonl becomes receipts.jsonl.1, or .2 ... IO. */
enum pocketfed_status pf_storage_set_aside(const struct pf_storage *s,
                                           struct pf_error *err);
/* Appends line and a newline, durably. A line that was torn by a crash is cut
 * off first; when the last line begins with the same key_len bytes, it is
 * there already and nothing is added. */
enum pocketfed_status pf_storage_append(const struct pf_storage *s,
                                        const char *name, const char *line,
                                        size_t key_len, struct pf_error *err);
/* The last line that is whole, without its newline; NOT_FOUND when there is
 * none. */
enum pocketfed_status pf_storage_last(const struct pf_storage *s,
                                      const char *name, struct pf_buf *out,
                                      struct pf_error *err);
enum pocketfed_status pf_storage_path(const struct pf_storage *s,
                                      const char *name, char *out, size_t cap,
                                      struct pf_error *err);

/* The two small structs. Absent or damaged: NOT_FOUND and *out is zeroed. */
enum pocketfed_status pf_storage_membership(const struct pf_storage *s,
                                            struct pf_membership *out);
enum pocketfed_status pf_storage_set_membership(const struct pf_storage *s,
                                                const struct pf_membership *m,
                                                struct pf_error *err);
enum pocketfed_status pf_storage_counters(const struct pf_storage *s,
                                          struct pf_counters *out);
enum pocketfed_status pf_storage_set_counters(const struct pf_storage *s,
                                              const struct pf_counters *c,
                                              struct pf_error *err);

/* Model files. put keeps the newest PF_STORAGE_MODELS of them, notes that in
 * *c and stores it. get does not check the digest: its caller does. */
enum pocketfed_status pf_storage_object_get(const struct pf_storage *s,
                                            const uint8_t digest[32],
                                            struct pf_buf *out);
enum pocketfed_status pf_storage_object_put(const struct pf_storage *s,
                                            struct pf_counters *c,
                                            const uint8_t digest[32],
                                            const void *p, size_t len,
                                            struct pf_error *err);

#endif
