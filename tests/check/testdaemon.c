#include "testdaemon.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "json.h"
#include "proc.h"
#include "text.h"
#include "tmpdir.h"

#define START_MS 20000
#define STOP_MS  20000

const char *pf_in_dir(const struct pf_testdaemon *d, const char *name)
{
    static char ring[16][128];
    static unsigned next;
    char *out = ring[next++ % 16];

    snprintf(out, sizeof ring[0], "%s/%.60s", d->dir, name);
    return out;
}

void pf_testdaemon_init(struct pf_testdaemon *d)
{
    memset(d, 0, sizeof *d);
    snprintf(d->dir, sizeof d->dir, "/tmp/pocketfed-e2e-XXXXXX");
    if (!mkdtemp(d->dir))
        fail_msg("cannot make %s", d->dir);
    snprintf(d->state, sizeof d->state, "%s/state", d->dir);
    snprintf(d->socket, sizeof d->socket, "%s/admin.sock", d->dir);
    snprintf(d->log, sizeof d->log, "%s/daemon.log", d->dir);
    snprintf(d->listen, sizeof d->listen, "127.0.0.1:0");
}

/* 1 when run.json is there, whole, and of the process that runs now. */
int pf_testdaemon_serves(struct pf_testdaemon *d)
{
    struct pf_json_doc *doc = NULL;
    const struct pf_json_node *root;
    const char *client, *ops;
    struct pf_buf b;
    char path[128];
    uint64_t port;
    int64_t pid;
    int ok = 0;

    memset(&b, 0, sizeof b);
    snprintf(path, sizeof path, "%s/run.json", d->state);
    pf_slurp(path, &b);
    if (b.len == 0 || pf_json_parse(pf_buf_str(&b), b.len, &doc, NULL))
        goto out;
    root = pf_json_root(doc);
    client = pf_json_text(pf_json_get(root, "client"));
    ops = pf_json_text(pf_json_get(root, "ops"));
    if (!pf_json_integer(pf_json_get(root, "pid"), 1, 1 << 30, &pid) ||
        pid != d->pid || !client || !strrchr(client, ':') || !ops)
        goto out;
    snprintf(d->listen, sizeof d->listen, "%s", client);
    snprintf(d->ops, sizeof d->ops, "%s", ops);
    client = strrchr(client, ':') + 1;
    assert_true(pf_parse_u64(client, strlen(client), 1, 65535, &port));
    d->port = (uint16_t)port;
    ok = 1;
out:
    pf_json_free(doc);
    pf_buf_free(&b);
    return ok;
}

static void show_log(const struct pf_testdaemon *d)
{
    struct pf_buf b;

    memset(&b, 0, sizeof b);
    pf_slurp(d->log, &b);
    print_error("%s:\n%s\n", d->log, pf_buf_str(&b));
    pf_buf_free(&b);
}

void pf_testdaemon_spawn(struct pf_testdaemon *d)
{
    const char *const argv[] = {
        d->program ? d->program : PF_POCKETFEDD,
        "--state",
        d->state,
        "--listen",
        d->listen,
        "--host",
        "127.0.0.1",
        "--ops-listen",
        "127.0.0.1:0",
        "--admin-socket",
        d->socket,
        NULL,
    };

    assert_int_equal(d->pid, 0);
    d->started_s = (int64_t)time(NULL);
    d->pid = pf_spawn(argv, d->log);
}

void pf_testdaemon_start(struct pf_testdaemon *d)
{
    int64_t end = pf_now_ms() + (int64_t)START_MS * PF_SLOW;

    pf_testdaemon_spawn(d);
    while (!pf_testdaemon_serves(d)) {
        if (!pf_alive(d->pid) || pf_now_ms() > end) {
            show_log(d);
            fail_msg("the daemon did not start");
        }
        pf_nap(2);
    }
}

void pf_testdaemon_crash(struct pf_testdaemon *d)
{
    assert_true(pf_alive(d->pid));
    pf_end(d->pid);
    d->pid = 0;
}

void pf_testdaemon_stop(struct pf_testdaemon *d)
{
    char path[128];
    pid_t pid = d->pid;
    int code;

    assert_true(pf_alive(pid));
    pf_signal(pid, SIGTERM);
    code = pf_wait(pid, STOP_MS, NULL);
    d->pid = 0;
    if (code != 0)
        show_log(d);
    assert_int_equal(code, 0);
    snprintf(path, sizeof path, "%s/run.json", d->state);
    assert_int_not_equal(access(path, F_OK), 0);
}

