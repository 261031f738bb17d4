#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <cmocka.h>

#include "clock.h"
#include "links.h"

/* The usual limits, short: head 5 s, silence 60 s, 10 bytes a second over 10 s,
 * 100 s for a body. */
static const struct pf_limit_values usual = {.timeout_s = 60,
                                             .head_s = 5,
                                             .request_s = 100,
                                             .min_rate = 10,
                                             .min_rate_s = 10};

#define MOST 16 /* two of them are kept free */

static struct pf_limits limits;
static struct pf_links *links;
static int listening;
static int64_t now; /* of the sweep */

/* A peer's end and ours of one TCP connection. */
struct pair {
    int peer, ours;
    struct pf_link *link;
};

static int set_up(void **state)
{
    struct sockaddr_in a = {.sin_family = AF_INET};

    (void)state;
    memset(&limits, 0, sizeof limits);
    pf_limits_set(&limits, &usual);
    assert_int_equal(pf_links_create(&limits, MOST, &links), POCKETFED_OK);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listening = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listening, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(listening, 64), 0);
    now = pf_monotonic_s();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_links_free(links);
    close(listening);
    return 0;
}

static struct pair dial(void)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    struct pair p;

    assert_int_equal(getsockname(listening, (struct sockaddr *)&a, &len), 0);
    p.peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(p.peer, (struct sockaddr *)&a, sizeof a), 0);
    p.ours = accept(listening, NULL, NULL);
    assert_true(p.ours >= 0);
    p.link = pf_links_add(links, p.ours);
    assert_non_null(p.link);
    return p;
}

static void forget(struct pair *p)
{
    pf_links_remove(links, p->link);
    close(p->ours);
    close(p->peer);
}

static void say(const struct pair *p, size_t n)
{
    static const char bytes[1000];

    assert_int_equal(send(p->peer, bytes, n, MSG_NOSIGNAL), n);
}

/* Our end takes them, as the HTTP library would, and counts a body's. */
static void hear(struct pair *p, size_t n)
{
    char bytes[1000];

    assert_int_equal(recv(p->ours, bytes, n, MSG_WAITALL), n);
    pf_link_bytes(p->link, n);
}

static int is_open(const struct pair *p)
{
    struct pollfd q = {.fd = p->peer, .events = POLLIN};
    char c;

    return poll(&q, 1, 0) == 0 || recv(p->peer, &c, 1, MSG_PEEK) > 0;
}

static void later(int64_t s)
{
    now += s;
    pf_links_sweep(links, now);
}

static uint64_t counted(enum pf_limit which)
{
    return atomic_load(&limits.refused[which]);
}

static void a_silent_connection_has_its_time(void **state)
{
    struct pair p = dial();

    (void)state;
    later(59);
    assert_true(is_open(&p));
    later(3);
    assert_false(is_open(&p));
    assert_int_equal(counted(PF_LIMIT_SILENCE), 1);
    later(100); /* is closed once */
    assert_int_equal(counted(PF_LIMIT_SILENCE), 1);
    forget(&p);
}

static void a_head_that_drips_is_closed_from_its_first_byte_on(void **state)
{
    struct pair p = dial();
    int i;

    (void)state;
    later(20);
    say(&p, 1);
    for (i = 0; i < 5; i++) {
        later(1);
        assert_true(is_open(&p));
        say(&p, 1);
    }
    later(1);
    assert_false(is_open(&p));
    assert_int_equal(counted(PF_LIMIT_HEAD), 1);
    forget(&p);
}

static void a_head_that_ends_in_time_is_none_of_it(void **state)
{
    struct pair p = dial();
    int i;

    (void)state;
    for (i = 0; i < 4; i++) {
        say(&p, 40);
        later(4);
        pf_link_begin(links, p.link);
        later(1);
        pf_link_phase(p.link, PF_LINK_ANSWER);
        pf_link_end(links, p.link);
        later(1); /* what came before is no head of the next request */
        later(8);
        assert_true(is_open(&p));
    }
    forget(&p);
}

static void a_body_of_one_byte_a_second_is_dropped(void **state)
{
    struct pair p = dial();
    int i;

    (void)state;
    pf_link_begin(links, p.link);
    pf_link_phase(p.link, PF_LINK_BODY);
    later(0);
    for (i = 0; i < 10; i++) {
        assert_true(is_open(&p));
        say(&p, 1);
        hear(&p, 1);
        later(1);
    }
    assert_false(is_open(&p));
    assert_int_equal(counted(PF_LIMIT_SLOW), 1);
    forget(&p);
}

