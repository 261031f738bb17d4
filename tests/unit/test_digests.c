/* The same seed and the same family of kernels give the same bits, on every
 * machine that has the family: the recorded digests of trained parameters.
 * `unit_digests --print` prints the table for the families that run here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels.h"
#include "training.h"

static const struct {
    const char *model;
    uint32_t batch;
    size_t steps;
} trainings[] = {{"lenet5", 10, 6}, {"lenet-coreml", 16, 3}};
enum { N_TRAININGS = sizeof trainings / sizeof *trainings };

static const struct {
    const char *family;
    const char *digests[N_TRAININGS];
} recorded[] = {
#include "digests.h"
};

/* A process chooses its kernels once, so each training has its own. */
static void train_as(const char *family, size_t i, char digest[65])
{
    int ends[2], status = 0;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    fflush(stdout);
    child = fork();
    if (child == 0) {
        setenv("POCKETFED_KERNELS", family, 1);
        pf_training_run(trainings[i].model, trainings[i].batch,
                        trainings[i].steps, digest);
        _exit(write(ends[1], digest, 65) != 65);
    }
    assert_true(child > 0);
    close(ends[1]);
    assert_int_equal(read(ends[0], digest, 65), 65);
    close(ends[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const char *wanted(const char *family, size_t i)
{
    for (size_t f = 0; f < sizeof recorded / sizeof *recorded; f++)
        if (strcmp(recorded[f].family, family) == 0)
            return recorded[f].digests[i];
    return "no record: see unit_digests --print";
}

static void a_training_gives_the_recorded_bits(void **state)
{
    const char *const *names = pf_kernels_names();
    char digest[65];

    (void)state;
    for (size_t f = 0; names[f]; f++)
        for (size_t i = 0; i < N_TRAININGS; i++) {
            train_as(names[f], i, digest);
            if (strcmp(digest, wanted(names[f], i)) != 0)
                fail_msg("%s with %s: %s, recorded is %s", trainings[i].model,
                         names[f], digest, wanted(names[f], i));
        }
}

static void print_table(void)
{
    const char *const *names = pf_kernels_names();
    char digest[65];

    for (size_t f = 0; names[f]; f++) {
        printf("{\"%s\",\n {", names[f]);
        for (size_t i = 0; i < N_TRAININGS; i++) {
            train_as(names[f], i, digest);
            printf("%s\"%s\"", i ? ",\n  " : "", digest);
        }
        printf("}},\n");
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_training_gives_the_recorded_bits),
    };

    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        print_table();
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
