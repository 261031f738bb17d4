/* A request head as lines of "Name: value": what passes has one meaning for
 * the body's length, and the admin's gate opens to the right token alone. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "framing.h"
#include "gate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_LINES 64

struct head {
    char *name[MAX_LINES], *value[MAX_LINES];
    unsigned n;
};

static void split(char *text, struct head *h)
{
    char *line, *rest = text, *colon;

    memset(h, 0, sizeof *h);
    while (h->n < MAX_LINES && (line = strtok_r(rest, "\n", &rest)) != NULL) {
        colon = strstr(line, ": ");
        if (!colon)
            continue;
        *colon = '\0';
        h->name[h->n] = line;
        h->value[h->n++] = colon + 2;
    }
}

static const char *header(const struct pf_exchange *ex, const char *name)
{
    const struct head *h = ex->adapter;
    unsigned i;

    for (i = 0; i < h->n; i++)
        if (strcasecmp(h->name[i], name) == 0)
            return h->value[i];
    return NULL;
}

static unsigned count(const struct head *h, const char *name)
{
    unsigned i, n = 0;

    for (i = 0; i < h->n; i++)
        n += strcasecmp(h->name[i], name) == 0;
    return n;
}

static void check_framing(struct pf_exchange *ex)
{
    const char *length = header(ex, "Content-Length"), *at;

    if (!pf_framing_check(ex)) {
        if (!ex->reply.close || ex->reply.problem == PF_PROBLEM_NONE)
            abort();
        return;
    }
    if (ex->n_transfer_encoding || ex->n_content_length > 1)
        abort();
    for (at = length; at && *at; at++)
        if (*at < '0' || *at > '9')
            abort();
    if (length && strtoull(length, NULL, 10) != ex->content_length)
        abort();
}

static void check_gate(struct pf_exchange *ex, struct pf_gate *gate)
{
    const char *field = header(ex, "Authorization");
    const char *host = header(ex, "Host");

    if (!pf_gate_open(gate, ex))
        return;
    if (!field || strlen(field) != 7 + 2 * PF_ADMIN_TOKEN_LEN || !host ||
        strstr(host, "evil") || header(ex, "Origin"))
        abort();
    for (field += 7; *field; field++)
        if (*field != '0')
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t token[PF_ADMIN_TOKEN_LEN];
    static struct pf_metrics metrics;
    static struct pf_limits limits;
    static struct pf_edge edge;
    char *text = malloc(size + 1);
    struct pf_gate *gate = NULL;
    struct pf_exchange ex;
    struct head h;

    if (!text || pf_gate_create("fed.example.org", &gate) != POCKETFED_OK) {
        free(text);
        return 0;
    }
    pf_gate_token(gate, token);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = '\0';
    split(text, &h);
    edge.metrics = &metrics;
    edge.limits = &limits;
    pf_exchange_init(&ex, &edge);
    ex.listener = PF_LISTEN_ADMIN;
    ex.header = header;
    ex.adapter = &h;
    ex.n_content_length = count(&h, "Content-Length");
    ex.n_transfer_encoding = count(&h, "Transfer-Encoding");
    check_framing(&ex);
    check_gate(&ex, gate);
    pf_reply_clear(&ex);
    pf_buf_free(&ex.body);
    pf_gate_free(gate);
    free(text);
    return 0;
}
