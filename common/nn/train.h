/* train.h - the local training loop and evaluation: what a participation, the
 * simulator and train-local run alike.
 *
 * A trainer takes all its memory at creation (pf_trainer_bytes says how much
 * beforehand) and none afterwards.  It is resumable: its whole progress is
 * (parameters, optimiser state, position), and the order of examples is a pure
 * function of (seed, epoch).  Bits depend on the seed, the examples and the
 * kernel family only.
 */
#ifndef PF_TRAIN_H
#define PF_TRAIN_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "model.h"

enum pf_optimizer { PF_SGD, PF_ADAM };         /* names: "sgd", "adam" */
extern const char *const pf_optimizer_names[]; /* NULL-terminated */

struct pf_train_config {
    int optimizer;   /* enum pf_optimizer */
    double lr;       /* (0, 10] */
    double momentum; /* SGD: [0, 1) ; v = momentum v + g ; w -= lr v */
    double beta1, beta2, epsilon; /* Adam (Kingma & Ba 2015), textbook form */
    double weight_decay;          /* [0, 1], L2, added to the gradient */
    uint32_t epochs;              /* 1..1000 */
    uint32_t batch;               /* 1..4096 */
    int shuffle;                  /* 0: in order */
};
/* sgd, lr 0.05, 1 epoch, batch 32, shuffled */
void pf_train_config_default(struct pf_train_config *c);
enum pocketfed_status pf_train_config_check(const struct pf_train_config *c,
                                            struct pf_error *err);

/* Where examples come from. get fills x (input.c*h*w floats, in the scale the
 * model was trained on: byte/255 for images) and *label, for i < n. Returns
 * not OK to stop the training with that status. */
struct pf_examples {
    void *ctx;
    size_t n;
    enum pocketfed_status (*get)(void *ctx, size_t i, pf_real *x,
                                 uint32_t *label);
};

struct pf_train_position {
    uint32_t epoch;         /* finished epochs */
    uint64_t batch;         /* finished batches of the current epoch */
    uint64_t step;          /* optimiser steps so far (Adam's t) */
    uint64_t examples;      /* examples seen in all */
    double loss_sum;        /* of the current epoch, example-weighted */
    uint64_t loss_examples; /* how many examples loss_sum covers */
};

struct pf_trainer;

/* Bytes that pf_trainer_create will take in all; SIZE_MAX on overflow. */
size_t pf_trainer_bytes(const struct pf_model *m,
                        const struct pf_train_config *c, size_t n_examples);
/* The trainer owns its copy of the parameters and optimiser state. Model and
 * examples are borrowed and must outlive it. The last batch of an epoch may be
 * smaller. */
enum pocketfed_status pf_trainer_create(const struct pf_model *m,
                                        const struct pf_train_config *c,
                                        const struct pf_examples *examples,
                                        uint64_t seed, struct pf_trainer **out,
                                        struct pf_error *err);
void pf_trainer_free(struct pf_trainer *t);
pf_real *pf_trainer_params(struct pf_trainer *t); /* n_params floats */
/* Optimiser state: *n floats (0 for plain SGD). */
pf_real *pf_trainer_state(struct pf_trainer *t, size_t *n);
const struct pf_train_position *pf_trainer_position(const struct pf_trainer *t);
/* Continue from a checkpoint: fill params and state, then set the position. */
enum pocketfed_status pf_trainer_seek(struct pf_trainer *t,
                                      const struct pf_train_position *p);
/* One mini-batch. AGAIN while batches remain, OK after the last one, a failing
 * example source's status, NON_FINITE when the loss is not finite. */
enum pocketfed_status pf_trainer_step(struct pf_trainer *t);
/* Mean loss of the current or (when it just ended) the last epoch; NaN before
 * any step. */
double pf_trainer_loss(const struct pf_trainer *t);

struct pf_evaluation {
    uint64_t n, correct;
    double loss; /* mean */
};
/* Forward over all examples. threads >= 1 worker threads are NOT started here:
 * common/ owns no threads; call it on ranges from several threads with the
 * same model (each call takes its own workspace). Sums are of [first, end). */
enum pocketfed_status
pf_evaluate(const struct pf_model *m, const pf_real *params,
            const struct pf_examples *examples, size_t first, size_t end,
            struct pf_evaluation *out, struct pf_error *err);
/* Class probabilities of one example: n_classes floats. */
enum pocketfed_status pf_predict(const struct pf_model *m,
                                 const pf_real *params, const pf_real *x,
                                 pf_real *probabilities, struct pf_error *err);

#endif
