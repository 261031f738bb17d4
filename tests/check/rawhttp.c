#include "rawhttp.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "proc.h"
#include "text.h"

#define MAX_REPLY (64u << 20)
#define SEND_MS   20000

void pf_raw_open(struct pf_raw *r, uint16_t port, const uint8_t pin[32])
{
    char url[64], want[80] = "sha256//";
    CURLcode rc;

    memset(r, 0, sizeof *r);
    pf_buf_init(&r->in, MAX_REPLY);
    pf_base64(pin, 32, want + strlen(want));
    snprintf(url, sizeof url, "https://127.0.0.1:%u/", port);
    r->curl = curl_easy_init();
    assert_non_null(r->curl);
    curl_easy_setopt(r->curl, CURLOPT_URL, url);
    curl_easy_setopt(r->curl, CURLOPT_PROXY, "");
    curl_easy_setopt(r->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(r->curl, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(r->curl, CURLOPT_TIMEOUT_MS, 20000L * PF_SLOW);
    curl_easy_setopt(r->curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(r->curl, CURLOPT_SSL_VERIFYHOST, 0L);
    curl_easy_setopt(r->curl, CURLOPT_PINNEDPUBLICKEY, want);
    rc = curl_easy_perform(r->curl);
    if (rc != CURLE_OK)
        fail_msg("cannot connect to port %u: %s", port, curl_easy_strerror(rc));
}

void pf_raw_close(struct pf_raw *r)
{
    if (r->curl)
        curl_easy_cleanup(r->curl);
    pf_buf_free(&r->in);
    memset(r, 0, sizeof *r);
}

/* Waits until the socket can be read or written. */
static void await(struct pf_raw *r, short events, int ms)
{
    struct pollfd p = {-1, events, 0};
    curl_socket_t fd;

    assert_int_equal(curl_easy_getinfo(r->curl, CURLINFO_ACTIVESOCKET, &fd),
                     CURLE_OK);
    p.fd = fd;
    poll(&p, 1, ms);
}

size_t pf_raw_send(struct pf_raw *r, const void *p, size_t n)
{
    const char *bytes = p;
    size_t done = 0, some;
    int64_t end = pf_now_ms() + (int64_t)SEND_MS * PF_SLOW;
    CURLcode rc;

    while (done < n && pf_now_ms() < end) {
        rc = curl_easy_send(r->curl, bytes + done, n - done, &some);
        if (rc == CURLE_AGAIN)
            await(r, POLLOUT | POLLIN, 50);
        else if (rc != CURLE_OK)
            break;
        else
            done += some;
    }
    return done;
}

/* More bytes into r->in: 1, 0 (none by `end`) or -1 (no more will come). */
static int receive(struct pf_raw *r, int64_t end)
{
    char chunk[16384];
    size_t n;

    for (;;) {
        CURLcode rc = curl_easy_recv(r->curl, chunk, sizeof chunk, &n);
        int64_t left = end - pf_now_ms();

        if (rc == CURLE_OK && n > 0) {
            assert_int_equal(pf_buf_add(&r->in, chunk, n), POCKETFED_OK);
            return 1;
        }
        if (rc != CURLE_AGAIN)
            return -1;
        if (left <= 0)
            return 0;
        await(r, POLLIN, (int)(left < 100 ? left : 100));
    }
}

/* Takes the first n bytes away. */
static void drop(struct pf_buf *b, size_t n)
{
    memmove(b->data, b->data + n, b->len - n + 1);
    b->len -= n;
}

static size_t body_length(const struct pf_raw_reply *r, int no_body)
{
    const char *length = pf_raw_header(r, "Content-Length");
    uint64_t n = 0;

    if (no_body || r->status < 200 || r->status == 204 || r->status == 304)
        return 0;
    if (!length || !pf_parse_u64(length, strlen(length), 0, MAX_REPLY, &n))
        fail_msg("a reply without a Content-Length: %s", pf_buf_str(&r->head));
    return (size_t)n;
}

int pf_raw_reply(struct pf_raw *r, int64_t ms, int no_body,
                 struct pf_raw_reply *out)
{
    int64_t end = pf_now_ms() + ms;
    const char *blank;
    size_t head, body;
    int more;

    pf_raw_reply_free(out);
    pf_buf_init(&out->head, MAX_REPLY);
    pf_buf_init(&out->body, MAX_REPLY);
    while (!(blank = strstr(pf_buf_str(&r->in), "\r\n\r\n")))
        if ((more = receive(r, end)) <= 0)
            return more;
    head = (size_t)(blank - pf_buf_str(&r->in)) + 4;
    pf_buf_add(&out->head, r->in.data, head);
    if (sscanf(pf_buf_str(&out->head), "HTTP/1.1 %d ", &out->status) != 1)
        fail_msg("no HTTP/1.1: %s", pf_buf_str(&out->head));
    body = body_length(out, no_body);
    while (r->in.len < head + body)
        if ((more = receive(r, end)) <= 0)
            return more;
    pf_buf_add(&out->body, r->in.data + head, body);
    drop(&r->in, head + body);
    return 1;
}

int pf_raw_hung_up(struct pf_raw *r, int64_t ms)
{
    return receive(r, pf_now_ms() + ms) == -1;
}

void pf_raw_reply_free(struct pf_raw_reply *r)
{
    pf_buf_free(&r->head);
    pf_buf_free(&r->body);
    memset(r, 0, sizeof *r);
}

const char *pf_raw_header(const struct pf_raw_reply *r, const char *name)
{
    static char value[2048];
    const char *line = pf_buf_str(&r->head), *end;
    size_t n = strlen(name), len;

    for (; (end = strstr(line, "\r\n")) != NULL; line = end + 2) {
        len = (size_t)(end - line);
        if (len <= n || strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        for (line += n + 1, len -= n + 1; len > 0 && *line == ' '; len--)
            line++;
        snprintf(value, sizeof value, "%.*s", (int)len, line);
        return value;
    }
    return NULL;
}
