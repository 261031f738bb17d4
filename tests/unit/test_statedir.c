#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "file.h"
#include "listen.h"
#include "sdnotify.h"
#include "statedir.h"
#include "tls.h"
#include "tmpdir.h"

#define NOW 1700000000LL

static char dir[256];

static int set_up(void **state)
{
    (void)state;
    pf_tmpdir_make(dir, sizeof dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    pf_tmpdir_remove(dir);
    return 0;
}

static enum pocketfed_status open_at(struct pf_statedir *s, int64_t now_s,
                                     struct pf_error *err)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1"};
    struct pf_statedir_config c = {.path = dir,
                                   .hosts = hosts,
                                   .n_hosts = 2,
                                   .certificate = "",
                                   .private_key = "",
                                   .now_s = now_s};

    memset(err, 0, sizeof *err);
    memset(s, 0, sizeof *s);
    return pf_statedir_open(&c, s, err);
}

static unsigned mode_of(const char *name)
{
    char path[300];
    struct stat sb;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(stat(path, &sb), 0);
    return sb.st_mode & 0777;
}

static void makes_its_keys_once(void **state)
{
    struct pf_statedir a, b;
    uint8_t first[32], second[32];
    struct pf_error err;

    (void)state;
    assert_int_equal(open_at(&a, NOW, &err), POCKETFED_OK);
    assert_true(a.fresh);
    assert_int_equal(mode_of("keys"), 0700);
    assert_int_equal(mode_of("keys/record.key"), 0600);
    assert_int_equal(mode_of("keys/tls.key"), 0600);
    assert_int_equal(mode_of("keys/tls.crt"), 0600);
    pf_key_fingerprint(a.record_key, first);
    memcpy(second, a.pin, 32);
    pf_statedir_close(&a);
    assert_int_equal(open_at(&b, NOW, &err), POCKETFED_OK);
    assert_false(b.fresh);
    assert_memory_equal(b.pin, second, 32);
    pf_key_fingerprint(b.record_key, second);
    assert_memory_equal(first, second, 32);
    pf_statedir_close(&b);
}

static void renews_a_certificate_with_the_same_key(void **state)
{
    struct pf_statedir s;
    struct pf_buf cert;
    struct pf_error err;
    uint8_t pin[32];

    (void)state;
    assert_int_equal(open_at(&s, NOW, &err), POCKETFED_OK);
    memcpy(pin, s.pin, 32);
    pf_buf_init(&cert, 1u << 16);
    pf_buf_add(&cert, s.tls_cert.data, s.tls_cert.len);
    pf_statedir_close(&s);
    /* When it has ended, by the clock of then. */
    assert_int_equal(open_at(&s, NOW + 40LL * 365 * 86400, &err), POCKETFED_OK);
    assert_true(s.tls_cert.len != cert.len ||
                memcmp(s.tls_cert.data, cert.data, cert.len) != 0);
    assert_memory_equal(s.pin, pin, 32);
    pf_buf_free(&cert);
    pf_statedir_close(&s);
}

static void names_the_daemon_that_has_the_directory(void **state)
{
    struct pf_statedir a, b;
    struct pf_error err;
    char pid[32];

    (void)state;
    assert_int_equal(open_at(&a, NOW, &err), POCKETFED_OK);
    assert_int_equal(open_at(&b, NOW, &err), POCKETFED_LOCKED);
    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    pf_statedir_close(&a);
    assert_int_equal(open_at(&b, NOW, &err), POCKETFED_OK);
    pf_statedir_close(&b);
}

static void never_remakes_a_record_key_that_devices_know(void **state)
{
    struct pf_statedir s;
    struct pf_error err;
    char path[300];

    (void)state;
    assert_int_equal(open_at(&s, NOW, &err), POCKETFED_OK);
    pf_statedir_close(&s);
    snprintf(path, sizeof path, "%s/pocketfed.db", dir);
    assert_int_equal(pf_file_replace(path, "x", 1, 0600, NULL), POCKETFED_OK);
    snprintf(path, sizeof path, "%s/keys/record.key", dir);
    unlink(path);
    assert_int_equal(open_at(&s, NOW, &err), POCKETFED_NOT_FOUND);
    assert_non_null(strstr(err.text, "record.key"));
    assert_non_null(strstr(err.hint, "backup"));
    assert_int_not_equal(access(path, F_OK), 0);
}

