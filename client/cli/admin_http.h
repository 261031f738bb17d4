/* admin_http.h - one call of the admin API, over the daemon's Unix socket or,
 * with --server, over TCP with the token of a file.
 */
#ifndef PF_ADMIN_HTTP_H
#define PF_ADMIN_HTTP_H

#include "calls.h"
#include "cli.h"

/* --server and its token, else the socket of --socket / POCKETFED_SOCKET, else
 * of --state DIR, else the daemon's default places that exist. Options every
 * admin command has: */
/* clang-format off */
#define CLI_ADMIN_OPTIONS                                                      \
    {"socket", 0, CLI_TEXT, "PATH", NULL, 0, 0, NULL,                          \
     "the daemon's admin socket (default: admin.sock in --state)"},            \
    {"state", 0, CLI_TEXT, "DIR", NULL, 0, 0, NULL,                            \
     "the daemon's state directory"},                                          \
    {"server", 0, CLI_TEXT, "URL", NULL, 0, 0, NULL,                           \
     "its admin interface over TCP instead: http://127.0.0.1:PORT"},           \
    {"token-file", 0, CLI_TEXT, "FILE", NULL, 0, 0, NULL,                      \
     "the secret for --server (default: keys/admin.token in --state)"},        \
    {"pin", 0, CLI_TEXT, "KEY", NULL, 0, 0, NULL,                              \
     "the TLS key of an https --server, as in join links (default: roots)"}
/* clang-format on */

/* Sends `call` and appends the 2xx body to reply. A problem document becomes
 * err (status by its HTTP status, text and hint by its members); a socket that
 * does not answer becomes UNREACHABLE, naming the path and where it came
 * from. query: "" or "?a=b". body NULL: none. */
enum pocketfed_status admin_call(const struct cli *c, enum pf_call_id call,
                                 const struct pf_call_args *args,
                                 const char *query, const struct pf_buf *body,
                                 struct pf_buf *reply, struct pf_error *err);

#endif
