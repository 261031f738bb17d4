#include "memberside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guard.h"
#include "text.h"

struct pf_buf *pf_side_file(struct pf_side *s, const char *name)
{
    size_t i;

    for (i = 0; i < PF_SIDE_FILES; i++)
        if (strcmp(s->files[i].name, name) == 0)
            return &s->files[i].data;
    return NULL;
}

static enum pocketfed_status save(void *ctx, const char *name, const void *p,
                                  size_t len)
{
    struct pf_side *s = ctx;
    struct pf_buf *b = pf_side_file(s, name);
    size_t i;

    for (i = 0; !b && i < PF_SIDE_FILES; i++)
        if (!s->files[i].name[0]) {
            snprintf(s->files[i].name, sizeof s->files[i].name, "%s", name);
            b = &s->files[i].data;
            pf_buf_init(b, 1 << 20);
        }
    if (!b)
        return POCKETFED_LIMIT;
    pf_buf_clear(b);
    return pf_buf_add(b, p, len);
}

static enum pocketfed_status load(void *ctx, const char *name,
                                  struct pf_buf *out)
{
    const struct pf_buf *b = pf_side_file(ctx, name);

    return b ? pf_buf_add(out, b->data, b->len) : POCKETFED_NOT_FOUND;
}

static enum pocketfed_status last(void *ctx, const char *name,
                                  struct pf_buf *out)
{
    const struct pf_buf *b = pf_side_file(ctx, name);
    const char *line, *end;

    if (!b || b->len == 0)
        return POCKETFED_NOT_FOUND;
    end = pf_buf_str(b) + b->len - 1;
    for (line = end; line > pf_buf_str(b) && line[-1] != '\n'; line--)
        ;
    return pf_buf_add(out, line, (size_t)(end - line));
}

static void forget(void *ctx, const char *name)
{
    struct pf_side *s = ctx;
    size_t i;

    for (i = 0; i < PF_SIDE_FILES; i++)
        if (strcmp(s->files[i].name, name) == 0) {
            s->files[i].name[0] = '\0';
            pf_buf_free(&s->files[i].data);
        }
}

static enum pocketfed_status object_get(void *ctx, const uint8_t digest[32],
                                        struct pf_buf *out)
{
    char hex[65];

    pf_hex(digest, 32, hex);
    return load(ctx, hex, out);
}

static enum pocketfed_status object_put(void *ctx, const uint8_t digest[32],
                                        const void *p, size_t len)
{
    char hex[65];

    pf_hex(digest, 32, hex);
    return save(ctx, hex, p, len);
}

static enum pocketfed_status append(void *ctx, const char *name,
                                    const char *line, size_t key_len)
{
    struct pf_side *s = ctx;
    const struct pf_buf *b = pf_side_file(s, name);
    struct pf_buf all, was;
    enum pocketfed_status st;

    if (s->cannot_append)
        return POCKETFED_IO;
    pf_buf_init(&was, 1 << 20);
    if (last(ctx, name, &was) == POCKETFED_OK && was.len >= key_len &&
        memcmp(was.data, line, key_len) == 0) {
        pf_buf_free(&was);
        return POCKETFED_OK;
    }
    pf_buf_free(&was);
    pf_buf_init(&all, 1 << 20);
    if (b)
        pf_buf_add(&all, b->data, b->len);
    pf_buf_adds(&all, line);
    pf_buf_adds(&all, "\n");
    st = save(ctx, name, all.data, all.len);
    pf_buf_free(&all);
    return st;
}

static enum pocketfed_status rotated(void *ctx, const struct pf_rotation *r,
                                     const void *body, size_t len,
                                     const char *statement)
{
    struct pf_side *s = ctx;
    struct pf_key **key = &s->own_key[s->rotations];

    (void)body;
    (void)len;
    (void)statement;
    if (s->rotations == PF_SIDE_KEYS - 1 ||
        pf_key_from_public(PF_KEY_ED25519, r->new_key, 32, key))
        abort();
    memmove(s->view + 1, s->view, sizeof s->view - sizeof s->view[0]);
    s->view[0] = s->member.record_key = *key;
    s->member.keys = (struct pf_record_keys){s->view, (size_t)s->rotations + 2};
    s->rotations++;
    return POCKETFED_OK;
}

void pf_side_restart(struct pf_side *s)
{
    pf_participation_free(s->p);
    s->p = NULL;
    if (pf_participation_create(&s->member, &s->examples, &s->io, &s->p))
        abort();
}

void pf_side_start(struct pf_side *s, struct pf_fake *fake)
{
    static const uint8_t device[PF_DEVICE_LEN] = {1, 2, 3, 4, 5, 6, 7, 8};

    memset(s, 0, sizeof *s);
    s->fake = fake;
    memcpy(fake->device, device, sizeof device);
    memcpy(s->member.device, device, sizeof device);
    snprintf(s->member.task, sizeof s->member.task, "%s", fake->plan.task);
    s->view[0] = s->member.record_key = fake->record_key;
    s->member.client_version = "0.1.0";
    s->examples = (struct pf_examples){
        .n = PF_FAKE_EXAMPLES,
        .get = pf_fake_example,
    };
    s->io = (struct pf_participation_io){
        .ctx = s,
        .object_get = object_get,
        .object_put = object_put,
        .save = save,
        .load = load,
        .remove = forget,
        .append = append,
        .last = last,
        .rotated = rotated,
    };
    pf_side_restart(s);
}

