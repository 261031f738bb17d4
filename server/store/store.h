/* store.h - what must survive: tasks, tokens, devices, and the records of the
 * rounds.  SQLite (WAL, synchronous=FULL) is the only truth about what counts.
 *
 * One writing connection, owned by the coordinator thread; any number of
 * readers, one per HTTP worker.  SQL and file paths stay behind these calls.
 * A failing commit is final: the caller ends the process before any effect.
 */
#ifndef PF_STORE_H
#define PF_STORE_H

#include "crypto.h"
#include "log.h"
#include "round.h"

struct pf_store;
struct pf_store_reader;

/* Opens or creates DIR/pocketfed.db. UNSUPPORTED when its user_version is
 * newer than this program knows or the file system bears no write-ahead log,
 * PROOF when application_id is another's. */
enum pocketfed_status pf_store_open(const char *dir, const struct pf_log *log,
                                    struct pf_store **out,
                                    struct pf_error *err);
void pf_store_close(struct pf_store *s); /* checkpoints the WAL; NULL fine */

struct pf_store_task {
    int64_t id;
    char name[PF_TASK_NAME_MAX + 1];
    struct pf_buf file; /* task file as given; owned by the visitor's
                           caller during the visit only */
    uint8_t plan[32];   /* digest; the bytes are an object */
    uint8_t plan_signature[64];
    uint8_t initial_model[32];
    int64_t created_ms; /* wall clock, for people */
};

/* At start: every task, then its records in the order they were written. */
struct pf_store_visitor {
    void *ctx;
    enum pocketfed_status (*task)(void *ctx, const struct pf_store_task *t,
                                  struct pf_error *err);
    enum pocketfed_status (*record)(void *ctx, int64_t task,
                                    const struct pf_record *rec,
                                    struct pf_error *err);
};
enum pocketfed_status pf_store_load(struct pf_store *s,
                                    const struct pf_store_visitor *v,
                                    struct pf_error *err);
/* Where the daemon's clock goes on: the largest at_ms of any record, or what
 * was set last when that is later. 0 in a new store. */
enum pocketfed_status pf_store_clock(struct pf_store *s, int64_t *now_ms,
                                     struct pf_error *err);
/* Remembers how far the clock has come, durably; never sets it back. Outside a
 * transaction. A failure is final. */
enum pocketfed_status pf_store_clock_set(struct pf_store *s, int64_t now_ms,
                                         struct pf_error *err);

/* One transaction per batch. Any failure is final. */
enum pocketfed_status pf_store_begin(struct pf_store *s, struct pf_error *err);
enum pocketfed_status pf_store_commit(struct pf_store *s, struct pf_error *err);

/* Moves the write-ahead log into the database when it is large, or when there
 * is nothing else to do. Outside a transaction. A failure is final. */
enum pocketfed_status pf_store_tidy(struct pf_store *s, int idle,
                                    struct pf_error *err);

/* What a round cost, known to the coordinator, not to the engine. */
struct pf_round_counters {
    uint64_t late, refused, bytes_up, bytes_down;
};
/* Inside a transaction: writes one record (counters with CLOSED, PUBLISHED and
 * ABANDONED; else NULL). */
enum pocketfed_status pf_store_record(struct pf_store *s, int64_t task,
                                      const struct pf_record *rec,
                                      const struct pf_round_counters *counters,
                                      struct pf_error *err);
/* Inside a transaction. EXISTS when the name is taken. Sets t->id. */
enum pocketfed_status pf_store_task_add(struct pf_store *s,
                                        struct pf_store_task *t,
                                        struct pf_error *err);
enum pocketfed_status pf_store_token_add(struct pf_store *s, int64_t task,
                                         const uint8_t hash[32], uint64_t uses,
                                         int64_t expires_ms, int has_ordinal,
                                         uint64_t ordinal, const char *label,
                                         struct pf_error *err);
struct pf_device {
    uint8_t id[PF_DEVICE_LEN];
    uint64_t ordinal;
    enum pf_key_alg alg;
    uint8_t key[PF_PUBLIC_MAX];
    size_t key_len;
    enum pf_device_state state;
    uint64_t updates, last_round; /* what it contributed so far; read only */
    char label[PF_LABEL_MAX + 1];
};
/* Spends one use of the token for this key, unless the key has spent one
 * already (then the same device again: *again = 1). REFUSED with *why
 * (token-unknown, -expired, -used, ordinal-taken, device-revoked). d's id, alg,
 * key, label are given; ordinal is set: the token's, else the smallest free
 * one. A device that left comes back by a token other than the one it came by,
 * as the same device. now_ms is the wall clock (tokens expire by it). */
