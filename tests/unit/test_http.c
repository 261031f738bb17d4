#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "edge.h"
#include "text.h"

static int set_up(void **state)
{
    return edge_fresh(state, 1, 0, 0);
}

static int dial(struct edge *e)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    a.sin_port = htons(e->daemon.edge.link_port);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    return fd;
}

static void say(int fd, const void *p, size_t n)
{
    const char *from = p;
    ssize_t sent;

    while (n > 0) {
        sent = send(fd, from, n, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* closed on us: the answer tells */
        from += sent;
        n -= (size_t)sent;
    }
}

/* Reads until the head is complete and its Content-Length is there (not for
 * HEAD, 1xx, 204, 304), the peer closes, or 5 s pass. */
static size_t hear(int fd, char *out, size_t cap, int no_body)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t got = 0, need = SIZE_MAX;
    const char *end, *length;
    ssize_t n;

    memset(out, 0, cap);
    while (got < need && got < cap - 1 && poll(&p, 1, 5000) > 0) {
        n = recv(fd, out + got, need == SIZE_MAX ? 1 : need - got, 0);
        if (n <= 0)
            break;
        got += (size_t)n;
        end = strstr(out, "\r\n\r\n");
        if (!end || need != SIZE_MAX)
            continue;
        length = strstr(out, "Content-Length: ");
        need = (size_t)(end + 4 - out);
        if (length && length < end && !no_body)
            need += (size_t)strtoul(length + 16, NULL, 10);
        if (need >= cap)
            need = cap - 1;
    }
    return got;
}

static int status_of(const char *answer)
{
    return strncmp(answer, "HTTP/1.1 ", 9) == 0
               ? (int)strtol(answer + 9, NULL, 10)
               : 0;
}

/* The status of the next answer. */
static int heard(int fd)
{
    char answer[3000];

    hear(fd, answer, sizeof answer, 0);
    return status_of(answer);
}

/* 1 when the peer has closed, whatever it said before. */
static int closed(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char rest[512];

    while (poll(&p, 1, 3000) > 0)
        if (recv(fd, rest, sizeof rest, 0) <= 0)
            return 1;
    return 0;
}

/* One request on a fresh connection; its answer's status. */
static int ask(struct edge *e, const char *text, char *out, size_t cap)
{
    int fd = dial(e);

    say(fd, text, strlen(text));
    hear(fd, out, cap, strncmp(text, "HEAD", 4) == 0);
    close(fd);
    return status_of(out);
}

static void refuses_smuggled_framing_and_closes(void **state)
{
    static const struct {
        const char *text;
        int status;
    } cases[] = {
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
         "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
         "Content-Length: 6\r\n\r\nhello!",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
         "Content-Length: 5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\nHost: y\r\n"
         "Content-Length: 5\r\n\r\nhello",
         400},
        {"GET /v1/tasks/t HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked"
         "\r\n\r\n0\r\n\r\n",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Transfer-Encoding: identity\r\n\r\n",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Content-Length: 5, 5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Content-Length: +5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Content-Length: 0x5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Content-Length: -5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Content-Length: 99999999999999999999\r\n\r\nhello",
         413},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Content-Length : 5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\nX\x01y: z\r\n"
         "Content-Length: 5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\nA: b\x02\r\n"
         "Content-Length: 5\r\n\r\nhello",
         400},
        {"POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
         "Content-Encoding: gzip\r\nContent-Length: 5\r\n\r\nhello",
         415},
    };
    char answer[2000];
    size_t i;
    int fd;

    for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fd = dial(*state);
        say(fd, cases[i].text, strlen(cases[i].text));
        hear(fd, answer, sizeof answer, 0);
        if (status_of(answer) != cases[i].status)
            fail_msg("case %zu: %.300s", i, answer);
        if (!closed(fd))
            fail_msg("case %zu is left open: %.300s", i, answer);
        close(fd);
    }
}

