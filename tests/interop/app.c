/* app KEY DIR < LINK - an app that embeds the client library: it joins by the
 * link, takes part once, and asks how the task is. KEY is ed25519 (the library
 * makes the device's key, in DIR) or p256 (the app keeps it, as in hardware).
 *
 * For signatures.py, which looks at the requests on their way. The examples are
 * made up: what is learnt does not matter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pocketfed/client.h>

#include "crypto.h"
#include "joinlink.h"
#include "request.h"
#include "transport.h"

#define EXAMPLES 12

static _Noreturn void fail(const char *what, const char *why)
{
    fprintf(stderr, "app: %s: %s\n", what, why);
    exit(1);
}

static enum pocketfed_status count(void *ctx, uint64_t *n)
{
    (void)ctx;
    *n = EXAMPLES;
    return POCKETFED_OK;
}

static enum pocketfed_status example(void *ctx, uint64_t i, float *x,
                                     size_t n_x, uint32_t *label)
{
    size_t k;

    (void)ctx;
    for (k = 0; k < n_x; k++)
        x[k] = (float)((i + k) % 3) / 3;
    *label = (uint32_t)(i % 3);
    return POCKETFED_OK;
}

/* The hardware: what it signs is over the SHA-256 of msg. */
static enum pocketfed_status sign(void *ctx, const void *msg, size_t len,
                                  uint8_t signature[PF_SIGNATURE_LEN])
{
    return pf_key_sign(ctx, msg, len, signature);
}

static void nap(int64_t ms)
{
    struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000L};

    nanosleep(&t, NULL);
}

static void take_part(struct pocketfed_client *client, const char *link)
{
    struct pocketfed_progress p = {.size = sizeof p};
    enum pocketfed_status st;

    if (pocketfed_client_join(client, link))
        fail("join", pocketfed_client_error(client));
    while (!(st = pocketfed_client_step(client, 0, &p)))
        nap(p.wait_ms < 100 ? p.wait_ms : 100);
    if (st != POCKETFED_FINISHED || p.participations != 1)
        fail("step", pocketfed_client_error(client));
}

/* The one signed request without a body, as the library makes and sends it. */
static void ask_status(const struct pf_join_link *l, const struct pf_key *key)
{
    struct pf_peer peer = {
        l->host, l->port, (const uint8_t(*)[32])l->pins, l->n_pins, {0}};
    struct pf_identity me = {.alg = pf_key_algorithm(key), .key = key};
    struct pf_want_request want = {.call = PF_CALL_TASK_STATUS,
                                   .max_reply = PF_MAX_CONTROL_BODY};
    struct pocketfed_transport t;
    struct pocketfed_reply reply = {.size = sizeof reply};
    struct pf_built_request b;
    uint8_t raw[PF_PUBLIC_MAX];
    struct pf_error err = {0};
    enum pocketfed_status st;
    char why[200] = "";

    memcpy(peer.record_key, l->id, sizeof peer.record_key);
    memcpy(want.args.task, l->task, sizeof want.args.task);
    pf_device_id(raw, pf_key_public(key, raw), me.device);
    pf_built_request_init(&b);
    if (pf_request_build(&b, &want, &me, &peer, (int64_t)time(NULL), &err) ||
        pf_transport_curl(&t, &err))
        fail("request", err.text);
    st = t.begin(t.ctx, &b.r);
    while (!st && (st = t.poll(t.ctx, 100, &reply, why, sizeof why)) ==
                      POCKETFED_AGAIN)
        st = POCKETFED_OK;
    if (st || reply.status != 200)
        fail("status", st ? why : "refused");
    t.destroy(t.ctx);
    pf_built_request_free(&b);
}

int main(int argc, char **argv)
{
    struct pocketfed_options options = {.size = sizeof options};
    struct pocketfed_env env = {.size = sizeof env};
    struct pocketfed_client *client = NULL;
    struct pf_key *key = NULL;
    uint8_t raw[PF_PUBLIC_MAX];
    char line[PF_JOIN_LINK_MAX], path[512], why[200];
    struct pf_join_link link;
    struct pf_error err = {0};

    if (argc != 3 || !fgets(line, sizeof line, stdin) ||
        pf_join_link_parse(line, &link, &err))
        fail("use", argc == 3 ? err.text : "app ed25519|p256 DIR < LINK");
    options.storage = argv[2];
    options.max_participations = 1;
    env.examples = count;
    env.example = example;
    if (!strcmp(argv[1], "p256")) {
        if (pf_key_generate(PF_KEY_P256, &key))
            fail("key", "cannot be made");
        pf_key_public(key, raw);
        env.sign = sign;
        env.ctx = key;
        env.public_key = raw;
    }
    if (pocketfed_client_open(&options, &env, &client, why, sizeof why))
        fail("open", why);
    take_part(client, line);
    snprintf(path, sizeof path, "%s/identity.key", argv[2]);
    if (!key && pf_key_load(path, &key, &err))
        fail("key", err.text);
    ask_status(&link, key);
    pocketfed_client_close(client);
    pf_key_free(key);
    return 0;
}
