#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "config.h"
#include "file.h"
#include "log.h"
#include "tmpdir.h"

static struct pf_config c;
static struct pf_error err;

static const char *const *env_pairs; /* name, value, ..., NULL */

static char *env(const char *name)
{
    size_t i;

    for (i = 0; env_pairs && env_pairs[i]; i += 2)
        if (strcmp(env_pairs[i], name) == 0)
            return (char *)(uintptr_t)env_pairs[i + 1];
    if (strcmp(name, "HOME") == 0)
        return (char *)(uintptr_t) "/home/o";
    return NULL;
}

static enum pocketfed_status load(char *a, char *b, char *d, char *e)
{
    char name[] = "pocketfedd";
    char *argv[] = {name, a, b, d, e, NULL};
    int argc = 1;

    while (argv[argc])
        argc++;
    memset(&err, 0, sizeof err);
    return pf_config_load(&c, argc, argv, env, &err);
}

#define ARG(s) ((char[]){s})

static enum pocketfed_status ini(const char *text)
{
    memset(&err, 0, sizeof err);
    pf_config_init(&c);
    return pf_config_ini(&c, "x.ini", text, strlen(text), &err);
}

static void starts_without_anything(void **state)
{
    (void)state;
    env_pairs = NULL;
    assert_int_equal(load(NULL, NULL, NULL, NULL), POCKETFED_OK);
    assert_string_equal(c.listen, "0.0.0.0:8443");
    assert_string_equal(c.ops_listen, "127.0.0.1:9464");
    assert_int_equal(c.drain_s, 10);
    assert_int_equal(c.tls, 1);
    assert_int_equal(c.log_level, PF_LOG_WARN);
    assert_true(c.host[0] != '\0');
    assert_non_null(strstr(c.state, "/pocketfed"));
    assert_non_null(strstr(c.admin_socket, "/pocketfed/admin.sock"));
}

static void reads_an_ini_file(void **state)
{
    (void)state;
    assert_int_equal(ini("; comment\n[client]\n  listen = 127.0.0.1:1 ; x\n"
                         "max_connections=7\ntls = off\n[log]\nlevel=debug\n"),
                     POCKETFED_OK);
    assert_string_equal(c.listen, "127.0.0.1:1");
    assert_int_equal(c.max_connections, 7);
    assert_int_equal(c.tls, 0);
    assert_int_equal(c.log_level, PF_LOG_DEBUG);
}

static void offers_the_nearest_key_with_its_line(void **state)
{
    (void)state;
    assert_int_equal(ini("[client]\n\nlisten = 127.0.0.1:1\nmax_conections=7"),
                     POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "x.ini:4:"));
    assert_non_null(strstr(err.text, "max_conections"));
    assert_string_equal(err.hint, "did you mean max_connections?");
}

static void offers_the_nearest_section(void **state)
{
    (void)state;
    assert_int_equal(ini("[clients]\nlisten = 127.0.0.1:1\n"),
                     POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "x.ini:2:"));
    assert_string_equal(err.hint, "did you mean [client]?");
    assert_int_equal(ini("listen = 127.0.0.1:1\n"), POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "before any [section]"));
}

static void refuses_bad_values_by_name(void **state)
{
    (void)state;
    assert_int_equal(ini("[server]\ndrain_s = soon\n"), POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "drain_s is \"soon\""));
    assert_int_equal(ini("[server]\ndrain_s = 3601\n"), POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "0 to 3600"));
    assert_int_equal(ini("[client]\ntls = perhaps\n"), POCKETFED_CONFIG);
    assert_int_equal(ini("[client]\nlisten = 8443\n"), POCKETFED_CONFIG);
    assert_int_equal(ini("[client]\nlisten = ::1:8443\n"), POCKETFED_CONFIG);
    assert_int_equal(ini("[client]\nlisten = a:65536\n"), POCKETFED_CONFIG);
    assert_int_equal(ini("[log]\nlevel = loud\n"), POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "error|warn|info|debug"));
}

static void refuses_a_line_that_is_nothing(void **state)
{
    (void)state;
    assert_int_equal(ini("[client]\nlisten = 127.0.0.1:1\nhello\n"),
                     POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "x.ini:3:"));
}

static void refuses_a_line_that_is_too_long(void **state)
{
    char text[2000] = "[client]\nhost = ";

    (void)state;
    memset(text + strlen(text), 'a', sizeof text - strlen(text) - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(ini(text), POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "x.ini:2:"));
}

static void obeys_flag_before_variable_before_file(void **state)
{
    static const char *const vars[] = {"POCKETFED_CLIENT_MAX_CONNECTIONS", "2",
                                       "POCKETFED_SERVER_DRAIN_S", "3", NULL};
    static const char text[] = "[client]\nmax_connections = 1\nhost = file\n"
                               "[server]\ndrain_s = 1\n";
    char dir[256], path[300];

    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    snprintf(path, sizeof path, "%s/a.ini", dir);
    assert_int_equal(pf_file_replace(path, text, strlen(text), 0600, NULL),
                     POCKETFED_OK);
    env_pairs = vars;
    assert_int_equal(load(ARG("--config"), path, ARG("--drain=4"), NULL),
                     POCKETFED_OK);
    assert_string_equal(c.host, "file");
    assert_int_equal(c.max_connections, 2);
    assert_int_equal(c.drain_s, 4);
    env_pairs = NULL;
    pf_tmpdir_remove(dir);
}

