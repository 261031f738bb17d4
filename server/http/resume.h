/* resume.h - an upload that was cut off: HEAD says how much of it is here,
 * PATCH sends the rest (headers of draft-ietf-httpbis-resumable-upload; no
 * 104).
 *
 * A PATCH must name the offset at which the kept bytes end and sign the digest
 * of the whole frame, the one that the first request signed; then it is an
 * upload like any other (ingest.h), offered to the round engine before its
 * body.
 */
#ifndef PF_RESUME_H
#define PF_RESUME_H

#include "exchange.h"

/* HEAD. Whoever is at the upload loses it. */
enum pf_next pf_resume_look(struct pf_exchange *ex);
/* PATCH, at its headers. */
enum pf_next pf_resume_begin(struct pf_exchange *ex);
/* Frees what is kept of closed rounds and for too long. Every second. */
void pf_resume_sweep(struct pf_edge *e);

#endif
