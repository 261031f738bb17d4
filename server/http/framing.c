#include "framing.h"

#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "text.h"

int pf_framing_check(struct pf_exchange *ex)
{
    const char *length = ex->header(ex, "Content-Length");
    const char *expect = ex->header(ex, "Expect");
    const char *encoding = ex->header(ex, "Content-Encoding");

    if (ex->n_transfer_encoding && ex->n_content_length) {
        pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                        "both Content-Length and Transfer-Encoding are given");
    } else if (ex->n_content_length > 1) {
        pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                        "Content-Length is given more than once");
    } else if (ex->odd) {
        pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                        "a header's name or value has characters that none "
                        "may have");
    } else if (ex->repeated) {
        pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                        "%s is given more than once", ex->repeated);
    } else if (ex->n_transfer_encoding) {
        pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                        "Transfer-Encoding is not taken: send the body whole, "
                        "with its Content-Length");
    } else if (length && !pf_parse_u64(length, strlen(length), 0, INT64_MAX,
                                       &ex->content_length)) {
        pf_reply_refuse(ex, PF_PROBLEM_BAD_REQUEST,
                        "Content-Length is not a number of bytes");
    } else if (expect && strcmp(expect, "100-continue") != 0) {
        pf_reply_refuse(ex, PF_PROBLEM_EXPECTATION, "Expect: %.64s is unknown",
                        expect);
    } else if (encoding && strcasecmp(encoding, "identity") != 0) {
        pf_reply_refuse(ex, PF_PROBLEM_ENCODING,
                        "Content-Encoding: %.64s is not taken; update codecs "
                        "are what makes bodies small",
                        encoding);
    } else {
        return 1;
    }
    ex->reply.close = 1;
    return 0;
}

int pf_framing_length(struct pf_exchange *ex)
{
    if (ex->content_length > ex->call->max_body) {
        pf_reply_refuse(ex, PF_PROBLEM_TOO_LARGE,
                        "%" PRIu64 " bytes; at most %zu are taken here",
                        ex->content_length, ex->call->max_body);
        ex->reply.close = 1;
        return 0;
    }
    if (ex->call->body != PF_BODY_NONE && ex->n_content_length == 0) {
        pf_reply_refuse(ex, PF_PROBLEM_LENGTH_REQUIRED,
                        "a Content-Length is missing");
        ex->reply.close = 1;
        return 0;
    }
    return 1;
}
