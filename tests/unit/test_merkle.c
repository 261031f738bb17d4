#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "merkle.h"
#include "text.h"

#define MOST 70

/* The leaves and roots that certificate transparency's implementations share.
 */
static const struct {
    const char *data;
    size_t n;
} given[8] = {
    {"", 0},
    {"\x00", 1},
    {"\x10", 1},
    {"\x20\x21", 2},
    {"\x30\x31", 2},
    {"\x40\x41\x42\x43", 4},
    {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
    {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16},
};
static const char *const roots[9] = {
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
};

static uint8_t leaf[MOST][32]; /* leaf hashes; the first 8 are the given ones */
static uint8_t root[MOST + 1][32]; /* of the first n */
static struct pf_merkle_tree *tree;

/* RFC 6962, 2.1, word for word. */
static void tree_hash(const uint8_t (*d)[32], size_t n, uint8_t out[32])
{
    uint8_t left[32], right[32];
    size_t k = 1;

    if (n == 0) {
        pf_sha256("", 0, out);
        return;
    }
    if (n == 1) {
        memcpy(out, d[0], 32);
        return;
    }
    while (2 * k < n)
        k *= 2;
    tree_hash(d, k, left);
    tree_hash(d + k, n - k, right);
    pf_merkle_node(left, right, out);
}

static int set_up(void **state)
{
    size_t i;

    (void)state;
    if (pf_merkle_tree_create(&tree))
        return 1;
    for (i = 0; i < MOST; i++) {
        if (i < 8)
            pf_merkle_leaf(given[i].data, given[i].n, leaf[i]);
        else
            pf_merkle_leaf(&i, sizeof i, leaf[i]);
        if (pf_merkle_tree_add(tree, leaf[i]))
            return 1;
    }
    for (i = 0; i <= MOST; i++)
        tree_hash((const uint8_t(*)[32])leaf, i, root[i]);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_merkle_tree_free(tree);
    return 0;
}

static enum pocketfed_status path_ok(uint64_t i, uint64_t n, uint8_t (*p)[32],
                                     size_t n_p, const uint8_t r[32])
{
    return pf_merkle_check_path(leaf[i], i, n, (const uint8_t(*)[32])p, n_p, r);
}

static enum pocketfed_status growth_ok(uint64_t m, uint64_t n, uint8_t (*p)[32],
                                       size_t n_p)
{
    return pf_merkle_check_growth(m, root[m], n, root[n],
                                  (const uint8_t(*)[32])p, n_p);
}

static void roots_are_those_of_certificate_transparency(void **state)
{
    struct pf_merkle_sum sum;
    uint8_t got[32];
    char hex[65];
    size_t n;

    (void)state;
    pf_merkle_begin(&sum);
    for (n = 0; n <= 8; n++) {
        pf_merkle_root(&sum, got);
        pf_hex(got, 32, hex);
        assert_string_equal(hex, roots[n]);
        pf_hex(root[n], 32, hex);
        assert_string_equal(hex, roots[n]);
        if (n < 8)
            pf_merkle_add(&sum, leaf[n]);
    }
}

static void the_path_of_leaf_5_of_7_is_the_published_one(void **state)
{
    static const char *const begins[3] = {
        "bc1a0643b12e4d2d", "b08693ec2e721597", "d37ee418976dd957"};
    uint8_t path[PF_MERKLE_PATH][32];
    char hex[65];
    size_t i;

    (void)state;
    assert_int_equal(pf_merkle_tree_path(tree, 5, 7, path), 3);
    for (i = 0; i < 3; i++) {
        pf_hex(path[i], 32, hex);
        assert_memory_equal(hex, begins[i], 16);
    }
}

static void
stream_and_tree_agree_with_the_definition_at_every_size(void **state)
{
    struct pf_merkle_sum sum;
    uint8_t got[32];
    size_t n;

    (void)state;
    pf_merkle_begin(&sum);
    for (n = 0; n <= MOST; n++) {
        pf_merkle_root(&sum, got);
        assert_memory_equal(got, root[n], 32);
        pf_merkle_tree_root(tree, n, got);
        assert_memory_equal(got, root[n], 32);
        if (n < MOST)
            pf_merkle_add(&sum, leaf[n]);
    }
    assert_int_equal(pf_merkle_tree_size(tree), MOST);
}

static void
every_leaf_of_every_size_has_a_path_for_its_place_alone(void **state)
{
    uint8_t path[PF_MERKLE_PATH][32];
    size_t i, j, n, n_path;

    (void)state;
    for (n = 1; n <= MOST; n++) {
        for (i = 0; i < n; i++) {
            n_path = pf_merkle_tree_path(tree, i, n, path);
            assert_int_equal(path_ok(i, n, path, n_path, root[n]), 0);
            for (j = 0; j < n + 2; j++)
                if (j != i)
                    assert_int_equal(
                        pf_merkle_check_path(leaf[i], j, n,
                                             (const uint8_t(*)[32])path, n_path,
                                             root[n]),
                        POCKETFED_PROOF);
        }
    }
}

static void a_path_with_any_byte_or_length_changed_is_refused(void **state)
{
    uint8_t path[PF_MERKLE_PATH + 1][32], other[32];
    size_t i, n, n_path, at;

    (void)state;
    memset(path, 0, sizeof path);
    for (n = 1; n <= 20; n++) {
        for (i = 0; i < n; i++) {
            n_path = pf_merkle_tree_path(tree, i, n, path);
            for (at = 0; at < 32 * n_path; at++) {
                path[at / 32][at % 32] ^= 1;
                assert_int_equal(path_ok(i, n, path, n_path, root[n]),
                                 POCKETFED_PROOF);
                path[at / 32][at % 32] ^= 1;
            }
            for (at = 0; at < 32; at++) {
                memcpy(other, root[n], 32);
                other[at] ^= 0x80;
                assert_int_equal(path_ok(i, n, path, n_path, other),
                                 POCKETFED_PROOF);
            }
            assert_int_equal(path_ok(i, n, path, n_path + 1, root[n]),
                             POCKETFED_PROOF);
            if (n_path > 0)
                assert_int_equal(path_ok(i, n, path, n_path - 1, root[n]),
                                 POCKETFED_PROOF);
        }
    }
}

static void a_list_proves_that_it_begins_with_every_earlier_one(void **state)
{
    uint8_t proof[PF_MERKLE_MOST][32];
    size_t m, n, k, n_proof;

    (void)state;
    for (n = 0; n <= MOST; n++) {
        for (m = 0; m <= n; m++) {
            n_proof = pf_merkle_tree_growth(tree, m, n, proof);
            assert_int_equal(growth_ok(m, n, proof, n_proof), 0);
            for (k = 0; k <= MOST; k++)
                if (k != m && k != 0 && k != n)
                    assert_int_equal(growth_ok(k, n, proof, n_proof),
                                     POCKETFED_PROOF);
        }
    }
}

static void another_history_of_the_same_length_is_refused(void **state)
{
    uint8_t proof[PF_MERKLE_MOST][32], was[32], forged[32];
    size_t i, m, n, n_proof;
    struct pf_merkle_sum sum;

    (void)state;
    for (n = 2; n <= 20; n++) {
        for (m = 1; m < n; m++) { /* leaf m - 1 replaced */
            memcpy(was, leaf[m - 1], 32);
            leaf[m - 1][0] ^= 1;
            pf_merkle_begin(&sum);
            for (i = 0; i < m; i++)
                pf_merkle_add(&sum, leaf[i]);
            pf_merkle_root(&sum, forged);
            memcpy(leaf[m - 1], was, 32);
            n_proof = pf_merkle_tree_growth(tree, m, n, proof);
            assert_int_equal(pf_merkle_check_growth(m, forged, n, root[n],
                                                    (const uint8_t(*)[32])proof,
                                                    n_proof),
                             POCKETFED_PROOF);
        }
    }
}

static void a_growth_with_any_byte_or_length_changed_is_refused(void **state)
{
    uint8_t proof[PF_MERKLE_MOST + 1][32];
    size_t m, n, n_proof, at;

    (void)state;
    memset(proof, 0, sizeof proof);
    for (n = 1; n <= 20; n++) {
        for (m = 1; m <= n; m++) {
            n_proof = pf_merkle_tree_growth(tree, m, n, proof);
            for (at = 0; at < 32 * n_proof; at++) {
                proof[at / 32][at % 32] ^= 0x10;
                assert_int_equal(growth_ok(m, n, proof, n_proof),
                                 POCKETFED_PROOF);
                proof[at / 32][at % 32] ^= 0x10;
            }
            assert_int_equal(growth_ok(m, n, proof, n_proof + 1),
                             POCKETFED_PROOF);
            if (n_proof > 0)
                assert_int_equal(growth_ok(m, n, proof, n_proof - 1),
                                 POCKETFED_PROOF);
        }
    }
}

/* The hashes are right, but no list of one entry has a path. */
static void a_path_that_goes_above_the_root_is_refused(void **state)
{
    (void)state;
    assert_int_equal(pf_merkle_check_path(
                         leaf[1], 0, 1, (const uint8_t(*)[32])leaf, 1, root[2]),
                     POCKETFED_PROOF);
    assert_int_equal(pf_merkle_check_path(
                         leaf[1], 1, 2, (const uint8_t(*)[32])leaf, 1, root[2]),
                     POCKETFED_OK);
}

static void sizes_at_the_end_of_the_numbers_do_no_harm(void **state)
{
    static const uint64_t odd[] = {
        0, 1, 2, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 1};
    const size_t n_odd = sizeof odd / sizeof odd[0];
    uint8_t proof[PF_MERKLE_MOST + 1][32];
    size_t i, j, k;

    (void)state;
    memset(proof, 7, sizeof proof);
    for (i = 0; i < n_odd; i++)
        for (j = 0; j < n_odd; j++)
            for (k = 0; k <= PF_MERKLE_MOST + 1; k++) {
                assert_int_equal(
                    pf_merkle_check_path(leaf[0], odd[i], odd[j],
                                         (const uint8_t(*)[32])proof, k,
                                         root[1]),
                    odd[i] == 0 && odd[j] == 1 && k == 0 ? POCKETFED_OK
                                                         : POCKETFED_PROOF);
                assert_int_equal(
                    pf_merkle_check_growth(odd[i], root[1], odd[j], root[1],
                                           (const uint8_t(*)[32])proof, k),
                    k == 0 && (odd[i] == 0 || odd[i] == odd[j])
                        ? POCKETFED_OK
                        : POCKETFED_PROOF);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_those_of_certificate_transparency),
        cmocka_unit_test(the_path_of_leaf_5_of_7_is_the_published_one),
        cmocka_unit_test(
            stream_and_tree_agree_with_the_definition_at_every_size),
        cmocka_unit_test(
            every_leaf_of_every_size_has_a_path_for_its_place_alone),
        cmocka_unit_test(a_path_with_any_byte_or_length_changed_is_refused),
        cmocka_unit_test(a_list_proves_that_it_begins_with_every_earlier_one),
        cmocka_unit_test(another_history_of_the_same_length_is_refused),
        cmocka_unit_test(a_growth_with_any_byte_or_length_changed_is_refused),
        cmocka_unit_test(a_path_that_goes_above_the_root_is_refused),
        cmocka_unit_test(sizes_at_the_end_of_the_numbers_do_no_harm),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
