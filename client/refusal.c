#include "refusal.h"

#include <string.h>

static enum pocketfed_status stop_status(enum pf_problem_id id)
{
    switch (id) {
    case PF_PROBLEM_CLIENT_TOO_OLD:
        return POCKETFED_TOO_OLD;
    case PF_PROBLEM_RECORD_KEY:
        return POCKETFED_PROOF;
    default:
        return POCKETFED_REFUSED;
    }
}

enum pf_problem_action pf_refusal_read(const struct pf_want_reply *reply,
                                       const char *what, struct pf_problem *out,
                                       struct pf_error *err)
{
    const struct pf_problem_row *row;

    memset(out, 0, sizeof *out);
    if (reply->body_len == 0 ||
        pf_problem_decode((const char *)reply->body, reply->body_len, out))
        memset(out, 0, sizeof *out);
    if (reply->retry_after_ms > 0)
        out->retry_after_ms = reply->retry_after_ms;
    row = &pf_problem_rows[out->id];
    if (out->id == PF_PROBLEM_NONE)
        pf_fail(err, POCKETFED_REFUSED,
                "the server answered the %s with HTTP "
                "%d%s%s",
                what, reply->status, out->detail[0] ? ": " : "", out->detail);
    else
        pf_fail(err, stop_status(out->id), "the server refused the %s: %s (%s)",
                what, out->detail[0] ? out->detail : row->title, row->slug);
    if (out->hint[0])
        pf_hint(err, "%s", out->hint);
    return pf_problem_action_of(out, reply->status);
}
