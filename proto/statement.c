#include "statement.h"

#include <stdlib.h>
#include <string.h>
#include "bytes.h"
#include "text.h"

#define PREFIX "pocketfed-1 "

/* The signed message in one piece, as Ed25519 wants it; the caller frees. */
static uint8_t *message(const char *label, const void *body, size_t len,
                        size_t *total)
{
    size_t head = strlen(PREFIX), n_label = strlen(label), n;
    uint8_t *m;

    if (!pf_add_size(head + n_label + 1, len, &n))
        return NULL;
    m = malloc(n);
    if (!m)
        return NULL;
    memcpy(m, PREFIX, head);
    memcpy(m + head, label, n_label);
    m[head + n_label] = '\n';
    if (len > 0)
        memcpy(m + head + n_label + 1, body, len);
    *total = n;
    return m;
}

enum pocketfed_status pf_statement_sign(const struct pf_key *record_key,
                                        const char *label, const void *body,
                                        size_t len,
                                        uint8_t sig[PF_SIGNATURE_LEN])
{
    enum pocketfed_status st;
    uint8_t *m;
    size_t n;

    if (pf_key_algorithm(record_key) != PF_KEY_ED25519)
        return POCKETFED_INVALID;
    m = message(label, body, len, &n);
    if (!m)
        return POCKETFED_NO_MEMORY;
    st = pf_key_sign(record_key, m, n, sig);
    free(m);
    return st;
}

enum pocketfed_status pf_statement_verify(const struct pf_key *record_key,
                                          const char *label, const void *body,
                                          size_t len,
                                          const uint8_t sig[PF_SIGNATURE_LEN])
{
    enum pocketfed_status st;
    uint8_t *m;
    size_t n;

    if (pf_key_algorithm(record_key) != PF_KEY_ED25519)
        return POCKETFED_PROOF;
    m = message(label, body, len, &n);
    if (!m)
        return POCKETFED_NO_MEMORY;
    st = pf_key_verify(record_key, m, n, sig);
    free(m);
    return st;
}

void pf_statement_field(const uint8_t sig[PF_SIGNATURE_LEN], char out[96])
{
    pf_base64(sig, PF_SIGNATURE_LEN, out);
}

enum pocketfed_status pf_statement_parse(const char *field,
                                         uint8_t sig[PF_SIGNATURE_LEN])
{
    uint8_t got[PF_SIGNATURE_LEN];
    size_t n = sizeof got, n_field;

    if (!field)
        return POCKETFED_PROOF;
    n_field = strnlen(field, PF_BASE64_LEN(PF_SIGNATURE_LEN) + 1);
    if (n_field != PF_BASE64_LEN(PF_SIGNATURE_LEN) ||
        pf_unbase64(field, n_field, got, &n) || n != sizeof got)
        return POCKETFED_PROOF;
    memcpy(sig, got, sizeof got);
    return POCKETFED_OK;
}

enum pocketfed_status pf_statement_verify_field(const struct pf_key *record_key,
                                                const char *label,
                                                const void *body, size_t len,
                                                const char *field)
{
    uint8_t sig[PF_SIGNATURE_LEN];
    enum pocketfed_status st = pf_statement_parse(field, sig);

    return st ? st : pf_statement_verify(record_key, label, body, len, sig);
}
