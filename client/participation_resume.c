/* What a link that breaks costs: nothing that has moved is moved again.
 *
 * A download keeps the bytes that came and goes on by Range. An upload asks the
 * server how much it has (HEAD) and sends the rest (PATCH), or the whole (PUT)
 * when that is nothing.
 */
#include "participation.h"

#include <string.h>

#include "participation_core.h"

/* Before the next attempt when the last one moved something: only so long that
 * devices of one broken cell do not come back in one instant. */
#define MOVED_LEAST_MS 50
#define MOVED_MOST_MS  250

#define DIGEST 32 /* before the bytes in p->part */

/* A device writes a kept beginning again only when it has grown by a quarter:
 * all writes together are then a few times the file. */
static int is_worth_saving(const struct pf_participation *p)
{
    return p->part.len > p->part_saved + p->part_saved / 4;
}

/* --- downloads --- */

size_t pf_part_downloaded(const struct pf_participation *p)
{
    return p->part.len > DIGEST ? p->part.len - DIGEST : 0;
}

void pf_part_begin_download(struct pf_participation *p,
                            const uint8_t digest[32])
{
    if (p->part.len >= DIGEST && memcmp(p->part.data, digest, DIGEST) == 0)
        return;
    pf_buf_clear(&p->part);
    p->part_saved = 0;
    if (pf_part_load(p, PF_SAVED_MODEL, &p->part) == POCKETFED_OK &&
        p->part.len >= DIGEST && memcmp(p->part.data, digest, DIGEST) == 0) {
        p->part_saved = p->part.len;
        return;
    }
    if (p->part.len > 0) /* of another, or damaged */
        pf_part_remove(p, PF_SAVED_MODEL);
    pf_buf_clear(&p->part);
    pf_buf_add(&p->part, digest, DIGEST);
}

void pf_part_end_download(struct pf_participation *p)
{
    if (p->part_saved > 0)
        pf_part_remove(p, PF_SAVED_MODEL);
    p->part_saved = 0;
    pf_buf_free(&p->part);
}

/* Takes the bytes that came; 1 when they fit to what there is and add to it. */
static int take_bytes(struct pf_participation *p, const struct pf_want_reply *r)
{
    size_t have = pf_part_downloaded(p), most = pf_part_model_file_max(p);
    uint8_t digest[DIGEST];

    if (p->part.len < DIGEST)
        return 0;
    if (r->status == 200) { /* from the beginning, whatever we asked for */
        if (r->body_len <= have)
            return 0;
        memcpy(digest, p->part.data, DIGEST);
        pf_buf_clear(&p->part);
        pf_buf_add(&p->part, digest, DIGEST);
        have = 0;
    } else if (r->status != 206 || r->range_first != (int64_t)have) {
        return 0;
    }
    if (have > most || r->body_len > most - have)
        return 0;
    return pf_buf_add(&p->part, r->body, r->body_len) == POCKETFED_OK;
}

static void save_part(struct pf_participation *p)
{
    if (pf_part_downloaded(p) == 0 || p->part.len == p->part_saved)
        return;
    pf_part_save(p, PF_SAVED_MODEL, p->part.data, p->part.len);
    p->part_saved = p->part.len;
}

/* What was put together is not the file: from the beginning. */
static enum pocketfed_status start_over(struct pf_participation *p)
{
    uint8_t digest[DIGEST];

    memcpy(digest, p->part.data, DIGEST);
    pf_part_end_download(p);
    pf_part_begin_download(p, digest);
    pf_fail(&p->why, POCKETFED_AGAIN,
            "the pieces of the model do not fit together; it is fetched anew");
    pf_part_retry(p, 0);
    return POCKETFED_AGAIN;
}

enum pocketfed_status pf_part_take_file(struct pf_participation *p,
                                        const struct pf_want_reply *r,
                                        const uint8_t digest[32],
                                        const uint8_t **file, size_t *len)
{
    size_t had = pf_part_downloaded(p);

    if (r->status == 206 || r->status == 416) {
        if (r->status == 206 && !take_bytes(p, r))
            return start_over(p);
        *file = p->part.data + DIGEST;
        *len = pf_part_downloaded(p);
        return had > 0 && pf_part_has_digest(*file, *len, digest)
                   ? POCKETFED_OK
                   : start_over(p);
    }
    *file = r->body;
    *len = r->body_len;
    return pf_part_has_digest(r->body, r->body_len, digest) ? POCKETFED_OK
                                                            : POCKETFED_PROOF;
}

