/* ingest - uploads as fast as they come, through the real daemon, beside an
 * nginx that only reads them.  `tests/bench/ingest -h`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "modes.h"
#include "proc.h"
#include "say.h"
#include "sodium_ed25519.h"

static const struct {
    const char *name;
    void (*run)(const struct options *o);
} modes[] = {
    {"speed", mode_speed},         {"batches", mode_batches},
    {"crowd", mode_crowd},         {"memory", mode_memory},
    {"download", mode_download},   {"pools", mode_pools},
    {"suspended", mode_suspended}, {"tickets", mode_tickets},
};

static const char usage[] =
    "Usage: tests/bench/ingest [--only MODE] [--rounds N] [--dir DIR]\n"
    "\n"
    "Uploads updates of 247 KB and 1.7 MB over TLS and 32 connections to a\n"
    "daemon of its own and, in turn, to an nginx that only reads them into\n"
    "memory. Prints a JSON line for each size: uploads per CPU-second of "
    "each,\n"
    "their ratio, and what each stage of ours takes. Ends with 1 when less\n"
    "than a quarter (247 KB) or 0.35 (1.7 MB) of nginx's is reached.\n"
    "\n"
    "Options:\n"
    "  --only MODE   batches: group commit beside a bare log, and batch size\n"
    "                  by load\n"
    "                crowd: 1,500 devices at once\n"
    "                memory: resident memory over 200,000 uploads\n"
    "                download: models, beside nginx's static file\n"
    "                pools: memory per connection, and threads\n"
    "                suspended: 5,000 waiting connections that go on\n"
    "                tickets: TLS sessions resumed\n"
    "  --rounds N    repetitions that the medians are of [7]\n"
    "  --dir DIR     where state is kept, on a real disk [/var/tmp]\n";

static void bad_usage(const char *what)
{
    fprintf(stderr, "ingest: %s\n\n%s", what, usage);
    exit(2);
}

int main(int argc, char **argv)
{
    struct options o = {"/var/tmp", 7};
    const char *only = "speed";
    size_t i;
    int a;

    pf_ed25519_by(&pf_sodium_ed25519); /* in the stages, as in the daemon */
    for (a = 1; a < argc; a++) {
        if (strcmp(argv[a], "-h") == 0 || strcmp(argv[a], "--help") == 0) {
            fputs(usage, stdout);
            return 0;
        }
        if (a + 1 == argc)
            bad_usage("an option is unknown or has no value");
        if (strcmp(argv[a], "--only") == 0)
            only = argv[++a];
        else if (strcmp(argv[a], "--rounds") == 0)
            o.rounds = (unsigned)strtoul(argv[++a], NULL, 10);
        else if (strcmp(argv[a], "--dir") == 0)
            o.dir = argv[++a];
        else
            bad_usage("an option is unknown");
    }
    if (o.rounds < 1 || o.rounds > 1000)
        bad_usage("--rounds takes 1 to 1000");
    if (strlen(o.dir) > 30)
        bad_usage("--dir takes at most 30 bytes, for the socket in it");
    pf_isolate(o.dir);
    for (i = 0; i < sizeof modes / sizeof modes[0]; i++)
        if (strcmp(only, modes[i].name) == 0)
            break;
    if (i == sizeof modes / sizeof modes[0])
        bad_usage("there is no such mode");
    modes[i].run(&o);
    pf_kill_all();
    return gates_missed() > 0;
}
