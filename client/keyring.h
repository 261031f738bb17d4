/* keyring.h - the record key that a join link named, and those that replaced
 * it, one after the other.
 *
 * Trust begins with the pinned key; each line of rotations.jsonl that the key
 * before it has signed leads on to the next.  What leads nowhere (a damaged
 * line, one that is there twice) is passed over: it costs asking the server
 * again, never trust.
 */
#ifndef PF_KEYRING_H
#define PF_KEYRING_H

#include "proof.h"
#include "storage.h"

#define PF_FILE_ROTATIONS "rotations.jsonl"
#define PF_KEYRING_MAX    64

struct pf_keyring {
    struct pf_key *key[PF_KEYRING_MAX];        /* the pinned one first; owned */
    const struct pf_key *view[PF_KEYRING_MAX]; /* the newest first */
    size_t n;
};

/* From the pinned raw key and the folder's rotations. MALFORMED when the first
 * is no key. *skipped (may be NULL): lines that lead nowhere. */
enum pocketfed_status pf_keyring_load(struct pf_keyring *k,
                                      const struct pf_storage *s,
                                      const uint8_t pinned[32],
                                      size_t *skipped);
void pf_keyring_free(struct pf_keyring *k); /* zeroed is fine */
/* A rotation that was checked: kept in the folder, then in the ring. LIMIT. */
enum pocketfed_status
pf_keyring_follow(struct pf_keyring *k, const struct pf_storage *s,
                  const struct pf_rotation *r, const void *body, size_t len,
                  const char *statement, struct pf_error *err);
/* The key in force; n > 0. */
static inline const struct pf_key *pf_keyring_now(const struct pf_keyring *k)
{
    return k->key[k->n - 1];
}
/* All of them, the newest first; valid until the ring changes. */
struct pf_record_keys pf_keyring_keys(const struct pf_keyring *k);

#endif
