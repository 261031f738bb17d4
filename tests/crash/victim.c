#include "victim.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proc.h"

#define NAP_MS 1

void victim_init(struct victim *v, uint64_t log_room)
{
    int fd;

    memset(v, 0, sizeof *v);
    pf_testdaemon_init(&v->d);
    v->d.program = PF_CRASH_DAEMON;
    pf_isolate(v->d.dir);
    snprintf(v->disk, sizeof v->disk, "%s/disk", v->d.dir);
    snprintf(v->d.state, sizeof v->d.state, "%.80s/state", v->disk);
    snprintf(v->control, sizeof v->control, "%s/control", v->d.dir);
    assert_int_equal(mkdir(v->disk, 0700), 0);
    v->mapped = CRASH_LOG_AT + (size_t)log_room;
    fd = open(v->control, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)v->mapped), 0);
    v->c = mmap(NULL, v->mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    assert_true(v->c != MAP_FAILED);
    victim_reset(v);
    v->c->log_room = log_room;
    setenv(CRASH_ENV, v->control, 1);
    /* Devices whose waits are cut short ask more often than real ones may. */
    setenv("POCKETFED_LIMITS_DEVICE_RATE", "0", 1);
    setenv("POCKETFED_LIMITS_ADDRESS_RATE", "0", 1);
    setenv("POCKETFED_LIMITS_FAILURE_RATE", "0", 1);
}

void victim_end(struct victim *v)
{
    if (v->c)
        munmap(v->c, v->mapped);
    pf_testdaemon_end(&v->d);
    memset(v, 0, sizeof *v);
}

void victim_reset(struct victim *v)
{
    uint64_t room = v->c->log_room;

    memset(v->c, 0, sizeof *v->c);
    snprintf(v->c->root, sizeof v->c->root, "%s", v->disk);
    v->c->log_room = room;
}

void victim_arm(struct victim *v, enum crash_where where, unsigned point,
                uint64_t nth)
{
    atomic_store(&v->c->point, point);
    atomic_store(&v->c->nth, nth);
    atomic_store(&v->c->where, (unsigned)where);
}

void victim_fail(struct victim *v, unsigned calls, const char *path, int error,
                 uint64_t skip, uint64_t times)
{
    atomic_store(&v->c->fail_calls, 0);
    snprintf(v->c->fail_path, sizeof v->c->fail_path, "%s", path);
    atomic_store(&v->c->fail_errno, error);
    atomic_store(&v->c->fail_skip, skip);
    atomic_store(&v->c->fail_left, times);
    atomic_store(&v->c->fail_calls, calls);
}

void victim_spawn(struct victim *v)
{
    unlink(v->d.log);
    pf_testdaemon_spawn(&v->d);
}

void victim_start(struct victim *v)
{
    unlink(v->d.log);
    pf_testdaemon_start(&v->d);
}

int victim_wait(struct victim *v, int64_t ms)
{
    int64_t end = pf_now_ms() + ms;
    pid_t pid = v->d.pid;

    while (pf_alive(pid)) {
        if (pf_now_ms() >= end)
            return -1;
        pf_nap(NAP_MS);
    }
    v->d.pid = 0;
    return pf_wait(pid, 1000, NULL);
}

void victim_kill(struct victim *v)
{
    pf_end(v->d.pid);
    v->d.pid = 0;
}

void victim_show(const struct victim *v)
{
    struct pf_buf b = {0};

    pf_slurp(v->d.log, &b);
    fprintf(stderr, "%s:\n%s\n", v->d.log, pf_buf_str(&b));
    pf_buf_free(&b);
}
