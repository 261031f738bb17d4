/* damage.c - files that are not what the daemon wrote: it refuses each by name,
 * and goes on when the right one is back. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "bed.h"
#include "operator.h"
#include "proc.h"
#include "text.h"

/* Kills it until a round is open that has an acknowledged update. */
static void crash_with_open_update(struct verified *seen)
{
    int i;

    for (i = 0; i < 50; i++) {
        bed_crash();
        bed_holds(seen);
        if (seen->open_accepted > 0)
            return;
        bed_start_again();
        fleet_await(&bed.f, 1, 5000);
    }
    fail_msg("no round was open with an update in it");
}

static void segment_path(const struct verified *seen, char *out, size_t cap)
{
    snprintf(out, cap, "%s/journal/1/%llu.seg", bed.v.d.state,
             (unsigned long long)seen->newest);
}

static void flip(const char *path, uint64_t at)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte ^= 0x10;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

static void a_torn_segment_is_refused_where_it_was_acknowledged(void **state)
{
    struct verified seen;
    struct pf_buf b = {0};
    char path[200], name[64];
    uint64_t end;
    FILE *file;

    (void)state;
    crash_with_open_update(&seen);
    segment_path(&seen, path, sizeof path);
    snprintf(name, sizeof name, "journal/1/%llu.seg ends at byte",
             (unsigned long long)seen.newest);
    end = seen.last.offset + seen.last.length;
    pf_slurp(path, &b);
    assert_true(b.len >= end);

    /* behind the last update that counts nothing matters */
    assert_int_equal(truncate(path, (off_t)end), 0);
    bed_start_again();
    bed_goes_on();
    crash_with_open_update(&seen);
    segment_path(&seen, path, sizeof path);
    snprintf(name, sizeof name, "journal/1/%llu.seg ends at byte",
             (unsigned long long)seen.newest);
    pf_slurp(path, &b);
    end = seen.last.offset + seen.last.length;

    assert_int_equal(truncate(path, (off_t)end - 100), 0);
    victim_spawn(&bed.v);
    assert_int_equal(victim_wait(&bed.v, BED_DIES_MS), 1);
    assert_true(pf_file_says(bed.v.d.log, name));
    assert_true(pf_file_says(bed.v.d.log, "the acknowledged update of device"));
    assert_true(pf_file_says(bed.v.d.log, "put the files under journal/ back"));

    file = fopen(path, "w"); /* from the backup */
    assert_non_null(file);
    assert_int_equal(fwrite(b.data, 1, b.len, file), b.len);
    assert_int_equal(fclose(file), 0);
    pf_buf_free(&b);
    bed_start_again();
    bed_goes_on();
    bed_stops_in_order();
}

static void a_changed_byte_in_a_segment_is_refused(void **state)
{
    struct verified seen;
    char path[200];

    (void)state;
    crash_with_open_update(&seen);
    segment_path(&seen, path, sizeof path);
    flip(path, seen.last.offset + seen.last.length / 2);
    victim_spawn(&bed.v);
    assert_int_equal(victim_wait(&bed.v, BED_DIES_MS), 1);
    assert_true(pf_file_says(bed.v.d.log, "task crash round"));
    assert_true(pf_file_says(bed.v.d.log, "its bytes have changed"));
    flip(path, seen.last.offset + seen.last.length / 2);
    bed_start_again();
    bed_goes_on();
    bed_stops_in_order();
}

static void a_damaged_model_is_refused_by_name(void **state)
{
    char hex[65], path[300];
    struct verified seen;

    (void)state;
    bed_crash();
    bed_holds(&seen);
    pf_hex(seen.model, 32, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", bed.v.d.state, hex, hex);
    flip(path, 2000);
    victim_spawn(&bed.v);
    assert_int_equal(victim_wait(&bed.v, BED_DIES_MS), 1);
    assert_true(pf_file_says(bed.v.d.log, "task crash"));
    assert_true(pf_file_says(bed.v.d.log, hex));
    assert_true(pf_file_says(bed.v.d.log, "is damaged"));
    assert_true(pf_file_says(bed.v.d.log, "restore this file from a backup"));
    flip(path, 2000);
    bed_start_again();
    bed_goes_on();
    bed_stops_in_order();
}

/* An older model is in nobody's way until somebody asks for it. */
static void a_damaged_older_model_is_given_to_nobody(void **state)
{
    char hex[65], path[300], url[160];
    struct pf_buf b = {0};
    struct verified seen;

    (void)state;
    bed_goes_on(); /* until there are two */
    bed_crash();
    bed_holds(&seen);
    pf_hex(seen.before, 32, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", bed.v.d.state, hex, hex);
    snprintf(url, sizeof url, "/admin/v1/models/%s", hex);
    flip(path, 2000);
    victim_reset(&bed.v);
    victim_start(&bed.v);
    assert_int_equal(operator_ask(bed.v.d.socket, "GET", url, NULL, &b), 500);
    assert_true(pf_file_says(bed.v.d.log, hex));
    assert_true(pf_file_says(bed.v.d.log, "is damaged"));
    flip(path, 2000);
    assert_int_equal(operator_ask(bed.v.d.socket, "GET", url, NULL, &b), 200);
    pf_buf_free(&b);
    fleet_go_on(&bed.f);
    bed_goes_on();
    bed_stops_in_order();
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, bed_set_up, bed_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_torn_segment_is_refused_where_it_was_acknowledged),
        TEST(a_changed_byte_in_a_segment_is_refused),
        TEST(a_damaged_model_is_refused_by_name),
        TEST(a_damaged_older_model_is_given_to_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