/* What the probe below answers. */
static struct pf_fs pretended;

static int pretend(const char *path, struct pf_fs *out)
{
    assert_string_equal(path, dir);
    *out = pretended;
    return 0;
}

static enum pocketfed_status open_on(uint64_t magic, const char *type,
                                     struct pf_error *err)
{
    static const char *const hosts[] = {"localhost"};
    struct pf_statedir_config c = {.path = dir,
                                   .hosts = hosts,
                                   .n_hosts = 1,
                                   .certificate = "",
                                   .private_key = "",
                                   .now_s = NOW,
                                   .probe = pretend};
    struct pf_statedir s;
    enum pocketfed_status st;

    pretended.magic = magic;
    snprintf(pretended.type, sizeof pretended.type, "%s", type);
    memset(err, 0, sizeof *err);
    st = pf_statedir_open(&c, &s, err);
    if (st == POCKETFED_OK)
        pf_statedir_close(&s);
    return st;
}

static void refuses_state_on_a_network_file_system(void **state)
{
    static const struct {
        uint64_t magic;
        const char *type, *name;
    } remote[] = {
        {0x6969, "", "NFS"},
        {0xff534d42, "", "CIFS"},
        {0x517b, "", "SMB"},
        {0xfe534d42, "", "SMB2"},
        {0x01021997, "", "9p"},
        {0x00c36400, "", "Ceph"},
        {0x65735546, "fuse.sshfs", "fuse.sshfs"},
        {0x65735546, "fuse.s3fs", "fuse.s3fs"},
    };
    struct pf_error err;
    char path[300];
    size_t i;

    (void)state;
    snprintf(path, sizeof path, "%s/lock", dir);
    for (i = 0; i < sizeof remote / sizeof *remote; i++) {
        assert_int_equal(open_on(remote[i].magic, remote[i].type, &err),
                         POCKETFED_CONFIG);
        assert_non_null(strstr(err.text, remote[i].name));
        assert_non_null(strstr(err.text, dir));
        assert_non_null(strstr(err.hint, "--state"));
        assert_int_not_equal(access(path, F_OK), 0); /* nothing is in it */
    }
}

static void takes_state_on_local_file_systems(void **state)
{
    static const struct {
        uint64_t magic;
        const char *type;
    } local[] = {
        {0xef53, ""},
        {0x58465342, ""},
        {0x01021994, ""},
        {0x9123683e, ""},
        {0x65735546, "fuseblk"},
        {0x65735546, "virtiofs"},
        {0x65735546, "fuse.fuse-overlayfs"},
    };
    struct pf_error err;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof local / sizeof *local; i++)
        assert_int_equal(open_on(local[i].magic, local[i].type, &err),
                         POCKETFED_OK);
    /* The kernel's own word for where tests run. */
    assert_int_equal(pf_netfs_refuse(dir, NULL, &err), POCKETFED_OK);
    assert_int_equal(pf_netfs_refuse("/nonexistent/x", NULL, &err),
                     POCKETFED_IO);
    assert_non_null(strstr(err.text, "/nonexistent/x"));
}

