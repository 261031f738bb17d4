#include "exec.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum pocketfed_status pf_exec_explain(const struct pf_exec *e,
                                      struct pf_buf *out)
{
    char names[3 * 48 + 4];

    for (size_t i = 0; i < e->n_steps; i++) {
        const struct pf_step *s = &e->steps[i];
        const char *how =
            s->kind->method ? s->kind->method(s, e->k) : "layer by layer";

        names[0] = '\0';
        for (unsigned j = 0; j < s->n_layers; j++) {
            size_t len = strlen(names);

            snprintf(names + len, sizeof names - len, "%s%s", j ? "+" : "",
                     e->m->layers[s->layers[j]].name);
        }
        pf_buf_addf(out, "%-24s %-28s %10zu %12" PRIu64, names, how,
                    s->n_packed, s->macs);
        if (e->clock)
            pf_buf_addf(out, " %14" PRIu64 " %14" PRIu64, e->ticks[i].forward,
                        e->ticks[i].backward);
        pf_buf_adds(out, "\n");
    }
    return pf_buf_status(out);
}
