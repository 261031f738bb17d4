#include "daemon.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "json.h"

/* "https://host:port" that join links lead to. */
static void client_url(const struct pf_daemon *d, char *out, size_t cap)
{
    int v6 = strchr(d->link_host, ':') != NULL;

    snprintf(out, cap, "%s://%s%s%s:%u", d->tls ? "https" : "http",
             v6 ? "[" : "", d->link_host, v6 ? "]" : "", d->edge.link_port);
}

enum pocketfed_status pf_daemon_banner(const struct pf_daemon *d,
                                       struct pf_buf *out)
{
    const char *key = d->edge.verifier.record_key;
    char url[400];

    client_url(d, url, sizeof url);
    pf_buf_addf(out, "pocketfedd %s\n", POCKETFED_VERSION);
    pf_buf_addf(out, "state       %s%s\n", d->dir.path,
                d->dir.fresh ? " (new: keys and certificate were made)" : "");
    pf_buf_addf(out, "clients     %s (listening on %s)\n", url,
                d->client_address);
    pf_buf_addf(out, "admin       %s%s%s\n", d->config.admin_socket,
                d->admin_url[0] ? "  and  " : "", d->admin_url);
    pf_buf_addf(out, "metrics     http://%s/metrics\n", d->ops_address);
    pf_buf_addf(out, "record key  %.16s %.16s %.16s %.16s\n", key, key + 16,
                key + 32, key + 48);
    pf_buf_addf(out, "join link   pocketfed token create TASK --socket %s\n",
                d->config.admin_socket);
    if (d->warning[0])
        pf_buf_addf(out, "warning     %s\n", d->warning);
    return pf_buf_status(out);
}

static void member(struct pf_buf *out, const char *name, const char *value)
{
    pf_buf_addf(out, ",\"%s\":", name);
    pf_json_string(out, value);
}

enum pocketfed_status pf_daemon_banner_json(const struct pf_daemon *d,
                                            struct pf_buf *out)
{
    char url[400];

    client_url(d, url, sizeof url);
    pf_buf_addf(out, "{\"pid\":%ld,\"new\":%s", (long)getpid(),
                d->dir.fresh ? "true" : "false");
    member(out, "version", POCKETFED_VERSION);
    member(out, "state", d->dir.path);
    member(out, "url", url);
    member(out, "client", d->client_address);
    member(out, "admin", d->config.admin_socket);
    if (d->admin_url[0])
        member(out, "admin_url", d->admin_url);
    member(out, "ops", d->ops_address);
    member(out, "record_key", d->edge.verifier.record_key);
    member(out, "warning", d->warning);
    pf_buf_adds(out, "}\n");
    return pf_buf_status(out);
}
