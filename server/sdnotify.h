/* sdnotify.h - tells systemd how far the daemon is: one datagram to
 * $NOTIFY_SOCKET (sd_notify(3)), without its library.  Quiet where there is no
 * systemd.
 */
#ifndef PF_SDNOTIFY_H
#define PF_SDNOTIFY_H

/* For example "READY=1\nSTATUS=serving". 1 when it was sent. */
int pf_sdnotify(const char *state);

#endif
