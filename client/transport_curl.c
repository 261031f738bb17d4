/* HTTPS by libcurl's multi interface, which never blocks.
 *
 * libcurl itself may resolve a host name in a thread of its own; this library
 * starts none.  The one thing here that outlives a handle is libcurl's global
 * initialisation, done once per process.
 */
#include "transport.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "device_clock.h"
#include "text.h"

#define CONNECT_TIMEOUT_MS 10000L
#define LOW_SPEED_BYTES    500L /* a second, over LOW_SPEED_S: given up */
#define LOW_SPEED_S        30L
#define EXPECT_TIMEOUT_MS  2000L
/* Of a body, waiting in the kernel beside what is on its way: what we call sent
 * is then nearly what has left, and a slow link does not look like a dead one
 * while the kernel empties megabytes. */
#define UNSENT_BYTES     (64 << 10)
#define MAX_HEADER_BYTES (16u << 10)
#define MAX_PINS         8

struct curl_transport {
    CURLM *multi;
    CURL *easy;
    struct curl_slist *headers;
    int running; /* easy is in multi */
    int too_long;
    size_t max_reply;
    int pinned;
    char where[300]; /* host:port of the request, for sentences */
    char error[CURL_ERROR_SIZE];
    const uint8_t *upload; /* the request's body, when it goes in pieces */
    size_t upload_len, upload_at, piece;
    struct pf_buf body;
    struct pf_buf head; /* lines of the last response's header */
    char value[512];    /* of the header asked for last */
};

/* curl_global_init is not safe in two threads before 7.84, so one of us does
 * it and the others wait. It is never undone: the app may use libcurl too. */
static int init_curl_once(void)
{
    static atomic_int state; /* 0 untouched, 1 at work, 2 done, 3 failed */
    int seen = 0;

    if (atomic_compare_exchange_strong(&state, &seen, 1)) {
        seen = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK ? 2 : 3;
        atomic_store(&state, seen);
    }
    while ((seen = atomic_load(&state)) == 1)
        sched_yield();
    return seen == 2;
}

static size_t take_body(char *p, size_t size, size_t n, void *ctx)
{
    struct curl_transport *t = ctx;

    (void)size; /* always 1 */
    if (n > t->max_reply - t->body.len) {
        t->too_long = 1;
        return 0;
    }
    return pf_buf_add(&t->body, p, n) == POCKETFED_OK ? n : 0;
}

/* One call is one write, one TLS record. */
static size_t give_piece(char *to, size_t size, size_t n, void *ctx)
{
    struct curl_transport *t = ctx;
    size_t left = t->upload_len - t->upload_at;

    n *= size;
    n = n < t->piece ? n : t->piece;
    n = n < left ? n : left;
    memcpy(to, t->upload + t->upload_at, n);
    t->upload_at += n;
    return n;
}

/* Back, when libcurl has to send it anew over another connection. */
static int seek_piece(void *ctx, curl_off_t offset, int origin)
{
    struct curl_transport *t = ctx;

    if (origin != SEEK_SET || offset < 0 ||
        (uint64_t)offset > (uint64_t)t->upload_len)
        return CURL_SEEKFUNC_CANTSEEK;
    t->upload_at = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* Where the option is not known, the transfer works all the same. */
static int set_socket(void *ctx, curl_socket_t fd, curlsocktype purpose)
{
    int most = UNSENT_BYTES;

    (void)ctx;
    (void)purpose;
#ifdef TCP_NOTSENT_LOWAT
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &most, sizeof most);
#else
    (void)fd;
    (void)most;
#endif
    return CURL_SOCKOPT_OK;
}

/* Header lines of the last response; those of a 100 before it are dropped, and
 * what is over the limit is not kept. */
