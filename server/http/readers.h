/* readers.h - a small pool of store readers, so that each HTTP worker has one
 * to itself while it needs it.  Thread-safe; never holds more readers than
 * were in use at once.
 */
#ifndef PF_READERS_H
#define PF_READERS_H

#include "store.h"

struct pf_readers;

enum pocketfed_status pf_readers_create(struct pf_store *store,
                                        struct pf_readers **out);
void pf_readers_free(struct pf_readers *r); /* all given back; NULL is fine */
/* NULL when none could be opened (err says why). */
struct pf_store_reader *pf_readers_take(struct pf_readers *r,
                                        struct pf_error *err);
void pf_readers_give(struct pf_readers *r, struct pf_store_reader *reader);

#endif
