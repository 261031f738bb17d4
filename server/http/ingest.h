/* ingest.h - one upload, from its headers to the acknowledgement.
 *
 * A newer request about the same upload takes it over (partial.h): what is lost
 * by that, or with its connection, may go on later by a PATCH (resume.h), which
 * runs through the same functions.
 *
 * At the headers: what was acknowledged before is acknowledged again, a place
 * in the coordinator's queue is reserved for the update, and the round engine
 * is asked (OFFER); a refusal then costs no body.  The body goes once into the
 * round's segment and is hashed once as it arrives.  At its end: length,
 * digest, admission, and the update into the reserved place.  Whatever happens
 * in between, place and extent are given back exactly once.
 */
#ifndef PF_INGEST_H
#define PF_INGEST_H

#include "exchange.h"

/* PUT; a PATCH, once ex->ingest.offset is set. */
enum pf_next pf_ingest_begin(struct pf_exchange *ex);
void pf_ingest_data(struct pf_exchange *ex, const void *p, size_t n);
enum pf_next pf_ingest_end(struct pf_exchange *ex);
/* Gives back what the upload still holds; fine without an upload. */
void pf_ingest_free(struct pf_exchange *ex);

#endif
