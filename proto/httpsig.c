#include "httpsig.h"

#include <stdio.h>
#include <string.h>
#include "sfield.h"
#include "text.h"

#define LABEL    "sig1"
#define MAX_BASE (16u << 10) /* a path and query are far shorter */

/* What is covered, in the order in which we sign: one row a component. Those
 * that are not `always` are covered when the message has them. */
struct component {
    const char *name;
    size_t offset; /* of its value in struct pf_signed_request */
    int always;
};

#define AT(member) offsetof(struct pf_signed_request, member)
static const struct component components[] = {
    {"@method", AT(method), 1},
    {"@path", AT(path), 1},
    {"@query", AT(query), 1},
    {"content-digest", AT(content_digest), 0},
    {"repr-digest", AT(repr_digest), 0},
    {PF_HEADER_RECORD_KEY, AT(record_key), 1},
};
#define N_COMPONENTS (sizeof components / sizeof *components)

static const char *value_of(const struct component *c,
                            const struct pf_signed_request *req)
{
    const char *v;

    memcpy(&v, (const char *)req + c->offset, sizeof v);
    return v;
}

static const struct component *find_component(struct pf_sf_slice name)
{
    size_t i;

    for (i = 0; i < N_COMPONENTS; i++)
        if (pf_sf_is(name, components[i].name))
            return &components[i];
    return NULL;
}

/* "name": value. Blanks around a value are not part of it; a line break in one
 * would let it pass for two lines. */
static enum pocketfed_status add_line(struct pf_buf *base,
                                      const struct component *c,
                                      const struct pf_signed_request *req)
{
    const char *v = value_of(c, req);
    size_t len;

    if (!v || strpbrk(v, "\r\n"))
        return POCKETFED_INVALID;
    v += strspn(v, " \t");
    len = strlen(v);
    while (len > 0 && (v[len - 1] == ' ' || v[len - 1] == '\t'))
        len--;
    pf_buf_addf(base, "\"%s\": ", c->name);
    pf_buf_add(base, v, len);
    return pf_buf_adds(base, "\n");
}

/* The base's last line, RFC 9421 2.5. */
static enum pocketfed_status add_params(struct pf_buf *base,
                                        const char *covered)
{
    pf_buf_adds(base, "\"@signature-params\": ");
    return pf_buf_adds(base, covered);
}

static int nonce_ok(const char *s)
{
    size_t i, n = strnlen(s, PF_NONCE_MAX + 1);

    for (i = 0; i < n; i++)
        if (s[i] <= 0x20 || s[i] > 0x7e || s[i] == '"' || s[i] == '\\')
            return 0;
    return n > 0 && n <= PF_NONCE_MAX;
}

static int keyid_ok(const char *s)
{
    uint8_t id[PF_DEVICE_LEN];

    return pf_unhex(s, strnlen(s, 2 * sizeof id + 1), id, sizeof id);
}

/* Inner list and parameters into covered, the whole base into base. */
static enum pocketfed_status make_base(const struct pf_signed_request *req,
                                       const struct pf_signature_params *p,
                                       struct pf_buf *covered,
                                       struct pf_buf *base)
{
    enum pocketfed_status st;
    const char *blank = "";
    size_t i;

    pf_buf_adds(covered, "(");
    for (i = 0; i < N_COMPONENTS; i++) {
        const struct component *c = &components[i];

        if (!c->always && !value_of(c, req))
            continue;
        pf_buf_addf(covered, "%s\"%s\"", blank, c->name);
        blank = " ";
        st = add_line(base, c, req);
        if (st)
            return st;
    }
    pf_buf_addf(covered,
                ");created=%lld;nonce=\"%s\";keyid=\"%s\";alg=\"%s\""
                ";tag=\"" PF_SIGNATURE_TAG "\"",
                (long long)p->created, p->nonce, p->keyid,
                pf_key_alg_name(p->alg));
    st = pf_buf_status(covered);
    return st ? st : add_params(base, pf_buf_str(covered));
}

/* Takes back what was appended since `len`. */
static void cut(struct pf_buf *b, size_t len)
{
    b->len = len;
    if (b->data)
        b->data[len] = '\0';
}

enum pocketfed_status pf_httpsig_make(const struct pf_signed_request *req,
                                      const struct pf_signature_params *params,
                                      const struct pf_key *key, pf_sign_fn sign,
                                      void *sign_ctx, struct pf_buf *input,
                                      struct pf_buf *value)
{
    char text[PF_BASE64_LEN(PF_SIGNATURE_LEN) + 1];
    uint8_t sig[PF_SIGNATURE_LEN];
    struct pf_buf covered, base;
    enum pocketfed_status st = POCKETFED_INVALID;
    size_t had = input->len;

