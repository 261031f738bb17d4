/* Reads and writes JSON once and ends with 0 when every call either worked or
 * said NO_MEMORY, left its output as it was and kept no memory; for
 * check/failalloc.sh.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "json_sample.h"

/* Of the preloaded shim; absent when run without it. */
long pf_failalloc_live(void) __attribute__((weak));

static const char text[] =
    "{\"name\":\"a\",\"digest\":\"00ff10ab\",\"nonce\":\"Zm9v\",\"count\":5,"
    "\"seed\":\"7\",\"offset\":-9,\"scale\":0.1,\"phase\":\"closed\","
    "\"train\":{\"batch\":32,\"lr\":0.05},\"hosts\":[\"one\",\"two\"],"
    "\"extra\":{\"x\":[1,null,false,\"y\"],\"long\":"
    "\"0123456789012345678901234567890123456789012345678901234567890123\"}}";

/* No stdio: it takes memory of its own. */
static void demand(int ok, const char *what)
{
    if (ok)
        return;
    if (write(STDERR_FILENO, what, strlen(what)) < 0)
        _exit(2);
    _exit(1);
}

static long live(void)
{
    return pf_failalloc_live ? pf_failalloc_live() : 0;
}

int main(void)
{
    struct sample s = {.name = ""};
    enum pocketfed_status st;
    long before = live();
    struct pf_error err;
    struct pf_buf out;

    pf_buf_init(&out, 4096);
    st = pf_json_decode(sample_fields, PF_JSON_REFUSE, text, sizeof text - 1,
                        &s, &err);
    if (st == POCKETFED_OK) {
        demand(s.train.batch == 32 && s.extra.len > 0, "decoded wrongly\n");
        st = pf_json_encode(sample_fields, &s, &out);
        if (st == POCKETFED_OK)
            demand(out.len == sizeof text - 1 &&
                       memcmp(out.data, text, out.len) == 0,
                   "encoded wrongly\n");
        else
            demand(out.len == 0, "half an output\n");
    } else {
        demand(err.status == st && err.text[0], "no sentence\n");
    }
    demand(st == POCKETFED_OK || st == POCKETFED_NO_MEMORY, "another status\n");
    pf_buf_free(&s.extra);
    pf_buf_free(&out);
    demand(live() == before, "memory kept\n");
    return 0;
}
