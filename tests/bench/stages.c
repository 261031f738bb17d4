#include "stages.h"

#include <arpa/inet.h>
#include <gnutls/gnutls.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "admit.h"
#include "auth.h"
#include "file.h"
#include "pen.h"
#include "proc.h"
#include "say.h"
#include "segment.h"
#include "sum.h"
#include "tls.h"

#define RECORD (16u << 10) /* what GnuTLS gives at once */
#define BATCH  32          /* uploads between two syncs */
#define TIMES  64          /* no more than there are devices */

struct bench {
    struct fleet *f;
    struct pf_task task;
    struct pf_model *model;
    struct pf_plan plan;
    struct pf_expected want;
    struct pf_segment *segment;
    struct pf_extent extent[BATCH];
    struct pf_error err;
    float scratch[PF_ADMIT_BLOCK];
};

static double thread_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* ---- tls --------------------------------------------------------------- */

struct receiver {
    struct pf_buf key, cert;
    int listening;
    unsigned uploads;
    size_t body;
    double us; /* out: all bodies */
};

static void send_all(gnutls_session_t s, const char *text)
{
    if (gnutls_record_send(s, text, strlen(text)) < 0)
        die("GnuTLS cannot send");
}

static size_t read_some(gnutls_session_t s, char *to, size_t n)
{
    ssize_t got;

    do
        got = gnutls_record_recv(s, to, n);
    while (got < 0 && !gnutls_error_is_fatal((int)got));
    if (got <= 0)
        die("GnuTLS cannot receive: %s", gnutls_strerror((int)got));
    return (size_t)got;
}

