/* Two lines: Signature-Input and Signature. What parses must have all its
 * parts in bounds and must not verify under a key that did not sign it. */
#include <stdlib.h>
#include <string.h>
#include "httpsig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* RFC 9421, B.1.4 (test-key-ed25519) */
static const uint8_t public_key[32] = {
    0x26, 0xb4, 0x0b, 0x8f, 0x93, 0xff, 0xf3, 0xd8, 0x97, 0x11, 0x2f,
    0x7e, 0xbc, 0x58, 0x2b, 0x23, 0x2d, 0xbd, 0x72, 0x51, 0x7d, 0x08,
    0x2f, 0xe8, 0x3c, 0xfb, 0x30, 0xdd, 0xce, 0x43, 0xd1, 0xbb};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct pf_signed_request req = {
        "POST", "/v1/tasks/a/checkin", "?", NULL, NULL, "00"};
    char *text = malloc(size + 1), *second;
    struct pf_signature sig;
    uint8_t digest[PF_DIGEST_LEN];
    struct pf_key *key = NULL;

    if (!text)
        return 0;
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    second = strchr(text, '\n');
    if (second)
        *second++ = '\0';
    pf_digest_field_parse(text, digest);
    if (!pf_httpsig_parse(text, second, &req, &sig, NULL)) {
        if (strlen(sig.label) >= sizeof sig.label ||
            strlen(sig.covered) >= sizeof sig.covered ||
            strlen(sig.params.nonce) > PF_NONCE_MAX ||
            strlen(sig.params.keyid) != 2 * PF_DEVICE_LEN)
            abort();
        if (!pf_key_from_public(PF_KEY_ED25519, public_key, sizeof public_key,
                                &key) &&
            pf_httpsig_verify(&sig, &req, key) != POCKETFED_PROOF)
            abort();
        pf_key_free(key);
    }
    free(text);
    return 0;
}
