/* The plan: proved, kept, put to use; and what else is kept as a statement with
 * its bytes.
 */
#include "participation.h"

#include <stdlib.h>
#include <string.h>

#include "participation_core.h"
#include "statement.h"
#include "text.h"

int pf_part_has_digest(const void *p, size_t len, const uint8_t digest[32])
{
    uint8_t is[32];

    pf_sha256(p, len, is);
    return memcmp(is, digest, sizeof is) == 0;
}

void pf_part_not_signed(struct pf_participation *p, const char *what)
{
    pf_fail(&p->why, POCKETFED_PROOF,
            "%s is not signed by the record key of the join link", what);
    pf_hint(&p->why, "if the server was set up anew, join again with a new "
                     "link; otherwise tell its operator");
}

enum pocketfed_status pf_part_wrong_digest(struct pf_participation *p,
                                           const char *what,
                                           const uint8_t digest[32])
{
    char hex[65];

    pf_hex(digest, 32, hex);
    pf_fail(&p->why, POCKETFED_PROOF,
            "the %s that came does not have the digest %.16s... that the "
            "assignment names",
            what, hex);
    return pf_part_refuse(p);
}

/* Signature's text, newline, exact bytes. */
int pf_part_parse_kept(const struct pf_participation *p, struct pf_buf *kept,
                       const char *label, const char **body, size_t *len)
{
    char *end = kept->len ? memchr(kept->data, '\n', kept->len) : NULL;
    uint8_t sig[PF_SIGNATURE_LEN];

    if (!end)
        return 0;
    *end = '\0';
    *body = end + 1;
    *len = kept->len - (size_t)(end + 1 - (char *)kept->data);
    return pf_statement_parse((const char *)kept->data, sig) == POCKETFED_OK &&
           pf_part_verify(p, label, *body, *len, sig) == POCKETFED_OK;
}

void pf_part_keep(struct pf_participation *p, const char *name,
                  const struct pf_want_reply *r)
{
    struct pf_buf kept;

    pf_buf_init(&kept, PF_MAX_PLAN + 128);
    pf_buf_adds(&kept, r->statement);
    pf_buf_adds(&kept, "\n");
    if (pf_buf_add(&kept, r->body, r->body_len) == POCKETFED_OK)
        pf_part_save(p, name, kept.data, kept.len);
    pf_buf_free(&kept);
}

/* The one member that is read before all others, so that an old library says
 * that it is old and not that some newer word is unknown. */
static enum pocketfed_status check_version(struct pf_participation *p,
                                           const char *text, size_t len)
{
    struct {
        char min_version[32];
    } plan = {""};
    static const struct pf_json_field fields[] = {
        {.key = "min_version", .type = PF_JSON_STRING, .size = 32},
        {.key = NULL},
    };
    enum pocketfed_status st;

    st = pf_json_decode(fields, PF_JSON_IGNORE, text, len, &plan, &p->why);
    if (st)
        return st;
    if (plan.min_version[0] == '\0' ||
        pf_version_at_least(p->member->client_version, plan.min_version))
        return POCKETFED_OK;
    pf_fail(&p->why, POCKETFED_TOO_OLD,
            "the plan needs pocketfed %s or newer; this is %s",
            plan.min_version, p->member->client_version);
    pf_hint(&p->why, "update the app");
    return POCKETFED_TOO_OLD;
}

/* Replaces the plan in use; on failure there is none and p->why says why. */
static enum pocketfed_status install_plan(struct pf_participation *p,
                                          const char *text, size_t len)
{
    enum pocketfed_status st;

    p->has_plan = 0;
    pf_model_free(p->model);
    p->model = NULL;
    pf_plan_free(&p->plan);
    pf_plan_init(&p->plan);
    st = check_version(p, text, len);
    if (st)
        return st;
    st = pf_plan_decode(text, len, &p->plan, &p->why);
    if (st)
        return st;
    if (strcmp(p->plan.task, p->member->task) != 0)
        return pf_fail(&p->why, POCKETFED_PROOF,
                       "the plan is for task %s, not %s", p->plan.task,
                       p->member->task);
    p->codec = pf_codec_find(p->plan.update.codec);
    if (!p->codec)
        return pf_fail(&p->why, POCKETFED_UNSUPPORTED,
                       "codec %s is not in this build", p->plan.update.codec);
    st = pf_model_create((const char *)p->plan.model.data, p->plan.model.len,
                         &p->model, &p->why);
    if (st)
        return st;
    pf_model_layout_digest(p->model, p->layout);
    memcpy(p->plan_digest, p->work.plan, sizeof p->plan_digest);
    p->has_plan = 1;
    return POCKETFED_OK;
}

/* The plan's bytes are proved. */
static enum pocketfed_status use_plan(struct pf_participation *p,
                                      const char *text, size_t len)
{
    switch (install_plan(p, text, len)) {
    case POCKETFED_OK:
        return pf_part_ask_for_model(p);
    case POCKETFED_PROOF:
    case POCKETFED_TOO_OLD:
        return pf_part_refuse(p);
    case POCKETFED_NO_MEMORY:
        pf_part_fail(p, PF_FAILURE_MEMORY);
        return POCKETFED_OK;
    default:
        pf_part_fail(p, PF_FAILURE_UNSUPPORTED);
        return POCKETFED_OK;
    }
}

enum pocketfed_status pf_part_on_plan(struct pf_participation *p,
                                      const struct pf_want_reply *r)
{
    if (!pf_part_has_digest(r->body, r->body_len, p->work.plan))
        return pf_part_wrong_digest(p, "plan", p->work.plan);
    if (pf_statement_verify_field(p->member->record_key, PF_SAY_PLAN, r->body,
                                  r->body_len, r->statement)) {
        /* The request was not signed, so it tells nobody which key we have. */
        pf_part_not_signed(p, "the plan");
        return pf_part_doubt_key(p);
    }
    pf_part_keep(p, PF_SAVED_PLAN, r);
    return use_plan(p, (const char *)r->body, r->body_len);
}

/* 1 when the kept plan is the assigned one, proved again. */
static int load_plan(struct pf_participation *p, struct pf_buf *kept,
                     const char **text, size_t *len)
{
    return pf_part_load(p, PF_SAVED_PLAN, kept) == POCKETFED_OK &&
           pf_part_parse_kept(p, kept, PF_SAY_PLAN, text, len) &&
           pf_part_has_digest(*text, *len, p->work.plan);
}

enum pocketfed_status pf_part_use_kept_plan(struct pf_participation *p)
{
    enum pocketfed_status st = POCKETFED_OK;
    struct pf_buf kept;
    const char *text;
    size_t len;

    pf_buf_init(&kept, PF_MAX_PLAN + 128);
    if (load_plan(p, &kept, &text, &len))
        st = use_plan(p, text, len);
    pf_buf_free(&kept);
    return st;
}
