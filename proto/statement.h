/* statement.h - what the server says under its record key: a detached Ed25519
 * signature over a label and the exact bytes of a body.
 *
 * Signed message: "pocketfed-1 " label "\n" body.  Sent base64 in the response
 * header Pocketfed-Signature and kept beside the bytes.  The label keeps a
 * signature for one kind of body from passing for another.
 */
#ifndef PF_STATEMENT_H
#define PF_STATEMENT_H

#include "crypto.h"

#define PF_SAY_PLAN       "plan"
#define PF_SAY_ENROLMENT  "enrolment"
#define PF_SAY_ASSIGNMENT "assignment"
#define PF_SAY_ACK        "acknowledgement"
#define PF_SAY_RECORD     "record"
#define PF_SAY_LOG        "log"
#define PF_SAY_ROTATION   "rotation"
#define PF_SAY_TIME                                                            \
    "time" /* body of a clock-skew or created-before-start                     \
              problem */

enum pocketfed_status pf_statement_sign(const struct pf_key *record_key,
                                        const char *label, const void *body,
                                        size_t len,
                                        uint8_t sig[PF_SIGNATURE_LEN]);
/* OK or PROOF. */
enum pocketfed_status pf_statement_verify(const struct pf_key *record_key,
                                          const char *label, const void *body,
                                          size_t len,
                                          const uint8_t sig[PF_SIGNATURE_LEN]);
/* The header value form: base64. parse and verify_field are PROOF also when it
 * is absent (NULL) or not base64 of 64 bytes. */
enum pocketfed_status pf_statement_parse(const char *field,
                                         uint8_t sig[PF_SIGNATURE_LEN]);
void pf_statement_field(const uint8_t sig[PF_SIGNATURE_LEN], char out[96]);
enum pocketfed_status pf_statement_verify_field(const struct pf_key *record_key,
                                                const char *label,
                                                const void *body, size_t len,
                                                const char *field);

#endif
