/* listen.h - listening sockets, made by us so that a port of 0, a taken port
 * and the admin socket's permissions are in our hands.
 */
#ifndef PF_LISTEN_H
#define PF_LISTEN_H

#include <stdint.h>
#include <sys/socket.h>
#include "fail.h"

/* "ADDR:PORT", "[IPv6]:PORT" or ":PORT" -> host and port; 1 or 0. */
int pf_address_parse(const char *text, char host[256], uint16_t *port);

/* A bound, listening, non-blocking socket; *port gets the real port. IO, with
 * the holder of a taken port named when it can be found. */
enum pocketfed_status pf_listen_tcp(const char *host, uint16_t port, int *fd,
                                    uint16_t *bound, struct pf_error *err);
/* A Unix socket of mode 0660; one left over by a dead daemon is replaced, one
 * that answers is LOCKED. */
enum pocketfed_status pf_listen_unix(const char *path, int *fd,
                                     struct pf_error *err);
/* What an address is limited by: an IPv4 address as mapped into IPv6, of an
 * IPv6 address the first 64 bits (one customer has all of the rest), zeros
 * behind. 0 for what is neither. */
int pf_peer_name(const struct sockaddr *a, uint8_t out[16]);
/* 1 when the process at the other end of an accepted Unix socket has our user,
 * is root, or is in the group of the socket file `path`. */
int pf_peer_may_administer(int fd, const char *path);

#endif
