/* Wire version 1 binds: what tests/golden/wire-1 holds was sent once, and must
 * come out, and be understood, for ever.  A new optional member changes no file
 * there; anything else is wire version 2.
 *
 * `unit_wire DIR` writes the files: for a new message, never for a change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "bytes.h"
#include "file.h"
#include "httpsig.h"
#include "joinlink.h"
#include "statement.h"
#include "tables.h"
#include "update.h"

#define DIR PF_TEST_DIR "/golden/wire-1/"

static struct pf_key *key;
static const char *write_to; /* instead of comparing */

/* The test key of RFC 9421, B.1.4, in two halves. */
static void make_key(void)
{
    static const char *const pem[] = {
        "-----BEGIN PRIVATE ",
        "KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50D",
        "FtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE ", "KEY-----\n"};
    char path[] = "/tmp/pocketfed-wire-XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(write(fd, pem[i], strlen(pem[i])), strlen(pem[i]));
    close(fd);
    assert_int_equal(pf_key_load(path, &key, NULL), POCKETFED_OK);
    unlink(path);
}

static void golden(const char *name, const void *p, size_t n)
{
    struct pf_error err = {0};
    struct pf_buf want;
    char path[600];

    snprintf(path, sizeof path, "%s%s", write_to ? write_to : DIR, name);
    if (write_to) {
        assert_int_equal(pf_file_replace(path, p, n, 0644, &err), 0);
        return;
    }
    pf_buf_init(&want, 1u << 20);
    if (pf_file_read(path, &want, &err))
        fail_msg("%s", err.text);
    if (want.len != n || memcmp(want.data, p, n) != 0)
        fail_msg("%s: the bytes of wire version 1 have changed", name);
    pf_buf_free(&want);
}

static void each_message_is_written_as_it_was(void **state)
{
    char name[80];

    (void)state;
    for (const struct pf_table *t = pf_tables; t->name; t++) {
        union {
            char bytes[16384];
            uint64_t align;
        } m, back;
        struct pf_buf text, again;
        struct pf_error err = {0};

        if (strcmp(t->name, "plan") == 0 ||
            strcmp(t->name, "train_config") == 0 ||
            strcmp(t->name, "plan_update") == 0)
            continue; /* the_plan below */
        assert_true(t->size <= sizeof m);
        memset(&m, 0, sizeof m);
        memset(&back, 0, sizeof back);
        table_fill(t, &m, 0);
        pf_buf_init(&text, 1u << 16);
        pf_buf_init(&again, 1u << 16);
        assert_int_equal(pf_json_encode(t->fields, &m, &text), POCKETFED_OK);
        snprintf(name, sizeof name, "%s.json", t->name);
        golden(name, text.data, text.len);
        if (pf_json_decode(t->fields, PF_JSON_IGNORE, pf_buf_str(&text),
                           text.len, &back, &err))
            fail_msg("%s: %s", name, err.text);
        pf_json_encode(t->fields, &back, &again);
        assert_string_equal(pf_buf_str(&text), pf_buf_str(&again));
        pf_buf_free(&text);
        pf_buf_free(&again);
    }
}

static void the_plan_is_written_as_it_was(void **state)
{
    struct pf_plan plan, back;
    struct pf_error err = {0};
    struct pf_buf text;

    (void)state;
    pf_plan_init(&plan);
    pf_plan_init(&back);
    snprintf(plan.task, sizeof plan.task, "golden");
    pf_buf_adds(&plan.model, "{\"version\":1}");
    plan.memory = 123456;
    pf_buf_init(&text, PF_MAX_PLAN);
    assert_int_equal(pf_plan_encode(&plan, &text), POCKETFED_OK);
    golden("plan.json", text.data, text.len);
    if (pf_plan_decode(pf_buf_str(&text), text.len, &back, &err))
        fail_msg("%s", err.text);
    pf_buf_free(&text);
    pf_plan_free(&plan);
    pf_plan_free(&back);
}

static void make_frame(struct pf_buf *out)
{
    static const uint8_t delta[] = {0, 0,    0x80, 0x3f, 0, 0,
                                    0, 0xc0, 0,    0,    0, 0};
    struct pf_update u;
    size_t at;

    memset(&u, 0, sizeof u);
    snprintf(u.task, sizeof u.task, "golden");
    u.round = 7;
    memset(u.plan, 1, 32);
    memset(u.base, 2, 32);
    memset(u.layout, 3, 32);
    u.examples = 600;
    u.n_metrics = 2;
    snprintf(u.metrics[0].name, sizeof u.metrics[0].name, "train_loss");
    u.metrics[0].value = 0.25;
    snprintf(u.metrics[1].name, sizeof u.metrics[1].name, "steps");
    u.metrics[1].value = 60;
    u.n_sections = 1;
    u.sections[0].kind = PF_SECTION_DELTA;
    u.sections[0].codec = 1;
    u.sections[0].count = 3;
    assert_int_equal(pf_update_begin(out, &u), POCKETFED_OK);
    at = out->len;
    pf_buf_add(out, delta, sizeof delta);
    assert_int_equal(pf_update_section_end(out, &u, 0, at), POCKETFED_OK);
}

