#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "log.h"

struct seen {
    int lines;
    enum pf_log_level level;
    char line[2048];
};

static void keep(void *ctx, enum pf_log_level level, const char *line)
{
    struct seen *s = ctx;

    s->lines++;
    s->level = level;
    assert_true(strlen(line) < sizeof s->line);
    memcpy(s->line, line, strlen(line) + 1);
}

static void hands_each_line_to_the_sink(void **state)
{
    struct seen s = {0};
    struct pf_log log = {keep, &s, PF_LOG_INFO};

    (void)state;
    pf_log(&log, PF_LOG_WARN, "round closed task=%s round=%d", "a", 3);
    assert_int_equal(s.lines, 1);
    assert_int_equal(s.level, PF_LOG_WARN);
    assert_string_equal(s.line, "round closed task=a round=3");
}

static void drops_what_is_above_the_maximum(void **state)
{
    struct seen s = {0};
    struct pf_log log = {keep, &s, PF_LOG_WARN}, silent = {0};

    (void)state;
    pf_log(&log, PF_LOG_INFO, "x");
    pf_log(NULL, PF_LOG_ERROR, "x");
    pf_log(&silent, PF_LOG_ERROR, "x");
    assert_int_equal(s.lines, 0);
    pf_log(&log, PF_LOG_ERROR, "x");
    assert_int_equal(s.lines, 1);
}

static void a_line_stays_one_line(void **state)
{
    struct seen s = {0};
    struct pf_log log = {keep, &s, PF_LOG_DEBUG};

    (void)state;
    pf_log(&log, PF_LOG_INFO, "device=%s", "a\nerror forged\x1b[0m");
    assert_string_equal(s.line, "device=a error forged [0m");
}

static void a_long_line_is_cut(void **state)
{
    struct seen s = {0};
    struct pf_log log = {keep, &s, PF_LOG_DEBUG};
    char word[3000];

    (void)state;
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    pf_log(&log, PF_LOG_INFO, "%s", word);
    assert_int_equal(strlen(s.line), 1024);
    assert_string_equal(s.line + 1020, "x...");
}

/* What pf_log_stderr writes for a line, by way of a pipe in stderr's place. */
static void written(enum pf_log_level level, const char *line, char *out,
                    size_t cap)
{
    int ends[2], old = dup(STDERR_FILENO);
    ssize_t n;

    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    pf_log_stderr(NULL, level, line);
    dup2(old, STDERR_FILENO);
    close(old);
    close(ends[1]);
    n = read(ends[0], out, cap - 1);
    close(ends[0]);
    assert_true(n >= 0);
    out[n] = '\0';
}

static void stderr_gets_a_level_word_or_a_priority(void **state)
{
    char out[128];

    (void)state;
    unsetenv("JOURNAL_STREAM");
    written(PF_LOG_WARN, "disk low", out, sizeof out);
    assert_string_equal(out, "warn disk low\n");
    setenv("JOURNAL_STREAM", "8:1", 1);
    written(PF_LOG_ERROR, "disk full", out, sizeof out);
    assert_string_equal(out, "<3>disk full\n");
    written(PF_LOG_DEBUG, "x", out, sizeof out);
    assert_string_equal(out, "<7>x\n");
    unsetenv("JOURNAL_STREAM");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hands_each_line_to_the_sink),
        cmocka_unit_test(drops_what_is_above_the_maximum),
        cmocka_unit_test(a_line_stays_one_line),
        cmocka_unit_test(a_long_line_is_cut),
        cmocka_unit_test(stderr_gets_a_level_word_or_a_priority),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
