#include "resume.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "hold.h"
#include "ingest.h"
#include "text.h"

enum pf_next pf_resume_look(struct pf_exchange *ex)
{
    struct pf_partial_key key;
    struct pf_standing at;
    char digest[PF_DIGEST_FIELD_LEN];

    pf_hold_key(ex, &key);
    if (!pf_partials_look(ex->edge->partials, &key, pf_monotonic_s(), &at))
        return pf_reply_refuse(ex, PF_PROBLEM_UPLOAD_UNKNOWN,
                               "send the update whole");
    pf_digest_field(at.digest, digest);
    pf_reply_empty(ex, 204);
    pf_reply_header(ex, "Upload-Offset", "%" PRIu64, at.offset);
    pf_reply_header(ex, "Upload-Length", "%" PRIu64, at.length);
    pf_reply_header(ex, "Upload-Complete", "?0");
    pf_reply_header(ex, "Repr-Digest", "%s", digest);
    pf_reply_header(ex, "Cache-Control", "no-store");
    return PF_NEXT_REPLY;
}

/* 1, or 0 with the refusal in *why. */
static int read_headers(struct pf_exchange *ex, struct pf_problem *why)
{
    const char *offset = ex->header(ex, "Upload-Offset");
    const char *complete = ex->header(ex, "Upload-Complete");
    const char *type = ex->header(ex, "Content-Type");

    if (!type || strcasecmp(type, PF_TYPE_PARTIAL) != 0)
        pf_problem_set(why, PF_PROBLEM_BAD_REQUEST,
                       "the Content-Type of a PATCH is " PF_TYPE_PARTIAL);
    else if (!offset || !pf_parse_u64(offset, strlen(offset), 0, PF_MAX_UPDATE,
                                      &ex->ingest.offset))
        pf_problem_set(why, PF_PROBLEM_BAD_REQUEST,
                       "Upload-Offset is not a number of bytes up to %zu",
                       PF_MAX_UPDATE);
    else if (!complete || strcmp(complete, "?1") != 0)
        pf_problem_set(why, PF_PROBLEM_BAD_REQUEST,
                       "Upload-Complete must be ?1: a PATCH sends all that is "
                       "missing");
    else
        return 1;
    return 0;
}

enum pf_next pf_resume_begin(struct pf_exchange *ex)
{
    struct pf_problem why = {0};

    if (!read_headers(ex, &why))
        return pf_reply_problem(ex, &why);
    return pf_ingest_begin(ex);
}

/* Can an update that lies in that round's segment still count? The buffers of
 * asynchronous rounds follow each other, and it moves to the one that is open
 * when it is whole; there only its age tells. */
static int is_open(void *ctx, struct pf_live_task *task, uint64_t round)
{
    struct pf_segment *s;

    if (task->task.round.policy == PF_POLICY_ASYNC)
        return 1;
    s = pf_coordinator_segment(ctx, task, round);
    pf_segment_unref(s);
    return s != NULL;
}

void pf_resume_sweep(struct pf_edge *e)
{
    pf_partials_sweep(e->partials, pf_monotonic_s(), is_open, e->coordinator);
}
