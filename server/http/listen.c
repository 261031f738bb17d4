#define _GNU_SOURCE /* struct ucred */
#include "listen.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "text.h"

#define BACKLOG 1024

int pf_address_parse(const char *text, char host[256], uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    size_t n;
    uint64_t p;

    if (!colon || !pf_parse_u64(colon + 1, strlen(colon + 1), 0, 65535, &p))
        return 0;
    n = (size_t)(colon - text);
    if (n >= 2 && text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    } else if (memchr(text, ':', n)) {
        return 0; /* IPv6 without brackets: where does the port begin? */
    }
    if (n > 255)
        return 0;
    memcpy(host, text, n);
    host[n] = '\0';
    *port = (uint16_t)p;
    return 1;
}

/* The inode of the socket listening on the port, from one of /proc/net/tcp*. */
static unsigned long listening_inode(const char *table, uint16_t port)
{
    unsigned long inode = 0, i;
    unsigned p, state;
    char line[512];
    FILE *f = fopen(table, "r");

    if (!f)
        return 0;
    while (!inode && fgets(line, sizeof line, f))
        if (sscanf(line,
                   " %*d: %*[0-9A-Fa-f]:%x %*s %x %*s %*s %*s %*s %*s "
                   "%lu",
                   &p, &state, &i) == 3 &&
            p == port && state == 0x0a)
            inode = i;
    fclose(f);
    return inode;
}

/* 1 when the process has the socket open. */
static int has_socket(const char *pid, unsigned long inode)
{
    char dir[300], path[600], want[64], link[64];
    struct dirent *e;
    int found = 0;
    ssize_t n;
    DIR *d;

    snprintf(want, sizeof want, "socket:[%lu]", inode);
    snprintf(dir, sizeof dir, "/proc/%s/fd", pid);
    d = opendir(dir);
    if (!d)
        return 0;
    while (!found && (e = readdir(d)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        n = readlink(path, link, sizeof link - 1);
        if (n > 0) {
            link[n] = '\0';
            found = strcmp(link, want) == 0;
        }
    }
    closedir(d);
    return found;
}

/* "nginx (pid 4711)", or "another process". Best effort: other users' open
 * files cannot be seen. */
static void holder_of(uint16_t port, char *out, size_t cap)
{
    unsigned long inode = listening_inode("/proc/net/tcp", port);
    char path[300], name[64];
    struct dirent *e;
    FILE *f;
    DIR *d;

    snprintf(out, cap, "another process");
    if (!inode)
        inode = listening_inode("/proc/net/tcp6", port);
    d = inode ? opendir("/proc") : NULL;
    while (d && (e = readdir(d)) != NULL) {
        if (e->d_name[0] < '0' || e->d_name[0] > '9' ||
            !has_socket(e->d_name, inode))
            continue;
        snprintf(path, sizeof path, "/proc/%s/comm", e->d_name);
        name[0] = '\0';
        f = fopen(path, "r");
        if (f) {
            if (!fgets(name, sizeof name, f))
                name[0] = '\0';
            fclose(f);
        }
        name[strcspn(name, "\n")] = '\0';
        snprintf(out, cap, "%s (pid %.16s)", name[0] ? name : "a process",
                 e->d_name);
        break;
    }
    if (d)
        closedir(d);
}

static enum pocketfed_status fail_bind(int errnum, const char *host,
                                       uint16_t port, struct pf_error *err)
{
    char holder[128];

    if (errnum == EADDRINUSE) {
        holder_of(port, holder, sizeof holder);
        pf_fail(err, POCKETFED_IO, "port %u of %s is taken by %s", port, host,
                holder);
        pf_hint(err, "stop it, or choose another port (0: any free one)");
        return POCKETFED_IO;
    }
    pf_fail_errno(err, errnum, "cannot listen on %s port %u", host, port);
    if (errnum == EACCES)
        pf_hint(err, "ports below 1024 need CAP_NET_BIND_SERVICE");
    if (errnum == EADDRNOTAVAIL)
        pf_hint(err,
                "this machine has no such address; 0.0.0.0 is all of them");
    return POCKETFED_IO;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage a;
    socklen_t len = sizeof a;

    memset(&a, 0, sizeof a);
    if (getsockname(fd, (struct sockaddr *)&a, &len) != 0)
        return 0;
    if (a.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&a)->sin6_port);
    return ntohs(((struct sockaddr_in *)&a)->sin_port);
}