static void offers_the_nearest_flag(void **state)
{
    (void)state;
    assert_int_equal(load(ARG("--lisen=127.0.0.1:0"), NULL, NULL, NULL),
                     POCKETFED_INVALID);
    assert_string_equal(err.hint, "did you mean --listen?");
    assert_int_equal(load(ARG("--listen"), NULL, NULL, NULL),
                     POCKETFED_INVALID);
    assert_non_null(strstr(err.text, "needs a value"));
    assert_int_equal(load(ARG("--listen"), ARG("nowhere"), NULL, NULL),
                     POCKETFED_INVALID);
    assert_int_equal(load(ARG("dir"), NULL, NULL, NULL), POCKETFED_INVALID);
    /* No abbreviations: they would change when an option is added. */
    assert_int_equal(load(ARG("--stat"), ARG("x"), NULL, NULL),
                     POCKETFED_INVALID);
    assert_string_equal(err.hint, "did you mean --state?");
    assert_int_equal(load(ARG("--stat=x"), NULL, NULL, NULL),
                     POCKETFED_INVALID);
    assert_int_equal(load(ARG("--state=x"), ARG("--drain"), ARG("3"), NULL),
                     POCKETFED_OK);
}

static void names_a_variable_that_is_wrong(void **state)
{
    static const char *const vars[] = {"POCKETFED_LOG_LEVEL", "loud", NULL};

    (void)state;
    env_pairs = vars;
    assert_int_equal(load(NULL, NULL, NULL, NULL), POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "POCKETFED_LOG_LEVEL"));
    env_pairs = NULL;
}

static void names_a_file_that_is_not_there(void **state)
{
    (void)state;
    assert_int_equal(
        load(ARG("--config"), ARG("/nonexistent/a.ini"), NULL, NULL),
        POCKETFED_CONFIG);
    assert_non_null(strstr(err.text, "/nonexistent/a.ini"));
}

static void wants_certificate_and_key_together(void **state)
{
    static const char *const vars[] = {"POCKETFED_CLIENT_CERTIFICATE", "a.pem",
                                       NULL};

    (void)state;
    env_pairs = vars;
    assert_int_equal(load(NULL, NULL, NULL, NULL), POCKETFED_CONFIG);
    env_pairs = NULL;
}

static void carries_loopback_in_links_when_it_listens_there(void **state)
{
    (void)state;
    assert_int_equal(load(ARG("--listen"), ARG("127.0.0.1:0"), NULL, NULL),
                     POCKETFED_OK);
    assert_string_equal(c.host, "127.0.0.1");
    assert_int_equal(load(ARG("--listen"), ARG("[::1]:0"), NULL, NULL),
                     POCKETFED_OK);
    assert_string_equal(c.host, "::1");
}

static void reads_back_what_it_prints(void **state)
{
    struct pf_config first;
    struct pf_buf out;

    (void)state;
    assert_int_equal(ini("[client]\nhost = h\ntimeout_s = 5\ntls = off\n"
                         "[admin]\nsocket = /a b/c\n[log]\nlevel = error\n"),
                     POCKETFED_OK);
    first = c;
    pf_buf_init(&out, 1u << 20);
    assert_int_equal(pf_config_print(&c, &out), POCKETFED_OK);
    assert_int_equal(ini(pf_buf_str(&out)), POCKETFED_OK);
    assert_memory_equal(&first, &c, sizeof c);
    pf_buf_free(&out);
}

static void explains_every_option(void **state)
{
    const struct pf_option *o;
    struct pf_buf out;
    char line[100];

    (void)state;
    pf_config_init(&c);
    pf_buf_init(&out, 1u << 20);
    assert_int_equal(pf_config_print(&c, &out), POCKETFED_OK);
    for (o = pf_options; o->key; o++) {
        snprintf(line, sizeof line, "\n;%s =%s%s\n", o->key,
                 o->preset[0] ? " " : "", o->preset);
        assert_non_null(strstr(pf_buf_str(&out), line));
        assert_true(strlen(o->help) > 10);
    }
    pf_buf_clear(&out);
    assert_int_equal(pf_config_help(&out), POCKETFED_OK);
    for (o = pf_options; o->key; o++) {
        if (!o->flag)
            continue;
        snprintf(line, sizeof line, "\n  --%s %s\n", o->flag, o->arg);
        assert_non_null(strstr(pf_buf_str(&out), line));
    }
    pf_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(starts_without_anything),
        cmocka_unit_test(reads_an_ini_file),
        cmocka_unit_test(offers_the_nearest_key_with_its_line),
        cmocka_unit_test(offers_the_nearest_section),
        cmocka_unit_test(refuses_bad_values_by_name),
        cmocka_unit_test(refuses_a_line_that_is_nothing),
        cmocka_unit_test(refuses_a_line_that_is_too_long),
        cmocka_unit_test(obeys_flag_before_variable_before_file),
        cmocka_unit_test(offers_the_nearest_flag),
        cmocka_unit_test(names_a_variable_that_is_wrong),
        cmocka_unit_test(names_a_file_that_is_not_there),
        cmocka_unit_test(wants_certificate_and_key_together),
        cmocka_unit_test(carries_loopback_in_links_when_it_listens_there),
        cmocka_unit_test(reads_back_what_it_prints),
        cmocka_unit_test(explains_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
