/* rotate.h - a new record key in the place of the old one, so that devices
 * follow: the old key signs a statement that names the new one (record.h).
 *
 * Done while the daemon is stopped.  In STATE/keys:
 *
 *   record.key.next   the new key, until it is record.key
 *   rotation          the statement: signature in base64, newline, body; from
 *                     when it is written until the database has it
 *
 * Whoever is killed in between finds both at the next start: without
 * `rotation` nothing has happened, with it the rest is done.
 */
#ifndef PF_ROTATE_H
#define PF_ROTATE_H

#include "store.h"

/* `pocketfedd rotate-key`. `state` is a directory in which a daemon has run and
 * none runs now: NOT_FOUND, LOCKED. Fingerprints of both keys are given back.
 */
enum pocketfed_status pf_rotate_key(const char *state, int64_t now_ms,
                                    uint8_t old_print[32],
                                    uint8_t new_print[32],
                                    struct pf_error *err);

/* At start, before the record key is loaded: what a crash left in KEYS. */
enum pocketfed_status pf_rotate_resume(const char *keys, struct pf_error *err);
/* And once the store is open: the statement becomes a row, if there is one. */
enum pocketfed_status pf_rotate_note(const char *state, struct pf_store *store,
                                     struct pf_error *err);

#endif