    pf_buf_init(&covered, sizeof((struct pf_signature *)0)->covered - 1);
    pf_buf_init(&base, MAX_BASE);
    if (params->created < 0 || !nonce_ok(params->nonce) ||
        !keyid_ok(params->keyid) ||
        (params->alg != PF_KEY_ED25519 && params->alg != PF_KEY_P256) ||
        (!sign && pf_key_algorithm(key) != params->alg))
        goto out;
    st = make_base(req, params, &covered, &base);
    if (st)
        goto out;
    st = sign ? sign(sign_ctx, base.data, base.len, sig)
              : pf_key_sign(key, base.data, base.len, sig);
    if (st)
        goto out;
    st = pf_buf_addf(input, LABEL "=%s", pf_buf_str(&covered));
    if (st)
        goto out;
    pf_base64(sig, sizeof sig, text);
    st = pf_buf_addf(value, LABEL "=:%s:", text);
    if (st)
        cut(input, had);
out:
    pf_buf_free(&covered);
    pf_buf_free(&base);
    return st;
}

/* Finds the one signature with our tag. */
static enum pocketfed_status
find_input(const char *field, struct pf_sf_member *out, struct pf_error *err)
{
    struct pf_sf_member m;
    struct pf_sf f;
    int found = 0, more = -1;

    if (pf_sf_open(&f, field)) {
        while ((more = pf_sf_next(&f, &m)) > 0) {
            const struct pf_sf_item *tag = pf_sf_param(&m, "tag");

            if (!tag || tag->type != PF_SF_STRING ||
                !pf_sf_is(tag->text, PF_SIGNATURE_TAG))
                continue;
            if (found++)
                return pf_fail(err, POCKETFED_MALFORMED,
                               "Signature-Input has two signatures with the "
                               "tag " PF_SIGNATURE_TAG);
            *out = m;
        }
    }
    if (more < 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "Signature-Input is not a structured field");
    if (!found)
        return pf_fail(err, POCKETFED_PROOF,
                       "no signature has the tag " PF_SIGNATURE_TAG);
    return POCKETFED_OK;
}

static enum pocketfed_status find_value(const char *field,
                                        struct pf_sf_slice label,
                                        uint8_t out[PF_SIGNATURE_LEN],
                                        struct pf_error *err)
{
    struct pf_sf_member m;
    struct pf_sf f;
    int found = 0, more = -1;

    if (pf_sf_open(&f, field)) {
        while ((more = pf_sf_next(&f, &m)) > 0) {
            if (m.key.len != label.len || memcmp(m.key.p, label.p, label.len))
                continue;
            if (found++ || !pf_sf_bytes(&m.value, out, PF_SIGNATURE_LEN))
                return pf_fail(err, POCKETFED_MALFORMED,
                               "Signature must have 64 bytes, once, for the "
                               "label of Signature-Input");
        }
    }
    if (more < 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "Signature is not a structured field");
    if (!found)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "Signature lacks the label of Signature-Input");
    return POCKETFED_OK;
}

static enum pocketfed_status lacks(struct pf_error *err, const char *what)
{
    return pf_fail(err, POCKETFED_PROOF, "the signature lacks \"%s\"", what);
}

static enum pocketfed_status take_params(const struct pf_sf_member *m,
                                         struct pf_signature_params *out,
                                         struct pf_error *err)
{
    const struct pf_sf_item *created = pf_sf_param(m, "created");
    const struct pf_sf_item *nonce = pf_sf_param(m, "nonce");
    const struct pf_sf_item *keyid = pf_sf_param(m, "keyid");
    const struct pf_sf_item *alg = pf_sf_param(m, "alg");
    char name[32];

    if (!created || !nonce || !keyid || !alg)
        return lacks(err, !created ? "created"
                          : !nonce ? "nonce"
                          : !keyid ? "keyid"
                                   : "alg");
    if (created->type != PF_SF_INTEGER || created->integer < 0)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "created is not a time in seconds");
    out->created = created->integer;
    if (!pf_sf_string(nonce, out->nonce, sizeof out->nonce) ||
        !nonce_ok(out->nonce))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "nonce is not 1 to %d characters without blanks",
                       PF_NONCE_MAX);
    if (!pf_sf_string(keyid, out->keyid, sizeof out->keyid) ||
        !keyid_ok(out->keyid))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "keyid is not %d lower-case hexadecimal digits",
                       2 * PF_DEVICE_LEN);
    if (!pf_sf_string(alg, name, sizeof name) ||
        !pf_key_alg_find(name, &out->alg))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "alg is neither ed25519 nor ecdsa-p256-sha256");
    return POCKETFED_OK;
}

/* Every covered component is one we can rebuild, and none that is needed is
 * missing. */
static enum pocketfed_status check_covered(const struct pf_sf_member *m,
                                           const struct pf_signed_request *req,
                                           struct pf_error *err)
{
    unsigned seen = 0;
    size_t i;

