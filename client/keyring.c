#include "keyring.h"

#include <string.h>

#include "statement.h"

#define MAX_FILE (256u << 10)

void pf_keyring_free(struct pf_keyring *k)
{
    size_t i;

    for (i = 0; i < k->n; i++)
        pf_key_free(k->key[i]);
    memset(k, 0, sizeof *k);
}

static enum pocketfed_status add(struct pf_keyring *k, const uint8_t raw[32])
{
    enum pocketfed_status st;
    size_t i;

    if (k->n == PF_KEYRING_MAX)
        return POCKETFED_LIMIT;
    st = pf_key_from_public(PF_KEY_ED25519, raw, 32, &k->key[k->n]);
    if (st != POCKETFED_OK)
        return st;
    k->n++;
    for (i = 0; i < k->n; i++)
        k->view[i] = k->key[k->n - 1 - i];
    return POCKETFED_OK;
}

struct pf_record_keys pf_keyring_keys(const struct pf_keyring *k)
{
    return (struct pf_record_keys){k->view, k->n};
}

/* One line {"rotation":"...","signature":"..."}; 1 when it led on. */
static int follow_line(struct pf_keyring *k, const char *line, size_t len)
{
    struct pf_json_doc *doc = NULL;
    uint8_t sig[PF_SIGNATURE_LEN];
    const struct pf_json_node *root;
    struct pf_rotation r;
    const char *body;
    int led = 0;

    if (pf_json_parse(line, len, &doc, NULL) != POCKETFED_OK)
        return 0;
    root = pf_json_root(doc);
    body = pf_json_text(pf_json_get(root, "rotation"));
    if (body &&
        pf_statement_parse(pf_json_text(pf_json_get(root, "signature")), sig) ==
            POCKETFED_OK &&
        pf_rotation_check(pf_keyring_now(k), body, strlen(body), sig, &r,
                          NULL) == POCKETFED_OK)
        led = add(k, r.new_key) == POCKETFED_OK;
    pf_json_free(doc);
    return led;
}

enum pocketfed_status pf_keyring_load(struct pf_keyring *k,
                                      const struct pf_storage *s,
                                      const uint8_t pinned[32], size_t *skipped)
{
    enum pocketfed_status st;
    const char *at, *end;
    struct pf_buf text;
    size_t n = 0;

    memset(k, 0, sizeof *k);
    st = add(k, pinned);
    if (st != POCKETFED_OK)
        return st == POCKETFED_NO_MEMORY ? st : POCKETFED_MALFORMED;
    pf_buf_init(&text, MAX_FILE);
    if (pf_storage_load(s, PF_FILE_ROTATIONS, &text, NULL) == POCKETFED_OK) {
        at = pf_buf_str(&text);
        for (; (end = strchr(at, '\n')) != NULL; at = end + 1)
            n += !follow_line(k, at, (size_t)(end - at));
    }
    pf_buf_free(&text);
    if (skipped)
        *skipped = n;
    return POCKETFED_OK;
}

enum pocketfed_status
pf_keyring_follow(struct pf_keyring *k, const struct pf_storage *s,
                  const struct pf_rotation *r, const void *body, size_t len,
                  const char *statement, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf line;

    if (k->n == PF_KEYRING_MAX)
        return pf_fail(err, POCKETFED_LIMIT,
                       "the record key was replaced more than %d times",
                       PF_KEYRING_MAX - 1);
    pf_buf_init(&line, 8 * PF_ROTATION_MAX);
    pf_buf_adds(&line, "{\"rotation\":");
    pf_json_string_n(&line, body, len);
    pf_buf_adds(&line, ",\"signature\":");
    pf_json_string(&line, statement);
    st = pf_buf_adds(&line, "}");
    if (st == POCKETFED_OK)
        st = pf_storage_append(s, PF_FILE_ROTATIONS, pf_buf_str(&line),
                               line.len, err);
    else
        pf_fail(err, st, "the statement about a new record key is too long");
    if (st == POCKETFED_OK)
        st = add(k, r->new_key);
    pf_buf_free(&line);
    return st;
}
