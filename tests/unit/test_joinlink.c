#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "joinlink.h"
#include "text.h"

#define ID  "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define PIN "Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA"

static char token[PF_TOKEN_LEN + 1];

static int make_token(void **state)
{
    (void)state;
    return pf_token_make(token) != POCKETFED_OK;
}

/* front + "#" + the token, parsed. */
static enum pocketfed_status parse(const char *front, struct pf_join_link *out,
                                   struct pf_error *err)
{
    char text[PF_JOIN_LINK_MAX];

    snprintf(text, sizeof text, "%s#%s", front, token);
    return pf_join_link_parse(text, out, err);
}

static struct pf_join_link example(void)
{
    struct pf_join_link l;

    memset(&l, 0, sizeof l);
    memcpy(l.host, "fed.example.org", 16);
    l.port = 9443;
    memcpy(l.task, "mnist", 6);
    for (size_t i = 0; i < 32; i++) {
        l.id[i] = (uint8_t)i;
        l.pins[0][i] = (uint8_t)(31 - i);
    }
    l.n_pins = 1;
    memcpy(l.token, token, sizeof token);
    return l;
}

static void writes_the_documented_form(void **state)
{
    struct pf_join_link l = example();
    char text[PF_JOIN_LINK_MAX], want[PF_JOIN_LINK_MAX];

    (void)state;
    snprintf(want, sizeof want,
             "pocketfed://fed.example.org:9443/mnist?v=1&id=" ID "&pin=" PIN
             "#%s",
             token);
    assert_int_equal(pf_join_link_write(&l, text, sizeof text), POCKETFED_OK);
    assert_string_equal(text, want);
}

static void reads_back_every_form_of_address(void **state)
{
    static const char *const hosts[] = {"localhost", "10.0.0.7", "::1",
                                        "2001:db8::7", "a-b.c_d.Example"};
    struct pf_join_link l = example(), m;
    char text[PF_JOIN_LINK_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++)
        for (unsigned pins = 0; pins <= PF_JOIN_MAX_PINS; pins++) {
            memset(&l, 0, sizeof l);
            l = example();
            memset(l.host, 0, sizeof l.host);
            memcpy(l.host, hosts[i], strlen(hosts[i]) + 1);
            l.port = pins % 2 ? 1 : PF_DEFAULT_PORT;
            memset(l.pins, 0, sizeof l.pins);
            memset(l.pins, (int)pins, 32 * pins);
            l.n_pins = pins;
            assert_int_equal(pf_join_link_write(&l, text, sizeof text), 0);
            assert_int_equal(pf_join_link_parse(text, &m, NULL), 0);
            assert_memory_equal(&l, &m, sizeof l);
        }
}

static void the_default_port_goes_without_saying(void **state)
{
    struct pf_join_link l;

    (void)state;
    assert_int_equal(parse("pocketfed://h/t?v=1&id=" ID, &l, NULL), 0);
    assert_int_equal(l.port, PF_DEFAULT_PORT);
    assert_int_equal(l.n_pins, 0);
    assert_int_equal(parse("pocketfed://[::1]/t?v=1&id=" ID, &l, NULL), 0);
    assert_string_equal(l.host, "::1");
}

static void the_query_may_have_any_order(void **state)
{
    struct pf_join_link l;

    (void)state;
    assert_int_equal(parse("pocketfed://h:1/t?pin=" PIN "&id=" ID "&pin=" ID
                           "&v=1",
                           &l, NULL),
                     0);
    assert_int_equal(l.n_pins, 2);
    assert_int_equal(l.id[31], 31);
    assert_int_equal(l.pins[0][0], 31);
}

static void forgives_blanks_around_and_one_newline(void **state)
{
    struct pf_join_link l;
    char text[PF_JOIN_LINK_MAX];

    (void)state;
    snprintf(text, sizeof text, " \tpocketfed://h/t?v=1&id=" ID "#%s \n",
             token);
    assert_int_equal(pf_join_link_parse(text, &l, NULL), 0);
    snprintf(text, sizeof text, "pocketfed://h/t?v=1&id=" ID "#%s\r\n", token);
    assert_int_equal(pf_join_link_parse(text, &l, NULL), 0);
    snprintf(text, sizeof text, "pocketfed://h/t?v=1&id=" ID "#%s\n\n", token);
    assert_int_equal(pf_join_link_parse(text, &l, NULL), POCKETFED_MALFORMED);
    snprintf(text, sizeof text, "pocketfed://h/t?v=1& id=" ID "#%s", token);
    assert_int_equal(pf_join_link_parse(text, &l, NULL), POCKETFED_MALFORMED);
}

