#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <cmocka.h>
#include "joinlink.h"
#include "json.h"
#include "proc.h"
#include "tmpdir.h"

/* The program on a machine where no daemon answers. */

static char base[256], dir[300], link_file[300];
static struct pf_run r;

/* A link to a port that is taken and does not listen. */
static int bind_nowhere(struct pf_join_link *link)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    memset(link, 0, sizeof *link);
    snprintf(link->host, sizeof link->host, "127.0.0.1");
    link->port = ntohs(at.sin_port);
    snprintf(link->task, sizeof link->task, "tiny");
    memset(link->id, 7, sizeof link->id);
    memset(link->pins[0], 9, sizeof link->pins[0]);
    link->n_pins = 1;
    assert_int_equal(pf_token_make(link->token), POCKETFED_OK);
    return fd;
}

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static int nowhere;

static int set_up(void **state)
{
    char text[PF_JOIN_LINK_MAX];
    struct pf_join_link link;

    (void)state;
    pf_tmpdir_make(base, sizeof base);
    snprintf(dir, sizeof dir, "%s/device", base);
    snprintf(link_file, sizeof link_file, "%s/link.txt", base);
    pf_isolate(base);
    nowhere = bind_nowhere(&link);
    assert_int_equal(pf_join_link_write(&link, text, sizeof text),
                     POCKETFED_OK);
    write_file(link_file, text);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_run_free(&r);
    close(nowhere);
    pf_kill_all();
    pf_tmpdir_remove(base);
    return 0;
}

static void says(const struct pf_buf *out, const char *text)
{
    if (!strstr(pf_buf_str(out), text))
        fail_msg("\"%s\" is not in:\n%s", text, pf_buf_str(out));
}

/* stdout is one JSON object on one line, and that of a failure. */
static void is_json_failure(int code)
{
    const char *text = pf_buf_str(&r.out);
    const struct pf_json_node *root;
    struct pf_json_doc *doc = NULL;
    int64_t is;

    assert_int_equal(r.code, code);
    assert_ptr_equal(strchr(text, '\n'), text + r.out.len - 1);
    assert_int_equal(pf_json_parse(text, r.out.len, &doc, NULL), POCKETFED_OK);
    root = pf_json_root(doc);
    assert_string_equal(pf_json_text(pf_json_get(root, "type")), "error");
    assert_true(pf_json_text(pf_json_get(root, "why"))[0] != '\0');
    assert_true(pf_json_text(pf_json_get(root, "hint"))[0] != '\0');
    assert_true(pf_json_integer(pf_json_get(root, "exit_code"), 0, 255, &is));
    assert_int_equal(is, code);
    pf_json_free(doc);
}

static void a_server_that_is_down_is_no_success(void **state)
{
    char kept[320];

    (void)state;
    PF_CLI(&r, "join", link_file, "--dir", dir, "--timeout", "1");
    assert_int_equal(r.code, 7);
    assert_string_equal(pf_buf_str(&r.out), "");
    says(&r.err, "this device did not join");
    says(&r.err, "cannot reach 127.0.0.1");
    says(&r.err, "the link is kept");
    says(&r.err, "ERRORS.md#exit-7");
    assert_null(strstr(pf_buf_str(&r.err), "in_ms="));
    snprintf(kept, sizeof kept, "%s/join.link", dir);
    assert_int_equal(access(kept, F_OK), 0);
    PF_CLI(&r, "join", link_file, "--dir", dir, "--timeout", "1", "--json");
    is_json_failure(7);
}

static void a_join_ends_at_its_timeout(void **state)
{
    int64_t began = pf_now_ms();

    (void)state;
    PF_CLI(&r, "join", link_file, "--dir", dir, "--timeout", "2", "--json");
    is_json_failure(7);
    assert_in_range(pf_now_ms() - began, 1900, 2000 + 3000 * PF_SLOW);
}

static void an_address_that_is_no_link_is_not_taken_for_a_file(void **state)
{
    (void)state;
    PF_CLI(&r, "join", "https://example.org/", "--dir", dir);
    assert_int_equal(r.code, 1);
    says(&r.err, "pocketfed://");
}

static void config_show_says_where_each_value_comes_from(void **state)
{
    char path[320];

    (void)state;
    snprintf(path, sizeof path, "%s/.config", base);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/.config/pocketfed", base);
    assert_int_equal(mkdir(path, 0700), 0);
    snprintf(path, sizeof path, "%s/.config/pocketfed/pocketfed.ini", base);
    write_file(path, "uses = 5\ndata = /elsewhere\n");
    assert_int_equal(setenv("POCKETFED_EXPIRES", "60", 1), 0);
    PF_CLI(&r, "config", "show", "token", "create");
    assert_int_equal(unsetenv("POCKETFED_EXPIRES"), 0);
    assert_int_equal(r.code, 0);
    says(&r.out, path);
    says(&r.out, "uses            5                             configuration");
    says(&r.out, "expires         60                            environment");
    says(&r.out, "label           <none>                        default");
    PF_CLI(&r, "config", "show", "train", "--json");
    assert_int_equal(r.code, 0);
    says(&r.out, "{\"option\":\"data\",\"value\":\"/elsewhere\","
                 "\"origin\":\"configuration file\"}");
    PF_CLI(&r, "config", "show", "trian", "--json");
    is_json_failure(2);
}

static void the_overview_fits_80_columns(void **state)
{
    const char *line;

    (void)state;
    PF_CLI(&r, "help");
    assert_int_equal(r.code, 0);
    for (line = pf_buf_str(&r.out); *line; line += strcspn(line, "\n") + 1)
        if (strcspn(line, "\n") > 80)
            fail_msg("%.*s", (int)strcspn(line, "\n"), line);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_server_that_is_down_is_no_success),
        T(a_join_ends_at_its_timeout),
        T(an_address_that_is_no_link_is_not_taken_for_a_file),
        T(config_show_says_where_each_value_comes_from),
        T(the_overview_fits_80_columns),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