void pf_testdaemon_end(struct pf_testdaemon *d)
{
    if (d->pid)
        pf_end(d->pid);
    if (d->dir[0] && !getenv("PF_TEST_KEEP"))
        pf_tmpdir_remove(d->dir);
    memset(d, 0, sizeof *d);
}

void pf_testdaemon_task(struct pf_testdaemon *d, const char *name,
                        const char *json)
{
    struct pf_run r = {0};
    char file[128];
    FILE *f;

    snprintf(file, sizeof file, "%s/%.40s.json", d->dir, name);
    f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs(json, f) >= 0);
    assert_int_equal(fclose(f), 0);
    PF_CLI(&r, "task", "create", file, "--socket", d->socket);
    if (r.code != 0)
        print_error("%s\n", pf_buf_str(&r.err));
    assert_int_equal(r.code, 0);
    pf_run_free(&r);
}

/* ---- asked ---- */

static size_t collect(char *p, size_t size, size_t n, void *ctx)
{
    return pf_buf_add(ctx, p, size * n) ? 0 : size * n;
}

static long get(const char *url, const char *socket, struct pf_buf *out)
{
    CURL *c = curl_easy_init();
    long status = 0;
    CURLcode rc;

    assert_non_null(c);
    pf_buf_free(out);
    pf_buf_init(out, 16u << 20);
    curl_easy_setopt(c, CURLOPT_URL, url);
    if (socket)
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 20000L * PF_SLOW);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
    rc = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_cleanup(c);
    if (rc != CURLE_OK)
        fail_msg("GET %s: %s", url, curl_easy_strerror(rc));
    return status;
}

void pf_testdaemon_get(const struct pf_testdaemon *d, const char *path,
                       struct pf_buf *out)
{
    char url[300];
    long status;

    snprintf(url, sizeof url, "http://pocketfed%s", path);
    status = get(url, d->socket, out);
    if (status != 200)
        fail_msg("GET %s: %ld %s", path, status, pf_buf_str(out));
}

int pf_testdaemon_ops(const struct pf_testdaemon *d, const char *path,
                      struct pf_buf *out)
{
    char url[300];

    snprintf(url, sizeof url, "http://%s%s", d->ops, path);
    return (int)get(url, NULL, out);
}

static void view(const struct pf_testdaemon *d, const char *path,
                 const struct pf_json_field *fields, void *out)
{
    struct pf_error err = {0};
    struct pf_buf b;

    memset(&b, 0, sizeof b);
    pf_testdaemon_get(d, path, &b);
    if (pf_json_decode(fields, PF_JSON_REFUSE, pf_buf_str(&b), b.len, out,
                       &err))
        fail_msg("%s: %s: %s", path, err.text, pf_buf_str(&b));
    pf_buf_free(&b);
}

void pf_task_now(const struct pf_testdaemon *d, const char *task,
                 struct pf_task_status *out)
{
    char path[160];

    snprintf(path, sizeof path, "/admin/v1/tasks/%s", task);
    memset(out, 0, sizeof *out);
    view(d, path, pf_task_status_fields, out);
}

void pf_round_now(const struct pf_testdaemon *d, const char *task,
                  uint64_t round, struct pf_round_status *out)
{
    char path[160];

    snprintf(path, sizeof path, "/admin/v1/tasks/%s/rounds/%llu", task,
             (unsigned long long)round);
    memset(out, 0, sizeof *out);
    view(d, path, pf_round_status_fields, out);
}

void pf_await_finish(const struct pf_testdaemon *d, const char *task,
                     int64_t ms, struct pf_task_status *out)
{
    int64_t end = pf_now_ms() + ms * PF_SLOW;

    for (;;) {
        pf_task_now(d, task, out);
        if (out->state == PF_TASK_FINISHED)
            return;
        if (pf_now_ms() > end) {
            show_log(d);
            fail_msg("task %s is in round %llu (%s) after %lld ms", task,
                     (unsigned long long)out->round, out->phase,
                     (long long)ms * PF_SLOW);
        }
        pf_nap(20);
    }
}