static void names_the_part_that_is_wrong(void **state)
{
    static const struct {
        const char *front, *part;
    } rows[] = {
        {"", "scheme"},
        {"https://h/t?v=1&id=" ID, "scheme"},
        {"POCKETFED://h/t?v=1&id=" ID, "scheme"},
        {"pocketfed:/h/t?v=1&id=" ID, "scheme"},
        {"pocketfed:///t?v=1&id=" ID, "host"},
        {"pocketfed://user@h/t?v=1&id=" ID, "host"},
        {"pocketfed://h..x/t?v=1&id=" ID, "host"},
        {"pocketfed://-h/t?v=1&id=" ID, "host"},
        {"pocketfed://h-/t?v=1&id=" ID, "host"},
        {"pocketfed://h%20x/t?v=1&id=" ID, "host"},
        {"pocketfed://[::1/t?v=1&id=" ID, "host"},
        {"pocketfed://[::1]x/t?v=1&id=" ID, "host"},
        {"pocketfed://[h]/t?v=1&id=" ID, "host"},
        {"pocketfed://::1/t?v=1&id=" ID, "host"},
        {"pocketfed://h:/t?v=1&id=" ID, "port"},
        {"pocketfed://h:0/t?v=1&id=" ID, "port"},
        {"pocketfed://h:65536/t?v=1&id=" ID, "port"},
        {"pocketfed://h:08443/t?v=1&id=" ID, "port"},
        {"pocketfed://h:8443x/t?v=1&id=" ID, "port"},
        {"pocketfed://h?v=1&id=" ID, "task"},
        {"pocketfed://h/?v=1&id=" ID, "task"},
        {"pocketfed://h/a/b?v=1&id=" ID, "task"},
        {"pocketfed://h/T?v=1&id=" ID, "task"},
        {"pocketfed://h/t/?v=1&id=" ID, "task"},
        {"pocketfed://h/t", "id"},
        {"pocketfed://h/t?", "query"},
        {"pocketfed://h/t?v=1", "id"},
        {"pocketfed://h/t?id=" ID, "v"},
        {"pocketfed://h/t?v=2&id=" ID, "v"},
        {"pocketfed://h/t?v=&id=" ID, "v"},
        {"pocketfed://h/t?v=1&v=1&id=" ID, "v"},
        {"pocketfed://h/t?v=1&id=" ID "&id=" ID, "id"},
        {"pocketfed://h/t?v=1&id=" ID "A", "id"},
        {"pocketfed://h/t?v=1&id=AAEC", "id"},
        {"pocketfed://h/t?v=1&id=" ID "&pin=x", "pin"},
        {"pocketfed://h/t?v=1&id=" ID "&pin=" PIN "&pin=" PIN "&pin=" PIN
         "&pin=" PIN "&pin=" PIN,
         "pin"},
        {"pocketfed://h/t?v=1&id=" ID "&", "query"},
        {"pocketfed://h/t?v=1&id=" ID "&token=x", "query"},
        {"pocketfed://h/t?v=1&id=" ID "#x", "token"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct pf_join_link l;
        struct pf_error err;
        char want[64];

        memset(&l, 0x5a, sizeof l);
        memset(&err, 0, sizeof err);
        snprintf(want, sizeof want, "the join link's %s ", rows[i].part);
        if (parse(rows[i].front, &l, &err) != POCKETFED_MALFORMED ||
            strncmp(err.text, want, strlen(want)) != 0)
            fail_msg("%s: %s", rows[i].front, err.text);
        assert_null(strstr(err.text, token)); /* never quoted */
        assert_int_equal(l.n_pins, 0x5a5a5a5a);
    }
}

static void a_missing_or_mistyped_token_is_told_here(void **state)
{
    const char *front = "pocketfed://h/t?v=1&id=" ID;
    char text[PF_JOIN_LINK_MAX];
    struct pf_join_link l;
    struct pf_error err;

    (void)state;
    assert_int_equal(pf_join_link_parse(front, &l, &err), POCKETFED_MALFORMED);
    assert_string_equal(err.text, "the join link's token is missing");
    snprintf(text, sizeof text, "%s#", front);
    assert_int_equal(pf_join_link_parse(text, &l, &err), POCKETFED_MALFORMED);
    snprintf(text, sizeof text, "%s#%.52s", front, token);
    assert_int_equal(pf_join_link_parse(text, &l, &err), POCKETFED_MALFORMED);
    assert_non_null(strstr(err.text, "token"));
    assert_null(strstr(err.text, "pft_"));
}

static void each_wrong_character_of_a_link_is_refused(void **state)
{
    struct pf_join_link l = example(), m;
    char text[PF_JOIN_LINK_MAX];
    size_t fixed;

    (void)state;
    assert_int_equal(pf_join_link_write(&l, text, sizeof text), 0);
    for (size_t i = 0; text[i]; i++) {
        char was = text[i];

        text[i] = '\x01';
        if (!pf_join_link_parse(text, &m, NULL))
            fail_msg("passed at %zu", i);
        text[i] = was;
    }
    /* A token with any character mistyped is known as such. */
    fixed = strlen(text) - PF_TOKEN_LEN;
    for (size_t i = fixed; text[i]; i++) {
        text[i] ^= 1;
        assert_int_equal(pf_join_link_parse(text, &m, NULL),
                         POCKETFED_MALFORMED);
        text[i] ^= 1;
    }
}

static void a_link_that_is_too_long_is_refused(void **state)
{
    char text[PF_JOIN_LINK_MAX + 100];
    struct pf_join_link l;

    (void)state;
    memset(text, ' ', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(pf_join_link_parse(text, &l, NULL), POCKETFED_MALFORMED);
}

static void the_longest_link_fits_its_constant(void **state)
{
    struct pf_join_link l = example(), m;
    char text[PF_JOIN_LINK_MAX];

    (void)state;
    memset(l.task, 't', PF_TASK_NAME_MAX);
    for (size_t i = 0; i < 253; i++)
        l.host[i] = i % 64 == 63 ? '.' : 'h';
    l.host[253] = '\0';
    l.n_pins = PF_JOIN_MAX_PINS;
    assert_int_equal(pf_join_link_write(&l, text, sizeof text), 0);
    assert_int_equal(pf_join_link_parse(text, &m, NULL), 0);
}

static void refuses_to_write_what_is_no_link(void **state)
{
    struct pf_join_link l;
    char text[PF_JOIN_LINK_MAX] = "before";

    (void)state;
#define REFUSED(change)                                                        \
    l = example();                                                             \
    change;                                                                    \
    assert_int_equal(pf_join_link_write(&l, text, sizeof text),                \
                     POCKETFED_INVALID)
    REFUSED(l.host[0] = '\0');
    REFUSED(l.host[0] = '/');
    REFUSED(memcpy(l.host, "a:b", 4));
    REFUSED(l.port = 0);
    REFUSED(l.task[0] = '?');
    REFUSED(l.n_pins = 5);
    REFUSED(l.token[7] ^= 1);
#undef REFUSED
    l = example();
    assert_int_equal(pf_join_link_write(&l, text, 100), POCKETFED_LIMIT);
    assert_string_equal(text, "before");
    l.token[0] = '\0'; /* for display */
    assert_int_equal(pf_join_link_write(&l, text, sizeof text), POCKETFED_OK);
    assert_null(strchr(text, '#'));
}

static void tokens_are_long_checked_and_never_the_same(void **state)
{
    char a[PF_TOKEN_LEN + 1], b[PF_TOKEN_LEN + 2];

    (void)state;
    assert_int_equal(pf_token_make(a), POCKETFED_OK);
    assert_int_equal(pf_token_make(b), POCKETFED_OK);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), PF_TOKEN_LEN);
    assert_memory_equal(a, "pft_", 4);
    assert_int_equal(pf_token_ok(a), 1);
    memcpy(b, a, PF_TOKEN_LEN);
    b[PF_TOKEN_LEN] = 'x';
    b[PF_TOKEN_LEN + 1] = '\0';
    assert_int_equal(pf_token_ok(b), 0);
    assert_int_equal(pf_token_ok(""), 0);
    a[PF_TOKEN_LEN - 1] = '\0';
    assert_int_equal(pf_token_ok(a), 0);
}

