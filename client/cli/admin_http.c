#include "admin_http.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "admintoken.h"
#include "file.h"
#include "problem.h"
#include "text.h"

struct place {
    char path[600];
    const char *origin; /* for the error: where the path came from */
};

static int try_state(const char *base, const char *rest, struct place *out)
{
    struct stat st;
    int n =
        snprintf(out->path, sizeof out->path, "%s%s/admin.sock", base, rest);

    return n > 0 && (size_t)n < sizeof out->path && stat(out->path, &st) == 0;
}

static void find_socket(const struct cli *c, struct place *out)
{
    const char *given = cli_text(c, "socket"), *state = cli_text(c, "state");
    const char *xdg = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

    if (given) {
        snprintf(out->path, sizeof out->path, "%s", given);
        out->origin = cli_origin_name(cli_origin(c, "socket"));
        return;
    }
    if (state) {
        try_state(state, "", out);
        out->origin = cli_origin_name(cli_origin(c, "state"));
        return;
    }
    out->origin = "default";
    if (geteuid() != 0 && xdg && xdg[0] == '/' &&
        try_state(xdg, "/pocketfed", out))
        return;
    if (geteuid() != 0 && home &&
        try_state(home, "/.local/state/pocketfed", out))
        return;
    try_state("/var/lib", "/pocketfed", out);
}

/* 1 when the host can only be this machine. */
static int is_here(const char *host)
{
    struct in_addr four;

    if (strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return 1;
    return inet_pton(AF_INET, host, &four) == 1 &&
           (ntohl(four.s_addr) >> 24) == 127;
}

/* The token goes in clear over http: only to this machine. */
static enum pocketfed_status check_url(const char *text, struct pf_error *err)
{
    char *scheme = NULL, *host = NULL, *path = NULL, *user = NULL;
    CURLU *url = curl_url();
    int ok;

    ok = url && !curl_url_set(url, CURLUPART_URL, text, 0) &&
         !curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) &&
         !curl_url_get(url, CURLUPART_HOST, &host, 0) &&
         !curl_url_get(url, CURLUPART_PATH, &path, 0) &&
         curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_NO_USER &&
         strcmp(path, "/") == 0 && text[strlen(text) - 1] != '/' &&
         (strcmp(scheme, "https") == 0 ||
          (strcmp(scheme, "http") == 0 && is_here(host)));
    curl_free(scheme);
    curl_free(host);
    curl_free(path);
    curl_free(user);
    curl_url_cleanup(url);
    if (ok)
        return POCKETFED_OK;
    pf_fail(err, POCKETFED_INVALID,
            "--server is \"%.120s\", not https://HOST:PORT, nor http:// to "
            "this machine",
            text);
    pf_hint(err, "ssh -L 9000:127.0.0.1:PORT HOST, then "
                 "--server http://127.0.0.1:9000");
    return POCKETFED_INVALID;
}

static enum pocketfed_status token_path(const struct cli *c, char out[600],
                                        struct pf_error *err)
{
    const char *given = cli_text(c, "token-file");
    const char *state = cli_text(c, "state");

    if (given) {
        snprintf(out, 600, "%s", given);
        return POCKETFED_OK;
    }
    if (state)
        return pf_path_join(state, "keys/admin.token", out, 600, err);
    pf_fail(err, POCKETFED_INVALID, "--server needs the daemon's token");
    pf_hint(err, "--token-file FILE, or POCKETFED_TOKEN_FILE");
    return POCKETFED_INVALID;
}

/* "Authorization: Bearer ..." */
static enum pocketfed_status authorise(const struct cli *c,
                                       struct curl_slist **headers,
                                       struct pf_error *err)
{
    uint8_t token[PF_ADMIN_TOKEN_LEN];
    char path[600], line[40 + 2 * sizeof token] = "Authorization: Bearer ";
    struct curl_slist *longer;
    enum pocketfed_status st = token_path(c, path, err);

    if (st == POCKETFED_OK)
        st = pf_admin_token_read(path, token, err);
    if (st != POCKETFED_OK)
        return st;
    pf_hex(token, sizeof token, line + strlen(line));
    longer = curl_slist_append(*headers, line);
    memset(line, 0, sizeof line);
    memset(token, 0, sizeof token);
    if (!longer)
        return pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
    *headers = longer;
    return POCKETFED_OK;
}

/* With a pin the certificate may be self-made: the key is the proof. */
static enum pocketfed_status pin(const struct cli *c, CURL *curl,
                                 struct pf_error *err)
{
    const char *text = cli_text(c, "pin");
    char want[16 + PF_BASE64_LEN(32)] = "sha256//";
    uint8_t key[32];
    size_t n = sizeof key;

