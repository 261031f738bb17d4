/* framing.h - is it beyond doubt where this request's body ends and what its
 * bytes are?
 *
 * What RFC 9112 leaves to a parser's taste is refused: a proxy in front of us
 * that reads it otherwise would take one request's body for the next request.
 * A refusal here closes the connection, since nobody knows where the next
 * request would begin.
 */
#ifndef PF_FRAMING_H
#define PF_FRAMING_H

#include "exchange.h"

/* Before the call is looked up; sets ex->content_length. 0 with the refusal in
 * the reply. */
int pf_framing_check(struct pf_exchange *ex);
/* The length against the call's. */
int pf_framing_length(struct pf_exchange *ex);

#endif