void pf_side_stop(struct pf_side *s)
{
    size_t i;

    pf_participation_free(s->p);
    for (i = 0; i < PF_SIDE_KEYS; i++)
        pf_key_free(s->own_key[i]);
    for (i = 0; i < PF_SIDE_FILES; i++)
        pf_buf_free(&s->files[i].data);
}

static void failed(struct pf_side *s, const struct pf_want_reply *so_far)
{
    s->failures++;
    s->failed_wait_ms = pf_participation_failed(s->p, so_far);
}

static int is_upload(enum pf_call_id call)
{
    return call == PF_CALL_UPDATE || call == PF_CALL_UPDATE_APPEND;
}

/* 1 when the connection breaks under the request. */
static int breaks_up(struct pf_side *s, const struct pf_want_request *want)
{
    struct pf_want_reply so_far = {.upload_offset = -1, .range_first = -1};

    if (!is_upload(want->call) || !s->up_limit ||
        want->body_len <= s->up_limit) {
        s->carried_up += want->body_len;
        return 0;
    }
    pf_fake_cut(s->fake, want->call, want->body, s->up_limit);
    s->carried_up += s->up_limit;
    so_far.body_sent = s->up_limit;
    failed(s, &so_far);
    return 1;
}

/* A body is no string: nothing readable follows it. */
static enum pocketfed_status hand_over(struct pf_side *s,
                                       const struct pf_want_request *want,
                                       struct pf_want_reply *in,
                                       const uint8_t *body, size_t len)
{
    enum pocketfed_status st = POCKETFED_OK;
    int breaks = s->down_limit && len > s->down_limit;
    uint8_t *flush;

    len = breaks ? s->down_limit : len;
    flush = pf_guard_copy(body, len);
    in->body = flush;
    in->body_len = len;
    s->carried_down += len;
    if (s->fake->drop_ack && is_upload(want->call)) {
        s->fake->drop_ack = 0;
        memset(in, 0, sizeof *in);
        in->body_sent = want->body_len;
        failed(s, in);
    } else if (breaks) {
        failed(s, in);
    } else {
        st = pf_participation_reply(s->p, in, &s->err);
    }
    pf_guard_free(flush, len);
    return st;
}

static enum pocketfed_status exchange(struct pf_side *s,
                                      const struct pf_want_request *want)
{
    struct pf_fake_reply r;
    struct pf_want_reply in;
    enum pocketfed_status st;

    s->fake->asked.offset = want->offset;
    memcpy(s->fake->asked.digest, want->digest, sizeof want->digest);
    if (breaks_up(s, want))
        return POCKETFED_OK;
    memset(&r, 0, sizeof r);
    memcpy(s->fake->query, want->query, sizeof want->query);
    pf_fake_serve(s->fake, want->call, &want->args, want->body, want->body_len,
                  &r);
    in = (struct pf_want_reply){
        .status = r.status,
        .statement = r.statement[0] ? r.statement : NULL,
        .retry_after_ms = r.retry_after_s * 1000,
        .upload_offset = r.upload_offset,
        .range_first = r.range_first,
        .has_digest = r.has_digest,
    };
    memcpy(in.digest, r.digest, sizeof in.digest);
    st = hand_over(s, want, &in, r.body.data, r.body.len);
    pf_fake_reply_free(&r);
    return st;
}

enum pocketfed_status pf_side_move(struct pf_side *s, enum pf_want *want)
{
    struct pf_want_request request;

    *want = pf_participation_next(s->p, &request, &s->waited_ms);
    switch (*want) {
    case PF_WANT_REQUEST:
        return exchange(s, &request);
    case PF_WANT_TRAIN:
        return pf_participation_train(s->p, 0, NULL, NULL, &s->err);
    case PF_WANT_WAIT:
        s->waits++;
        break;
    case PF_WANT_ENDED:
        break;
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_side_run(struct pf_side *s, int max)
{
    enum pocketfed_status st = POCKETFED_OK;
    enum pf_want want = PF_WANT_REQUEST;

    while (max-- > 0 && st == POCKETFED_OK && want != PF_WANT_ENDED)
        st = pf_side_move(s, &want);
    return st;
}

int pf_side_until(struct pf_side *s, const char *phase)
{
    enum pf_want want = PF_WANT_REQUEST;
    int max = 1000;

    while (max-- > 0 && want != PF_WANT_ENDED) {
        if (strcmp(pf_participation_phase(s->p), phase) == 0)
            return 1;
        if (pf_side_move(s, &want))
            return 0;
    }
    return 0;
}
