/* gate.h - who may use the admin interface over TCP.
 *
 * The Unix socket knows its peer; a TCP port is reached by every program of
 * the machine, and by every page that a browser on it shows.  So: the token of
 * a file (admintoken.h), in constant time; a Host that is an address,
 * "localhost" or the server's own name, so that a name that an attacker makes
 * point here (DNS rebinding) opens nothing; and no request that a page of
 * another site caused.  There is no CORS, because no page is meant to call.
 * All of it is asked before anything else is said.
 */
#ifndef PF_GATE_H
#define PF_GATE_H

#include "admintoken.h"
#include "exchange.h"

struct pf_gate;

/* host: the server's own name, copied. */
enum pocketfed_status pf_gate_create(const char *host, struct pf_gate **out);
void pf_gate_free(struct pf_gate *g); /* NULL is fine */
/* From any thread; what comes afterwards needs this one. */
void pf_gate_token(struct pf_gate *g, const uint8_t token[PF_ADMIN_TOKEN_LEN]);
/* 1, or 0 with the refusal in the reply, counted. */
int pf_gate_open(struct pf_gate *g, struct pf_exchange *ex);

#endif
