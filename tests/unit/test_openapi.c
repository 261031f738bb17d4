/* openapi_matches_calls: proto/openapi/ against the tables of the code.
 *
 *   openapi_matches_calls            the tests
 *   openapi_matches_calls schemas    writes proto/openapi/schemas.yaml anew
 *   openapi_matches_calls problems   writes proto/openapi/problems.yaml anew
 *
 * Only as much of YAML is read as those files use: two blanks a level, one key
 * a line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "calls.h"
#include "file.h"
#include "openapi.h"
#include "problem.h"

#define DIR      PF_TEST_DIR "/../proto/openapi/"
#define MAX_FILE (1u << 20)

static const char *const files[] = {
    "openapi.yaml",   "tasks.yaml",   "objects.yaml",   "updates.yaml",
    "admin.yaml",     "ops.yaml",     "responses.yaml", "parameters.yaml",
    "documents.yaml", "schemas.yaml", "problems.yaml",  NULL,
};

static void load(const char *name, struct pf_buf *out)
{
    char path[1024];

    snprintf(path, sizeof path, DIR "%s", name);
    pf_buf_init(out, MAX_FILE);
    if (pf_file_read(path, out, NULL))
        fail_msg("cannot read %s", path);
}

/* The line at *at without its end; *at moves to the next. 0 at the end. */
static int next_line(const char **at, char *line, size_t cap)
{
    size_t n = strcspn(*at, "\n");

    if (!**at)
        return 0;
    assert_true(n < cap);
    memcpy(line, *at, n);
    line[n] = '\0';
    *at += n + ((*at)[n] == '\n');
    return 1;
}

static size_t indent(const char *line)
{
    return strspn(line, " ");
}

/* The key that `line` opens at that indentation: "key:"; 1 or 0. */
static int key_at(const char *line, size_t depth, char *key, size_t cap)
{
    size_t n;

    if (indent(line) != depth || !line[depth] || line[depth] == '#')
        return 0;
    n = strcspn(line + depth, ":");
    if (line[depth + n] != ':' || n >= cap)
        return 0;
    memcpy(key, line + depth, n);
    key[n] = '\0';
    return 1;
}

/* One operation of one path, as far as it is compared. */
struct operation {
    char path[128], method[16];
    char text[8192]; /* its lines */
};

static void add_line(struct operation *op, const char *line)
{
    size_t n = strlen(op->text);

    assert_true(n + strlen(line) + 2 < sizeof op->text);
    snprintf(op->text + n, sizeof op->text - n, "%s\n", line);
}

/* The operations below `name:` in a resource's file, appended to ops. */
static size_t read_item(const char *file, const char *name, const char *path,
                        struct operation *ops, size_t n, size_t cap)
{
    static const char *const methods[] = {"get",   "put",    "post", "head",
                                          "patch", "delete", NULL};
    char line[512], key[128];
    struct operation *op = NULL;
    struct pf_buf text;
    const char *at;
    int inside = 0;

    load(file, &text);
    for (at = pf_buf_str(&text); next_line(&at, line, sizeof line);) {
        if (key_at(line, 0, key, sizeof key))
            inside = !strcmp(key, name);
        if (!inside)
            continue;
        if (key_at(line, 2, key, sizeof key)) {
            op = NULL;
            for (size_t i = 0; methods[i]; i++)
                if (!strcmp(key, methods[i])) {
                    assert_true(n < cap);
                    op = &ops[n++];
                    memset(op, 0, sizeof *op);
                    snprintf(op->path, sizeof op->path, "%s", path);
                    for (size_t k = 0; key[k]; k++)
                        op->method[k] = (char)(key[k] - 'a' + 'A');
                }
        } else if (op) {
            add_line(op, line);
        }
    }
    pf_buf_free(&text);
    return n;
}

#define MAX_OPS 64
static struct operation ops[MAX_OPS];
static size_t n_ops;

static int read_all(void **state)
{
    char line[512], path[128] = "", key[128], file[64], name[64];
    struct pf_buf text;
    const char *at;
    int paths = 0;

    (void)state;
    load("openapi.yaml", &text);
    for (at = pf_buf_str(&text); next_line(&at, line, sizeof line);) {
        if (key_at(line, 0, key, sizeof key))
            paths = !strcmp(key, "paths");
        if (!paths)
            continue;
        if (key_at(line, 2, key, sizeof key))
            snprintf(path, sizeof path, "%s", key);
        else if (sscanf(line, " $ref: '%63[^#]#/%63[^']'", file, name) == 2)
            n_ops = read_item(file, name, path, ops, n_ops, MAX_OPS);
    }
    pf_buf_free(&text);
    return 0;
}

