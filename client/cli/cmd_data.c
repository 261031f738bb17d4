/* data split: one private shard per client, as IDX files. */
#include <string.h>

#include "cli.h"
#include "file.h"
#include "idx.h"
#include "partition.h"

static const struct cli_option options[] = {
    {"clients", 'n', CLI_INT, "N", "10", 1, 1000000, NULL, "how many shards"},
    {"partition", 'p', CLI_TEXT, "P", "iid", 0, 0, NULL,
     "iid, shards:K (K label shards each), dirichlet:A (label skew)"},
    {"seed", 's', CLI_INT, "S", "1", 0, 9007199254740992.0, NULL,
     "same seed, same shards"},
    {NULL, 0, CLI_FLAG, NULL, NULL, 0, 0, NULL, NULL},
};

static int write_shards(struct cli *c, const struct pf_idx *all,
                        const struct pf_partition *p, const char *out)
{
    struct cli_progress progress = {c, 0, 0};
    struct pf_error err = {0};
    char name[32], dir[1024];

    for (uint32_t k = 0; k < p->n_clients && !cli_interrupted; k++) {
        uint32_t n = p->start[k + 1] - p->start[k];

        snprintf(name, sizeof name, "client-%03u", k);
        if (pf_path_join(out, name, dir, sizeof dir, &err) ||
            pf_dir_make(dir, 0700, &err) ||
            pf_idx_write(dir, "train", all, p->index + p->start[k], n, &err)) {
            cli_progress_clear(&progress);
            return cli_fail(c, &err, "shard %u was not written", k);
        }
        cli_progress_draw(&progress, (double)(k + 1) / p->n_clients,
                          "shard %u of %u", k + 1, p->n_clients);
    }
    cli_progress_clear(&progress);
    return cli_interrupted ? CLI_INTERRUPTED : CLI_OK;
}

static int data_split(struct cli *c)
{
    uint32_t clients = (uint32_t)cli_int(c, "clients"), least = UINT32_MAX,
             most = 0;
    struct pf_partition p = {0};
    struct pf_idx all = {0};
    struct pf_error err = {0};
    int code;

    cli_catch_interrupts();
    if (pf_idx_load(c->arg[0], "train", &all, &err) ||
        pf_partition_make(cli_text(c, "partition"), all.labels, all.n, clients,
                          (uint64_t)cli_int(c, "seed"), &p, &err)) {
        code = cli_fail(c, &err, "%s was not split", c->arg[0]);
        goto out;
    }
    code = write_shards(c, &all, &p, c->arg[1]);
    if (code)
        goto out;
    for (uint32_t k = 0; k < clients; k++) {
        uint32_t n = p.start[k + 1] - p.start[k];

        least = n < least ? n : least;
        most = n > most ? n : most;
    }
    if (c->json)
        cli_out("{\"clients\":%u,\"examples\":%u,\"least\":%u,\"most\":%u}\n",
                clients, all.n, least, most);
    else
        cli_out("%u examples in %u shards of %u to %u: client-000 ...\n", all.n,
                clients, least, most);
out:
    pf_partition_free(&p);
    pf_idx_free(&all);
    return code;
}

extern const struct cli_command cmd_data_split;
const struct cli_command cmd_data_split = {
    "data split",
    "Models and data",
    "DIR OUT",
    2,
    2,
    "split a data set into private shards, one folder a client",
    "  pocketfed data split mnist shards --clients 10\n"
    "  pocketfed data split mnist shards --clients 100 --partition shards:2\n",
    options,
    data_split};
