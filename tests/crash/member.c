#include "member.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "statement.h"

#define NAP_MS     3
#define POLL_MS    100
#define REPLY_MS   20000 /* so long an answer may take */
#define FORGETS_IN 12 /* one in so many acknowledgements is lost on the way */

static void nap(int64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

static int64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- what a device keeps ----------------------------------------------- */

static enum pocketfed_status save(void *ctx, const char *name, const void *p,
                                  size_t len)
{
    struct member *m = ctx;
    size_t i;

    for (i = 0; i < MEMBER_FILES; i++)
        if (!m->saved[i].name[0] || strcmp(m->saved[i].name, name) == 0)
            break;
    if (i == MEMBER_FILES)
        return POCKETFED_LIMIT;
    snprintf(m->saved[i].name, sizeof m->saved[i].name, "%s", name);
    pf_buf_free(&m->saved[i].data);
    pf_buf_init(&m->saved[i].data, 1u << 24);
    return pf_buf_add(&m->saved[i].data, p, len);
}

static enum pocketfed_status load(void *ctx, const char *name,
                                  struct pf_buf *out)
{
    struct member *m = ctx;
    size_t i;

    for (i = 0; i < MEMBER_FILES; i++)
        if (strcmp(m->saved[i].name, name) == 0 && m->saved[i].data.len > 0)
            return pf_buf_add(out, m->saved[i].data.data, m->saved[i].data.len);
    return POCKETFED_NOT_FOUND;
}

static void forget(void *ctx, const char *name)
{
    struct member *m = ctx;
    size_t i;

    for (i = 0; i < MEMBER_FILES; i++)
        if (strcmp(m->saved[i].name, name) == 0)
            pf_buf_clear(&m->saved[i].data);
}

/* The examples of a device: noise of its own. */
static enum pocketfed_status example(void *ctx, size_t i, pf_real *x,
                                     uint32_t *label)
{
    struct member *m = ctx;
    size_t n = pf_participation_input(m->part), j;

    for (j = 0; j < n; j++)
        x[j] = pf_rng_float(&m->rng, i * n + j);
    *label = (uint32_t)(i % 3);
    return POCKETFED_OK;
}

/* ---- requests ---------------------------------------------------------- */

/* One exchange. OK with *reply, which lives until transport.cancel; otherwise
 * the transport's failure. */
static enum pocketfed_status exchange(struct member *m,
                                      const struct pf_want_request *want,
                                      struct pf_built_request *built,
                                      struct pocketfed_reply *reply)
{
    int64_t end = wall_ms() + REPLY_MS, created;
    struct pf_error err = {0};
    enum pocketfed_status st;
    char why[256] = "";

    /* A second ahead: a daemon refuses what was signed in the second of its
     * start, and here it starts all the time. */
    created = (wall_ms() + m->offset_ms) / 1000 + 1;
    st = pf_request_build(built, want, &m->id, &m->peer, created, &err);
    if (st != POCKETFED_OK) {
        book_wrong(m->book, "no request: %s", err.text);
        return st;
    }
    st = m->transport.begin(m->transport.ctx, &built->r);
    memset(reply, 0, sizeof *reply);
    reply->size = sizeof *reply;
    while (st == POCKETFED_OK) {
        st = m->transport.poll(m->transport.ctx, POLL_MS, reply, why,
                               sizeof why);
        if (st != POCKETFED_AGAIN)
            break;
        st = wall_ms() < end ? POCKETFED_OK : POCKETFED_UNREACHABLE;
    }
    if (st == POCKETFED_PROOF)
        book_wrong(m->book, "the server is another one: %s", why);
    if (st != POCKETFED_OK)
        m->transport.cancel(m->transport.ctx);
    return st;
}

int member_make(struct member *m, struct book *book, const char *link,
                uint64_t seed)
{
    struct pf_error err = {0};
    uint8_t raw[PF_PUBLIC_MAX];

    memset(m, 0, sizeof *m);
    m->book = book;
    m->rng = pf_rng_make(seed, 0, 0, PF_RNG_TEST);
    if (pf_join_link_parse(link, &m->link, &err) ||
        pf_key_generate(PF_KEY_ED25519, &m->key) ||
        pf_transport_curl(&m->transport, &err)) {
        book_wrong(book, "no device: %s", err.text);
        return 0;
    }
    m->peer.host = m->link.host;
    m->peer.port = m->link.port;
    m->peer.pins = (const uint8_t(*)[32])m->link.pins;
    m->peer.n_pins = m->link.n_pins;
    memcpy(m->peer.record_key, m->link.id, 32);
    m->id.alg = PF_KEY_ED25519;
    m->id.key = m->key;
    pf_device_id(raw, pf_key_public(m->key, raw), m->id.device);
    return 1;
}

void member_free(struct member *m)
{
    size_t i;

    pf_participation_free(m->part);
    if (m->transport.destroy)
        m->transport.destroy(m->transport.ctx);
    for (i = 0; i < MEMBER_FILES; i++)
        pf_buf_free(&m->saved[i].data);
    pf_key_free(m->key);
    pf_key_free(m->record_key);
    memset(m, 0, sizeof *m);
}

/* ---- enrolment --------------------------------------------------------- */

static int enrolled(struct member *m, const struct pf_want_reply *r)
{
    struct pf_enrol_reply said;
    uint8_t print[32];

    memset(&said, 0, sizeof said);
    if (pf_json_decode(pf_enrol_reply_fields, PF_JSON_IGNORE,
                       (const char *)r->body, r->body_len, &said, NULL))
        return 0;
    if (!m->record_key &&
        pf_key_from_public(PF_KEY_ED25519, said.record_key, 32, &m->record_key))
        return -1;
    pf_key_fingerprint(m->record_key, print);
    if (memcmp(print, m->link.id, 32) != 0 ||
        pf_statement_verify_field(m->record_key, PF_SAY_ENROLMENT, r->body,
                                  r->body_len, r->statement)) {
        book_wrong(m->book, "an enrolment that is not signed");
        return -1;
    }
    if (m->self.device[0] && said.ordinal != m->self.ordinal)
        book_wrong(m->book, "enrolled twice, with other numbers");
    memcpy(m->self.task, said.task, sizeof m->self.task);
    memcpy(m->self.device, said.device, PF_DEVICE_LEN);
    m->self.ordinal = said.ordinal;
    m->self.record_key = m->record_key;
    m->self.client_version = POCKETFED_VERSION;
    return 1;
}

int member_enrol(struct member *m)
{
    struct pf_want_request want = {.call = PF_CALL_ENROL};
    struct pf_enrol_request ask = {.alg = "", .label = "crash"};
    struct pf_built_request built;
    struct pocketfed_reply reply;
    struct pf_want_reply r;
    struct pf_buf body;
    int done = 0;

    memcpy(ask.token, m->link.token, sizeof ask.token);
    snprintf(ask.alg, sizeof ask.alg, "%s", pf_key_alg_name(m->id.alg));
    ask.key.len = pf_key_public(m->key, ask.key.data);
    snprintf(ask.client_version, sizeof ask.client_version, "%s",
             POCKETFED_VERSION);
    pf_buf_init(&body, PF_MAX_CONTROL_BODY);
    pf_json_encode(pf_enrol_request_fields, &ask, &body);
    memcpy(want.args.task, m->link.task, sizeof want.args.task);
    want.body = body.data;
    want.body_len = body.len;
    want.max_reply = PF_MAX_CONTROL_BODY;
    pf_sha256(body.data, body.len, want.digest);
    pf_built_request_init(&built);
    if (exchange(m, &want, &built, &reply) == POCKETFED_OK) {
        pf_request_reply(&reply, &r);
        if (r.status == 200 || r.status == 201)
            done = enrolled(m, &r);
        else if (r.status >= 400 && r.status < 500 && r.status != 401 &&
                 r.status != 429)
            done = -1;
        m->transport.cancel(m->transport.ctx);
    }
    pf_built_request_free(&built);
    pf_buf_free(&body);
    return done;
}

/* ---- taking part ------------------------------------------------------- */

/* A reply is there: the machine is told, unless this one is "lost". */
static void take_reply(struct member *m, enum pf_call_id call,
                       const struct pocketfed_reply *reply)
{
    struct pf_error err = {0};
    struct pf_want_reply r;

    pf_request_reply(reply, &r);
    if (call == PF_CALL_UPDATE && (r.status == 200 || r.status == 201) &&
        pf_rng_below(&m->rng, (1u << 20) + m->draws++, FORGETS_IN) == 0)
        return;
    if (pf_participation_reply(m->part, &r, &err) != POCKETFED_OK)
        book_wrong(m->book, "a device was refused: %s", err.text);
    if (pf_participation_server_time(m->part)) {
        m->offset_ms = pf_participation_server_time(m->part) - wall_ms();
        m->offset_s++;
    }
}

static void ask(struct member *m, const struct pf_want_request *want)
{
    struct pf_built_request built;
    struct pocketfed_reply reply;

    if (want->call == PF_CALL_UPDATE)
        book_frame(m->book, want->digest, want->body, want->body_len);
    pf_built_request_init(&built);
    if (exchange(m, want, &built, &reply) == POCKETFED_OK) {
        take_reply(m, want->call, &reply);
        m->transport.cancel(m->transport.ctx);
    } else {
        nap(NAP_MS);
    }
    pf_built_request_free(&built);
}

static void ended(struct member *m)
{
    const struct pf_ack *ack = pf_participation_ack(m->part);

    if (pf_participation_outcome(m->part) == PF_OUTCOME_ACCEPTED) {
        book_ack(m->book, ack);
        m->n_acks++;
        m->self.last_round = ack->round;
    } else {
        nap(NAP_MS);
    }
    pf_participation_reset(m->part);
}

static void move(struct member *m)
{
    struct pf_want_request want;
    struct pf_error err = {0};
    int64_t wait_ms = 0;

    switch (pf_participation_next(m->part, &want, &wait_ms)) {
    case PF_WANT_REQUEST:
        ask(m, &want);
        break;
    case PF_WANT_TRAIN:
        if (pf_participation_train(m->part, 0, NULL, NULL, &err))
            book_wrong(m->book, "no training: %s", err.text);
        break;
    case PF_WANT_WAIT:
        nap(wait_ms < NAP_MS ? wait_ms : NAP_MS);
        break;
    case PF_WANT_ENDED:
        ended(m);
        break;
    }
}

static void *take_part(void *arg)
{
    struct pf_participation_io io = {0};
    struct member *m = arg;

    io.ctx = m;
    io.save = save;
    io.load = load;
    io.remove = forget;
    m->examples.ctx = m;
    m->examples.n = MEMBER_EXAMPLES;
    m->examples.get = example;
    if (!m->part &&
        pf_participation_create(&m->self, &m->examples, &io, &m->part)) {
        book_wrong(m->book, "no participation");
        return NULL;
    }
    while (!atomic_load(m->stop) && (m->most == 0 || m->n_acks < m->most)) {
        atomic_store(&m->running, 1);
        if (!atomic_load(m->pause))
            move(m);
        atomic_store(&m->running, 0);
        if (atomic_load(m->pause))
            nap(NAP_MS);
    }
    return NULL;
}

void member_start(struct member *m, atomic_int *stop, atomic_int *pause)
{
    m->stop = stop;
    m->pause = pause;
    if (pthread_create(&m->thread, NULL, take_part, m) != 0)
        abort();
}

void member_join(struct member *m)
{
    pthread_join(m->thread, NULL);
}