static const struct operation *find(const struct pf_call *call)
{
    for (size_t i = 0; i < n_ops; i++)
        if (!strcmp(ops[i].path, call->path) &&
            !strcmp(ops[i].method, call->method))
            return &ops[i];
    return NULL;
}

static void every_call_is_described(void **state)
{
    (void)state;
    for (int i = 0; i < PF_CALL_COUNT; i++)
        if (!find(&pf_calls[i]))
            fail_msg("openapi lacks %s %s", pf_calls[i].method,
                     pf_calls[i].path);
}

static void nothing_else_is_described(void **state)
{
    (void)state;
    for (size_t i = 0; i < n_ops; i++) {
        int known = 0;

        for (int k = 0; k < PF_CALL_COUNT; k++)
            known |= find(&pf_calls[k]) == &ops[i];
        if (!known)
            fail_msg("no call %s %s", ops[i].method, ops[i].path);
    }
    assert_int_equal(n_ops, PF_CALL_COUNT);
}

static void auth_body_and_maximum_are_those_of_the_call(void **state)
{
    static const char *const security[] = {
        [PF_AUTH_NONE] = "    security: []\n",
        [PF_AUTH_TOKEN] = "    security: [{newDeviceSignature: []}]\n",
        [PF_AUTH_DEVICE] = "    security: [{deviceSignature: []}]\n",
        [PF_AUTH_ADMIN] = "    security: []\n    x-auth: peer-credentials\n",
    };
    static const char *const types[] = {
        [PF_BODY_CONTROL] = "        " PF_TYPE_JSON ":\n",
        [PF_BODY_UPDATE] = "        " PF_TYPE_UPDATE ":\n",
    };

    (void)state;
    for (int i = 0; i < PF_CALL_COUNT; i++) {
        const struct pf_call *call = &pf_calls[i];
        const struct operation *op = find(call);
        const char *body, *responses, *type;
        char max[64];

        assert_non_null(op);
        if (!strstr(op->text, security[call->auth]))
            fail_msg("%s %s: auth", call->method, call->path);
        body = strstr(op->text, "    requestBody:\n");
        assert_int_equal(body != NULL, call->body != PF_BODY_NONE);
        if (!body)
            continue;
        responses = strstr(op->text, "    responses:\n");
        snprintf(max, sizeof max, "    x-max-bytes: %zu\n", call->max_body);
        if (!strstr(op->text, max))
            fail_msg("%s %s: want%s", call->method, call->path, max);
        type = call->id == PF_CALL_UPDATE_APPEND ? "        " PF_TYPE_PARTIAL
                                                   ":\n"
                                                 : types[call->body];
        assert_non_null(strstr(body, type));
        assert_true(strstr(body, type) < responses);
    }
}

/* Three digits, or 0. */
static int status_of(const char *s)
{
    return strspn(s, "0123456789") >= 3
               ? 100 * (s[0] - '0') + 10 * (s[1] - '0') + (s[2] - '0')
               : 0;
}

static int slug_row(const char *slug)
{
    for (int i = 1; i < PF_PROBLEM_COUNT; i++)
        if (!strcmp(pf_problem_rows[i].slug, slug))
            return i;
    return 0;
}

/* Every 'problems.yaml#/slug' stands below a response of its status: '401':,
 * or, of those that several calls share, one named like signed-401:. A shared
 * response is used only for its status. "default" and "any" take all. */
static void problems_stand_below_their_status(void **state)
{
    int used[PF_PROBLEM_COUNT] = {0};

    (void)state;
    for (size_t i = 0; files[i]; i++) {
        char line[512], key[128], slug[64], shared[64];
        struct pf_buf text;
        const char *at;
        int status = 0, row;

        load(files[i], &text);
        for (at = pf_buf_str(&text); next_line(&at, line, sizeof line);) {
            if (key_at(line, 6, key, sizeof key))
                status = key[0] == '\'' ? status_of(key + 1) : 0;
            else if (key_at(line, 0, key, sizeof key))
                status = strlen(key) > 4 && key[strlen(key) - 4] == '-'
                             ? status_of(key + strlen(key) - 3)
                             : 0;
            if (sscanf(line, " $ref: 'responses.yaml#/%63[^']'", shared) == 1 &&
                status && status_of(shared + strlen(shared) - 3) != status)
                fail_msg("%s: %s for %d", files[i], shared, status);
            if (!strstr(line, "'problems.yaml#/"))
                continue;
            assert_int_equal(sscanf(strstr(line, "#/"), "#/%63[a-z-]", slug),
                             1);
            row = slug_row(slug);
            if (!row)
                fail_msg("%s: no problem %s", files[i], slug);
            used[row] = 1;
            if (status && pf_problem_rows[row].status != status)
                fail_msg("%s: %s below %d", files[i], slug, status);
        }
        pf_buf_free(&text);
    }
    for (int i = 1; i < PF_PROBLEM_COUNT; i++)
        if (!used[i])
            fail_msg("no call is answered %s", pf_problem_rows[i].slug);
}

