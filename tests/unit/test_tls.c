#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "edge.h"

static int set_up(void **state)
{
    return edge_fresh(state, 0, 0, 1);
}

struct visit {
    const char *priorities;
    gnutls_datum_t ticket; /* in: resume this; out: the new one */
    int resumed, status;
    gnutls_protocol_t version;
    uint8_t spki[32]; /* of the server's certificate */
};

static int dial(struct edge *e)
{
    struct timeval patience = {5, 0};
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons(e->daemon.edge.link_port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

/* What the certificate is pinned by. */
static void pin_of(gnutls_session_t s, uint8_t spki[32])
{
    const gnutls_datum_t *list;
    gnutls_datum_t pem = {NULL, 0};
    unsigned n = 0;

    list = gnutls_certificate_get_peers(s, &n);
    assert_true(list && n > 0);
    assert_int_equal(gnutls_pem_base64_encode2("CERTIFICATE", &list[0], &pem),
                     0);
    assert_int_equal(
        pf_cert_info((const char *)pem.data, pem.size, spki, NULL, NULL),
        POCKETFED_OK);
    gnutls_free(pem.data);
}

/* One connection with one request; 0 when the handshake failed. */
static int visit(struct edge *e, struct visit *v)
{
    static const char ask[] = "GET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n";
    gnutls_certificate_credentials_t cred;
    gnutls_session_t s;
    char answer[400] = "";
    int fd = dial(e), rc, ok = 0;
    ssize_t n;

    gnutls_certificate_allocate_credentials(&cred);
    gnutls_init(&s, GNUTLS_CLIENT);
    assert_int_equal(gnutls_priority_set_direct(s, v->priorities, NULL), 0);
    gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
    if (v->ticket.data)
        gnutls_session_set_data(s, v->ticket.data, v->ticket.size);
    gnutls_transport_set_int(s, fd);
    do
        rc = gnutls_handshake(s);
    while (rc < 0 && !gnutls_error_is_fatal(rc));
    if (rc == 0) {
        ok = 1;
        v->resumed = gnutls_session_is_resumed(s);
        v->version = gnutls_protocol_get_version(s);
        if (!v->resumed)
            pin_of(s, v->spki);
        gnutls_record_send(s, ask, sizeof ask - 1);
        do /* a ticket on its way makes it ask again */
            n = gnutls_record_recv(s, answer, sizeof answer - 1);
        while (n < 0 && !gnutls_error_is_fatal((int)n));
        if (n > 12)
            v->status = (int)strtol(answer + 9, NULL, 10);
        gnutls_free(v->ticket.data);
        v->ticket.data = NULL;
        gnutls_session_get_data2(s, &v->ticket);
    }
    gnutls_deinit(s);
    gnutls_certificate_free_credentials(cred);
    close(fd);
    return ok;
}

static void answers_under_the_key_that_links_pin(void **state)
{
    struct edge *e = *state;
    struct visit v = {.priorities = "NORMAL"};

    assert_true(visit(e, &v));
    assert_int_equal(v.status, 404);
    assert_true(e->daemon.edge.has_pin);
    assert_memory_equal(v.spki, e->daemon.edge.pin, 32);
    gnutls_free(v.ticket.data);
}

static void resumes_sessions_by_ticket(void **state)
{
    static const char *const versions[] = {"NORMAL:-VERS-ALL:+VERS-TLS1.3",
                                           "NORMAL:-VERS-ALL:+VERS-TLS1.2"};
    int i;

    for (i = 0; i < 2; i++) {
        struct visit v = {.priorities = versions[i]};

        assert_true(visit(*state, &v));
        assert_false(v.resumed);
        assert_true(visit(*state, &v));
        assert_true(v.resumed);
        assert_int_equal(v.status, 404);
        gnutls_free(v.ticket.data);
    }
}

static void refuses_what_is_old(void **state)
{
    static const char *const old[] = {
        "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0:%VERIFY_ALLOW_SIGN_WITH_"
        "SHA1"
        ":+SHA1",
        "NORMAL:-VERS-ALL:+VERS-TLS1.2:-CIPHER-ALL:+AES-128-CBC:+AES-256-CBC",
        "NORMAL:-VERS-ALL:+VERS-TLS1.2:-KX-ALL:+RSA:+DHE-RSA",
    };
    int i;

    for (i = 0; i < 3; i++) {
        struct visit v = {.priorities = old[i]};

        assert_false(visit(*state, &v));
    }
}

/* Our own certificate is renewed by a reload; the key stays, or it stays out:
 * links that were given out pin it. */
static void a_reload_keeps_the_key_that_links_pin(void **state)
{
    struct edge *e = *state;
    struct pf_config same = e->daemon.config;
    struct visit v = {.priorities = "NORMAL"};
    struct pf_key *other = NULL;
    struct pf_error err = {0};
    char path[300];

    assert_int_equal(pf_daemon_reload(&e->daemon, &same, &err), POCKETFED_OK);
    assert_true(visit(e, &v));
    assert_memory_equal(v.spki, e->daemon.edge.pin, 32);
    snprintf(path, sizeof path, "%s/keys/tls.crt", e->dir);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/keys/tls.key", e->dir);
    assert_int_equal(pf_key_generate(PF_KEY_P256, &other), POCKETFED_OK);
    assert_int_equal(pf_key_save(other, path, NULL), POCKETFED_OK);
    assert_int_equal(pf_daemon_reload(&e->daemon, &same, &err),
                     POCKETFED_CONFIG);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(pf_daemon_reload(&e->daemon, &same, &err),
                     POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, path));
    gnutls_free(v.ticket.data);
    v.ticket.data = NULL;
    assert_true(visit(e, &v));
    assert_memory_equal(v.spki, e->daemon.edge.pin, 32);
    gnutls_free(v.ticket.data);
    pf_key_free(other);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(answers_under_the_key_that_links_pin),
        TEST(resumes_sessions_by_ticket),
        TEST(refuses_what_is_old),
        TEST(a_reload_keeps_the_key_that_links_pin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
