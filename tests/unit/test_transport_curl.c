/* libcurl against a real TLS server on loopback, made for the occasion. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>
#include <microhttpd.h>
#include "crypto.h"
#include "transport.h"

struct world {
    struct MHD_Daemon *daemon;
    struct pocketfed_transport t;
    struct pf_buf key_pem, cert_pem;
    uint8_t pin[2][32];
    uint16_t port;
    struct pocketfed_header headers[2];
    struct pocketfed_request r;
    struct pocketfed_reply reply;
    char why[300];
    /* What the server saw. */
    char method[16], url[100], header[100];
    size_t body_len, pieces;
    uint8_t body_sum;
    int expected, connections;
};

/* A body of 5000 bytes that ends with the connection after 1500. */
static ssize_t break_off(void *cls, uint64_t at, char *out, size_t room)
{
    size_t n = at < 1500 ? 1500 - (size_t)at : 0;

    (void)cls;
    if (n == 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    n = n < room ? n : room;
    memset(out, 'm', n);
    return (ssize_t)n;
}

static enum MHD_Result answer(void *cls, struct MHD_Connection *c,
                              const char *url, const char *method,
                              const char *version, const char *data,
                              size_t *size, void **state)
{
    static const char big[4096] = "x";
    struct world *w = cls;
    struct MHD_Response *response;
    const char *seen;
    enum MHD_Result ok;
    size_t i;

    (void)version;
    if (!*state) {
        *state = w;
        w->body_len = 0;
        w->body_sum = 0;
        w->pieces = 0;
        return MHD_YES;
    }
    if (*size) {
        for (i = 0; i < *size; i++)
            w->body_sum ^= (uint8_t)data[i];
        w->body_len += *size;
        w->pieces++;
        *size = 0;
        return MHD_YES;
    }
    snprintf(w->method, sizeof w->method, "%s", method);
    snprintf(w->url, sizeof w->url, "%s", url);
    seen = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "X-Test");
    snprintf(w->header, sizeof w->header, "%s", seen ? seen : "");
    seen = MHD_lookup_connection_value(c, MHD_HEADER_KIND, "Expect");
    w->expected = seen && strcmp(seen, "100-continue") == 0;
    if (strcmp(url, "/broken") == 0)
        response = MHD_create_response_from_callback(5000, 1024, break_off,
                                                     NULL, NULL);
    else if (strcmp(url, "/big") == 0)
        response = MHD_create_response_from_buffer(
            sizeof big, (void *)(uintptr_t)big, MHD_RESPMEM_PERSISTENT);
    else
        response = MHD_create_response_from_buffer(
            5, (void *)(uintptr_t) "hello", MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(response, "Retry-After", "12");
    MHD_add_response_header(response, "Pocketfed-Signature", " abc=\t");
    MHD_add_response_header(response, "Location", "/elsewhere");
    ok =
        MHD_queue_response(c, strcmp(url, "/moved") == 0 ? 302 : 200, response);
    MHD_destroy_response(response);
    return ok;
}

static void count_connection(void *cls, struct MHD_Connection *c, void **state,
                             enum MHD_ConnectionNotificationCode code)
{
    struct world *w = cls;

    (void)c;
    (void)state;
    if (code == MHD_CONNECTION_NOTIFY_STARTED)
        w->connections++;
}

static void make_certificate(struct world *w)
{
    static const char *const hosts[] = {"127.0.0.1"};
    struct pf_key *key = NULL;
    struct pf_error err;

    pf_buf_init(&w->key_pem, 1 << 14);
    pf_buf_init(&w->cert_pem, 1 << 14);
    assert_int_equal(pf_key_generate(PF_KEY_P256, &key), POCKETFED_OK);
    assert_int_equal(pf_key_pem(key, &w->key_pem), POCKETFED_OK);
    assert_int_equal(pf_cert_make(key, hosts, 1, 30, &w->cert_pem, &err),
                     POCKETFED_OK);
    assert_int_equal(pf_cert_info(pf_buf_str(&w->cert_pem), w->cert_pem.len,
                                  w->pin[0], NULL, &err),
                     POCKETFED_OK);
    pf_key_free(key);
}

static int set_up(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct sockaddr_in at = {.sin_family = AF_INET};
    struct pf_error err;

    assert_non_null(w);
    make_certificate(w);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    w->daemon = MHD_start_daemon(
        MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_TLS, 0, NULL, NULL, answer, w,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_HTTPS_MEM_KEY,
        pf_buf_str(&w->key_pem), MHD_OPTION_HTTPS_MEM_CERT,
        pf_buf_str(&w->cert_pem), MHD_OPTION_NOTIFY_CONNECTION,
        count_connection, w, MHD_OPTION_END);
    assert_non_null(w->daemon);
    w->port = MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    assert_int_equal(pf_transport_curl(&w->t, &err), POCKETFED_OK);
    w->r = (struct pocketfed_request){
        .size = sizeof w->r,
        .method = "GET",
        .host = "127.0.0.1",
        .port = w->port,
        .target = "/v1/x",
        .headers = w->headers,
        .pins = (const uint8_t(*)[32])w->pin,
        .n_pins = 1,
        .max_reply = 100,
    };
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    w->t.destroy(w->t.ctx);
    if (w->daemon)
        MHD_stop_daemon(w->daemon);
    pf_buf_free(&w->key_pem);
    pf_buf_free(&w->cert_pem);
    free(w);
    return 0;
}

static enum pocketfed_status request(struct world *w)
{
    enum pocketfed_status st = w->t.begin(w->t.ctx, &w->r);
    int max = 1000;

    w->why[0] = '\0';
    if (st)
        return st;
    do {
        st = w->t.poll(w->t.ctx, 20, &w->reply, w->why, sizeof w->why);
    } while (st == POCKETFED_AGAIN && max-- > 0);
    return st;
}

static void fetches_with_a_pinned_key(void **state)
{
    struct world *w = *state;

    w->headers[0] = (struct pocketfed_header){"X-Test", "one"};
    w->r.n_headers = 1;
    if (request(w))
        fail_msg("%s", w->why);
    assert_int_equal(w->reply.status, 200);
    assert_int_equal(w->reply.body_len, 5);
    assert_memory_equal(w->reply.body, "hello", 5);
    assert_string_equal(w->method, "GET");
    assert_string_equal(w->url, "/v1/x");
    assert_string_equal(w->header, "one");
    assert_string_equal(w->reply.header(w->reply.ctx, "retry-after"), "12");
    assert_string_equal(w->reply.header(w->reply.ctx, "pocketfed-signature"),
                        "abc=");
    assert_null(w->reply.header(w->reply.ctx, "retry"));
    assert_true(w->reply.bytes_sent > 20);
    assert_true(w->reply.bytes_received > 5);
}

static void one_connection_serves_many_requests(void **state)
{
    struct world *w = *state;
    int i;

    for (i = 0; i < 3; i++)
        assert_int_equal(request(w), POCKETFED_OK);
    assert_int_equal(w->connections, 1);
}

static void an_upload_waits_for_the_continue(void **state)
{
    struct world *w = *state;
    size_t len = 300000, i;
    uint8_t *body = malloc(len), sum = 0;

    assert_non_null(body);
    for (i = 0; i < len; i++) {
        body[i] = (uint8_t)(i * 31);
        sum ^= body[i];
    }
    w->r.method = "PUT";
    w->r.body = body;
    w->r.body_len = len;
    w->r.expect_continue = 1;
    if (request(w))
        fail_msg("%s", w->why);
    assert_string_equal(w->method, "PUT");
    assert_int_equal(w->body_len, len);
    assert_int_equal(w->body_sum, sum);
    assert_true(w->expected);
    assert_true(w->reply.bytes_sent > len);
    /* The header of the 100 is not taken for the answer's. */
    assert_string_equal(w->reply.header(w->reply.ctx, "retry-after"), "12");
    free(body);
}

static void a_post_does_not_wait(void **state)
{
    struct world *w = *state;
    static uint8_t body[4000];

    w->r.method = "POST";
    w->r.body = body;
    w->r.body_len = sizeof body;
    assert_int_equal(request(w), POCKETFED_OK);
    assert_string_equal(w->method, "POST");
    assert_int_equal(w->body_len, sizeof body);
    assert_false(w->expected);
}

static void another_key_than_the_pinned_one_is_no_proof(void **state)
{
    struct world *w = *state;

    w->pin[0][5] ^= 1;
    assert_int_equal(request(w), POCKETFED_PROOF);
    assert_non_null(strstr(w->why, "another TLS key"));
    assert_non_null(strstr(w->why, "127.0.0.1:"));
    assert_string_equal(w->url, "");
}

static void the_next_pin_is_accepted_too(void **state)
{
    struct world *w = *state;

    memcpy(w->pin[1], w->pin[0], 32);
    memset(w->pin[0], 7, 32);
    w->r.n_pins = 2;
    if (request(w))
        fail_msg("%s", w->why);
}

static void without_a_pin_a_self_made_certificate_is_no_proof(void **state)
{
    struct world *w = *state;

    w->r.n_pins = 0;
    assert_int_equal(request(w), POCKETFED_PROOF);
    assert_non_null(strstr(w->why, "certificate"));
    assert_string_equal(w->url, "");
}

static void a_pin_of_one_request_does_not_vouch_for_the_next(void **state)
{
    struct world *w = *state;

    assert_int_equal(request(w), POCKETFED_OK);
    w->r.n_pins = 0;
    assert_int_equal(request(w), POCKETFED_PROOF);
    w->r.n_pins = 1;
    w->pin[0][0] ^= 1;
    assert_int_equal(request(w), POCKETFED_PROOF);
}

static void a_reply_that_is_too_long_is_cut_off(void **state)
{
    struct world *w = *state;

    w->r.target = "/big";
    assert_int_equal(request(w), POCKETFED_LIMIT);
    assert_non_null(strstr(w->why, "longer than 100 bytes"));
    w->r.max_reply = 4096;
    assert_int_equal(request(w), POCKETFED_OK);
    assert_int_equal(w->reply.body_len, 4096);
}

static void redirects_are_not_followed(void **state)
{
    struct world *w = *state;

    w->r.target = "/moved";
    assert_int_equal(request(w), POCKETFED_OK);
    assert_int_equal(w->reply.status, 302);
    assert_string_equal(w->url, "/moved");
}

static void a_server_that_is_away_is_unreachable(void **state)
{
    struct world *w = *state;

    assert_int_equal(request(w), POCKETFED_OK);
    MHD_stop_daemon(w->daemon);
    w->daemon = NULL;
    assert_int_equal(request(w), POCKETFED_UNREACHABLE);
    assert_non_null(strstr(w->why, "cannot reach 127.0.0.1:"));
}

static void a_download_that_breaks_off_hands_over_what_came(void **state)
{
    struct world *w = *state;
    size_t i;

    w->r.target = "/broken";
    w->r.max_reply = 5000;
    assert_int_equal(request(w), POCKETFED_UNREACHABLE);
    assert_int_equal(w->reply.status, 200);
    assert_int_equal(w->reply.body_len, 1500);
    for (i = 0; i < 1500; i++)
        assert_int_equal(w->reply.body[i], 'm');
    assert_string_equal(w->reply.header(w->reply.ctx, "retry-after"), "12");
    assert_true(w->reply.bytes_received >= 1500);
}

static void an_upload_that_breaks_off_says_that_it_moved(void **state)
{
    struct world *w = *state;
    size_t len = 3 << 20;
    uint8_t *body = calloc(1, len);
    int max = 1000;
    enum pocketfed_status st;

    assert_non_null(body);
    w->r.method = "PUT";
    w->r.body = body;
    w->r.body_len = len;
    assert_int_equal(w->t.begin(w->t.ctx, &w->r), POCKETFED_OK);
    do
        st = w->t.poll(w->t.ctx, 1, &w->reply, w->why, sizeof w->why);
    while (st == POCKETFED_AGAIN && w->reply.body_sent == 0 && max-- > 0);
    assert_int_equal(st, POCKETFED_AGAIN); /* told while it goes on, too */
    assert_in_range(w->reply.body_sent, 1, len);
    assert_true(w->reply.bytes_sent > w->reply.body_sent);
    MHD_stop_daemon(w->daemon);
    w->daemon = NULL;
    while (st == POCKETFED_AGAIN)
        st = w->t.poll(w->t.ctx, 20, &w->reply, w->why, sizeof w->why);
    assert_int_equal(st, POCKETFED_UNREACHABLE);
    assert_in_range(w->reply.body_sent, 1, len);
    free(body);
}

static void a_body_goes_in_pieces_when_that_is_asked(void **state)
{
    struct world *w = *state;
    size_t len = 100000, i;
    uint8_t *body = malloc(len), sum = 0;

    assert_non_null(body);
    for (i = 0; i < len; i++) {
        body[i] = (uint8_t)(i * 31);
        sum ^= body[i];
    }
    w->r.method = "PATCH";
    w->r.body = body;
    w->r.body_len = len;
    w->r.expect_continue = 1;
    w->r.piece = 1000;
    if (request(w))
        fail_msg("%s", w->why);
    assert_string_equal(w->method, "PATCH");
    assert_int_equal(w->body_len, len);
    assert_int_equal(w->body_sum, sum);
    assert_true(w->pieces >= 100); /* one TLS record each */
    assert_true(w->expected);
    free(body);
}

static void a_head_is_over_without_a_body(void **state)
{
    struct world *w = *state;

    w->r.method = "HEAD";
    if (request(w))
        fail_msg("%s", w->why);
    assert_string_equal(w->method, "HEAD");
    assert_int_equal(w->reply.status, 200);
    assert_int_equal(w->reply.body_len, 0);
    assert_string_equal(w->reply.header(w->reply.ctx, "retry-after"), "12");
    w->r.method = "GET"; /* and the next has one again */
    assert_int_equal(request(w), POCKETFED_OK);
    assert_int_equal(w->reply.body_len, 5);
    assert_int_equal(w->connections, 1);
}

static void poll_keeps_to_its_budget_and_cancel_ends_it(void **state)
{
    struct world *w = *state;
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0), i;

    /* Listens and never speaks. */
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(fd, 1), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    w->r.port = ntohs(at.sin_port);
    assert_int_equal(w->t.begin(w->t.ctx, &w->r), POCKETFED_OK);
    for (i = 0; i < 3; i++)
        assert_int_equal(
            w->t.poll(w->t.ctx, 10, &w->reply, w->why, sizeof w->why),
            POCKETFED_AGAIN);
    w->t.cancel(w->t.ctx);
    assert_int_equal(w->t.poll(w->t.ctx, 10, &w->reply, w->why, sizeof w->why),
                     POCKETFED_INVALID);
    w->r.port = w->port;
    assert_int_equal(request(w), POCKETFED_OK);
    close(fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(fetches_with_a_pinned_key),
        T(one_connection_serves_many_requests),
        T(an_upload_waits_for_the_continue),
        T(a_post_does_not_wait),
        T(another_key_than_the_pinned_one_is_no_proof),
        T(the_next_pin_is_accepted_too),
        T(without_a_pin_a_self_made_certificate_is_no_proof),
        T(a_pin_of_one_request_does_not_vouch_for_the_next),
        T(a_reply_that_is_too_long_is_cut_off),
        T(redirects_are_not_followed),
        T(a_server_that_is_away_is_unreachable),
        T(a_download_that_breaks_off_hands_over_what_came),
        T(an_upload_that_breaks_off_says_that_it_moved),
        T(a_body_goes_in_pieces_when_that_is_asked),
        T(a_head_is_over_without_a_body),
        T(poll_keeps_to_its_budget_and_cancel_ends_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
