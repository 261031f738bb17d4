#include "bed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/mount.h>

#include <cmocka.h>

#include "proc.h"

struct bed bed;

/* ---- the federation ---------------------------------------------------- */

void bed_set_up_on(const char *options)
{
    victim_init(&bed.v, 0);
    if (options)
        assert_int_equal(
            mount("pocketfed-test", bed.v.disk, "tmpfs", 0, options), 0);
    victim_start(&bed.v);
    fleet_start(&bed.f, &bed.v, 1, 0);
    assert_true(fleet_await(&bed.f, 6, 20000));
}

int bed_set_up(void **state)
{
    (void)state;
    bed_set_up_on(NULL);
    return 0;
}

int bed_tear_down(void **state)
{
    (void)state;
    fleet_stop(&bed.f);
    fleet_free(&bed.f);
    pf_kill_all();
    bed.v.d.pid = 0;
    umount2(bed.v.disk, MNT_DETACH); /* when there is one */
    victim_end(&bed.v);
    return 0;
}

/* ---- what must be true ------------------------------------------------- */

void bed_goes_on(void)
{
    if (!fleet_await(&bed.f, 12, 20000)) {
        victim_show(&bed.v);
        fail_msg("nothing goes on %s", bed.f.book.wrong);
    }
}

void bed_holds(struct verified *out)
{
    struct verified own;
    char why[600];

    if (!verify_state(bed.v.d.state, &bed.f.book, out ? out : &own, why,
                      sizeof why))
        fail_msg("%s", why);
    assert_string_equal(bed.f.book.wrong, "");
}

void bed_stops_in_order(void)
{
    fleet_stop(&bed.f);
    pf_testdaemon_stop(&bed.v.d);
    bed_holds(NULL);
}

void bed_dies_saying(const char *sentence)
{
    int code = victim_wait(&bed.v, BED_DIES_MS);

    if (code != 1 || !pf_file_says(bed.v.d.log, sentence)) {
        victim_show(&bed.v);
        fail_msg("it ended with %d without saying \"%s\"", code, sentence);
    }
    bed_holds(NULL);
}

void bed_does_not_start_saying(const char *sentence)
{
    victim_spawn(&bed.v);
    bed_dies_saying("did not start");
    if (!pf_file_says(bed.v.d.log, sentence)) {
        victim_show(&bed.v);
        fail_msg("it did not say \"%s\"", sentence);
    }
}

void bed_crash(void)
{
    fleet_pause(&bed.f);
    victim_kill(&bed.v);
}

void bed_start_again(void)
{
    victim_reset(&bed.v);
    victim_start(&bed.v);
    fleet_go_on(&bed.f);
}
