#include "words.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAX_WORDS 12

struct pf_testdaemon words_daemon;
struct pf_run said;

void words_end(void)
{
    pf_run_free(&said);
    pf_kill_all();
    words_daemon.pid = 0;
    pf_testdaemon_end(&words_daemon);
}

void words_file(const char *name, const char *text)
{
    FILE *f = fopen(pf_in_dir(&words_daemon, name), "w");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

void words_run(const char *command, const char *words, const char *extra)
{
    const char *argv[MAX_WORDS + 2] = {PF_POCKETFED};
    char text[600], path[MAX_WORDS][160], *word, *rest = text;
    unsigned n = 1;

    snprintf(text, sizeof text, "%s %s %s", command, words, extra);
    while ((word = strtok_r(rest, " ", &rest)) != NULL) {
        assert_in_range(n, 1, MAX_WORDS);
        if (word[0] == '%') {
            snprintf(path[n - 1], sizeof path[0], "%s",
                     pf_in_dir(&words_daemon, word + 1));
            word = path[n - 1];
        }
        argv[n++] = word;
    }
    pf_run(&said, NULL, argv);
}

void words_has(const struct pf_buf *text, const char *part)
{
    if (!strstr(pf_buf_str(text), part))
        fail_msg("\"%s\" is not in: %s", part, pf_buf_str(text));
}

unsigned words_json(const struct pf_buf *text, struct pf_json_doc **last)
{
    const char *at = pf_buf_str(text);
    unsigned n = 0;

    *last = NULL;
    for (; *at; n++) {
        size_t len = strcspn(at, "\n");

        pf_json_free(*last);
        *last = NULL;
        if (pf_json_parse(at, len, last, NULL) ||
            pf_json_kind(pf_json_root(*last)) != PF_JSON_KIND_OBJECT)
            fail_msg("not a JSON object: %s", at);
        at += len + (at[len] == '\n');
    }
    return n;
}

void words_fail_in_json(int code)
{
    const struct pf_json_node *root;
    struct pf_json_doc *doc;
    int64_t code_said;

    if (said.code != code)
        fail_msg("exit %d, wanted %d: %s%s", said.code, code,
                 pf_buf_str(&said.out), pf_buf_str(&said.err));
    assert_int_equal(words_json(&said.out, &doc), 1);
    assert_int_equal(said.err.len, 0);
    root = pf_json_root(doc);
    assert_string_equal(pf_json_text(pf_json_get(root, "type")), "error");
    assert_non_null(pf_json_get(root, "success"));
    assert_false(pf_json_is_true(pf_json_get(root, "success")));
    assert_true(
        pf_json_integer(pf_json_get(root, "exit_code"), 0, 255, &code_said));
    assert_int_equal(code_said, code);
    assert_true(strlen(pf_json_text(pf_json_get(root, "what"))) > 0);
    assert_true(strlen(pf_json_text(pf_json_get(root, "why"))) > 0);
    pf_json_free(doc);
}
