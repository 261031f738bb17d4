/* kill -9 at random moments: a child process runs the core and three devices,
 * writing down each acknowledgement it has received; after every kill all of
 * them are there exactly once, and the models are what they would have been.
 * In the end it is left in peace and finishes the task.
 *
 *   test_kill [seed [kills]]
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "core.h"
#include "rng.h"
#include "tmpdir.h"

#define ROUNDS    120
#define FILE_TEXT CORE_TASK("a", 120, ",\"keep\":{\"models\":2}")

struct note { /* one acknowledgement, as the device received it */
    int device;
    struct pf_ack ack;
};

static struct note notes[3 * ROUNDS];
static size_t n_notes;
static unsigned failures;

static void check(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "FAILED: %s\n", what);
    failures++;
}

/* ---- the child --------------------------------------------------------- */

struct device {
    struct core *k;
    struct pf_live_task *t;
    int number, out;
};

/* A device takes part until the task is finished or the end comes. */
static void *be_a_device(void *arg)
{
    const struct timespec pause = {0, 1000000};
    const struct device *d = arg;
    struct pf_answer a;
    struct note n;

    for (;;) {
        memset(&n, 0, sizeof n);
        n.device = d->number;
        if (core_take_part(d->k, d->t, d->number, &n.ack)) {
            if (write(d->out, &n, sizeof n) != sizeof n)
                _exit(3);
        } else if (!core_checkin(d->k, d->t, d->number, &a)) {
            _exit(4);
        } else if (a.u.checkin.reason == PF_WAIT_FINISHED) {
            return NULL;
        } else {
            nanosleep(&pause, NULL);
        }
    }
}

static void live(const char *dir, int out)
{
    static struct core k;
    struct device d[3];
    pthread_t thread[3];
    struct pf_live_task *t;
    int i;

    core_open(&k, dir);
    t = pf_coordinator_task(k.c, "a");
    if (!t) {
        t = core_add_task(&k, FILE_TEXT, NULL);
        for (i = 0; i < 3; i++)
            core_enrol(&k, t, i);
    }
    for (i = 0; i < 3; i++) {
        d[i] = (struct device){&k, t, i, out};
        if (pthread_create(&thread[i], NULL, be_a_device, &d[i]) != 0)
            _exit(5);
    }
    for (i = 0; i < 3; i++)
        pthread_join(thread[i], NULL);
    core_close(&k);
    exit(0);
}

/* ---- the parent -------------------------------------------------------- */

/* One life of at most ms milliseconds; 1 when the task was finished in it. A
 * kill inside core_enrol would leave a device out: the first life is long. */
static int one_life(const char *dir, int64_t ms)
{
    const struct timespec life = {ms / 1000, (long)(ms % 1000) * 1000000};
    struct note n;
    int fd[2], status;
    pid_t child;

    if (pipe(fd) != 0 || (child = fork()) < 0) {
        perror("test_kill");
        exit(2);
    }
    if (child == 0) {
        close(fd[0]);
        live(dir, fd[1]);
    }
    close(fd[1]);
    if (ms > 0) {
        nanosleep(&life, NULL);
        kill(child, SIGKILL);
    }
    while (read(fd[0], &n, sizeof n) == sizeof n && n_notes < 3 * ROUNDS)
        notes[n_notes++] = n;
    close(fd[0]);
    if (waitpid(child, &status, 0) != child) {
        perror("test_kill");
        exit(2);
    }
    check(WIFSIGNALED(status) ? WTERMSIG(status) == SIGKILL
                              : WEXITSTATUS(status) == 0,
          "the core lives until it is killed");
    return WIFEXITED(status);
}

/* All that was acknowledged is there, as it was acknowledged. */
static int verify(const char *dir, int kills)
{
    static struct core k;
    struct pf_live_task *t;
    struct pf_ack ack;
    size_t i;
    int models;

    core_open(&k, dir);
    t = pf_coordinator_task(k.c, "a");
    check(t != NULL, "the task is there");
    for (i = 0; t && i < n_notes; i++) {
        check(pf_reader_ack(k.reader, t->stored.id, notes[i].ack.round,
                            core_device(notes[i].device).id,
                            &ack) == POCKETFED_OK,
              "an acknowledged update is there");
        check(memcmp(&ack, &notes[i].ack, sizeof ack) == 0,
              "an acknowledgement reads as it was given");
    }
    models = t ? core_check_models(&k, t, 3) : -1;
    check(models >= 0, "each model is made of the acknowledged updates");
    printf("kill %d: %zu acknowledged, %d models\n", kills, n_notes, models);
    fflush(stdout);
    core_close(&k);
    return models;
}

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    int kills = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 12, i;
    struct pf_rng rng = pf_rng_make(seed, 0, 0, PF_RNG_TEST);
    char dir[256];
    int64_t ms;

    pf_tmpdir_make(dir, sizeof dir);
    printf("seed %llu, %d kills\n", (unsigned long long)seed, kills);
    for (i = 0; i < kills && failures == 0; i++) {
        ms = 15 + (int64_t)pf_rng_below(&rng, (uint64_t)i, 300);
        if (one_life(dir, i == 0 ? 700 : ms))
            break;
        verify(dir, i + 1);
    }
    if (failures == 0) { /* and then it is left in peace */
        check(one_life(dir, 0), "the task is finished");
        check(verify(dir, i) == ROUNDS, "every round has its model");
    }
    check(n_notes > 0, "something was acknowledged");
    if (failures)
        printf("what is left: %s\n", dir);
    else
        pf_tmpdir_remove(dir);
    return failures ? 1 : 0;
}
