#include "crowd.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "proc.h"

/* What is closed comes back about a second later: a crowd, not a flood. */
#define BACK_MS 1000
#define DRIP_MS 500

enum kind { SILENT, SHAKEN, DRIPS_TLS, DRIPS_HEAD, DRIPS_BODY };

struct member {
    enum kind kind;
    int fd;      /* -1: away */
    CURL *tls;   /* owns fd, unless NULL */
    int64_t due; /* the next byte, or the way back; ms */
    unsigned said;
};

static int64_t later(int64_t ms)
{
    return pf_now_ms() + ms / 2 +
           (int64_t)((unsigned long)random() % (unsigned long)ms);
}

static void leave(struct member *m)
{
    if (m->tls)
        curl_easy_cleanup(m->tls);
    else if (m->fd >= 0)
        close(m->fd);
    m->tls = NULL;
    m->fd = -1;
    m->said = 0;
    m->due = later(BACK_MS);
}

static void connect_alone(struct member *m, uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    a.sin_port = htons(port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    m->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (m->fd >= 0)
        (void)connect(m->fd, (struct sockaddr *)&a, sizeof a);
}

static void shake_hands(struct member *m, uint16_t port)
{
    curl_socket_t fd = -1;
    char url[64];

    snprintf(url, sizeof url, "https://127.0.0.1:%u/", port);
    m->tls = curl_easy_init();
    if (!m->tls)
        return;
    curl_easy_setopt(m->tls, CURLOPT_URL, url);
    curl_easy_setopt(m->tls, CURLOPT_PROXY, "");
    curl_easy_setopt(m->tls, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(m->tls, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(m->tls, CURLOPT_TIMEOUT_MS, 2000L);
    curl_easy_setopt(m->tls, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(m->tls, CURLOPT_SSL_VERIFYHOST, 0L);
    if (curl_easy_perform(m->tls) == CURLE_OK)
        curl_easy_getinfo(m->tls, CURLINFO_ACTIVESOCKET, &fd);
    m->fd = fd;
}

static void come(struct member *m, uint16_t port)
{
    if (m->kind == SILENT || m->kind == DRIPS_TLS)
        connect_alone(m, port);
    else
        shake_hands(m, port);
    if (m->fd < 0)
        leave(m);
    else
        m->due = later(DRIP_MS);
}

/* One byte, and of a body the head before it. */
static void drip(struct member *m)
{
    static const char body[] = "POST /v1/tasks/m/enrol HTTP/1.1\r\nHost: x\r\n"
                               "Signature: a\r\nSignature-Input: b\r\n"
                               "Content-Digest: c\r\nContent-Length: 60000\r\n"
                               "\r\n";
    static const char head[] = "GET /livez HTTP/1.1\r\nHost: x\r\nX: ";
    static const char hello[] = "\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03";
    const char *begin = m->kind == DRIPS_BODY   ? body
                        : m->kind == DRIPS_HEAD ? head
                                                : hello;
    size_t len = m->kind == DRIPS_TLS ? sizeof hello - 1 : strlen(begin), n = 1;
    const char *from = m->said < len ? begin + m->said : "a";

    if (m->kind == DRIPS_BODY && m->said == 0)
        n = len;
    m->due = later(DRIP_MS);
    if (m->tls ? curl_easy_send(m->tls, from, n, &n) != CURLE_OK
               : send(m->fd, from, n, MSG_NOSIGNAL) < 0)
        return; /* not writable, or about to be seen as closed */
    m->said += (unsigned)n;
}

/* 1 when there is something to read that is no TLS ticket: an end, or an answer
 * that ends in one. */
static int is_over(struct member *m)
{
    char bytes[512];
    size_t n = 0;

    return !m->tls ||
           curl_easy_recv(m->tls, bytes, sizeof bytes, &n) != CURLE_AGAIN;
}

static enum kind kind_of(unsigned i, unsigned idle)
{
    if (i < idle)
        return i % 10 == 0 ? SHAKEN : SILENT;
    return (enum kind)(DRIPS_TLS + (i - idle) % 3);
}

void pf_crowd_run(uint16_t port, unsigned idle, unsigned dripping)
{
    unsigned n = idle + dripping, i;
    struct member *m = calloc(n, sizeof *m);
    struct pollfd *p = calloc(n, sizeof *p);
    struct rlimit files;

    if (!m || !p || getrlimit(RLIMIT_NOFILE, &files) != 0)
        _exit(1);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    for (i = 0; i < n; i++) {
        m[i].kind = kind_of(i, idle);
        m[i].fd = -1;
    }
    for (;;) {
        for (i = 0; i < n; i++) {
            p[i].fd = m[i].fd;
            p[i].events = POLLIN;
        }
        poll(p, n, 20);
        for (i = 0; i < n; i++) {
            if (m[i].fd >= 0 && p[i].revents && is_over(&m[i]))
                leave(&m[i]);
            else if (pf_now_ms() < m[i].due)
                continue;
            else if (m[i].fd < 0)
                come(&m[i], port);
            else if (m[i].kind >= DRIPS_TLS)
                drip(&m[i]);
        }
    }
}
