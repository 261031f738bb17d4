/* train.h - the local training loop and evaluation: what a participation, the
 * simulator and train-local run alike.
 *
 * A trainer takes all its memory at creation (pf_trainer_bytes says how much
 * beforehand) and none afterwards.  It is resumable: its whole progress is
 * (parameters, optimiser state, position), all in the canonical order of files,
 * whatever order it computes in; and the order of examples is a pure function
 * of (seed, epoch).  Bits depend on the seed, the examples and the kernel
 * family only, not on the threads that are lent.
 */
#ifndef PF_TRAIN_H
#define PF_TRAIN_H

#include <stddef.h>
#include <stdint.h>
#include "fail.h"
#include "model.h"
#include "parallel.h"
#include "precision.h"

struct pf_exec;

enum pf_optimizer { PF_SGD, PF_ADAM, PF_ADAMW }; /* "sgd", "adam", "adamw" */
enum pf_schedule { PF_CONSTANT, PF_STEP, PF_COSINE }; /* "constant", ... */
extern const char *const pf_optimizer_names[];        /* NULL-terminated */
extern const char *const pf_schedule_names[];         /* NULL-terminated */

struct pf_train_config {
    int optimizer;   /* enum pf_optimizer */
    double lr;       /* (0, 10] */
    double momentum; /* SGD: [0, 1) ; v = momentum v + g ; w -= lr v */
    int nesterov;    /* with momentum: w -= lr (g + momentum v) */
    double beta1, beta2, epsilon; /* Adam (Kingma & Ba 2015), textbook form */
    double weight_decay;          /* [0, 1], L2, added to the gradient; adamw:
                                     w -= lr weight_decay w (Loshchilov &
                                     Hutter 2019) */
    int schedule;                 /* enum pf_schedule */
    uint32_t warmup;       /* optimiser steps of linear growth before it */
    uint32_t decay_epochs; /* STEP: the rate is multiplied by gamma every so */
    uint32_t decay_steps;  /* many epochs, or optimiser steps; one of them */
    double gamma;          /* (0, 1] */
    double lr_min;         /* COSINE: where it ends, [0, lr] */
    double clip_norm;      /* of the whole gradient, L2; 0: not clipped */
    double mu;             /* FedProx (Li et al. 2020), [0, 100]; 0: none */
    uint32_t epochs;       /* 1..1000 */
    uint32_t batch;        /* 1..4096 */
    int shuffle;           /* 0: in order */
    int control;           /* room for pf_trainer_set_control; in no plan */
};
/* sgd, lr 0.05 constant, 1 epoch, batch 32, shuffled */
void pf_train_config_default(struct pf_train_config *c);
enum pocketfed_status pf_train_config_check(const struct pf_train_config *c,
                                            struct pf_error *err);
/* The rate of optimiser step `step` (from 0) out of `steps`, of which `epoch`
 * make an epoch: a function of its arguments alone. */
double pf_train_rate(const struct pf_train_config *c, uint64_t step,
                     uint64_t steps, uint64_t epoch);

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

/* Bytes that pf_trainer_create will take in all, with so many threads lent;
 * SIZE_MAX on overflow. */
size_t pf_trainer_bytes(const struct pf_model *m,
                        const struct pf_train_config *c, size_t n_examples,
                        unsigned threads);
/* The trainer owns its copy of the parameters and optimiser state. Model,
 * examples and threads (NULL: none) are borrowed and must outlive it; examples
 * are asked for by the calling thread only. The last batch of an epoch may be
 * smaller. */
enum pocketfed_status
pf_trainer_create(const struct pf_model *m, const struct pf_train_config *c,
                  const struct pf_examples *examples, uint64_t seed,
                  const struct pf_parallel *threads, struct pf_trainer **out,
                  struct pf_error *err);