static size_t take_header(char *p, size_t size, size_t n, void *ctx)
{
    struct curl_transport *t = ctx;

    (void)size;
    if (n >= 5 && memcmp(p, "HTTP/", 5) == 0)
        pf_buf_clear(&t->head);
    else if (n <= t->head.max - t->head.len)
        pf_buf_add(&t->head, p, n);
    return n;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static int is_named(const char *line, size_t len, const char *name)
{
    size_t i, n = strlen(name);

    if (len <= n || line[n] != ':')
        return 0;
    for (i = 0; i < n; i++)
        if (lower(line[i]) != name[i])
            return 0;
    return 1;
}

static int is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static const char *curl_header_value(void *ctx, const char *name)
{
    struct curl_transport *t = ctx;
    const char *line = pf_buf_str(&t->head), *end;
    size_t len, begin;

    for (; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        len = (size_t)(end - line);
        if (!is_named(line, len, name))
            continue;
        begin = strlen(name) + 1;
        while (begin < len && is_blank(line[begin]))
            begin++;
        while (len > begin && is_blank(line[len - 1]))
            len--;
        if (len - begin >= sizeof t->value)
            return NULL;
        memcpy(t->value, line + begin, len - begin);
        t->value[len - begin] = '\0';
        return t->value;
    }
    return NULL;
}

/* The request is over; what was received stays. */
static void detach(struct curl_transport *t)
{
    if (t->running)
        curl_multi_remove_handle(t->multi, t->easy);
    t->running = 0;
    curl_slist_free_all(t->headers);
    t->headers = NULL;
}

static void curl_cancel(void *ctx)
{
    struct curl_transport *t = ctx;

    detach(t);
    pf_buf_free(&t->body); /* may be as large as a model */
}

static int add_header(struct curl_transport *t, const char *line)
{
    struct curl_slist *more = curl_slist_append(t->headers, line);

    if (!more)
        return 0;
    t->headers = more;
    return 1;
}

static enum pocketfed_status set_headers(struct curl_transport *t,
                                         const struct pocketfed_request *r)
{
    char line[1280];
    size_t i;
    int n, ok = 1;

    for (i = 0; i < r->n_headers; i++) {
        n = snprintf(line, sizeof line, "%s: %s", r->headers[i].name,
                     r->headers[i].value);
        if (n < 0 || (size_t)n >= sizeof line)
            return POCKETFED_LIMIT;
        ok = ok && add_header(t, line);
    }
    /* Said either way, so that libcurl does not decide by size. */
    ok = ok &&
         add_header(t, r->expect_continue ? "Expect: 100-continue" : "Expect:");
    return ok ? POCKETFED_OK : POCKETFED_NO_MEMORY;
}

static int is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

/* Whose TLS key is right: a pinned one, or one that the system's roots vouch
 * for under the host's name. */
static int set_trust(struct curl_transport *t,
                     const struct pocketfed_request *r)
{
    char pins[MAX_PINS * 64] = "";
    size_t i, at = 0;
    int ok = 1;

    t->pinned = r->n_pins > 0;
    if (r->n_pins > MAX_PINS)
        return 0;
    for (i = 0; i < r->n_pins; i++) {
        memcpy(pins + at, at ? ";sha256//" : "sha256//", at ? 10 : 9);
        at += at ? 9 : 8;
        at += pf_base64(r->pins[i], 32, pins + at);
    }
    if (t->pinned) { /* self-made certificate; the pinned key is the proof */
        ok &= !curl_easy_setopt(t->easy, CURLOPT_PINNEDPUBLICKEY, pins);
        ok &= !curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 0L);
        ok &= !curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 0L);
    } else {
        ok &= !curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYPEER, 1L);
        ok &= !curl_easy_setopt(t->easy, CURLOPT_SSL_VERIFYHOST, 2L);
    }
    ok &= !curl_easy_setopt(t->easy, CURLOPT_SSLVERSION,
                            (long)CURL_SSLVERSION_TLSv1_2);
    return ok;
}

static int restrict_protocols(CURL *easy)
{
#if LIBCURL_VERSION_NUM >= 0x075500
    return !curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "https");
#else
    return !curl_easy_setopt(easy, CURLOPT_PROTOCOLS, (long)CURLPROTO_HTTPS);
#endif
}