enum pocketfed_status pf_listen_tcp(const char *host, uint16_t port, int *fd,
                                    uint16_t *bound, struct pf_error *err)
{
    struct addrinfo hints = {0}, *list = NULL;
    char service[8];
    int on = 1, rc, s, errnum;

    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    snprintf(service, sizeof service, "%u", port);
    rc = getaddrinfo(host[0] ? host : "0.0.0.0", service, &hints, &list);
    if (rc != 0) {
        pf_fail(err, POCKETFED_IO, "cannot find address %s: %s", host,
                gai_strerror(rc));
        pf_hint(err, "give an IP address of this machine, or 0.0.0.0");
        return POCKETFED_IO;
    }
    s = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(s, list->ai_addr, list->ai_addrlen) != 0 ||
        listen(s, BACKLOG) != 0) {
        errnum = errno;
        freeaddrinfo(list);
        if (s >= 0)
            close(s);
        return fail_bind(errnum, host[0] ? host : "0.0.0.0", port, err);
    }
    freeaddrinfo(list);
    *fd = s;
    *bound = port_of(s);
    return POCKETFED_OK;
}

enum pocketfed_status pf_listen_unix(const char *path, int *fd,
                                     struct pf_error *err)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat sb;
    int s, errnum;

    if (strlen(path) >= sizeof a.sun_path) {
        pf_fail(err, POCKETFED_LIMIT,
                "the path of the admin socket has %zu bytes, at most %zu are "
                "possible: %.100s",
                strlen(path), sizeof a.sun_path - 1, path);
        pf_hint(err, "choose a shorter one with --admin-socket PATH");
        return POCKETFED_LIMIT;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s < 0)
        return pf_fail_errno(err, errno, "cannot make the admin socket");
    if (stat(path, &sb) == 0 && S_ISSOCK(sb.st_mode)) {
        if (connect(s, (struct sockaddr *)&a, sizeof a) == 0) {
            close(s);
            pf_fail(err, POCKETFED_LOCKED,
                    "another daemon answers on the admin socket %s", path);
            pf_hint(err, "stop it, or choose another with --admin-socket PATH");
            return POCKETFED_LOCKED;
        }
        unlink(path);
    }
    /* Nobody can connect before listen, so the mode is right in time. */
    if (bind(s, (struct sockaddr *)&a, sizeof a) != 0 ||
        chmod(path, 0660) != 0 || listen(s, 64) != 0) {
        errnum = errno;
        close(s);
        return pf_fail_errno(err, errnum, "cannot listen on %s", path);
    }
    *fd = s;
    return POCKETFED_OK;
}

int pf_peer_name(const struct sockaddr *a, uint8_t out[16])
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    const struct sockaddr_in6 *six = (const void *)a;
    const struct sockaddr_in *four = (const void *)a;

    memset(out, 0, 16);
    if (!a || (a->sa_family != AF_INET && a->sa_family != AF_INET6))
        return 0;
    if (a->sa_family == AF_INET) {
        memcpy(out, mapped, sizeof mapped);
        memcpy(out + 12, &four->sin_addr, 4);
    } else if (memcmp(&six->sin6_addr, mapped, sizeof mapped) == 0) {
        memcpy(out, &six->sin6_addr, 16);
    } else {
        memcpy(out, &six->sin6_addr, 8);
    }
    return 1;
}

int pf_peer_may_administer(int fd, const char *path)
{
    struct ucred peer;
    gid_t groups[256];
    socklen_t len = sizeof peer;
    struct stat sb;
    size_t i;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0)
        return 0;
    if (peer.uid == geteuid() || peer.uid == 0)
        return 1;
    if (stat(path, &sb) != 0)
        return 0;
    if (peer.gid == sb.st_gid)
        return 1;
#ifdef SO_PEERGROUPS
    len = sizeof groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) == 0)
        for (i = 0; i < len / sizeof groups[0]; i++)
            if (groups[i] == sb.st_gid)
                return 1;
#endif
    return 0;
}
