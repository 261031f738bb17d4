/* SIGHUP: certificates and limits change under a daemon that goes on working,
 * and a configuration that is wrong changes nothing. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file.h"
#include "proc.h"
#include "smalltask.h"

static struct world w;
static struct pf_buf honest; /* a's frame of round 1 */
static uint8_t second_pin[32];
static unsigned reloads, refusals; /* that the log must tell of */

/* A certificate of a new key at DIR/server.crt and .key. */
static void write_certificate(uint8_t pin[32])
{
    static const char *const hosts[] = {"127.0.0.1"};
    struct pf_key *key = NULL;
    struct pf_buf cert, pem;

    pf_buf_init(&cert, 1u << 16);
    pf_buf_init(&pem, 1u << 16);
    assert_int_equal(pf_key_generate(PF_KEY_P256, &key), POCKETFED_OK);
    assert_int_equal(pf_cert_make(key, hosts, 1, 30, &cert, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_key_pem(key, &pem), POCKETFED_OK);
    assert_int_equal(pf_cert_info(pf_buf_str(&cert), cert.len, pin, NULL, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_file_replace(pf_in_dir(&w.d, "server.crt"), cert.data,
                                     cert.len, 0600, NULL),
                     POCKETFED_OK);
    assert_int_equal(pf_file_replace(pf_in_dir(&w.d, "server.key"), pem.data,
                                     pem.len, 0600, NULL),
                     POCKETFED_OK);
    pf_key_free(key);
    pf_buf_free(&cert);
    pf_buf_free(&pem);
}

/* The configuration with these lines behind it. */
static void configure(const char *more)
{
    char text[1000];

    snprintf(
        text, sizeof text, "[client]\ncertificate = %s\nprivate_key = %s\n%s",
        pf_in_dir(&w.d, "server.crt"), pf_in_dir(&w.d, "server.key"), more);
    world_config(&w, text);
}

static int setup(void **state)
{
    (void)state;
    world_prepare(&w);
    write_certificate(w.pin);
    w.has_pin = 1;
    configure("");
    world_run(&w);
    world_frame(&w, &w.a, &honest);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_end(&w);
    pf_buf_free(&honest);
    return 0;
}

/* Waits until the log has the text so often. */
static void await_count(const char *text, unsigned want)
{
    int64_t end = pf_now_ms() + (int64_t)20000 * PF_SLOW;
    unsigned n;

    do {
        struct pf_buf log = {0};
        const char *at;

        pf_slurp(w.d.log, &log);
        for (n = 0, at = pf_buf_str(&log); (at = strstr(at, text)); at++)
            n++;
        pf_buf_free(&log);
        pf_nap(5);
    } while (n < want && pf_now_ms() < end);
    assert_int_equal(n, want);
}

static void hang_up_well(void)
{
    pf_signal(w.d.pid, SIGHUP);
    await_count("configuration and certificate read again", ++reloads);
}

static void hang_up_badly(void)
{
    pf_signal(w.d.pid, SIGHUP);
    await_count("reload refused, all stays as it was", ++refusals);
}

static const char ask[] = "GET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n";

/* A fresh connection is answered by the server with this key. */
static void is_answered(const uint8_t pin[32])
{
    struct pf_raw_reply r = {0};
    struct pf_raw raw;

    pf_raw_open(&raw, w.d.port, pin); /* fails the test with another key */
    pf_raw_send(&raw, ask, sizeof ask - 1);
    assert_int_equal(pf_raw_reply(&raw, 20000, 0, &r), 1);
    assert_int_equal(r.status, 404);
    pf_raw_reply_free(&r);
    pf_raw_close(&raw);
}

static void an_upload_goes_on_under_the_old_certificate(void **state)
{
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    struct pf_buf head;
    struct pf_raw raw;

    (void)state;
    world_put(&w, &w.a, 1, &honest, NULL, &c);
    pf_buf_init(&head, 1u << 16);
    pf_crafted_head(&c, &head);
    pf_raw_open(&raw, w.d.port, w.pin);
    pf_raw_send(&raw, head.data, head.len);
    assert_int_equal(pf_raw_reply(&raw, 20000, 0, &r), 1);
    assert_int_equal(r.status, 100);
    pf_raw_send(&raw, honest.data, honest.len / 2);

    write_certificate(second_pin);
    hang_up_well();
    is_answered(second_pin);

    pf_raw_send(&raw, honest.data + honest.len / 2,
                honest.len - honest.len / 2);
    assert_int_equal(pf_raw_reply(&raw, 20000, 0, &r), 1);
    assert_int_equal(r.status, 201);
    pf_raw_send(&raw, ask, sizeof ask - 1);
    assert_int_equal(pf_raw_reply(&raw, 20000, 0, &r), 1);
    assert_int_equal(r.status, 404); /* and lives on */
    pf_raw_close(&raw);
    pf_raw_reply_free(&r);
    pf_buf_free(&head);
    pf_crafted_free(&c);
}

static void limits_and_the_log_level_change_at_once(void **state)
{
    struct pf_crafted c = {0};
    struct pf_raw_reply r = {0};
    int i;

    (void)state;
    memcpy(w.server.link.pins[0], second_pin, 32);
    configure("[limits]\ndevice_rate = 1\ndevice_burst = 3\n"
              "[log]\nlevel = debug\n[server]\nqueue = 9999\n");
    hang_up_well();
    await_count("queue in [server] changes at the next start", 1);
    for (i = 0; i < 8; i++) {
        world_checkin(&w, &w.b, &c, 0);
        pf_crafted_send(&c, &w.server, &r);
    }
    assert_int_equal(r.status, 429);
    assert_string_equal(pf_problem_slug(&r, NULL), "too-many-requests");
    assert_true(pf_file_says(w.d.log, "debug answer method="));
    pf_raw_reply_free(&r);
    pf_crafted_free(&c);
}

static void a_wrong_configuration_changes_nothing(void **state)
{
    (void)state;
    configure("[limits]\ndevice_rat = 1\n");
    hang_up_badly();
    assert_true(pf_file_says(w.d.log, "did you mean device_rate?"));
    is_answered(second_pin);
}

static void a_certificate_of_another_key_changes_nothing(void **state)
{
    struct pf_key *other = NULL;

    (void)state;
    assert_int_equal(pf_key_generate(PF_KEY_P256, &other), POCKETFED_OK);
    assert_int_equal(pf_key_save(other, pf_in_dir(&w.d, "server.key"), NULL),
                     POCKETFED_OK);
    configure("");
    hang_up_badly();
    assert_true(pf_file_says(w.d.log,
                             "the TLS certificate is not for the private key"));
    is_answered(second_pin);
    pf_key_free(other);
    pf_testdaemon_stop(&w.d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_upload_goes_on_under_the_old_certificate),
        cmocka_unit_test(limits_and_the_log_level_change_at_once),
        cmocka_unit_test(a_wrong_configuration_changes_nothing),
        cmocka_unit_test(a_certificate_of_another_key_changes_nothing),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