    if (!text)
        return POCKETFED_OK;
    if (pf_unbase64url(text, strlen(text), key, &n) != POCKETFED_OK || n != 32)
        return pf_fail(err, POCKETFED_INVALID,
                       "--pin is not the 43 characters of a join link's pin");
    pf_base64(key, sizeof key, want + strlen(want));
    if (curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, want))
        return pf_fail(err, POCKETFED_UNSUPPORTED,
                       "this libcurl cannot pin a key");
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    return POCKETFED_OK;
}

static size_t collect(char *p, size_t size, size_t n, void *ctx)
{
    return pf_buf_add(ctx, p, size * n) ? 0 : size * n;
}

static enum pocketfed_status status_of(long http)
{
    if (http == 404)
        return POCKETFED_NOT_FOUND;
    if (http == 422)
        return POCKETFED_CONFIG;
    if (http == 429 || http >= 500)
        return POCKETFED_BUSY;
    return POCKETFED_REFUSED;
}

static enum pocketfed_status refused(long http, const struct pf_buf *body,
                                     struct pf_error *err)
{
    enum pocketfed_status st = status_of(http);
    struct pf_problem p;

    memset(&p, 0, sizeof p);
    if (pf_problem_decode(pf_buf_str(body), body->len, &p))
        return pf_fail(err, st, "the daemon answered %ld without saying why",
                       http);
    if (p.pointer[0])
        pf_fail(err, st, "%s: %s", p.pointer, p.detail);
    else
        pf_fail(err, st, "%s",
                p.detail[0] ? p.detail : pf_problem_rows[p.id].title);
    if (p.hint[0])
        pf_hint(err, "%s", p.hint);
    else if (p.id == PF_PROBLEM_TASK_UNKNOWN)
        pf_hint(err, "pocketfed task list shows the tasks there are");
    else if (p.id == PF_PROBLEM_EXISTS)
        pf_hint(err, "give the new one another name");
    return st;
}

static enum pocketfed_status unreachable(CURL *curl, const struct place *at,
                                         CURLcode rc, struct pf_error *err)
{
    long number = 0;

    curl_easy_getinfo(curl, CURLINFO_OS_ERRNO, &number);
    pf_fail(err, POCKETFED_UNREACHABLE, "no daemon answers at %s (%s): %s",
            at->path, at->origin,
            number ? strerror((int)number) : curl_easy_strerror(rc));
    if (rc == CURLE_SSL_PINNEDPUBKEYNOTMATCH ||
        rc == CURLE_PEER_FAILED_VERIFICATION) {
        pf_fail(err, POCKETFED_PROOF, "%s (%s) shows another TLS key", at->path,
                at->origin);
        pf_hint(err, "--pin takes the pin of its join links");
        return POCKETFED_PROOF;
    }
    pf_hint(err, "pocketfedd --state DIR, then --state DIR here as well");
    return POCKETFED_UNREACHABLE;
}

/* Where the call goes, and with which credentials. */
static enum pocketfed_status aim(const struct cli *c, CURL *curl,
                                 struct curl_slist **headers, struct place *at,
                                 struct pf_error *err)
{
    const char *server = cli_text(c, "server");
    enum pocketfed_status st;

    if (!server) {
        find_socket(c, at);
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, at->path);
        return POCKETFED_OK;
    }
    if ((st = check_url(server, err)) || (st = authorise(c, headers, err)) ||
        (st = pin(c, curl, err)))
        return st;
    snprintf(at->path, sizeof at->path, "%s", server);
    at->origin = cli_origin_name(cli_origin(c, "server"));
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    return POCKETFED_OK;
}

enum pocketfed_status admin_call(const struct cli *c, enum pf_call_id call,
                                 const struct pf_call_args *args,
                                 const char *query, const struct pf_buf *body,
                                 struct pf_buf *reply, struct pf_error *err)
{
    static const struct pf_call_args none;
    enum pocketfed_status st;
    struct curl_slist *headers = NULL;
    struct place at;
    char path[300], url[1000];
    CURL *curl = NULL;
    CURLcode rc;
    long http = 0;

    st = pf_call_path(call, args ? args : &none, path, sizeof path);
    if (st)
        return pf_fail(err, st, "that name cannot be part of a path");
    curl = curl_easy_init();
    headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!curl || !headers) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
        goto out;
    }
    st = aim(c, curl, &headers, &at, err);
    if (st != POCKETFED_OK)
        goto out;
    snprintf(url, sizeof url, "%s%s%s",
             cli_text(c, "server") ? at.path : "http://pocketfed", path, query);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, pf_calls[call].method);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 120000L);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)body->len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, pf_buf_str(body));
    }
    rc = curl_easy_perform(curl);
    if (rc == CURLE_WRITE_ERROR) {
        st = pf_fail(err, POCKETFED_LIMIT, "the daemon's answer is too long");
        goto out;
    }
    if (rc != CURLE_OK) {
        st = unreachable(curl, &at, rc, err);
        goto out;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &http);
    st = http >= 200 && http < 300 ? POCKETFED_OK : refused(http, reply, err);
out:
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return st;
}