static void answers_errors_as_problem_documents(void **state)
{
    char answer[2000];

    assert_int_equal(ask(*state, "GET /nosuch HTTP/1.1\r\nHost: x\r\n\r\n",
                         answer, sizeof answer),
                     404);
    assert_non_null(strstr(answer, "Content-Type: application/problem+json"));
    assert_non_null(strstr(answer, "problems/not-found"));
    assert_int_equal(ask(*state,
                         "PATCH /v1/tasks/t HTTP/1.1\r\nHost: x\r\n"
                         "Content-Length: 0\r\n\r\n",
                         answer, sizeof answer),
                     405);
    assert_non_null(strstr(answer, "Allow: GET, HEAD"));
    assert_int_equal(ask(*state,
                         "POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
                         "Expect: 200-ok\r\nContent-Length: 4\r\n\r\nabcd",
                         answer, sizeof answer),
                     417);
}

static void refuses_an_oversized_body_before_it_is_sent(void **state)
{
    static const char head[] =
        "POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n";
    char answer[2000];

    /* The first answer is the refusal: no "100 Continue" before it. */
    assert_int_equal(ask(*state, head, answer, sizeof answer), 413);
    assert_non_null(strstr(answer, "problems/too-large"));
}

static void refuses_an_oversized_body_of_any_method(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "PATCH", "DELETE",
                                          "GET"};
    char text[200], answer[2000];
    size_t i;
    int fd, status;

    for (i = 0; i < 5; i++) {
        snprintf(text, sizeof text,
                 "%s /v1/tasks/t HTTP/1.1\r\nHost: x\r\n"
                 "Content-Length: 99999999\r\n\r\nabc",
                 methods[i]);
        fd = dial(*state);
        say(fd, text, strlen(text));
        hear(fd, answer, sizeof answer, 0);
        status = status_of(answer);
        if (status != 405 && status != 413)
            fail_msg("%s: %.200s", methods[i], answer);
        assert_true(closed(fd));
        close(fd);
    }
}

static void keeps_the_connection_after_a_short_refused_body(void **state)
{
    static const char text[] =
        "POST /v1/tasks/t/checkin HTTP/1.1\r\nHost: x\r\n"
        "Content-Length: 5\r\n\r\nhello";
    char answer[2000];
    int fd = dial(*state), i;

    for (i = 0; i < 3; i++) {
        say(fd, text, strlen(text));
        hear(fd, answer, sizeof answer, 0);
        assert_int_equal(status_of(answer), 401);
    }
    close(fd);
}

static void answers_pipelined_requests_in_order(void **state)
{
    static const char two[] = "GET /nosuch/1 HTTP/1.1\r\nHost: x\r\n\r\n"
                              "GET /nosuch/2 HTTP/1.1\r\nHost: x\r\n\r\n";
    char answer[2000];
    int fd = dial(*state);

    say(fd, two, strlen(two));
    hear(fd, answer, sizeof answer, 0);
    assert_non_null(strstr(answer, "/nosuch/1"));
    hear(fd, answer, sizeof answer, 0);
    assert_non_null(strstr(answer, "/nosuch/2"));
    close(fd);
}

