/* The app's threads for the training. */
#include "client_core.h"

#include <fenv.h>

struct job {
    void (*task)(void *arg, unsigned i, unsigned worker);
    void *arg;
};

/* Bits must not depend on how the app's threads round. */
static void with_default_rounding(void *arg, unsigned i, unsigned worker)
{
    const struct job *j = arg;
    fenv_t app;

    fegetenv(&app);
    fesetenv(FE_DFL_ENV);
    j->task(j->arg, i, worker);
    fesetenv(&app);
}

static void run(void *ctx, unsigned n_tasks,
                void (*task)(void *arg, unsigned i, unsigned worker), void *arg)
{
    const struct pocketfed_client *c = ctx;
    struct job j = {task, arg};

    c->env.run(c->env.ctx, n_tasks, with_default_rounding, &j);
}

void pf_client_threads(struct pocketfed_client *c)
{
    c->threads = (struct pf_parallel){c, c->env.threads, run};
}
