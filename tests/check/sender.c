#include "sender.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

void sender_ready(struct sender *s, struct edge *e)
{
    memset(s, 0, sizeof *s);
    s->e = e;
    s->key = edge_join(e);
    edge_update(e, s->key, &s->round, &s->frame);
    snprintf(s->path, sizeof s->path, "/v1/tasks/t/rounds/%d/update",
             (int)s->round);
}

unsigned sender_places(struct edge *e)
{
    struct pf_coordinator *c = e->daemon.edge.coordinator;
    unsigned left = 0, i;

    while (pf_coordinator_reserve(c) == POCKETFED_OK)
        left++;
    for (i = 0; i < left; i++)
        pf_coordinator_unreserve(c);
    return e->daemon.config.queue - left;
}

void sender_done(struct sender *s)
{
    assert_int_equal(sender_places(s->e), 0);
    pf_buf_free(&s->frame);
    pf_key_free(s->key);
}

uint64_t sender_counted(const struct edge *e, enum pf_counter which)
{
    return atomic_load(&e->daemon.metrics.counter[which]);
}

void sender_put(struct sender *s, struct edge_request *rq)
{
    char path[EDGE_PATH];

    edge_put_request(s->e, s->key, s->round, &s->frame, path, rq);
    rq->path = s->path;
    rq->piece = 4096;
}

void sender_cut(struct sender *s, size_t bytes)
{
    struct edge_request rq;

    sender_put(s, &rq);
    edge_cut(s->e, &rq, bytes);
}

void sender_patch_unsigned(struct sender *s, size_t offset,
                           struct edge_request *rq)
{
    char text[24];

    *rq = (struct edge_request){.method = "PATCH",
                                .path = s->path,
                                .body = s->frame.data + offset,
                                .len = s->frame.len - offset,
                                .piece = 4096,
                                .whole = &s->frame};
    snprintf(text, sizeof text, "%zu", offset);
    edge_header(rq, "Content-Type", PF_TYPE_PARTIAL);
    edge_header(rq, "Upload-Offset", text);
    edge_header(rq, "Upload-Complete", "?1");
}

void sender_patch(struct sender *s, size_t offset, struct edge_request *rq)
{
    sender_patch_unsigned(s, offset, rq);
    edge_sign(s->e, rq, s->key, 0);
}

void sender_patches(struct sender *s, size_t offset, int status,
                    enum pf_problem_id problem, struct edge_reply *r)
{
    struct edge_request rq;

    sender_patch(s, offset, &rq);
    edge_send(s->e, &rq, r);
    edge_expect(r, status, problem);
}

int64_t sender_look(struct sender *s)
{
    struct edge_reply r;
    char field[PF_DIGEST_FIELD_LEN], length[24];
    uint8_t digest[32];
    int64_t offset = -1;

    edge_device(s->e, s->key, "HEAD", s->path, NULL, 0, &r);
    if (r.status == 404) {
        edge_expect(&r, 404, PF_PROBLEM_UPLOAD_UNKNOWN);
    } else {
        edge_expect(&r, 204, PF_PROBLEM_NONE);
        pf_sha256(s->frame.data, s->frame.len, digest);
        pf_digest_field(digest, field);
        snprintf(length, sizeof length, "%zu", s->frame.len);
        assert_string_equal(r.repr_digest, field);
        assert_string_equal(r.upload_length, length);
        assert_string_equal(r.upload_complete, "?0");
        offset = atoll(r.upload_offset);
    }
    edge_forget(&r);
    return offset;
}