static void is_made_of(const char *file, void (*make)(struct pf_buf *out))
{
    struct pf_buf want, have;

    pf_buf_init(&want, MAX_FILE);
    make(&want);
    load(file, &have);
    if (strcmp(pf_buf_str(&want), pf_buf_str(&have)))
        fail_msg("%s is not what the tables say; run openapi_matches_calls "
                 "with its name",
                 file);
    pf_buf_free(&want);
    pf_buf_free(&have);
}

static void schemas_are_the_field_tables(void **state)
{
    (void)state;
    is_made_of("schemas.yaml", pf_openapi_schemas);
}

static void problems_are_the_problem_table(void **state)
{
    (void)state;
    is_made_of("problems.yaml", pf_openapi_problems);
}

/* 1 when file has `name` as a key of its top level. */
static int has_key(const char *file, const char *name)
{
    char line[512], key[128];
    struct pf_buf text;
    const char *at;
    int found = 0;

    load(file, &text);
    for (at = pf_buf_str(&text); next_line(&at, line, sizeof line);)
        found |= key_at(line, 0, key, sizeof key) && !strcmp(key, name);
    pf_buf_free(&text);
    return found;
}

static void every_reference_leads_somewhere(void **state)
{
    (void)state;
    for (size_t i = 0; files[i]; i++) {
        char line[512], to[64], name[64];
        struct pf_buf text;
        const char *at, *ref;

        load(files[i], &text);
        for (at = pf_buf_str(&text); next_line(&at, line, sizeof line);) {
            ref = strstr(line, "$ref: '");
            if (!ref)
                continue;
            snprintf(to, sizeof to, "%s", files[i]);
            if (sscanf(ref, "$ref: '#/%63[^'/]'", name) != 1 &&
                sscanf(ref, "$ref: '%63[^#]#/%63[^'/]'", to, name) != 2)
                fail_msg("%s: %s", files[i], line);
            if (!has_key(to, name))
                fail_msg("%s: nothing at %s", files[i], ref);
        }
        pf_buf_free(&text);
    }
}

static void protocol_md_lists_every_problem(void **state)
{
    static const char *const actions[] = {
        [PF_DO_RETRY] = "retry",
        [PF_DO_DROP] = "drop",
        [PF_DO_STOP] = "stop",
        [PF_DO_CLOCK] = "clock",
    };
    struct pf_buf text;

    (void)state;
    load("../../docs/PROTOCOL.md", &text);
    for (int i = 1; i < PF_PROBLEM_COUNT; i++) {
        const struct pf_problem_row *row = &pf_problem_rows[i];
        char line[256];

        snprintf(line, sizeof line, "| `%s` | %d | %s | %s |\n", row->slug,
                 row->status, actions[row->action], row->title);
        if (!strstr(pf_buf_str(&text), line))
            fail_msg("docs/PROTOCOL.md lacks: %s", line);
    }
    pf_buf_free(&text);
}

static int write_anew(const char *name)
{
    struct pf_error err = {.text = ""};
    struct pf_buf text;
    char path[1024];

    pf_buf_init(&text, MAX_FILE);
    if (!strcmp(name, "schemas"))
        pf_openapi_schemas(&text);
    else if (!strcmp(name, "problems"))
        pf_openapi_problems(&text);
    else
        return 2;
    snprintf(path, sizeof path, DIR "%s.yaml", name);
    if (pf_file_replace(path, text.data, text.len, 0644, &err))
        fprintf(stderr, "%s: %s\n", path, err.text);
    pf_buf_free(&text);
    return err.status != POCKETFED_OK;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_is_described),
        cmocka_unit_test(nothing_else_is_described),
        cmocka_unit_test(auth_body_and_maximum_are_those_of_the_call),
        cmocka_unit_test(problems_stand_below_their_status),
        cmocka_unit_test(schemas_are_the_field_tables),
        cmocka_unit_test(problems_are_the_problem_table),
        cmocka_unit_test(every_reference_leads_somewhere),
        cmocka_unit_test(protocol_md_lists_every_problem),
    };

    if (argc == 2)
        return write_anew(argv[1]);
    return cmocka_run_group_tests(tests, read_all, NULL);
}