/* --- uploads --- */

static int is_resumable(const struct pf_participation *p)
{
    size_t least =
        p->io.resume_least ? p->io.resume_least : (size_t)PF_RESUME_LEAST;

    return p->body.len >= least;
}

void pf_part_begin_upload(struct pf_participation *p, int asked)
{
    p->sending = asked && is_resumable(p) ? PF_SEND_ASK : PF_SEND_WHOLE;
    p->offset = 0;
    p->cut = 0;
}

/* The server stands where it stood before the last attempt. */
static void nothing_moved(struct pf_participation *p)
{
    pf_fail(&p->why, POCKETFED_UNREACHABLE,
            "of the last attempt to send the update nothing arrived");
    pf_part_retry(p, 0);
}

static int is_for_the_moment(int status)
{
    return status == 408 || status == 425 || status == 429 || status >= 500;
}

void pf_part_on_offset(struct pf_participation *p,
                       const struct pf_want_reply *r)
{
    int cut = p->cut, moved;

    if (is_for_the_moment(r->status)) {
        pf_fail(&p->why, POCKETFED_UNREACHABLE,
                "the server does not say how much of the update it has: %d",
                r->status);
        pf_part_retry(p, r->retry_after_ms);
        return;
    }
    p->cut = 0;
    if (r->status != 204 || r->upload_offset <= 0 ||
        (uint64_t)r->upload_offset >= p->body.len || !r->has_digest ||
        memcmp(r->digest, p->digest, sizeof p->digest) != 0) {
        /* Nothing, or nothing of ours. Whatever else is wrong, the answer to
         * the whole will say in words; a HEAD's has none. */
        p->sending = PF_SEND_WHOLE;
        p->offset = 0;
        if (cut)
            nothing_moved(p);
        return;
    }
    moved = (uint64_t)r->upload_offset > p->offset;
    p->offset = (uint64_t)r->upload_offset;
    p->sending = PF_SEND_REST;
    if (moved)
        p->attempts = 0;
    else if (cut)
        nothing_moved(p);
}

void pf_part_upload_again(struct pf_participation *p,
                          enum pf_problem_id problem)
{
    int whole = p->sending == PF_SEND_WHOLE && problem != PF_PROBLEM_CLOCK_SKEW;

    if (problem == PF_PROBLEM_UPLOAD_UNKNOWN || !is_resumable(p))
        pf_part_begin_upload(p, 0);
    else if (!whole)
        p->sending = PF_SEND_ASK;
}

/* --- cuts --- */

/* 1 when bytes moved that need not be moved again. */
static int cut(struct pf_participation *p, const struct pf_want_reply *r)
{
    switch (p->phase) {
    case PF_PHASE_MODEL:
    case PF_PHASE_FINAL_MODEL:
        return r->body_len > 0 && take_bytes(p, r);
    case PF_PHASE_UPLOAD:
        if (p->sending == PF_SEND_ASK || !is_resumable(p))
            return 0;
        p->sending = PF_SEND_ASK;
        p->cut = 1;
        return r->body_sent > 0; /* the answer will tell */
    case PF_PHASE_START:
    case PF_PHASE_CHECKIN:
    case PF_PHASE_PROOF:
    case PF_PHASE_KEY:
    case PF_PHASE_PLAN:
    case PF_PHASE_TRAIN:
    case PF_PHASE_FAILURE:
    case PF_PHASE_ENDED:
        break;
    }
    return 0;
}

void pf_participation_cut(struct pf_participation *p,
                          const struct pf_want_reply *so_far)
{
    if (cut(p, so_far))
        save_part(p);
    p->cut = 0; /* given up by ourselves: that says nothing of the link */
}

int64_t pf_participation_failed(struct pf_participation *p,
                                const struct pf_want_reply *so_far)
{
    int64_t wait_ms;
    int moved = cut(p, so_far);

    if (moved && p->phase != PF_PHASE_UPLOAD) {
        p->attempts = 0;
        if (is_worth_saving(p))
            save_part(p);
    }
    if (moved)
        return pf_part_between(p, MOVED_LEAST_MS, MOVED_MOST_MS);
    pf_part_retry(p, 0);
    wait_ms = p->wait_ms;
    p->wait_ms = 0;
    return wait_ms;
}