static void sends_a_model_whole_in_part_or_not_at_all(void **state)
{
    struct edge *e = *state;
    const struct pf_live_task *t =
        pf_coordinator_task(e->daemon.edge.coordinator, "t");
    static char answer[40000];
    char hex[65], text[400];
    int fd;

    pf_hex(t->stored.initial_model, 32, hex);
    fd = dial(e);
    snprintf(text, sizeof text, "GET /v1/models/%s HTTP/1.1\r\nHost: x\r\n\r\n",
             hex);
    say(fd, text, strlen(text));
    assert_true(hear(fd, answer, sizeof answer, 0) > 32040);
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "immutable"));
    /* The same connection goes on. */
    snprintf(text, sizeof text,
             "HEAD /v1/models/%s HTTP/1.1\r\nHost: x\r\n\r\n", hex);
    say(fd, text, strlen(text));
    hear(fd, answer, sizeof answer, 1);
    assert_int_equal(status_of(answer), 200);
    assert_non_null(strstr(answer, "Content-Length: 32040"));
    snprintf(text, sizeof text,
             "GET /v1/models/%s HTTP/1.1\r\nHost: x\r\nRange: bytes=8-17\r\n"
             "\r\n",
             hex);
    say(fd, text, strlen(text));
    hear(fd, answer, sizeof answer, 0);
    assert_int_equal(status_of(answer), 206);
    assert_non_null(strstr(answer, "Content-Range: bytes 8-17/32040"));
    snprintf(text, sizeof text,
             "GET /v1/models/%s HTTP/1.1\r\nHost: x\r\nIf-None-Match: \"%s\""
             "\r\n\r\n",
             hex, hex);
    say(fd, text, strlen(text));
    hear(fd, answer, sizeof answer, 1);
    assert_int_equal(status_of(answer), 304);
    snprintf(text, sizeof text,
             "GET /v1/models/%s HTTP/1.1\r\nHost: x\r\nRange: bytes=32040-\r\n"
             "\r\n",
             hex);
    say(fd, text, strlen(text));
    hear(fd, answer, sizeof answer, 0);
    assert_int_equal(status_of(answer), 416);
    assert_non_null(strstr(answer, "Content-Range: bytes */32040"));
    close(fd);
}

/* An update that a device would put. */
struct offer {
    struct edge *e;
    struct pf_key *key;
    struct pf_buf frame;
    uint64_t round;
};

static struct offer offer_of(struct edge *e)
{
    struct offer o = {.e = e, .key = edge_join(e)};

    edge_update(e, o.key, &o.round, &o.frame);
    return o;
}

static void forget(struct offer *o)
{
    pf_buf_free(&o->frame);
    pf_key_free(o->key);
}

/* Says the head of its PUT signed by key, with that line if any. */
static void say_head(int fd, const struct offer *o, const struct pf_key *key,
                     const char *line)
{
    char head[5000], path[EDGE_PATH];
    struct edge_request rq;
    unsigned i;
    size_t n;

    edge_put_request(o->e, key, o->round, &o->frame, path, &rq);
    n = (size_t)snprintf(head, sizeof head,
                         "PUT %s HTTP/1.1\r\nHost: x\r\n"
                         "Content-Length: %zu\r\n%s",
                         path, o->frame.len, line);
    for (i = 0; i < rq.n_headers; i++)
        n += (size_t)snprintf(head + n, sizeof head - n, "%s: %s\r\n",
                              rq.header[i].name, rq.header[i].value);
    n += (size_t)snprintf(head + n, sizeof head - n, "\r\n");
    say(fd, head, n);
}

static void asks_for_the_body_of_a_wanted_update_alone(void **state)
{
    static const char expect[] = "Expect: 100-continue\r\n";
    struct offer o = offer_of(*state);
    struct pf_key *other = edge_join(*state);
    char answer[3000];
    int fd;

    fd = dial(*state);
    say_head(fd, &o, other, expect);
    assert_int_equal(heard(fd), 403); /* and no 100 before */
    close(fd);

    fd = dial(*state);
    say_head(fd, &o, o.key, expect);
    hear(fd, answer, sizeof answer, 1);
    assert_int_equal(status_of(answer), 100);
    say(fd, o.frame.data, o.frame.len);
    hear(fd, answer, sizeof answer, 0);
    assert_int_equal(status_of(answer), 201);
    assert_non_null(strstr(answer, "ocketfed-"));
    /* Again on the same connection, without Expect. */
    say_head(fd, &o, o.key, "");
    say(fd, o.frame.data, o.frame.len);
    assert_int_equal(heard(fd), 200);
    close(fd);
    pf_key_free(other);
    forget(&o);
}

