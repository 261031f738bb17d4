#include "device.h"

#include <string.h>
#include <time.h>

#include "log.h"

static enum pocketfed_status count(void *ctx, uint64_t *n)
{
    const struct device *d = ctx;

    *n = d->shard.n;
    return POCKETFED_OK;
}

static enum pocketfed_status example(void *ctx, uint64_t i, float *x,
                                     size_t n_x, uint32_t *label)
{
    const struct device *d = ctx;

    if (i >= d->shard.n || n_x != (size_t)d->shard.h * d->shard.w)
        return POCKETFED_INVALID;
    return pf_idx_get(&d->shard, (size_t)i, x, label);
}

static void run_tasks(void *ctx, unsigned n,
                      void (*task)(void *arg, unsigned i, unsigned worker),
                      void *arg)
{
    const struct device *d = ctx;
    const struct pf_parallel *threads = pool_parallel(d->pool);

    threads->run(threads->ctx, n, task, arg);
}

/* What goes wrong beside the work. How the work itself fails is said by the
 * command, in its own words. */
static void log_line(void *ctx, int level, const char *line)
{
    static const char *const said[] = {"stopped ", "retry ", "dropped "};
    const struct device *d = ctx;

    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!strncmp(line, said[i], strlen(said[i])))
            return;
    if (level <= PF_LOG_WARN)
        cli_say(d->cli, "%s", line);
}

enum pocketfed_status device_dir(const struct cli *c, char *out, size_t cap,
                                 struct pf_error *err)
{
    const char *given = cli_text(c, "dir");

    if (given ? snprintf(out, cap, "%s", given) >= (int)cap
              : !cli_device_dir(out, cap)) {
        pf_fail(err, POCKETFED_INVALID,
                "neither HOME nor XDG_STATE_HOME names a usable folder");
        pf_hint(err, "say --dir DIR");
        return POCKETFED_INVALID;
    }
    return POCKETFED_OK;
}

enum pocketfed_status device_open(struct device *d, const char *label,
                                  uint32_t participations, struct pf_error *err)
{
    struct pocketfed_options options;
    struct pocketfed_env env;
    enum pocketfed_status st;
    char why[320] = "";

    st = device_dir(d->cli, d->dir, sizeof d->dir, err);
    if (st)
        return st;
    memset(&options, 0, sizeof options);
    memset(&env, 0, sizeof env);
    options.size = sizeof options;
    options.storage = d->dir;
    options.label = label;
    options.max_participations = participations;
    env.size = sizeof env;
    env.ctx = d;
    env.examples = count;
    env.example = example;
    env.log = log_line;
    if (d->pool) {
        env.threads = pool_parallel(d->pool)->n;
        env.run = run_tasks;
    }
    st = pocketfed_client_open(&options, &env, &d->client, why, sizeof why);
    if (st) {
        pf_fail(err, st, "%s", why);
        if (st == POCKETFED_LOCKED)
            pf_hint(err, "another pocketfed uses %s; give this one --dir DIR",
                    d->dir);
    }
    return st;
}

void device_close(struct device *d)
{
    pocketfed_client_close(d->client);
    pf_idx_free(&d->shard);
    pool_close(d->pool);
}

enum pocketfed_status device_error(const struct device *d,
                                   enum pocketfed_status status,
                                   struct pf_error *err)
{
    pf_fail(err, status, "%s", pocketfed_client_error(d->client));
    pf_hint(err, "%s", pocketfed_client_hint(d->client));
    return status;
}

void device_wait(int64_t ms)
{
    struct timespec t;

    if (ms <= 0 || cli_interrupted)
        return;
    t.tv_sec = (time_t)(ms / 1000);
    t.tv_nsec = (long)(ms % 1000) * 1000000L;
    nanosleep(&t, NULL); /* a signal ends it early */
}
