/* Bytes as replies into the participation. The input is a list of
 *   u16 HTTP status, u8 what (bit 0: signed by the right key, bit 1: a wrong
 *   signature, bit 2: Retry-After, bit 3: the connection breaks under it, bit
 * 4: its first two bytes are an offset or the beginning of a range, bit 5: the
 *   digest of the frame is named, bit 6: given up by the device), u16 length,
 *   that many bytes of body
 * and the fake server's own answers where a length is 0xffff, so that the
 * machine gets deep. Whatever comes, it stays in a defined state and ends. */
#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "memberside.h"
#include "statement.h"

#define OWN      0xffffu
#define MAX_TALK 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Made once: keys and a plan cost more than all the rest. */
static struct pf_fake *server(void)
{
    static struct pf_fake fake;
    static int started;

    if (!started)
        pf_fake_start(&fake, "tiny");
    started = 1;
    /* Each input begins with the same server; after an update comes the next
     * round, so that the update's proof is asked for. */
    fake.keep_contributing = 1;
    fake.work.round = 3;
    fake.n_acks = 0;
    return &fake;
}

static const char *label_of(enum pf_call_id call)
{
    switch (call) {
    case PF_CALL_CHECKIN:
        return PF_SAY_ASSIGNMENT;
    case PF_CALL_PLAN:
        return PF_SAY_PLAN;
    case PF_CALL_UPDATE:
    case PF_CALL_UPDATE_APPEND:
        return PF_SAY_ACK;
    case PF_CALL_KEY:
        return PF_SAY_ROTATION;
    default:
        return PF_SAY_TIME;
    }
}

static void answer(struct pf_side *s, const struct pf_want_reply *r,
                   uint8_t what)
{
    int64_t wait_ms;

    if (what & 64) {
        pf_participation_cut(s->p, r);
    } else if (what & 8) {
        wait_ms = pf_participation_failed(s->p, r);
        if (wait_ms <= 0 || wait_ms > INT64_C(86400000))
            abort();
    } else {
        pf_participation_reply(s->p, r, &s->err);
    }
}

/* The next reply of the input; 0 at its end. */
static int talk(struct pf_side *s, const struct pf_want_request *want,
                const uint8_t **p, size_t *left)
{
    struct pf_fake_reply own;
    struct pf_want_reply r;
    uint8_t sig[64], what;
    char field[96];
    size_t len;

    if (*left < 5)
        return 0;
    memset(&r, 0, sizeof r);
    memset(&own, 0, sizeof own);
    r.upload_offset = r.range_first = -1;
    r.body_sent = want->body_len / 2;
    memcpy(r.digest, want->digest, sizeof r.digest);
    s->fake->asked.offset = want->offset;
    memcpy(s->fake->asked.digest, want->digest, sizeof want->digest);
    r.status = pf_get16(*p) % 600;
    what = (*p)[2];
    len = pf_get16(*p + 3);
    *p += 5;
    *left -= 5;
    if (len == OWN) {
        pf_fake_serve(s->fake, want->call, &want->args, want->body,
                      want->body_len, &own);
        r.status = own.status;
        r.body = own.body.data;
        r.body_len = own.body.len;
        r.statement = own.statement[0] ? own.statement : NULL;
        r.range_first = own.range_first;
        if (what & 8)
            r.body_len /= 2;
    } else {
        r.body_len = len < *left ? len : *left;
        r.body = *p;
        *p += r.body_len;
        *left -= r.body_len;
        if (what & 3) {
            if (pf_statement_sign(
                    what & 2 ? s->fake->other_key : s->fake->record_key,
                    label_of(want->call), r.body, r.body_len, sig))
                abort();
            pf_statement_field(sig, field);
            r.statement = field;
        }
        r.retry_after_ms = what & 4 ? 1000 : 0;
    }
    if ((what & 16) && r.body_len >= 2)
        r.upload_offset = r.range_first = pf_get16(r.body);
    r.has_digest = (what & 32) != 0;
    answer(s, &r, what);
    pf_fake_reply_free(&own);
    return 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_side side;
    struct pf_want_request want;
    int64_t wait_ms;
    int i, more = 1;

    pf_side_start(&side, server());
    side.io.resume_least = 1;
    pf_side_restart(&side);
    for (i = 0; i < MAX_TALK && more; i++) {
        switch (pf_participation_next(side.p, &want, &wait_ms)) {
        case PF_WANT_REQUEST:
            more = talk(&side, &want, &data, &size);
            break;
        case PF_WANT_TRAIN:
            pf_participation_train(side.p, 0, NULL, NULL, &side.err);
            break;
        case PF_WANT_WAIT:
            if (wait_ms <= 0 || wait_ms > INT64_C(86400000))
                abort();
            break;
        case PF_WANT_ENDED:
            if (pf_participation_outcome(side.p) == PF_OUTCOME_RUNNING)
                abort();
            pf_participation_reset(side.p);
            break;
        }
    }
    pf_side_stop(&side);
    return 0;
}
