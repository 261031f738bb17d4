#include "admin_http.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <curl/curl.h>

#include "problem.h"

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
    pf_hint(err, "pocketfedd --state DIR, then --state DIR here as well");
    return POCKETFED_UNREACHABLE;
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
    char path[300], url[400];
    CURL *curl = NULL;
    CURLcode rc;
    long http = 0;

    find_socket(c, &at);
    st = pf_call_path(call, args ? args : &none, path, sizeof path);
    if (st)
        return pf_fail(err, st, "that name cannot be part of a path");
    snprintf(url, sizeof url, "http://pocketfed%s%s", path, query);
    curl = curl_easy_init();
    headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (!curl || !headers) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "out of memory");
        goto out;
    }
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, at.path);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, pf_calls[call].method);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, reply);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 5000L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 120000L);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
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