    if (m->value.type != PF_SF_LIST)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "Signature-Input's member is not a list");
    for (i = 0; i < m->n_items; i++) {
        const struct pf_sf_item *item = &m->items[i];
        const struct component *c;
        unsigned bit;

        if (item->type != PF_SF_STRING)
            return pf_fail(err, POCKETFED_MALFORMED,
                           "a covered component is not a string");
        c = find_component(item->text);
        if (!c || !value_of(c, req))
            return pf_fail(
                err, POCKETFED_PROOF, "the signature covers \"%.*s\", which %s",
                (int)(item->text.len < 64 ? item->text.len : 64), item->text.p,
                c ? "the request does not have" : "is not checked here");
        bit = 1u << (c - components);
        if (seen & bit)
            return pf_fail(err, POCKETFED_MALFORMED,
                           "the signature covers \"%s\" twice", c->name);
        seen |= bit;
    }
    for (i = 0; i < N_COMPONENTS; i++)
        if (!(seen & 1u << i) &&
            (components[i].always || value_of(&components[i], req)))
            return lacks(err, components[i].name);
    return POCKETFED_OK;
}

enum pocketfed_status pf_httpsig_parse(const char *signature_input,
                                       const char *signature,
                                       const struct pf_signed_request *req,
                                       struct pf_signature *out,
                                       struct pf_error *err)
{
    struct pf_sf_member m;
    struct pf_signature sig;
    enum pocketfed_status st;

    if (!signature_input || !signature)
        return lacks(err, signature_input ? "signature" : "signature-input");
    memset(&sig, 0, sizeof sig);
    st = find_input(signature_input, &m, err);
    if (st)
        return st;
    if (m.key.len >= sizeof sig.label || m.raw.len >= sizeof sig.covered)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "Signature-Input's member is too long");
    memcpy(sig.label, m.key.p, m.key.len);
    memcpy(sig.covered, m.raw.p, m.raw.len);
    st = check_covered(&m, req, err);
    if (!st)
        st = take_params(&m, &sig.params, err);
    if (!st)
        st = find_value(signature, m.key, sig.bytes, err);
    if (!st)
        *out = sig;
    return st;
}

/* The base as the signer made it: components in the order of its list. */
static enum pocketfed_status rebuild_base(const struct pf_signature *sig,
                                          const struct pf_signed_request *req,
                                          struct pf_buf *base)
{
    char field[sizeof sig->covered + 4];
    struct pf_sf_member m;
    struct pf_sf f;
    size_t i;

    snprintf(field, sizeof field, "a=%s", sig->covered);
    if (!pf_sf_open(&f, field) || pf_sf_next(&f, &m) != 1 ||
        m.value.type != PF_SF_LIST)
        return POCKETFED_PROOF;
    for (i = 0; i < m.n_items; i++) {
        const struct component *c = find_component(m.items[i].text);

        if (!c || add_line(base, c, req))
            return POCKETFED_PROOF;
    }
    return add_params(base, sig->covered);
}

enum pocketfed_status pf_httpsig_verify(const struct pf_signature *sig,
                                        const struct pf_signed_request *req,
                                        const struct pf_key *key)
{
    uint8_t fingerprint[PF_DIGEST_LEN];
    char keyid[2 * PF_DEVICE_LEN + 1];
    enum pocketfed_status st;
    struct pf_buf base;

    if (pf_key_algorithm(key) != sig->params.alg)
        return POCKETFED_PROOF;
    pf_key_fingerprint(key, fingerprint);
    pf_hex(fingerprint, PF_DEVICE_LEN, keyid);
    if (strcmp(keyid, sig->params.keyid))
        return POCKETFED_PROOF;
    pf_buf_init(&base, MAX_BASE);
    st = rebuild_base(sig, req, &base);
    if (!st)
        st = pf_key_verify(key, base.data, base.len, sig->bytes);
    pf_buf_free(&base);
    return st == POCKETFED_NO_MEMORY || st == POCKETFED_OK ? st
                                                           : POCKETFED_PROOF;
}

void pf_digest_field(const uint8_t digest[PF_DIGEST_LEN],
                     char out[PF_DIGEST_FIELD_LEN])
{
    char text[PF_BASE64_LEN(PF_DIGEST_LEN) + 1];

    pf_base64(digest, PF_DIGEST_LEN, text);
    snprintf(out, PF_DIGEST_FIELD_LEN, "sha-256=:%s:", text);
}

int pf_digest_field_parse(const char *field, uint8_t digest[PF_DIGEST_LEN])
{
    uint8_t bytes[PF_DIGEST_LEN];
    struct pf_sf_member m;
    struct pf_sf f;
    int found = 0, more;

    if (!field || !pf_sf_open(&f, field))
        return 0;
    while ((more = pf_sf_next(&f, &m)) > 0) {
        if (!pf_sf_is(m.key, "sha-256"))
            continue;
        if (found++ || !pf_sf_bytes(&m.value, bytes, sizeof bytes))
            return 0;
    }
    if (more < 0 || !found)
        return 0;
    memcpy(digest, bytes, sizeof bytes);
    return 1;
}