void pf_trainer_free(struct pf_trainer *t);
/* Where the training starts: n_params values; FedProx's anchor, too. */
void pf_trainer_set_params(struct pf_trainer *t, const pf_real *params);
void pf_trainer_get_params(const struct pf_trainer *t, pf_real *params);
/* Values of optimiser state (0 for plain SGD): n_params for each array. */
size_t pf_trainer_n_state(const struct pf_trainer *t);
void pf_trainer_get_state(const struct pf_trainer *t, pf_real *state);
const struct pf_train_position *pf_trainer_position(const struct pf_trainer *t);
/* Continue from a checkpoint, after set_params with what the training started
 * from. INVALID, and nothing is changed, when there is no such position. */
enum pocketfed_status pf_trainer_resume(struct pf_trainer *t,
                                        const struct pf_train_position *p,
                                        const pf_real *params,
                                        const pf_real *state);
/* Added to every gradient from now on (n_params values; SCAFFOLD, Karimireddy
 * et al. 2020: c - c_i). INVALID without config's `control`. */
enum pocketfed_status pf_trainer_set_control(struct pf_trainer *t,
                                             const pf_real *control);
/* How it computes, for explanations and timings (exec.h). */
struct pf_exec *pf_trainer_exec(struct pf_trainer *t);
/* One mini-batch. AGAIN while batches remain, OK after the last one, a failing
 * example source's status, NON_FINITE when the loss is not finite; a step that
 * fails changes nothing. */
enum pocketfed_status pf_trainer_step(struct pf_trainer *t);
/* Mean loss of the current or (when it just ended) the last epoch; NaN before
 * any step. */
double pf_trainer_loss(const struct pf_trainer *t);

struct pf_evaluation {
    uint64_t n, correct;
    double loss; /* mean */
};

/* A model made ready to be run, many times: parameters packed once. Not for
 * two threads at a time. Running allocates nothing. */
struct pf_infer;
/* params, m and threads (NULL: none) are borrowed: params until it returns, the
 * others until close. batch: how many examples run is called with at most.
 * NON_FINITE when params are not and the precision is not PF_F32; LIMIT when a
 * weight is beyond binary16. A NaN that a layer reads shows in the outputs of
 * its example; an infinity may vanish behind a ReLU. */
enum pocketfed_status
pf_infer_open(const struct pf_model *m, const pf_real *params, size_t batch,
              enum pf_precision precision, const struct pf_parallel *threads,
              struct pf_infer **out, struct pf_error *err);
/* What it would take, all in all and of that for parameters; SIZE_MAX when no
 * family of kernels can be had. */
struct pf_infer_memory {
    size_t bytes, weights;
};
struct pf_infer_memory pf_infer_measure(const struct pf_model *m, size_t batch,
                                        enum pf_precision precision,
                                        const struct pf_parallel *threads);
void pf_infer_close(struct pf_infer *f); /* NULL is fine */
/* Examples that one run takes: batch, or less. */
size_t pf_infer_batch(const struct pf_infer *f);
/* Where the values of example i go, [c][h][w], before each run. */
pf_real *pf_infer_input(struct pf_infer *f, size_t i);
/* The outputs [n][classes] before the loss, valid until the next run. */
const pf_real *pf_infer_run(struct pf_infer *f, size_t n);
/* One example, x [c][h][w], to what the loss makes of its outputs: class
 * probabilities. */
void pf_infer_probabilities(struct pf_infer *f, const pf_real *x,
                            pf_real *probabilities);
/* Over examples [first, end). */
enum pocketfed_status pf_infer_evaluate(struct pf_infer *f,
                                        const struct pf_examples *examples,
                                        size_t first, size_t end,
                                        struct pf_evaluation *out,
                                        struct pf_error *err);
struct pf_exec *pf_infer_exec(struct pf_infer *f);

/* All of the above in one go. Threads of the caller may call it on ranges at
 * the same time. */
enum pocketfed_status
pf_evaluate(const struct pf_model *m, const pf_real *params,
            const struct pf_examples *examples, size_t first, size_t end,
            struct pf_evaluation *out, struct pf_error *err);
/* Class probabilities of one example, or with mse its outputs: n_classes
 * floats. */
enum pocketfed_status pf_predict(const struct pf_model *m,
                                 const pf_real *params,
                                 enum pf_precision precision, const pf_real *x,
                                 pf_real *probabilities, struct pf_error *err);

#endif