enum pocketfed_status pf_store_enrol(struct pf_store *s, int64_t task,
                                     const uint8_t token_hash[32],
                                     int64_t now_ms, struct pf_device *d,
                                     int *again, struct pf_problem *why,
                                     struct pf_error *err);
/* Inside a transaction. Revokes a device, or lets it leave; *was gets what it
 * was before. It stays so when that was revoked, or left and it leaves again.
 * NOT_FOUND when it was never enrolled. now_ms: the wall clock, for people. */
enum pocketfed_status pf_store_device_end(struct pf_store *s, int64_t task,
                                          const uint8_t id[PF_DEVICE_LEN],
                                          enum pf_device_state state,
                                          int64_t now_ms,
                                          enum pf_device_state *was,
                                          struct pf_error *err);
/* How many of the newest models (with their states) and sums of a task stay. */
struct pf_keep {
    uint32_t models, sums;
};
/* Digests of objects that a task still needs: its plan, its initial model, the
 * newest keep.models models and keep.sums sums, the base of the open round. */
enum pocketfed_status
pf_store_needed(struct pf_store *s, int64_t task, struct pf_keep keep,
                void (*visit)(void *ctx, const uint8_t digest[32]), void *ctx,
                struct pf_error *err);
/* The newest few models and states of a task that are older than its newest
 * keep: what may be dropped now that another was published. */
enum pocketfed_status
pf_store_expired(struct pf_store *s, int64_t task, struct pf_keep keep,
                 void (*visit)(void *ctx, const uint8_t digest[32]), void *ctx,
                 struct pf_error *err);

/* Devices enrolled in a task. Owner of the writing connection. */
enum pocketfed_status pf_store_n_devices(struct pf_store *s, int64_t task,
                                         uint64_t *n, struct pf_error *err);
/* What a round published; state zeros: none. NOT_FOUND when it published
 * nothing. Owner of the writing connection. */
enum pocketfed_status pf_store_published(struct pf_store *s, int64_t task,
                                         uint64_t round, uint8_t model[32],
                                         uint8_t state[32],
                                         struct pf_error *err);

/* Readers: committed data only. Not shared between threads. */
enum pocketfed_status pf_reader_open(struct pf_store *s,
                                     struct pf_store_reader **out,
                                     struct pf_error *err);
void pf_reader_close(struct pf_store_reader *r);
/* NOT_FOUND when the device is not enrolled in the task. */
enum pocketfed_status pf_reader_device(struct pf_store_reader *r, int64_t task,
                                       const uint8_t id[PF_DEVICE_LEN],
                                       struct pf_device *out);
/* Those that have neither left nor been revoked. */
uint64_t pf_reader_n_devices(struct pf_store_reader *r, int64_t task);
/* The same device as people want to see it. */
enum pocketfed_status pf_reader_device_status(struct pf_store_reader *r,
                                              int64_t task,
                                              const uint8_t id[PF_DEVICE_LEN],
                                              struct pf_device_status *out);
/* Devices of a task by ordinal, from `first` on, at most `max`; with lowest and
 * highest (both or neither NULL) only those whose ids lie between. */
enum pocketfed_status
pf_reader_devices(struct pf_store_reader *r, int64_t task, uint64_t first,
                  size_t max, const uint8_t *lowest, const uint8_t *highest,
                  void (*visit)(void *ctx, const struct pf_device_status *d),
                  void *ctx);
/* Tokens with uses left that have not expired by the wall clock. */
uint64_t pf_reader_n_tokens(struct pf_store_reader *r, int64_t task,
                            int64_t now_ms);
/* Devices that ever enrolled: also those that left or were revoked. */
uint64_t pf_reader_n_enrolled(struct pf_store_reader *r, int64_t task);
/* The committed acknowledgement of (task, round, device). */
enum pocketfed_status pf_reader_ack(struct pf_store_reader *r, int64_t task,
                                    uint64_t round,
                                    const uint8_t id[PF_DEVICE_LEN],
                                    struct pf_ack *out);
/* Ended and open rounds with number > since, ascending, at most `max`. `needed`
 * is 0: the task's plan of rounds says it, not the store. */
enum pocketfed_status pf_reader_rounds(
    struct pf_store_reader *r, int64_t task, uint64_t since, size_t max,
    void (*visit)(void *ctx, const struct pf_round_status *rs), void *ctx);
/* Assignments and accepted updates of the rounds with number > since, a class
 * of devices each, by name. */
enum pocketfed_status
pf_reader_classes(struct pf_store_reader *r, int64_t task, uint64_t since,
                  void (*visit)(void *ctx, const struct pf_class_status *cs),
                  void *ctx);

#endif
