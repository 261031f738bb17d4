/* points.h - the durable effects of the store, one row each: where a crash must
 * not hurt.
 *
 * Nothing of this is compiled into the daemon.  The crash harness
 * (tests/crash/) links a daemon in which every function here is wrapped, and
 * kills it before, in the middle of and after each; so a function that makes
 * something durable, or takes it away, gets a row.  The linker wraps calls
 * from other files alone: a function that is called only from its own file
 * cannot be a row.
 *
 * STATUS(name, parameters, arguments) returns an enum pocketfed_status, VOID
 * nothing.
 */
#ifndef PF_STORE_POINTS_H
#define PF_STORE_POINTS_H

#include "file.h"
#include "objects.h"
#include "segment.h"
#include "store.h"
#include "store_proof.h"

/* clang-format off */
#define PF_STORE_POINTS(STATUS, VOID)                                          \
    /* segments */                                                             \
    STATUS(pf_segment_open,                                                    \
           (const char *dir, int64_t task, uint64_t round,                     \
            struct pf_segment **out, struct pf_error *err),                    \
           (dir, task, round, out, err))                                       \
    STATUS(pf_segment_reserve,                                                 \
           (struct pf_segment *s, size_t len, struct pf_extent *out,           \
            struct pf_error *err),                                             \
           (s, len, out, err))                                                 \
    STATUS(pf_segment_write,                                                   \
           (struct pf_segment *s, uint64_t offset, const void *p, size_t n,    \
            struct pf_error *err),                                             \
           (s, offset, p, n, err))                                             \
    STATUS(pf_segment_sync,                                                    \
           (struct pf_segment *s, struct pf_error *err), (s, err))             \
    VOID(pf_segment_unlink, (struct pf_segment *s), (s))                       \
    VOID(pf_segment_remove,                                                    \
         (const char *dir, int64_t task, uint64_t round), (dir, task, round))  \
    STATUS(pf_segment_sweep,                                                   \
           (const char *dir, int (*open)(void *, int64_t, uint64_t),           \
            void *ctx, struct pf_error *err),                                  \
           (dir, open, ctx, err))                                              \
    /* the database */                                                         \
    STATUS(pf_store_open,                                                      \
           (const char *dir, const struct pf_log *log, struct pf_store **out,  \
            struct pf_error *err),                                             \
           (dir, log, out, err))                                               \
    STATUS(pf_store_begin, (struct pf_store *s, struct pf_error *err),         \
           (s, err))                                                           \
    STATUS(pf_store_record,                                                    \
           (struct pf_store *s, int64_t task, const struct pf_record *rec,     \
            const struct pf_round_counters *counters, struct pf_error *err),   \
           (s, task, rec, counters, err))                                      \
    STATUS(pf_store_seal,                                                      \
           (struct pf_store *s, int64_t task, const struct pf_seal *seal,      \
            struct pf_error *err),                                             \
           (s, task, seal, err))                                               \
    STATUS(pf_store_plan_sign,                                                 \
           (struct pf_store *s, int64_t task, const uint8_t *sig,              \
            struct pf_error *err),                                             \
           (s, task, sig, err))                                                \
    STATUS(pf_store_rotate,                                                    \
           (struct pf_store *s, const uint8_t *old, const void *body,          \
            size_t len, const uint8_t *sig, struct pf_error *err),             \
           (s, old, body, len, sig, err))                                      \
    STATUS(pf_store_task_add,                                                  \
           (struct pf_store *s, struct pf_store_task *t,                       \
            struct pf_error *err),                                             \
           (s, t, err))                                                        \
    STATUS(pf_store_token_add,                                                 \
           (struct pf_store *s, int64_t task, const uint8_t *hash,             \
            uint64_t uses, int64_t expires_ms, int has_ordinal,                \
            uint64_t ordinal, const char *label, struct pf_error *err),        \
           (s, task, hash, uses, expires_ms, has_ordinal, ordinal, label,      \
            err))                                                              \
    STATUS(pf_store_enrol,                                                     \
           (struct pf_store *s, int64_t task, const uint8_t *token_hash,       \
            int64_t now_ms, struct pf_device *d, int *again,                   \
            struct pf_problem *why, struct pf_error *err),                     \
           (s, task, token_hash, now_ms, d, again, why, err))                  \
    STATUS(pf_store_commit, (struct pf_store *s, struct pf_error *err),        \
           (s, err))                                                           \
    STATUS(pf_store_clock_set,                                                 \
           (struct pf_store *s, int64_t now_ms, struct pf_error *err),         \
           (s, now_ms, err))                                                   \
    STATUS(pf_store_tidy,                                                      \
           (struct pf_store *s, int idle, struct pf_error *err),               \
           (s, idle, err))                                                     \
    /* plans, models and strategy states */                                    \
    STATUS(pf_objects_open,                                                    \
           (const char *dir, const struct pf_log *log,                         \
            struct pf_objects **out, struct pf_error *err),                    \
           (dir, log, out, err))                                               \
    STATUS(pf_objects_put,                                                     \
           (struct pf_objects *o, const void *p, size_t len, uint8_t *digest,  \
            struct pf_error *err),                                             \
           (o, p, len, digest, err))                                           \
    STATUS(pf_objects_drop,                                                    \
           (struct pf_objects *o, const uint8_t *digest,                       \
            struct pf_error *err),                                             \
           (o, digest, err))                                                   \
    STATUS(pf_objects_sweep,                                                   \
           (struct pf_objects *o, int (*needed)(void *, const uint8_t *),      \
            void *ctx, struct pf_error *err),                                  \
           (o, needed, ctx, err))                                              \
    /* what all of them stand on: write, sync, rename, sync of the directory */\
    STATUS(pf_file_replace,                                                    \
           (const char *path, const void *p, size_t len, unsigned mode,        \
            struct pf_error *err),                                             \
           (path, p, len, mode, err))                                          \
    STATUS(pf_file_sync, (const char *path, struct pf_error *err),             \
           (path, err))                                                        \
    STATUS(pf_dir_sync, (const char *path, struct pf_error *err), (path, err))
/* clang-format on */

#endif
