/* training.h - what train-local and the benches have in common: which network,
 * which examples, how it is trained.
 *
 * The rows below are part of each command's table of options; the functions
 * turn what was given into what the library takes.
 */
#ifndef PF_CLI_TRAINING_H
#define PF_CLI_TRAINING_H

#include "cli.h"
#include "idx.h"
#include "train.h"

#define TRAINING_MODEL                                                         \
    {                                                                          \
        "model", 'm', CLI_MODEL, "NAME", "lenet5", 0, 0, NULL, "which network" \
    }
#define TRAINING_SEED                                                          \
    {                                                                          \
        "seed", 's', CLI_INT, "S", "1", 0, 9007199254740992.0, NULL,           \
            "same seed, same model"                                            \
    }
#define TRAINING_THREADS                                                       \
    {                                                                          \
        "threads", 't', CLI_INT, "N", "1", 1, 64, NULL,                        \
            "threads; the model does not depend on them"                       \
    }

/* How the model is trained: the members of struct pf_train_config. */
#define TRAINING_ROWS                                                            \
    {"optimizer",                                                                \
     'o',                                                                        \
     CLI_TEXT,                                                                   \
     "NAME",                                                                     \
     "sgd",                                                                      \
     0,                                                                          \
     0,                                                                          \
     training_optimizers,                                                        \
     "rule of the steps"},                                                       \
        {"lr", 0,    CLI_REAL,                                                   \
         "X",  NULL, 1e-8,                                                       \
         10,   NULL, "learning rate (default: 0.05, of adam and adamw 0.001)"},  \
        {"schedule",                                                             \
         0,                                                                      \
         CLI_TEXT,                                                               \
         "NAME",                                                                 \
         "constant",                                                             \
         0,                                                                      \
         0,                                                                      \
         pf_schedule_names,                                                      \
         "how the learning rate goes"},                                          \
        {"warmup", 0,    CLI_INT,                                                \
         "N",      "0",  0,                                                      \
         1000000,  NULL, "steps over which it rises to --lr"},                   \
        {"lr-step", 0,    CLI_INT,                                               \
         "N",       "1",  1,                                                     \
         1000,      NULL, "step: epochs between two cuts"},                      \
        {"gamma", 0,     CLI_REAL,                                               \
         "X",     "0.1", 0,                                                      \
         1,       NULL,  "step: what a cut multiplies it by"},                   \
        {"lr-min", 0, CLI_REAL, "X", "0", 0, 10, NULL, "cosine: where it ends"}, \
        {"momentum", 0,    CLI_REAL,                                             \
         "X",        NULL, 0,                                                    \
         0.9999,     NULL, "of momentum and nesterov (default: 0.9)"},           \
        {"weight-decay",      0, CLI_REAL, "X", "0", 0, 1, NULL,                 \
         "L2, or adamw's own"},                                                  \
        {"clip", 0,    CLI_REAL,                                                 \
         "X",    "0",  0,                                                        \
         1e9,    NULL, "longest gradient, by its norm (0: any)"},                \
    {                                                                            \
        "batch", 'b', CLI_INT, "N", "10", 1, 4096, NULL, "examples in a step"    \
    }

/* sgd, momentum and nesterov are one optimiser to the library. */
extern const char *const training_optimizers[];

/* The network that a CLI_MODEL names. NOT_FOUND, MALFORMED as for any spec. */
enum pocketfed_status training_model(const char *name, struct pf_model **out,
                                     struct pf_error *err);
/* What TRAINING_ROWS say, for so many epochs. 0, or the exit code after having
 * said what does not go together. */
int training_config(const struct cli *c, uint32_t epochs,
                    struct pf_train_config *out);
/* {"optimizer":..,"lr":.., ...} without the braces, for summaries. */
void training_json(const struct cli *c, const struct pf_train_config *config,
                   struct pf_buf *out);

#endif
