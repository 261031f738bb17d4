/* plan.h - what a device is asked to do: immutable, named by the SHA-256 of
 * its bytes, signed by the record key (statement label "plan").
 *
 * The bytes are the canonical JSON of this struct; nobody re-serialises them
 * to check a digest.  Unknown members are ignored; unknown optimisers are
 * refused by name.  The model's text and the codec's name are looked up by who
 * uses them (pf_model_create, pf_codec_find): both refuse by name.
 */
#ifndef PF_PLAN_H
#define PF_PLAN_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"
#include "json.h"
#include "train.h"
#include "wire.h"

enum pf_weight { PF_WEIGHT_EXAMPLES, PF_WEIGHT_UNIFORM };
extern const char *const pf_weight_names[];

struct pf_plan_update {
    char codec[16];
    double range;  /* |coordinate| bound, a power of two: values are clamped */
    uint32_t bits; /* of the fixed-point number, 16..48 (design: bits) */
    double max_norm; /* L2 over the whole delta; the client clips to it, the
                        server refuses more (with 1e-3 relative slack) */
    uint64_t min_examples, max_examples; /* per update */
    int weight;                          /* enum pf_weight */
    uint32_t cohort_max;                 /* updates in one round at most */
};

struct pf_plan {
    uint32_t version; /* 1 */
    char task[PF_TASK_NAME_MAX + 1];
    uint32_t revision;   /* of the task, from 1 */
    struct pf_buf model; /* spec, raw canonical JSON; owned */
    struct pf_train_config train;
    struct pf_plan_update update;
    char retention[20];   /* what the server keeps of updates when their round
                             is over: "none", "N rounds" or "all" */
    uint64_t memory;      /* bytes a device needs at most */
    char min_version[32]; /* of the library, "0.1.0" */
};

extern const struct pf_json_field
    pf_train_config_fields[]; /* struct pf_train_config */
extern const struct pf_json_field pf_plan_update_fields[];
extern const struct pf_json_field pf_plan_fields[];

void pf_plan_init(struct pf_plan *p); /* defaults; then pf_plan_free */
void pf_plan_free(struct pf_plan *p);
/* Every bound, and that no sum can overflow: cohort_max * max_examples *
 * 2^(bits-1) < 2^63 (algorithms: order-independent exact sum). CONFIG names
 * the member and the accepted range. */
enum pocketfed_status pf_plan_check(const struct pf_plan *p,
                                    struct pf_error *err);
enum pocketfed_status pf_plan_encode(const struct pf_plan *p,
                                     struct pf_buf *out);
/* Decodes and checks. *p must be initialised. */
enum pocketfed_status pf_plan_decode(const char *text, size_t len,
                                     struct pf_plan *p, struct pf_error *err);
/* quantum = 2^-shift with shift = bits - 1 - log2(range). */
int pf_plan_shift(const struct pf_plan_update *u);
#define PF_KEEP_ALL UINT32_MAX
/* "none" 0, "N rounds" N (1 to 10^6), "all" PF_KEEP_ALL; 0 for another text. */
int pf_retention_rounds(const char *text, uint32_t *rounds);
/* 1 when version a >= b, both "major.minor.patch". */
int pf_version_at_least(const char *a, const char *b);

#endif
