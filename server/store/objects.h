/* objects.h - plans, models and strategy states by the SHA-256 of their bytes:
 * STATE/objects/ab/<64 hex>, written once by replace, mapped shared.
 *
 * put is durable when it returns (file and directory synced).  get verifies
 * the digest the first time a file is mapped and refuses a damaged one by
 * name.  Thread-safe.
 */
#ifndef PF_OBJECTS_H
#define PF_OBJECTS_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "log.h"

struct pf_objects;
struct pf_object { /* refcounted, immutable */
    const uint8_t *bytes;
    size_t len;
    uint8_t digest[32];
    /* private */
    struct pf_objects *owner;
    struct pf_object *next;
    unsigned refs;
};

enum pocketfed_status pf_objects_open(const char *state_dir,
                                      const struct pf_log *log,
                                      struct pf_objects **out,
                                      struct pf_error *err);
void pf_objects_close(struct pf_objects *o); /* all objects put back before */
enum pocketfed_status pf_objects_put(struct pf_objects *o, const void *p,
                                     size_t len, uint8_t digest[32],
                                     struct pf_error *err);
/* NOT_FOUND; PROOF when the file's bytes do not have its name's digest. */
enum pocketfed_status pf_objects_get(struct pf_objects *o,
                                     const uint8_t digest[32],
                                     struct pf_object **out,
                                     struct pf_error *err);
void pf_object_release(struct pf_object *obj); /* NULL is fine */
/* Unlinks one object; whoever holds it keeps its bytes. Fine when it is not
 * there. */
enum pocketfed_status pf_objects_drop(struct pf_objects *o,
                                      const uint8_t digest[32],
                                      struct pf_error *err);
/* Unlinks every object that `needed` denies, and left-over temporary files.
 * Only before anything is put: at start. */
enum pocketfed_status pf_objects_sweep(struct pf_objects *o,
                                       int (*needed)(void *ctx,
                                                     const uint8_t digest[32]),
                                       void *ctx, struct pf_error *err);

#endif
