#include "gate.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text.h"

#define SCHEME "Bearer "

struct pf_gate {
    pthread_mutex_t lock;
    uint8_t token[PF_ADMIN_TOKEN_LEN];
    char host[256];
};

enum pocketfed_status pf_gate_create(const char *host, struct pf_gate **out)
{
    struct pf_gate *g = calloc(1, sizeof *g);

    if (!g)
        return POCKETFED_NO_MEMORY;
    pthread_mutex_init(&g->lock, NULL);
    snprintf(g->host, sizeof g->host, "%s", host);
    /* Nobody knows this one: until there is another, nothing is let in. */
    if (pf_random(g->token, sizeof g->token) != POCKETFED_OK) {
        pf_gate_free(g);
        return POCKETFED_INTERNAL;
    }
    *out = g;
    return POCKETFED_OK;
}

void pf_gate_free(struct pf_gate *g)
{
    if (!g)
        return;
    pthread_mutex_destroy(&g->lock);
    memset(g->token, 0, sizeof g->token);
    free(g);
}

void pf_gate_token(struct pf_gate *g, const uint8_t token[PF_ADMIN_TOKEN_LEN])
{
    pthread_mutex_lock(&g->lock);
    memcpy(g->token, token, sizeof g->token);
    pthread_mutex_unlock(&g->lock);
}

/* NAME[:PORT], ADDRESS[:PORT] or [IPv6][:PORT]: an address cannot be made to
 * point elsewhere, and of names only ours are taken. The port is whatever a
 * tunnel has it be. */
static int host_ok(const struct pf_gate *g, const char *host)
{
    struct in6_addr six;
    struct in_addr four;
    char name[256];
    const char *after;
    size_t n, bracket;

    if (!host)
        return 0;
    bracket = host[0] == '[';
    n = strcspn(host + bracket, bracket ? "]" : ":");
    if (n >= sizeof name)
        return 0;
    memcpy(name, host + bracket, n);
    name[n] = '\0';
    after = host + bracket + n;
    if (bracket && *after++ != ']')
        return 0;
    if (*after &&
        (*after != ':' || after[1 + strspn(after + 1, "0123456789")] != '\0'))
        return 0;
    if (bracket)
        return inet_pton(AF_INET6, name, &six) == 1;
    return inet_pton(AF_INET, name, &four) == 1 ||
           strcasecmp(name, "localhost") == 0 || strcasecmp(name, g->host) == 0;
}

/* Browsers say it of every request that a page causes; programs say nothing,
 * and who types the address sends "none". */
static int from_a_page(const struct pf_exchange *ex)
{
    const char *site = ex->header(ex, "Sec-Fetch-Site");

    return ex->header(ex, "Origin") != NULL ||
           (site && strcmp(site, "none") != 0);
}

static int token_ok(struct pf_gate *g, const char *field)
{
    uint8_t given[PF_ADMIN_TOKEN_LEN];
    int ok;

    if (!field || strncasecmp(field, SCHEME, strlen(SCHEME)) != 0)
        return 0;
    field += strlen(SCHEME);
    if (!pf_unhex(field, strlen(field), given, sizeof given))
        return 0;
    pthread_mutex_lock(&g->lock);
    ok = pf_equal_secret(given, g->token, sizeof given);
    pthread_mutex_unlock(&g->lock);
    return ok;
}

int pf_gate_open(struct pf_gate *g, struct pf_exchange *ex)
{
    struct pf_metrics *m = ex->edge->metrics;
    const char *host = ex->header(ex, "Host");

    if (!host_ok(g, host)) {
        pf_count(m, PF_COUNT_ADMIN_FOREIGN_HOST, 1);
        pf_reply_refuse(ex, PF_PROBLEM_FORBIDDEN,
                        "Host: %.80s is not this server",
                        host ? host : "(none)");
    } else if (from_a_page(ex)) {
        pf_count(m, PF_COUNT_ADMIN_CROSS_SITE, 1);
        pf_reply_refuse(ex, PF_PROBLEM_FORBIDDEN,
                        "a page may not administer this server");
    } else if (!pf_limits_guess(ex)) {
        return 0;
    } else if (!token_ok(g, ex->header(ex, "Authorization"))) {
        pf_count(m, PF_COUNT_ADMIN_WRONG_TOKEN, 1);
        pf_reply_refuse(ex, PF_PROBLEM_ADMIN_TOKEN,
                        "send Authorization: Bearer and the token of the "
                        "token file");
        pf_reply_header(ex, "WWW-Authenticate", "Bearer");
    } else {
        ex->peer_ok = 1;
        return 1;
    }
    return 0;
}