/* A pause inside the time that is measured over does no harm. */
static void a_slow_body_that_goes_on_is_taken(void **state)
{
    struct pair p = dial();
    int i;

    (void)state;
    pf_link_begin(links, p.link);
    pf_link_phase(p.link, PF_LINK_BODY);
    later(0);
    for (i = 0; i < 4; i++) {
        later(8);
        say(&p, 120);
        hear(&p, 120);
        later(2);
        assert_true(is_open(&p));
    }
    forget(&p);
}

static void a_body_has_an_end(void **state)
{
    struct pair p = dial();
    int i;

    (void)state;
    pf_link_begin(links, p.link);
    pf_link_trust(p.link); /* whoever it is */
    pf_link_phase(p.link, PF_LINK_BODY);
    now = pf_monotonic_s();
    for (i = 0; i < 10; i++) {
        say(&p, 200);
        hear(&p, 200);
        later(10);
        assert_true(is_open(&p));
    }
    later(1);
    assert_false(is_open(&p));
    assert_int_equal(counted(PF_LIMIT_BODY), 1);
    forget(&p);
}

static void who_does_not_take_the_answer_is_closed(void **state)
{
    static char block[1 << 16];
    struct pair p = dial();
    int small = 4096;

    (void)state;
    setsockopt(p.peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    pf_link_begin(links, p.link);
    pf_link_phase(p.link, PF_LINK_ANSWER);
    while (send(p.ours, block, sizeof block, MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    usleep(100000); /* the kernels exchange what they have room for */
    later(0);
    later(9);
    assert_int_equal(counted(PF_LIMIT_SLOW), 0);
    later(1);
    assert_int_equal(counted(PF_LIMIT_SLOW), 1);
    forget(&p);
}

/* While the daemon thinks nothing is asked of the peer. */
static void a_request_may_wait_for_us(void **state)
{
    struct pair p = dial();

    (void)state;
    pf_link_begin(links, p.link);
    later(1000);
    later(1000);
    assert_true(is_open(&p));
    forget(&p);
}

static void a_rate_of_0_asks_for_none(void **state)
{
    struct pair p = dial();

    (void)state;
    atomic_store(&limits.now.min_rate, 0);
    pf_link_begin(links, p.link);
    pf_link_phase(p.link, PF_LINK_BODY);
    later(0);
    later(90);
    assert_true(is_open(&p));
    forget(&p);
}

/* ---- when there are nearly as many as there may be ---- */

static void who_rested_longest_makes_room(void **state)
{
    struct pair p[MOST], more;
    int i;

    (void)state;
    for (i = 0; i < MOST - 2; i++)
        p[i] = dial();
    /* The first two ask something, and rest anew: the second by far. */
    pf_link_begin(links, p[0].link);
    pf_link_begin(links, p[1].link);
    pf_link_end(links, p[1].link);
    assert_int_equal(counted(PF_LIMIT_CONNECTIONS), 0);
    more = dial();
    assert_int_equal(counted(PF_LIMIT_CONNECTIONS), 1);
    assert_false(is_open(&p[2]));
    for (i = 0; i < MOST - 2; i++)
        if (i != 2)
            assert_true(is_open(&p[i]));
    assert_true(is_open(&more));
    forget(&more);
    for (i = 0; i < MOST - 2; i++)
        forget(&p[i]);
}

static void requests_of_strangers_go_before_those_of_devices(void **state)
{
    struct pair p[MOST], more[2];
    int i;

    (void)state;
    for (i = 0; i < MOST - 2; i++) {
        p[i] = dial();
        pf_link_begin(links, p[i].link);
        if (i != 3)
            pf_link_trust(p[i].link);
        pf_link_phase(p[i].link, i == 4 ? PF_LINK_WORK : PF_LINK_BODY);
    }
    more[0] = dial();
    assert_false(is_open(&p[3]));
    pf_link_begin(links, more[0].link);
    pf_link_trust(more[0].link);
    pf_link_phase(more[0].link, PF_LINK_BODY);
    more[1] = dial(); /* nobody can be given up: the spare room is for that */
    assert_int_equal(counted(PF_LIMIT_CONNECTIONS), 1);
    for (i = 0; i < MOST - 2; i++)
        if (i != 3)
            assert_true(is_open(&p[i]));
    forget(&more[0]);
    forget(&more[1]);
    for (i = 0; i < MOST - 2; i++)
        forget(&p[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_silent_connection_has_its_time),
        TEST(a_head_that_drips_is_closed_from_its_first_byte_on),
        TEST(a_head_that_ends_in_time_is_none_of_it),
        TEST(a_body_of_one_byte_a_second_is_dropped),
        TEST(a_slow_body_that_goes_on_is_taken),
        TEST(a_body_has_an_end),
        TEST(who_does_not_take_the_answer_is_closed),
        TEST(a_request_may_wait_for_us),
        TEST(a_rate_of_0_asks_for_none),
        TEST(who_rested_longest_makes_room),
        TEST(requests_of_strangers_go_before_those_of_devices),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
