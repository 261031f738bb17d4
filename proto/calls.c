#include "calls.h"

#include <stdio.h>
#include <string.h>
#include "text.h"

#define CLIENT PF_LISTEN_CLIENT
#define ADMIN  PF_LISTEN_ADMIN
#define OPS    PF_LISTEN_OPS

#define ROW(id, listener, method, path, auth, body, max)                       \
    [PF_CALL_##id] = {PF_CALL_##id,   listener,       method, path,            \
                      PF_AUTH_##auth, PF_BODY_##body, max}

/* One row a call; openapi/ is held against it. */
/* clang-format off */
const struct pf_call pf_calls[PF_CALL_COUNT] = {
    ROW(ENROL, CLIENT, "POST", "/v1/tasks/{task}/enrol",
        TOKEN, CONTROL, PF_MAX_CONTROL_BODY),
    ROW(CHECKIN, CLIENT, "POST", "/v1/tasks/{task}/checkin",
        DEVICE, CONTROL, PF_MAX_CONTROL_BODY),
    ROW(PLAN, CLIENT, "GET", "/v1/plans/{digest}", NONE, NONE, 0),
    ROW(MODEL, CLIENT, "GET", "/v1/models/{digest}", NONE, NONE, 0),
    ROW(UPDATE, CLIENT, "PUT", "/v1/tasks/{task}/rounds/{round}/update",
        DEVICE, UPDATE, PF_MAX_UPDATE),
    ROW(UPDATE_OFFSET, CLIENT, "HEAD",
        "/v1/tasks/{task}/rounds/{round}/update", DEVICE, NONE, 0),
    ROW(UPDATE_APPEND, CLIENT, "PATCH",
        "/v1/tasks/{task}/rounds/{round}/update",
        DEVICE, UPDATE, PF_MAX_UPDATE),
    ROW(FAILURE, CLIENT, "POST", "/v1/tasks/{task}/rounds/{round}/failure",
        DEVICE, CONTROL, PF_MAX_CONTROL_BODY),
    ROW(PROOF, CLIENT, "GET", "/v1/tasks/{task}/rounds/{round}/proof",
        DEVICE, NONE, 0),
    ROW(KEY, CLIENT, "GET", "/v1/keys/{digest}", NONE, NONE, 0),
    ROW(TASK_STATUS, CLIENT, "GET", "/v1/tasks/{task}", DEVICE, NONE, 0),
    ROW(LEAVE, CLIENT, "DELETE", "/v1/tasks/{task}/devices/self",
        DEVICE, NONE, 0),

    ROW(ADMIN_INFO, ADMIN, "GET", "/admin/v1", ADMIN, NONE, 0),
    ROW(ADMIN_TASKS, ADMIN, "GET", "/admin/v1/tasks", ADMIN, NONE, 0),
    ROW(ADMIN_TASK_CREATE, ADMIN, "POST", "/admin/v1/tasks",
        ADMIN, CONTROL, PF_MAX_TASK_FILE),
    ROW(ADMIN_TASK, ADMIN, "GET", "/admin/v1/tasks/{task}", ADMIN, NONE, 0),
    ROW(ADMIN_TASK_SET, ADMIN, "PATCH", "/admin/v1/tasks/{task}",
        ADMIN, CONTROL, PF_MAX_CONTROL_BODY),
    ROW(ADMIN_TOKEN_CREATE, ADMIN, "POST", "/admin/v1/tasks/{task}/tokens",
        ADMIN, CONTROL, PF_MAX_CONTROL_BODY),
    ROW(ADMIN_ROUNDS, ADMIN, "GET", "/admin/v1/tasks/{task}/rounds",
        ADMIN, NONE, 0),
    ROW(ADMIN_ROUND, ADMIN, "GET", "/admin/v1/tasks/{task}/rounds/{round}",
        ADMIN, NONE, 0),
    ROW(ADMIN_CLASSES, ADMIN, "GET", "/admin/v1/tasks/{task}/classes",
        ADMIN, NONE, 0),
    ROW(ADMIN_DEVICES, ADMIN, "GET", "/admin/v1/tasks/{task}/devices",
        ADMIN, NONE, 0),
    ROW(ADMIN_DEVICE, ADMIN, "GET", "/admin/v1/tasks/{task}/devices/{device}",
        ADMIN, NONE, 0),
    ROW(ADMIN_DEVICE_REVOKE, ADMIN, "DELETE",
        "/admin/v1/tasks/{task}/devices/{device}", ADMIN, NONE, 0),
    ROW(ADMIN_MODEL, ADMIN, "GET", "/admin/v1/models/{digest}",
        ADMIN, NONE, 0),

    ROW(LIVEZ, OPS, "GET", "/livez", NONE, NONE, 0),
    ROW(READYZ, OPS, "GET", "/readyz", NONE, NONE, 0),
    ROW(METRICS, OPS, "GET", "/metrics", NONE, NONE, 0),
};
/* clang-format on */

static int lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static int task_name_ok(const char *s, size_t len)
{
    size_t i;

    if (len == 0 || len > PF_TASK_NAME_MAX || !lower_or_digit(s[0]))
        return 0;
    for (i = 1; i < len; i++)
        if (!lower_or_digit(s[i]) && s[i] != '.' && s[i] != '_' && s[i] != '-')
            return 0;
    return 1;
}

int pf_task_name_ok(const char *name)
{
    return name && task_name_ok(name, strnlen(name, PF_TASK_NAME_MAX + 1));
}

static int is_device(const char *name)
{
    return strncmp(name, "device}", 7) == 0;
}

/* The value of the placeholder at `name` (just after its brace). */
static int take_value(const char *name, const char *s, size_t len,
                      struct pf_call_args *args)
{
    if (name[0] == 't') {
        if (!task_name_ok(s, len))
            return 0;
        memcpy(args->task, s, len);
        args->task[len] = '\0';
        return 1;
    }
    if (name[0] == 'r')
        return pf_parse_u64(s, len, 0, UINT64_MAX, &args->round);
    if (is_device(name))
        return pf_unhex(s, len, args->device, sizeof args->device);
    return pf_unhex(s, len, args->digest, sizeof args->digest);
}

/* Pattern and path letter by letter; a placeholder takes up to the next '/'. */
static int path_matches(const char *pattern, const char *path,
                        struct pf_call_args *args)
{
    while (*pattern) {
        if (*pattern == '{') {
            size_t len = strcspn(path, "/");

            if (!take_value(pattern + 1, path, len, args))
                return 0;
            path += len;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return 0;
        }
    }
    return *path == '\0';
}

enum { GET = 1, POST = 2, PUT = 4, PATCH = 8, DELETE = 16, HEAD = 32 };

static unsigned method_bit(const char *method)
{
    if (!strcmp(method, "GET"))
        return GET;
    if (!strcmp(method, "POST"))
        return POST;
    if (!strcmp(method, "DELETE"))
        return DELETE;
    if (!strcmp(method, "HEAD"))
        return HEAD;
    return !strcmp(method, "PUT") ? PUT : PATCH;
}

/* The Allow field of each set of methods that some path of the table has. */
static const char *allow_value(unsigned methods)
{
    switch (methods) {
    case GET:
        return "GET, HEAD";
    case POST:
        return "POST";
    case HEAD | PUT | PATCH:
        return "HEAD, PATCH, PUT";
    case GET | POST:
        return "GET, HEAD, POST";
    case GET | PATCH:
        return "GET, HEAD, PATCH";
    case DELETE:
        return "DELETE";
    case GET | DELETE:
        return "DELETE, GET, HEAD";
    default:
        return "";
    }
}

const struct pf_call *pf_call_match(enum pf_listener listener,
                                    const char *method, const char *path,
                                    struct pf_call_args *args, int *path_known,
                                    const char **allow)
{
    int head = !strcmp(method, "HEAD");
    const struct pf_call *found = NULL;
    unsigned methods = 0;
    size_t i;

    for (i = 0; i < PF_CALL_COUNT && !found; i++) {
        const struct pf_call *call = &pf_calls[i];
        struct pf_call_args values = {{0}, 0, {0}, {0}};

        if (call->listener != listener ||
            !path_matches(call->path, path, &values))
            continue;
        methods |= method_bit(call->method);
        if (strcmp(call->method, method) &&
            !(head && !strcmp(call->method, "GET")))
            continue;
        found = call;
        if (args)
            *args = values;
    }
    if (path_known)
        *path_known = methods != 0;
    if (allow && !found && methods)
        *allow = allow_value(methods);
    return found;
}

enum pocketfed_status pf_call_path(enum pf_call_id id,
                                   const struct pf_call_args *args, char *out,
                                   size_t cap)
{
    char text[PF_CALL_PATH_MAX], value[2 * sizeof args->digest + 1];
    const char *pattern;
    size_t n = 0, len;

    if ((unsigned)id >= PF_CALL_COUNT)
        return POCKETFED_INVALID;
    for (pattern = pf_calls[id].path; *pattern;) {
        if (*pattern != '{') {
            text[n++] = *pattern++;
            continue;
        }
        if (pattern[1] == 't') {
            if (!pf_task_name_ok(args->task))
                return POCKETFED_INVALID;
            memcpy(value, args->task, strlen(args->task) + 1);
        } else if (pattern[1] == 'r') {
            snprintf(value, sizeof value, "%llu",
                     (unsigned long long)args->round);
        } else if (is_device(pattern + 1)) {
            pf_hex(args->device, sizeof args->device, value);
        } else {
            pf_hex(args->digest, sizeof args->digest, value);
        }
        len = strlen(value);
        memcpy(text + n, value, len); /* the longest: 64 + 20 + the letters */
        n += len;
        pattern = strchr(pattern, '}') + 1;
    }
    if (n >= cap)
        return POCKETFED_LIMIT;
    memcpy(out, text, n);
    out[n] = '\0';
    return POCKETFED_OK;
}