static int set_body(struct curl_transport *t, const struct pocketfed_request *r)
{
    CURL *e = t->easy;
    int ok = 1;

    if (strcmp(r->method, "HEAD") == 0)
        ok &= !curl_easy_setopt(e, CURLOPT_NOBODY, 1L);
    if (!r->body)
        return ok;
    ok &= !curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE,
                            (curl_off_t)r->body_len);
    if (r->piece == 0) /* from memory, so that libcurl can send it anew */
        return ok & !curl_easy_setopt(e, CURLOPT_POSTFIELDS, r->body);
    t->upload = r->body;
    t->upload_len = r->body_len;
    t->upload_at = 0;
    t->piece = r->piece;
    ok &= !curl_easy_setopt(e, CURLOPT_POST, 1L);
    ok &= !curl_easy_setopt(e, CURLOPT_READFUNCTION, give_piece);
    ok &= !curl_easy_setopt(e, CURLOPT_READDATA, t);
    ok &= !curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, seek_piece);
    ok &= !curl_easy_setopt(e, CURLOPT_SEEKDATA, t);
    return ok;
}

static int set_options(struct curl_transport *t,
                       const struct pocketfed_request *r)
{
    CURL *e = t->easy;
    char url[1024];
    int ok = 1, v6 = strchr(r->host, ':') != NULL, n;

    snprintf(t->where, sizeof t->where, v6 ? "[%s]:%u" : "%s:%u", r->host,
             (unsigned)r->port);
    n = snprintf(url, sizeof url, "https://%s%s", t->where, r->target);
    if (n < 0 || (size_t)n >= sizeof url)
        return 0;
    curl_easy_reset(e); /* keeps connections and sessions */
    ok &= !curl_easy_setopt(e, CURLOPT_URL, url);
    ok &= restrict_protocols(e);
    ok &= set_trust(t, r);
    ok &= set_body(t, r);
    ok &= !curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, set_socket);
    ok &= !curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
    ok &= !curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
    ok &=
        !curl_easy_setopt(e, CURLOPT_USERAGENT, "pocketfed/" POCKETFED_VERSION);
    ok &= !curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    ok &= !curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    ok &= !curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    ok &= !curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_TIMEOUT_MS);
    ok &= !curl_easy_setopt(e, CURLOPT_LOW_SPEED_LIMIT, LOW_SPEED_BYTES);
    ok &= !curl_easy_setopt(e, CURLOPT_LOW_SPEED_TIME, LOW_SPEED_S);
    ok &=
        !curl_easy_setopt(e, CURLOPT_EXPECT_100_TIMEOUT_MS, EXPECT_TIMEOUT_MS);
    ok &= !curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_body);
    ok &= !curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
    ok &= !curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    ok &= !curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
    ok &= !curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->error);
    if (is_loopback(r->host)) /* no proxy of the environment leads there */
        ok &= !curl_easy_setopt(e, CURLOPT_PROXY, "");
    return ok;
}

static enum pocketfed_status curl_begin(void *ctx,
                                        const struct pocketfed_request *r)
{
    struct curl_transport *t = ctx;
    enum pocketfed_status st;

    curl_cancel(t);
    t->too_long = 0;
    t->max_reply = r->max_reply;
    t->error[0] = '\0';
    pf_buf_clear(&t->head);
    st = set_headers(t, r);
    if (st)
        return st;
    if (!set_options(t, r))
        return POCKETFED_INVALID;
    if (curl_multi_add_handle(t->multi, t->easy) != CURLM_OK)
        return POCKETFED_NO_MEMORY;
    t->running = 1;
    return POCKETFED_OK;
}