static void an_update_frame_is_written_as_it_was(void **state)
{
    struct pf_update back;
    struct pf_buf frame;

    (void)state;
    pf_buf_init(&frame, 4096);
    make_frame(&frame);
    assert_int_equal(pf_get16(frame.data + 4), 1);
    golden("update.frame", frame.data, frame.len);
    assert_int_equal(pf_update_parse(frame.data, frame.len, &back, NULL), 0);
    assert_string_equal(back.task, "golden");
    assert_int_equal(back.examples, 600);
    pf_put16(frame.data + 4, 0); /* of the first release: the same layout */
    assert_int_equal(pf_update_parse(frame.data, frame.len, &back, NULL), 0);
    pf_put16(frame.data + 4, 2);
    assert_int_equal(pf_update_parse(frame.data, frame.len, &back, NULL),
                     POCKETFED_MALFORMED);
    pf_buf_free(&frame);
}

static void a_request_is_signed_as_it_was(void **state)
{
    struct pf_signed_request rq = {
        .method = "PUT",
        .path = "/v1/tasks/golden/rounds/7/update",
        .query = "?",
        .repr_digest = "sha-256=:SROfBCRB3Nppeo7L3ELDbpMJeUuhGBcPfgpoElCZhcI=:",
        .record_key =
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
    };
    struct pf_signature_params params = {.created = 1700000000,
                                         .nonce = "bm9uY2U",
                                         .keyid =
                                             "b16c2d1bead1262639764fdb0ee4d377",
                                         .alg = PF_KEY_ED25519};
    struct pf_buf input, value, both;

    (void)state;
    pf_buf_init(&input, 4096);
    pf_buf_init(&value, 4096);
    pf_buf_init(&both, 8192);
    assert_int_equal(
        pf_httpsig_make(&rq, &params, key, NULL, NULL, &input, &value), 0);
    pf_buf_addf(&both, "%s\n%s\n", pf_buf_str(&input), pf_buf_str(&value));
    golden("request.signature", both.data, both.len);
    pf_buf_free(&input);
    pf_buf_free(&value);
    pf_buf_free(&both);
}

static void statements_are_signed_as_they_were(void **state)
{
    static const char *const labels[] = {
        PF_SAY_PLAN, PF_SAY_ENROLMENT, PF_SAY_ASSIGNMENT, PF_SAY_ACK,
        PF_SAY_TIME, PF_SAY_RECORD,    PF_SAY_LOG,        PF_SAY_ROTATION};
    uint8_t sig[PF_SIGNATURE_LEN];
    struct pf_buf all;
    char field[96];

    (void)state;
    pf_buf_init(&all, 8192);
    for (size_t i = 0; i < sizeof labels / sizeof *labels; i++) {
        assert_int_equal(pf_statement_sign(key, labels[i], "body", 4, sig), 0);
        pf_statement_field(sig, field);
        pf_buf_addf(&all, "%s %s\n", labels[i], field);
    }
    golden("statements", all.data, all.len);
    pf_buf_free(&all);
}

static void what_records_are_made_of_is_written_as_it_was(void **state)
{
    struct pf_leaf leaf = {
        .round = 7, .weight = 600, .staleness = 2, .status = PF_LEAF_COUNTED};
    const struct pf_sums_head head = {3, 2, 1200, 0, 1};
    uint8_t device[PF_DEVICE_LEN], bytes[PF_LEAF_LEN], sums[PF_SUMS_HEAD];
    uint8_t model[32], strategy[32], digest[32];
    struct pf_buf all;

    (void)state;
    memset(device, 9, sizeof device);
    memset(model, 4, sizeof model);
    memset(strategy, 5, sizeof strategy);
    memset(leaf.digest, 6, sizeof leaf.digest);
    pf_pseudonym(device, "golden", 7, leaf.pseudonym);
    pf_leaf_write(&leaf, bytes);
    pf_sums_head_write(&head, sums);
    pf_state_digest(model, strategy, 29, digest);
    pf_buf_init(&all, 4096);
    pf_buf_add(&all, bytes, sizeof bytes);
    pf_buf_add(&all, sums, sizeof sums);
    pf_buf_add(&all, digest, sizeof digest);
    golden("leaf-sums-state", all.data, all.len);
    pf_buf_free(&all);
}

static void a_join_link_is_written_as_it_was(void **state)
{
    struct pf_join_link l;
    char text[PF_JOIN_LINK_MAX];

    (void)state;
    memset(&l, 0, sizeof l);
    snprintf(l.host, sizeof l.host, "fed.example.org");
    l.port = 9443;
    snprintf(l.task, sizeof l.task, "golden");
    memset(l.id, 7, 32);
    memset(l.pins[0], 8, 32);
    l.n_pins = 1;
    assert_int_equal(pf_join_link_write(&l, text, sizeof text), 0);
    golden("join.link", text, strlen(text));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_is_written_as_it_was),
        cmocka_unit_test(the_plan_is_written_as_it_was),
        cmocka_unit_test(an_update_frame_is_written_as_it_was),
        cmocka_unit_test(a_request_is_signed_as_it_was),
        cmocka_unit_test(statements_are_signed_as_they_were),
        cmocka_unit_test(what_records_are_made_of_is_written_as_it_was),
        cmocka_unit_test(a_join_link_is_written_as_it_was),
    };
    int failed;

    if (argc == 2)
        write_to = argv[1];
    make_key();
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    pf_key_free(key);
    return failed;
}
