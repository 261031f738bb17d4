#include "operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "json.h"
#include "messages.h"

static size_t collect(char *p, size_t size, size_t n, void *ctx)
{
    return pf_buf_add(ctx, p, size * n) ? 0 : size * n;
}

int operator_ask(const char *socket, const char *method, const char *path,
                 const char *body, struct pf_buf *out)
{
    struct curl_slist *type = NULL;
    CURL *c = curl_easy_init();
    char url[300];
    long status = 0;

    if (!c)
        abort();
    pf_buf_free(out);
    pf_buf_init(out, 16u << 20);
    snprintf(url, sizeof url, "http://pocketfed%s", path);
    type = curl_slist_append(NULL, "Content-Type: application/json");
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, 20000L);
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, method);
    if (body) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, body);
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, type);
    }
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, collect);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
    if (curl_easy_perform(c) == CURLE_OK)
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(type);
    curl_easy_cleanup(c);
    return (int)status;
}

int operator_task(const char *socket, const char *json)
{
    struct pf_buf b = {0};
    int status = operator_ask(socket, "POST", "/admin/v1/tasks", json, &b);

    if (status && status != 201 && status != 409 && status < 500) {
        fprintf(stderr, "task: %d %s\n", status, pf_buf_str(&b));
        abort();
    }
    pf_buf_free(&b);
    return status == 201 || status == 409;
}

int operator_token(const char *socket, const char *task, char link[512])
{
    struct pf_token_reply reply;
    struct pf_buf b = {0};
    char path[160];
    int ok;

    memset(&reply, 0, sizeof reply);
    snprintf(path, sizeof path, "/admin/v1/tasks/%s/tokens", task);
    ok = operator_ask(socket, "POST", path, "{}", &b) == 201 &&
         pf_json_decode(pf_token_reply_fields, PF_JSON_IGNORE, pf_buf_str(&b),
                        b.len, &reply, NULL) == POCKETFED_OK;
    if (ok)
        snprintf(link, 512, "%.511s", reply.link);
    pf_buf_free(&b);
    return ok;
}

int operator_set(const char *socket, const char *task, const char *state)
{
    struct pf_buf b = {0};
    char path[160], body[64];
    int status;

    snprintf(path, sizeof path, "/admin/v1/tasks/%s", task);
    snprintf(body, sizeof body, "{\"state\":\"%s\"}", state);
    status = operator_ask(socket, "PATCH", path, body, &b);
    pf_buf_free(&b);
    return status == 200 || status == 204;
}
