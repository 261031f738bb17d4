#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "file.h"
#include "json.h"
#include "task.h"

#define MINIMAL "\"name\":\"mnist\",\"model\":\"lenet5\""

static struct pf_task t;
static struct pf_error err;

static enum pocketfed_status parse(const char *text)
{
    memset(&err, 0, sizeof err);
    return pf_task_parse(text, strlen(text), &t, &err);
}

/* The members beside name and model. */
static enum pocketfed_status parse_with(const char *members)
{
    char text[2048];

    snprintf(text, sizeof text, "{" MINIMAL ",%s}", members);
    return parse(text);
}

static void is_refused(enum pocketfed_status st, const char *member,
                       const char *hint)
{
    assert_int_equal(st, POCKETFED_CONFIG);
    assert_int_equal(err.status, POCKETFED_CONFIG);
    if (!strstr(err.text, member))
        fail_msg("\"%s\" does not name \"%s\"", err.text, member);
    if (hint && !strstr(err.hint, hint))
        fail_msg("\"%s\" does not offer \"%s\"", err.hint, hint);
}

static void a_name_and_a_model_are_enough(void **state)
{
    (void)state;
    assert_int_equal(parse("{" MINIMAL "}"), POCKETFED_OK);
    assert_string_equal(t.name, "mnist");
    assert_string_equal(t.model, "lenet5");
    assert_true(t.spec.len > 0);
    assert_int_equal(t.round.collect.min, 8);
    assert_int_equal(t.round.collect.max, 10);
    assert_int_equal(t.round.select.min, 10);
    assert_int_equal(t.round.select.max, 13); /* 1.3 times 10 */
    assert_int_equal(t.update.cohort_max, 10);
    assert_string_equal(t.update.codec, "f32");
    assert_string_equal(t.strategy.name, "fedavg");
    assert_int_equal(t.seed, 1);
    pf_task_free(&t);
}

static void what_is_left_out_follows_from_what_is_given(void **state)
{
    (void)state;
    assert_int_equal(parse_with("\"round\":{\"over_select\":1.5,\"collect\":{"
                                "\"max\":101}}"),
                     POCKETFED_OK);
    assert_int_equal(t.round.collect.min, 81); /* four fifths, up */
    assert_int_equal(t.round.select.max, 152); /* 151.5 */
    assert_int_equal(t.round.select.min, 101);
    assert_int_equal(t.update.cohort_max, 101);
    pf_task_free(&t);
    assert_int_equal(parse_with("\"round\":{\"select\":{\"max\":10}}"),
                     POCKETFED_OK);
    assert_int_equal(t.round.select.min, 10);
    pf_task_free(&t);
    assert_int_equal(parse_with("\"round\":{\"select\":{\"min\":40}}"),
                     POCKETFED_OK);
    assert_int_equal(t.round.select.max, 40);
    pf_task_free(&t);
}

static void every_member_is_read(void **state)
{
    static const char text[] =
        "{\"name\":\"a.b-1\",\"seed\":\"18446744073709551615\",\"model\":"
        "\"logreg\",\"init\":\"m.safetensors\",\"train\":{\"optimizer\":"
        "\"adam\",\"lr\":0.001,\"epochs\":2,\"batch\":16,\"shuffle\":false},"
        "\"update\":{\"codec\":\"f16\",\"range\":1,\"bits\":24,\"max_norm\":5,"
        "\"min_examples\":3,\"max_examples\":100},\"round\":{\"policy\":"
        "\"sync\",\"over_select\":2,\"select\":{\"min\":4,\"max\":6,\"min_s\":"
        "1,\"max_s\":2},\"collect\":{\"min\":3,\"max\":5,\"min_s\":0.5,"
        "\"max_s\":7},\"retry_s\":9,\"poll_min_s\":0.1,\"poll_max_s\":0.2},"
        "\"strategy\":{\"name\":\"fedavg\",\"eta\":0.5},\"evaluate\":{\"data\":"
        "\"/data\",\"every\":3},\"stop\":{\"rounds\":7,\"accuracy\":0.5,"
        "\"after_s\":60},\"keep\":{\"models\":4,\"updates\":\"none\"}}";

    (void)state;
    if (parse(text))
        fail_msg("%s", err.text);
    assert_true(t.seed == UINT64_MAX);
    assert_string_equal(t.init, "m.safetensors");
    assert_int_equal(t.train.optimizer, PF_ADAM);
    assert_int_equal(t.train.shuffle, 0);
    assert_int_equal(t.update.bits, 24);
    assert_int_equal(t.update.min_examples, 3);
    assert_int_equal(t.round.select.min, 4);
    assert_int_equal(t.round.select.max, 6);
    assert_true(t.round.collect.min_s == 0.5 && t.round.collect.max_s == 7);
    assert_true(t.round.poll_max_s == 0.2);
    assert_true(t.strategy.eta == 0.5);
    assert_string_equal(t.evaluate.data, "/data");
    assert_int_equal(t.evaluate.every, 3);
    assert_int_equal(t.stop.rounds, 7);
    assert_int_equal(t.keep.models, 4);
    pf_task_free(&t);
}

