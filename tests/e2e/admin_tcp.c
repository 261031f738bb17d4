/* The admin interface over TCP: `pocketfed --server`, and what a browser can be
 * made to send. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "json.h"
#include "proc.h"
#include "smalltask.h"
#include "text.h"

static struct world w;
static char url[200], token_file[200];

/* Starts the daemon with an admin listener there. */
static void start(const char *listen)
{
    struct pf_json_doc *doc = NULL;
    struct pf_buf run = {0};
    char ini[100];

    world_prepare(&w);
    snprintf(ini, sizeof ini, "[admin]\nlisten = %s\n", listen);
    world_config(&w, ini);
    world_run(&w);
    snprintf(token_file, sizeof token_file, "%s/run.json", w.d.state);
    pf_slurp(token_file, &run);
    assert_int_equal(pf_json_parse(pf_buf_str(&run), run.len, &doc, NULL),
                     POCKETFED_OK);
    snprintf(url, sizeof url, "%s",
             pf_json_text(pf_json_get(pf_json_root(doc), "admin_url")));
    snprintf(token_file, sizeof token_file, "%s/keys/admin.token", w.d.state);
    pf_json_free(doc);
    pf_buf_free(&run);
}

static int set_up(void **state)
{
    (void)state;
    start("127.0.0.1:0");
    return 0;
}

static int set_up_open(void **state)
{
    (void)state;
    start("0.0.0.0:0");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    world_end(&w);
    return 0;
}

static size_t collect(char *p, size_t size, size_t n, void *ctx)
{
    return pf_buf_add(ctx, p, size * n) ? 0 : size * n;
}

/* One request as a browser would send it; the status. headers ends with NULL;
 * out gets head and body. */
static long browse(const char *method, const char *path,
                   const char *const headers[], struct pf_buf *out)
{
    struct curl_slist *list = NULL;
    CURL *c = curl_easy_init();
    char whole[300];
    long status = 0;
    size_t i;

    assert_non_null(c);
    snprintf(whole, sizeof whole, "%s%s", url, path);
    pf_buf_free(out);
    pf_buf_init(out, 1u << 20);
    for (i = 0; headers[i]; i++)
        list = curl_slist_append(list, headers[i]);
    curl_easy_setopt(c, CURLOPT_URL, whole);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(c, CURLOPT_HEADER, 1L);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 20000L * PF_SLOW);
    assert_int_equal(curl_easy_perform(c), CURLE_OK);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(list);
    curl_easy_cleanup(c);
    return status;
}

#define BROWSE(out, method, path, ...)                                         \
    browse(method, path, (const char *const[]){__VA_ARGS__, NULL}, out)

/* "Authorization: Bearer ..." with the daemon's token. */
static const char *credentials(void)
{
    static char line[200];
    struct pf_buf text = {0};

    pf_slurp(token_file, &text);
    snprintf(line, sizeof line, "Authorization: Bearer %.64s",
             pf_buf_str(&text));
    pf_buf_free(&text);
    return line;
}

static void the_command_line_works_as_over_the_socket(void **state)
{
    struct pf_run socket = {0}, tcp = {0};

    (void)state;
    PF_CLI(&socket, "task", "list", "--json", "--socket", w.d.socket);
    PF_CLI(&tcp, "task", "list", "--json", "--server", url, "--token-file",
           token_file);
    assert_int_equal(tcp.code, 0);
    assert_non_null(strstr(pf_buf_str(&tcp.out), "\"m\""));
    assert_int_equal(socket.out.len > 0, tcp.out.len > 0);
    setenv("POCKETFED_SERVER", url, 1);
    setenv("POCKETFED_TOKEN_FILE", token_file, 1);
    PF_CLI(&tcp, "token", "create", "m");
    unsetenv("POCKETFED_SERVER");
    unsetenv("POCKETFED_TOKEN_FILE");
    assert_int_equal(tcp.code, 0);
    assert_memory_equal(pf_buf_str(&tcp.out), "pocketfed://", 12);
    PF_CLI(&tcp, "task", "list", "--server", url, "--state", w.d.state);
    assert_int_equal(tcp.code, 0); /* the token lies in there */
    pf_run_free(&socket);
    pf_run_free(&tcp);
}

