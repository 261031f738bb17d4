/* app KEY DIR < LINK - an app that embeds the client library: it joins by the
 * link, takes part twice, and leaves. KEY is ed25519 (the library makes the
 * device's key, in DIR) or p256 (the app keeps it, as in hardware).
 *
 * For signatures.py, which looks at the requests on their way. The examples are
 * made up: what is learnt does not matter. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pocketfed/client.h>

#include "crypto.h"

#define EXAMPLES 12
#define UPDATES  2 /* the proof of the first is asked for before the second */

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

static void step(struct pocketfed_client *client, struct pocketfed_progress *p,
                 enum pocketfed_status wanted)
{
    enum pocketfed_status st = pocketfed_client_step(client, 0, p);

    if (st && st != wanted)
        fail("step", pocketfed_client_error(client));
    nap(p->wait_ms < 100 ? p->wait_ms : 100);
}

static void take_part(struct pocketfed_client *client, const char *link)
{
    struct pocketfed_progress p = {.size = sizeof p};

    if (pocketfed_client_join(client, link))
        fail("join", pocketfed_client_error(client));
    while (p.state != POCKETFED_STATE_FINISHED)
        step(client, &p, POCKETFED_FINISHED);
    if (p.participations != UPDATES)
        fail("take part", "the task ended early");
    if (pocketfed_client_leave(client))
        fail("leave", pocketfed_client_error(client));
    while (p.event != POCKETFED_EVENT_LEFT)
        step(client, &p, POCKETFED_OK);
}

int main(int argc, char **argv)
{
    struct pocketfed_options options = {.size = sizeof options};
    struct pocketfed_env env = {.size = sizeof env};
    struct pocketfed_client *client = NULL;
    struct pf_key *key = NULL;
    uint8_t raw[PF_PUBLIC_MAX];
    char link[1024], why[200];

    if (argc != 3 || !fgets(link, sizeof link, stdin))
        fail("use", "app ed25519|p256 DIR < LINK");
    options.storage = argv[2];
    options.max_participations = UPDATES;
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
    take_part(client, link);
    pocketfed_client_close(client);
    pf_key_free(key);
    return 0;
}