/* What the daemon's HTTP worker does for TLS, and nothing else. */
static void *receive(void *arg)
{
    struct receiver *r = arg;
    gnutls_datum_t key = {r->key.data, (unsigned)r->key.len};
    gnutls_datum_t cert = {r->cert.data, (unsigned)r->cert.len};
    gnutls_certificate_credentials_t cred;
    gnutls_session_t s;
    static char to[64 << 10];
    int fd = accept(r->listening, NULL, NULL);
    double began;
    unsigned i;
    size_t n;

    gnutls_certificate_allocate_credentials(&cred);
    if (gnutls_certificate_set_x509_key_mem(cred, &cert, &key,
                                            GNUTLS_X509_FMT_PEM) < 0 ||
        gnutls_init(&s, GNUTLS_SERVER) < 0 ||
        gnutls_priority_set_direct(s, pf_tls_priorities(), NULL) < 0)
        die("GnuTLS cannot be set up");
    gnutls_credentials_set(s, GNUTLS_CRD_CERTIFICATE, cred);
    gnutls_transport_set_int(s, fd);
    while (gnutls_handshake(s) < 0)
        ;
    for (i = 0; i < r->uploads; i++) {
        read_some(s, to, sizeof to); /* the head is a record of its own */
        send_all(s, "HTTP/1.1 100 Continue\r\n\r\n");
        began = thread_us();
        for (n = 0; n < r->body;)
            n += read_some(s, to, sizeof to);
        r->us += thread_us() - began;
        send_all(s, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    }
    gnutls_deinit(s);
    close(fd);
    gnutls_certificate_free_credentials(cred);
    return NULL;
}

static double measure_tls(struct bench *b)
{
    struct sockaddr_in a = {.sin_family = AF_INET};
    struct receiver r = {.uploads = TIMES, .body = b->f->frame.len};
    socklen_t len = sizeof a;
    char path[160];
    pthread_t thread;
    struct load *l;

    snprintf(path, sizeof path, "%s/keys/tls.key", b->f->daemon->state);
    pf_slurp(path, &r.key);
    snprintf(path, sizeof path, "%s/keys/tls.crt", b->f->daemon->state);
    pf_slurp(path, &r.cert);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    r.listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(r.listening, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(r.listening, 1) != 0 ||
        getsockname(r.listening, (struct sockaddr *)&a, &len) != 0 ||
        pthread_create(&thread, NULL, receive, &r) != 0)
        die("cannot listen");
    l = load_open(ntohs(a.sin_port), 1);
    fleet_upload(b->f, l, 0, TIMES);
    pthread_join(thread, NULL);
    load_close(l);
    close(r.listening);
    pf_buf_free(&r.key);
    pf_buf_free(&r.cert);
    return r.us / TIMES;
}

/* ---- hash, verify ------------------------------------------------------ */

static void hash_once(struct bench *b)
{
    const struct pf_buf *frame = &b->f->frame;
    struct pf_hash *h = pf_hash_new();
    uint8_t digest[PF_DIGEST_LEN];
    size_t at, n;

    for (at = 0; at < frame->len; at += n) {
        n = frame->len - at < RECORD ? frame->len - at : RECORD;
        pf_hash_add(h, frame->data + at, n);
    }
    pf_hash_end(h, digest);
    pf_hash_free(h);
    if (memcmp(digest, b->f->digest, sizeof digest) != 0)
        die("two digests of one update");
}

static double measure_hash(struct bench *b)
{
    double began = thread_us();
    unsigned i;

    for (i = 0; i < TIMES; i++)
        hash_once(b);
    return (thread_us() - began) / TIMES;
}

static const char *header_of(const struct pf_built_request *q, const char *name)
{
    size_t i;

    for (i = 0; i < q->r.n_headers; i++)
        if (strcmp(q->headers[i].name, name) == 0)
            return q->headers[i].value;
    return NULL;
}

static void verify_once(struct pf_verifier *v, const struct pf_keyholder *k,
                        const struct pf_built_request *q)
{
    struct pf_signed_request rq = {
        .method = q->r.method,
        .path = q->path,
        .query = "?",
        .repr_digest = header_of(q, "Repr-Digest"),
        .record_key = header_of(q, "Pocketfed-Record-Key"),
    };
    struct pf_problem why = {0};
    struct pf_signature sig;
    uint8_t digest[PF_DIGEST_LEN], raw[PF_PUBLIC_MAX];
    struct pf_key *key = NULL;
    size_t n = pf_key_public(k->key, raw);

    if (!pf_auth_read(v, PF_BODY_UPDATE, &rq, header_of(q, "Signature-Input"),
                      header_of(q, "Signature"), &sig, digest, &why) ||
        pf_key_from_public(PF_KEY_ED25519, raw, n, &key) != POCKETFED_OK ||
        !pf_auth_check(v, &sig, &rq, key, (int64_t)time(NULL) * 1000, &why))
        die("a request of our own is refused: %s", why.detail);
    pf_key_free(key);
}

static double measure_verify(struct bench *b)
{
    struct fleet *f = b->f;
    struct load_request unused;
    struct pf_verifier v;
    double began, us;
    unsigned i;

    memset(&v, 0, sizeof v);
    snprintf(v.record_key, sizeof v.record_key, "%s",
             f->slot[0].built.record_key);
    if (pf_nonces_create(1u << 16, &v.nonces))
        die("no memory");
    f->call = PF_CALL_UPDATE;
    fleet_slots(f, TIMES);
    for (i = 0; i < TIMES; i++)
        fleet_craft(f, i, i, &unused);
    began = thread_us();
    for (i = 0; i < TIMES; i++)
        verify_once(&v, &f->device[i], &f->slot[i].built);
    us = (thread_us() - began) / TIMES;
    pf_nonces_free(v.nonces);
    return us;
}

/* ---- segment, validate, fold ------------------------------------------- */

static void write_once(struct bench *b, struct pf_extent *e)
{
    const struct pf_buf *frame = &b->f->frame;
    struct pf_pen pen = {0};
    size_t at, n;

    if (pf_segment_reserve(b->segment, frame->len, e, &b->err))
        die("%s", b->err.text);
    for (at = 0; at < frame->len; at += n) {
        n = frame->len - at < RECORD ? frame->len - at : RECORD;
        if (pf_pen_write(&pen, b->segment, e->offset + at, frame->data + at, n,
                         &b->err))
            die("%s", b->err.text);
    }
    if (pf_pen_flush(&pen, b->segment, &b->err))
        die("%s", b->err.text);
    pf_pen_free(&pen);
}

static double measure_segment(struct bench *b)
{
    struct pf_extent rest;
    double began = thread_us();
    unsigned i;

    for (i = 0; i < TIMES; i++) {
        write_once(b, i < BATCH ? &b->extent[i] : &rest);
        if (i % BATCH == BATCH - 1 && pf_segment_sync(b->segment, &b->err))
            die("%s", b->err.text);
    }
    return (thread_us() - began) / TIMES;
}

static double measure_validate(struct bench *b)
{
    struct pf_admitted admitted;
    struct pf_problem why = {0};
    double began = thread_us();
    const uint8_t *frame;
    unsigned i;

    for (i = 0; i < TIMES; i++) {
        const struct pf_extent *e = &b->extent[i % BATCH];

        if (pf_segment_map(b->segment, e, &frame, &b->err) ||
            pf_admit(&b->want, frame, (size_t)e->length, b->scratch, &admitted,
                     &why))
            die("an update of our own is refused: %s%s", b->err.text,
                why.detail);
        pf_segment_unmap(b->segment, frame, e);
    }
    return (thread_us() - began) / TIMES;
}

static double measure_fold(struct bench *b)
{
    const uint8_t *frame;
    struct pf_sum sum;
    double began, us;
    unsigned i;

    if (pf_sum_init(&sum, b->f->n_params))
        die("no memory");
    began = thread_us();
    for (i = 0; i < TIMES; i++) {
        const struct pf_extent *e = &b->extent[i % BATCH];

        if (pf_segment_map(b->segment, e, &frame, &b->err) ||
            pf_sum_fold(&sum, &b->plan, frame, (size_t)e->length, 100, 1,
                        b->scratch))
            die("an update of our own cannot be added");
        pf_segment_unmap(b->segment, frame, e);
    }
    us = (thread_us() - began) / TIMES;
    pf_sum_free(&sum);
    return us;
}

/* ---- all --------------------------------------------------------------- */

static void open_bench(struct bench *b, struct fleet *f, const char *dir)
{
    char state[160], journal[200];

    memset(b, 0, sizeof *b);
    b->f = f;
    snprintf(state, sizeof state, "%s/stages-%zu", dir, f->n_params);
    snprintf(journal, sizeof journal, "%s/journal", state);
    if (pf_dir_make(state, 0700, &b->err) ||
        pf_dir_make(journal, 0700, &b->err) ||
        pf_segment_open(state, 1, f->round, &b->segment, &b->err))
        die("%s", b->err.text);
    pf_task_init(&b->task);
    pf_plan_init(&b->plan);
    if (pf_task_parse(pf_buf_str(&f->file), f->file.len, &b->task, &b->err) ||
        pf_model_create(pf_buf_str(&b->task.spec), b->task.spec.len, &b->model,
                        &b->err) ||
        pf_task_plan(&b->task, b->model, &b->plan, &b->err))
        die("%s", b->err.text);
    b->want.plan = &b->plan;
    memcpy(b->want.plan_digest, f->plan, 32);
    memcpy(b->want.base, f->base, 32);
    memcpy(b->want.layout, f->layout, 32);
    b->want.round = f->round;
    b->want.n_params = f->n_params;
}

static void close_bench(struct bench *b)
{
    pf_segment_unlink(b->segment);
    pf_segment_unref(b->segment);
    pf_plan_free(&b->plan);
    pf_model_free(b->model);
    pf_task_free(&b->task);
}

void stages_measure(struct fleet *f, const char *dir, struct stages *out)
{
    static struct bench b; /* its scratch is large */

    open_bench(&b, f, dir);
    out->tls = measure_tls(&b);
    out->hash = measure_hash(&b);
    out->verify = measure_verify(&b);
    out->segment = measure_segment(&b);
    out->validate = measure_validate(&b);
    out->fold = measure_fold(&b);
    close_bench(&b);
}