/* What went wrong, with the address that was tried. */
static enum pocketfed_status explain(struct curl_transport *t, CURLcode code,
                                     char *why, size_t why_len)
{
    const char *text = t->error[0] ? t->error : curl_easy_strerror(code);
    char at[380];
    char *ip = NULL;

    curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &ip);
    if (ip && ip[0] && !strstr(t->where, ip))
        snprintf(at, sizeof at, "%s (%s)", t->where, ip);
    else
        snprintf(at, sizeof at, "%s", t->where);
    if (t->too_long) {
        snprintf(why, why_len, "%s: the reply is longer than %zu bytes", at,
                 t->max_reply);
        return POCKETFED_LIMIT;
    }
    switch (code) {
    case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
        snprintf(why, why_len,
                 "%s shows another TLS key than the one pinned by the join "
                 "link",
                 at);
        return POCKETFED_PROOF;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        snprintf(why, why_len, "the certificate of %s is not trusted: %s", at,
                 text);
        return POCKETFED_PROOF;
    case CURLE_OUT_OF_MEMORY:
        snprintf(why, why_len, "%s: out of memory", at);
        return POCKETFED_NO_MEMORY;
    default:
        snprintf(why, why_len, "cannot reach %s: %s", at, text);
        return POCKETFED_UNREACHABLE;
    }
}

static void fill(struct curl_transport *t, struct pocketfed_reply *out)
{
    long status = 0, head_up = 0, head_down = 0;
    curl_off_t up = 0, down = 0;

    curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &head_up);
    curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &head_down);
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    *out = (struct pocketfed_reply){
        .size = sizeof *out,
        .status = (int)status,
        .body = t->body.data,
        .body_len = t->body.len,
        .header = curl_header_value,
        .ctx = t,
        .bytes_sent = (uint64_t)head_up + (uint64_t)up,
        .bytes_received = (uint64_t)head_down + (uint64_t)down,
        .body_sent = (uint64_t)up,
    };
}

static enum pocketfed_status curl_poll(void *ctx, int budget_ms,
                                       struct pocketfed_reply *reply, char *why,
                                       size_t why_len)
{
    struct curl_transport *t = ctx;
    int64_t end = pf_device_monotonic_ms() + budget_ms, left;
    CURLcode code;
    CURLMsg *msg;
    int running, queued;

    if (!t->running)
        return POCKETFED_INVALID;
    for (;;) {
        if (curl_multi_perform(t->multi, &running) != CURLM_OK) {
            fill(t, reply);
            detach(t);
            snprintf(why, why_len, "%s: libcurl failed", t->where);
            return POCKETFED_IO;
        }
        while ((msg = curl_multi_info_read(t->multi, &queued)))
            if (msg->msg == CURLMSG_DONE) {
                code = msg->data.result;
                fill(t, reply);
                detach(t);
                return code == CURLE_OK ? POCKETFED_OK
                                        : explain(t, code, why, why_len);
            }
        left = end - pf_device_monotonic_ms();
        if (left <= 0) {
            fill(t, reply);
            return POCKETFED_AGAIN;
        }
        curl_multi_poll(t->multi, NULL, 0, (int)left, NULL);
    }
}

static void curl_destroy(void *ctx)
{
    struct curl_transport *t = ctx;

    if (!t)
        return;
    curl_cancel(t);
    if (t->easy)
        curl_easy_cleanup(t->easy);
    if (t->multi)
        curl_multi_cleanup(t->multi);
    pf_buf_free(&t->body);
    pf_buf_free(&t->head);
    free(t);
}

enum pocketfed_status pf_transport_curl(struct pocketfed_transport *out,
                                        struct pf_error *err)
{
    struct curl_transport *t;

    if (!init_curl_once())
        return pf_fail(err, POCKETFED_IO, "libcurl cannot be initialised");
    t = calloc(1, sizeof *t);
    if (!t)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a transport");
    pf_buf_init(&t->body, SIZE_MAX / 2); /* max_reply is the limit */
    pf_buf_init(&t->head, MAX_HEADER_BYTES);
    t->multi = curl_multi_init();
    t->easy = curl_easy_init();
    if (!t->multi || !t->easy) {
        curl_destroy(t);
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for a transport");
    }
    *out = (struct pocketfed_transport){
        .size = sizeof *out,
        .ctx = t,
        .begin = curl_begin,
        .poll = curl_poll,
        .cancel = curl_cancel,
        .destroy = curl_destroy,
    };
    return POCKETFED_OK;
}