static void takes_back_what_a_lost_connection_held(void **state)
{
    struct edge *e = *state;
    struct offer o = offer_of(e);
    int fd, i, status = 503;

    for (i = 0; i < 8; i++) {
        fd = dial(e);
        say_head(fd, &o, o.key, "");
        say(fd, o.frame.data, (size_t)i * 3000);
        close(fd);
    }
    for (i = 0; i < 200 && (edge_waiting(e) > 0 ||
                            atomic_load(&e->daemon.edge.active) > 0);
         i++)
        usleep(10000);
    assert_int_equal(edge_waiting(e), 0);
    /* The last of them may be seen, and seen to be gone, only now. */
    for (i = 0; i < 200 && status == 503; i++) {
        fd = dial(e);
        say_head(fd, &o, o.key, "");
        say(fd, o.frame.data, o.frame.len);
        status = heard(fd);
        close(fd);
        if (status == 503)
            usleep(10000);
    }
    assert_int_equal(status, 201);
    forget(&o);
}

static void lets_its_own_user_administer(void **state)
{
    static const char text[] = "GET /admin/v1 HTTP/1.1\r\nHost: x\r\n\r\n";
    struct edge *e = *state;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    memcpy(a.sun_path, e->daemon.config.admin_socket,
           strlen(e->daemon.config.admin_socket) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    say(fd, text, strlen(text));
    assert_int_equal(heard(fd), 200);
    close(fd);
}

static void closes_a_connection_that_drips_its_head(void **state)
{
    struct edge *e = *state;
    int fd = dial(e), i;

    /* The sweeper looks at time alone: tell it that none is allowed. */
    say(fd, "GET / HT", 8);
    for (i = 0; i < 40; i++) {
        struct pollfd p = {.fd = fd, .events = POLLIN};

        say(fd, "T", 1);
        pf_daemon_tick(&e->daemon);
        if (poll(&p, 1, 100) > 0)
            break;
    }
    assert_true(i > 5 && i < 40); /* after the second allowed, not at once */
    close(fd);
}

static int set_up_impatient(void **state)
{
    return edge_fresh(state, 0, 1, 0);
}

static void stops_while_requests_run(void **state)
{
    struct edge *e = *state;
    struct offer o = offer_of(e);
    int fd = dial(e), i;

    say_head(fd, &o, o.key, "");
    say(fd, o.frame.data, 5000);
    for (i = 0; i < 200 && edge_waiting(e) == 0; i++)
        usleep(10000);
    pf_daemon_drain(&e->daemon);
    assert_false(pf_daemon_drained(&e->daemon));
    /* The running upload may still end. */
    say(fd, o.frame.data + 5000, o.frame.len - 5000);
    assert_int_equal(heard(fd), 201);
    for (i = 0; i < 200 && !pf_daemon_drained(&e->daemon); i++)
        usleep(10000);
    assert_true(pf_daemon_drained(&e->daemon));
    /* What comes now is told to come back. */
    say_head(fd, &o, o.key, "");
    assert_int_equal(heard(fd), 503);
    close(fd);
    forget(&o);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, edge_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(refuses_smuggled_framing_and_closes),
        TEST(answers_errors_as_problem_documents),
        TEST(refuses_an_oversized_body_before_it_is_sent),
        TEST(refuses_an_oversized_body_of_any_method),
        TEST(keeps_the_connection_after_a_short_refused_body),
        TEST(answers_pipelined_requests_in_order),
        TEST(sends_a_model_whole_in_part_or_not_at_all),
        TEST(asks_for_the_body_of_a_wanted_update_alone),
        TEST(takes_back_what_a_lost_connection_held),
        TEST(lets_its_own_user_administer),
        cmocka_unit_test_setup_teardown(closes_a_connection_that_drips_its_head,
                                        set_up_impatient, edge_tear_down),
        TEST(stops_while_requests_run),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