static void the_command_line_says_what_is_wrong(void **state)
{
    static const char *const elsewhere[] = {
        "http://192.0.2.1:80", "http://127.0.0.1.evil.example",
        "http://localhost@evil.example", "ftp://127.0.0.1", "127.0.0.1:80/x"};
    struct pf_run r = {0};
    FILE *f = fopen(pf_in_dir(&w.d, "wrong"), "w");
    size_t i;

    (void)state;
    assert_non_null(f);
    for (i = 0; i < 64; i++)
        fputc('0', f);
    fclose(f);
    assert_int_equal(chmod(pf_in_dir(&w.d, "wrong"), 0600), 0);
    PF_CLI(&r, "task", "list", "--server", url, "--token-file",
           pf_in_dir(&w.d, "wrong"));
    assert_int_equal(r.code, 5);
    assert_non_null(strstr(pf_buf_str(&r.err), "token"));
    assert_int_equal(chmod(pf_in_dir(&w.d, "wrong"), 0644), 0);
    PF_CLI(&r, "task", "list", "--server", url, "--token-file",
           pf_in_dir(&w.d, "wrong"));
    assert_int_equal(r.code, 78);
    assert_non_null(strstr(pf_buf_str(&r.err), "chmod 600"));
    PF_CLI(&r, "task", "list", "--server", url);
    assert_int_not_equal(r.code, 0);
    assert_non_null(strstr(pf_buf_str(&r.err), "--token-file"));
    for (i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) {
        PF_CLI(&r, "task", "list", "--server", elsewhere[i], "--token-file",
               token_file);
        assert_int_not_equal(r.code, 0);
        assert_non_null(strstr(pf_buf_str(&r.err), "ssh -L"));
    }
    pf_run_free(&r);
}

static void counted(const char *metric, unsigned want)
{
    struct pf_buf page = {0};
    char line[100];

    snprintf(line, sizeof line, "\npocketfed_%s %u\n", metric, want);
    assert_int_equal(pf_testdaemon_ops(&w.d, "/metrics", &page), 200);
    if (!strstr(pf_buf_str(&page), line))
        fail_msg("/metrics lacks %s", line);
    pf_buf_free(&page);
}

static void what_a_page_can_send_is_refused_and_counted(void **state)
{
    struct pf_buf out = {0};

    (void)state;
    /* DNS rebinding: the attacker's own name has our address now. */
    assert_int_equal(BROWSE(&out, "GET", "/admin/v1/tasks",
                            "Host: evil.example:9465", credentials()),
                     403);
    /* A page of another site posts a form, or asks whether it may do more. */
    assert_int_equal(BROWSE(&out, "POST", "/admin/v1/tasks/m/tokens",
                            "Origin: https://evil.example",
                            "Content-Type: text/plain", credentials()),
                     403);
    assert_int_equal(BROWSE(&out, "OPTIONS", "/admin/v1/tasks/m/tokens",
                            "Origin: https://evil.example",
                            "Access-Control-Request-Method: POST",
                            "Access-Control-Request-Headers: authorization"),
                     403);
    assert_null(strstr(pf_buf_str(&out), "ccess-Control"));
    assert_int_equal(BROWSE(&out, "GET", "/admin/v1",
                            "Sec-Fetch-Site: cross-site", credentials()),
                     403);
    /* Anybody on the machine. */
    assert_int_equal(BROWSE(&out, "GET", "/admin/v1", "X: y"), 401);
    assert_non_null(strstr(pf_buf_str(&out), "WWW-Authenticate: Bearer"));
    assert_int_equal(
        BROWSE(&out, "GET", "/admin/v1", "Authorization: Bearer 0"), 401);
    assert_int_equal(BROWSE(&out, "GET", "/admin/v1", credentials()), 200);
    counted("admin_foreign_host_total", 1);
    counted("admin_cross_site_total", 3);
    counted("admin_wrong_token_total", 2);
    pf_buf_free(&out);
}

static void on_an_open_address_it_speaks_tls(void **state)
{
    char host[100], pin[60];
    struct pf_run r = {0};

    (void)state;
    assert_memory_equal(url, "https://0.0.0.0:", 16);
    snprintf(host, sizeof host, "https://127.0.0.1:%.20s", url + 16);
    pf_base64url(w.server.link.pins[0], 32, pin);
    PF_CLI(&r, "task", "list", "--server", host, "--token-file", token_file,
           "--pin", pin);
    assert_int_equal(r.code, 0);
    PF_CLI(&r, "task", "list", "--server", host, "--token-file", token_file);
    assert_int_equal(r.code, 8); /* self-made, and nothing vouches for it */
    pin[3] = pin[3] == 'A' ? 'B' : 'A';
    PF_CLI(&r, "task", "list", "--server", host, "--token-file", token_file,
           "--pin", pin);
    assert_int_equal(r.code, 8);
    pf_run_free(&r);
}

#define TEST(f, up) cmocka_unit_test_setup_teardown(f, up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_command_line_works_as_over_the_socket, set_up),
        TEST(the_command_line_says_what_is_wrong, set_up),
        TEST(what_a_page_can_send_is_refused_and_counted, set_up),
        TEST(on_an_open_address_it_speaks_tls, set_up_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