static void a_model_may_be_given_inline(void **state)
{
    char text[8192];

    (void)state;
    snprintf(text, sizeof text, "{\"name\":\"x\",\"model\":%s}",
             pf_zoo_spec("logreg"));
    if (parse(text))
        fail_msg("%s", err.text);
    assert_string_equal(t.model, "");
    assert_true(t.spec.len > 0);
    pf_task_free(&t);
}

static void wrong_members_are_named(void **state)
{
    static const struct {
        const char *text, *member, *hint;
    } row[] = {
        {"{}", "name", NULL},
        {"{\"name\":\"x\"}", "model", NULL},
        {"[]", "object", NULL},
        {"{" MINIMAL, "", NULL},
        {"{" MINIMAL ",\"rounds\":1}", "rounds", "round"},
        {"{" MINIMAL ",\"train\":{\"learning_rate\":1}}", "learning_rate",
         NULL},
        {"{" MINIMAL ",\"train\":{\"epoch\":1}}", "epoch", "epochs"},
        {"{" MINIMAL ",\"update\":{\"cohort_max\":1}}", "cohort_max", NULL},
        {"{\"name\":\"Mnist\",\"model\":\"mlp\"}", "name", NULL},
        {"{\"name\":\"../x\",\"model\":\"mlp\"}", "name", NULL},
        {"{\"name\":\"x\",\"model\":\"lenet\"}", "lenet", "lenet5"},
        {"{\"name\":\"x\",\"model\":7}", "", NULL},
        {"{\"name\":\"x\",\"model\":{\"version\":1}}", "", NULL},
        {"{" MINIMAL ",\"update\":{\"codec\":\"f61\"}}", "update.codec", "f16"},
        {"{" MINIMAL ",\"update\":{\"range\":3}}", "update.range", NULL},
        {"{" MINIMAL ",\"update\":{\"bits\":15}}", "update.bits", NULL},
        {"{" MINIMAL ",\"update\":{\"max_norm\":0}}", "update.max_norm", NULL},
        {"{" MINIMAL ",\"update\":{\"bits\":48,\"max_examples\":100000}}",
         "update.max_examples", "lower"},
        {"{" MINIMAL ",\"train\":{\"lr\":0}}", "lr", NULL},
        {"{" MINIMAL ",\"train\":{\"optimizer\":\"adm\"}}", "optimizer",
         "adam"},
        {"{" MINIMAL ",\"round\":{\"policy\":\"assync\"}}", "policy", "async"},
        {"{" MINIMAL ",\"round\":{\"over_select\":0.5}}", "over_select", NULL},
        {"{" MINIMAL ",\"round\":{\"collect\":{\"min\":11}}}",
         "round.collect.min", NULL},
        {"{" MINIMAL ",\"round\":{\"collect\":{\"min\":0}}}", "collect", NULL},
        {"{" MINIMAL ",\"round\":{\"select\":{\"min\":9,\"max\":8}}}",
         "round.select.min", NULL},
        {"{" MINIMAL ",\"round\":{\"select\":{\"max\":9}}}",
         "round.collect.max", NULL},
        {"{" MINIMAL ",\"round\":{\"select\":{\"min\":7}}}", "round.select.min",
         NULL},
        {"{" MINIMAL ",\"round\":{\"select\":{\"min_s\":9,\"max_s\":8}}}",
         "round.select.min_s", NULL},
        {"{" MINIMAL ",\"round\":{\"collect\":{\"max_s\":0}}}", "max_s", NULL},
        {"{" MINIMAL ",\"round\":{\"collect\":{\"max\":999999}}}",
         "round.select.max", NULL},
        {"{" MINIMAL ",\"round\":{\"poll_min_s\":90}}", "poll_min_s", NULL},
        {"{" MINIMAL ",\"strategy\":{\"name\":\"fedavgm\"}}", "fedavgm",
         "fedavg"},
        {"{" MINIMAL ",\"strategy\":{\"eta\":0}}", "strategy.eta", NULL},
        {"{" MINIMAL ",\"evaluate\":{\"every\":0}}", "every", NULL},
        {"{" MINIMAL ",\"stop\":{\"accuracy\":1.5}}", "accuracy", NULL},
        {"{" MINIMAL ",\"stop\":{\"accuracy\":0.9}}", "evaluate.data",
         "evaluate.data"},
        {"{" MINIMAL ",\"keep\":{\"models\":1}}", "models", NULL},
        {"{" MINIMAL ",\"keep\":{\"updates\":\"some\"}}", "keep.updates", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
        memset(&t, 0x55, sizeof t);
        is_refused(parse(row[i].text), row[i].member, row[i].hint);
        assert_int_equal(((uint8_t *)&t)[0], 0x55); /* untouched */
    }
}

static void a_file_that_is_too_long_is_refused(void **state)
{
    char *text = malloc(PF_MAX_TASK_FILE + 1);

    (void)state;
    assert_non_null(text);
    memset(text, ' ', PF_MAX_TASK_FILE + 1);
    is_refused(pf_task_parse(text, PF_MAX_TASK_FILE + 1, &t, &err), "bytes",
               NULL);
    free(text);
}

static void the_plan_says_what_the_task_says(void **state)
{
    struct pf_model *m = NULL;
    struct pf_plan p, again;
    struct pf_buf text;

    (void)state;
    assert_int_equal(parse_with("\"round\":{\"collect\":{\"max\":7}},"
                                "\"train\":{\"lr\":0.25}"),
                     POCKETFED_OK);
    assert_int_equal(pf_model_create(pf_buf_str(&t.spec), t.spec.len, &m, &err),
                     POCKETFED_OK);
    pf_plan_init(&p);
    pf_plan_init(&again);
    pf_buf_init(&text, PF_MAX_PLAN);
    assert_int_equal(pf_task_plan(&t, m, &p, &err), POCKETFED_OK);
    assert_string_equal(p.task, "mnist");
    assert_int_equal(p.revision, 1);
    assert_int_equal(p.update.cohort_max, 7);
    assert_true(p.train.lr == 0.25);
    assert_string_equal(p.retention, "none");
    assert_string_equal(pf_buf_str(&p.model), pf_model_spec(m));
    /* At least the parameters, gradients, base and frame; at most a few MB. */
    assert_true(p.memory > 4 * 61706 * 4 && p.memory < 64u << 20);
    assert_int_equal(pf_plan_encode(&p, &text), POCKETFED_OK);
    assert_int_equal(pf_plan_decode(pf_buf_str(&text), text.len, &again, &err),
                     POCKETFED_OK);
    t.round.collect.max = 6; /* a simulator may change a task it has read */
    assert_int_equal(pf_task_plan(&t, m, &again, &err), POCKETFED_OK);
    assert_int_equal(again.update.cohort_max, 6);
    pf_buf_free(&text);
    pf_plan_free(&p);
    pf_plan_free(&again);
    pf_model_free(m);
    pf_task_free(&t);
}

/* docs/TASKS.md has one line "| `key` | ... | help |" for each member. */
static void are_documented(const char *doc, const struct pf_json_field *f,
                           const char *prefix)
{
    char key[128], line[512];

    for (; f->key; f++) {
        snprintf(key, sizeof key, "%s%s", prefix, f->key);
        if (f->type == PF_JSON_OBJECT) {
            snprintf(line, sizeof line, "## %s\n\n%s.", key, f->help);
            if (!strstr(doc, line))
                fail_msg("docs/TASKS.md lacks:\n%s", line);
            snprintf(key + strlen(key), 2, ".");
            are_documented(doc, f->fields, key);
            continue;
        }
        snprintf(line, sizeof line, "| `%s` | ", key);
        if (!strstr(doc, line) || !strstr(strstr(doc, line), f->help))
            fail_msg("docs/TASKS.md lacks: %s... %s |", line, f->help);
    }
}

static void every_member_is_documented(void **state)
{
    struct pf_buf doc;

    (void)state;
    pf_buf_init(&doc, 1u << 20);
    assert_int_equal(pf_file_read(PF_TEST_DIR "/../docs/TASKS.md", &doc, &err),
                     POCKETFED_OK);
    are_documented(pf_buf_str(&doc), pf_task_fields, "");
    pf_buf_free(&doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_and_a_model_are_enough),
        cmocka_unit_test(what_is_left_out_follows_from_what_is_given),
        cmocka_unit_test(every_member_is_read),
        cmocka_unit_test(a_model_may_be_given_inline),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(a_file_that_is_too_long_is_refused),
        cmocka_unit_test(the_plan_says_what_the_task_says),
        cmocka_unit_test(every_member_is_documented),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