static void says_where_it_listens_while_it_runs(void **state)
{
    struct pf_statedir s;
    struct pf_error err;
    struct pf_buf text;
    char path[300];

    (void)state;
    assert_int_equal(open_at(&s, NOW, &err), POCKETFED_OK);
    assert_int_equal(pf_statedir_announce(&s, "a:1", "b:2", "/c d", "", &err),
                     POCKETFED_OK);
    snprintf(path, sizeof path, "%s/run.json", dir);
    pf_buf_init(&text, 4096);
    assert_int_equal(pf_file_read(path, &text, NULL), POCKETFED_OK);
    assert_non_null(strstr(pf_buf_str(&text),
                           "\"client\":\"a:1\",\"ops\":\"b:2\","
                           "\"admin\":\"/c d\"}"));
    pf_buf_free(&text);
    pf_statedir_close(&s);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void refuses_a_certificate_of_another_key(void **state)
{
    struct pf_statedir s;
    struct pf_tls *tls = NULL;
    struct pf_key *other = NULL;
    struct pf_error err;
    struct pf_buf pem;

    (void)state;
    assert_int_equal(open_at(&s, NOW, &err), POCKETFED_OK);
    assert_int_equal(pf_tls_create(pf_buf_str(&s.tls_key),
                                   pf_buf_str(&s.tls_cert), &tls, &err),
                     POCKETFED_OK);
    pf_tls_free(tls);
    tls = NULL;
    pf_buf_init(&pem, 1u << 16);
    assert_int_equal(pf_key_generate(PF_KEY_P256, &other), POCKETFED_OK);
    assert_int_equal(pf_key_pem(other, &pem), POCKETFED_OK);
    assert_int_equal(
        pf_tls_create(pf_buf_str(&pem), pf_buf_str(&s.tls_cert), &tls, &err),
        POCKETFED_PROOF);
    assert_int_equal(pf_tls_create("no", "pem", &tls, &err),
                     POCKETFED_MALFORMED);
    assert_null(tls);
    pf_key_free(other);
    pf_buf_free(&pem);
    pf_statedir_close(&s);
}

static void reads_addresses(void **state)
{
    char host[256];
    uint16_t port;

    (void)state;
    assert_true(pf_address_parse("127.0.0.1:80", host, &port));
    assert_string_equal(host, "127.0.0.1");
    assert_int_equal(port, 80);
    assert_true(pf_address_parse("[::1]:0", host, &port));
    assert_string_equal(host, "::1");
    assert_int_equal(port, 0);
    assert_true(pf_address_parse(":65535", host, &port));
    assert_string_equal(host, "");
    assert_false(pf_address_parse("80", host, &port));
    assert_false(pf_address_parse("a:65536", host, &port));
    assert_false(pf_address_parse("a:", host, &port));
    assert_false(pf_address_parse("::1:80", host, &port));
}

static void names_who_holds_a_port(void **state)
{
    struct pf_error err = {0};
    uint16_t port = 0, again = 0;
    int a = -1, b = -1;
    char pid[32];

    (void)state;
    assert_int_equal(pf_listen_tcp("127.0.0.1", 0, &a, &port, &err),
                     POCKETFED_OK);
    assert_true(port > 0);
    assert_int_equal(pf_listen_tcp("127.0.0.1", port, &b, &again, &err),
                     POCKETFED_IO);
    snprintf(pid, sizeof pid, "(pid %ld)", (long)getpid());
    assert_non_null(strstr(err.text, pid));
    close(a);
}

static void replaces_a_socket_that_a_dead_daemon_left(void **state)
{
    struct pf_error err = {0};
    char path[300], longer[400];
    int a = -1, b = -1;

    (void)state;
    snprintf(path, sizeof path, "%s/admin.sock", dir);
    assert_int_equal(pf_listen_unix(path, &a, &err), POCKETFED_OK);
    assert_int_equal(mode_of("admin.sock"), 0660);
    assert_int_equal(pf_listen_unix(path, &b, &err), POCKETFED_LOCKED);
    close(a); /* the file stays */
    assert_int_equal(pf_listen_unix(path, &b, &err), POCKETFED_OK);
    close(b);
    snprintf(longer, sizeof longer, "%s/%0120d", dir, 0);
    assert_int_equal(pf_listen_unix(longer, &b, &err), POCKETFED_LIMIT);
    assert_non_null(strstr(err.hint, "--admin-socket"));
}

static void tells_systemd(void **state)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char got[100];
    ssize_t n;
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    (void)state;
    assert_false(pf_sdnotify("READY=1"));
    snprintf(a.sun_path, sizeof a.sun_path, "%.90s/notify", dir);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    setenv("NOTIFY_SOCKET", a.sun_path, 1);
    assert_true(pf_sdnotify("READY=1\nSTATUS=x"));
    unsetenv("NOTIFY_SOCKET");
    n = recv(fd, got, sizeof got, 0);
    assert_int_equal(n, 16);
    assert_memory_equal(got, "READY=1\nSTATUS=x", 16);
    close(fd);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(makes_its_keys_once),
        TEST(renews_a_certificate_with_the_same_key),
        TEST(names_the_daemon_that_has_the_directory),
        TEST(never_remakes_a_record_key_that_devices_know),
        TEST(refuses_state_on_a_network_file_system),
        TEST(takes_state_on_local_file_systems),
        TEST(says_where_it_listens_while_it_runs),
        TEST(refuses_a_certificate_of_another_key),
        TEST(reads_addresses),
        TEST(names_who_holds_a_port),
        TEST(replaces_a_socket_that_a_dead_daemon_left),
        TEST(tells_systemd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