/* Made with sha256sum and base64, not with this code. */
static void the_checksum_is_the_documented_one(void **state)
{
    static const char known[] =
        "pft_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "XGqtz1";
    uint8_t hash[32];
    char hex[65];

    (void)state;
    assert_int_equal(pf_token_ok(known), 1);
    pf_token_hash(known, hash);
    pf_hex(hash, 32, hex);
    assert_string_equal(
        hex,
        "71af164461484b9ba13f0f56c952e883d7672d12473491b924337a6844540251");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_documented_form),
        cmocka_unit_test(reads_back_every_form_of_address),
        cmocka_unit_test(the_default_port_goes_without_saying),
        cmocka_unit_test(the_query_may_have_any_order),
        cmocka_unit_test(forgives_blanks_around_and_one_newline),
        cmocka_unit_test(names_the_part_that_is_wrong),
        cmocka_unit_test(a_missing_or_mistyped_token_is_told_here),
        cmocka_unit_test(each_wrong_character_of_a_link_is_refused),
        cmocka_unit_test(a_link_that_is_too_long_is_refused),
        cmocka_unit_test(the_longest_link_fits_its_constant),
        cmocka_unit_test(refuses_to_write_what_is_no_link),
        cmocka_unit_test(tokens_are_long_checked_and_never_the_same),
        cmocka_unit_test(the_checksum_is_the_documented_one),
    };

    return cmocka_run_group_tests(tests, make_token, NULL);
}
