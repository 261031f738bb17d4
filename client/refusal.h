/* refusal.h - an HTTP answer that is no success becomes a sentence and what to
 * do about it.
 */
#ifndef PF_REFUSAL_H
#define PF_REFUSAL_H

#include "participation.h"

/* Reads the reply's problem document, or makes do with its HTTP status. *out is
 * always set (id NONE when unknown; retry_after_ms includes the header's), err
 * says what was refused (`what`, e.g. "check-in") and why; its status is the
 * one to stop with if the action is to stop. */
enum pf_problem_action pf_refusal_read(const struct pf_want_reply *reply,
                                       const char *what, struct pf_problem *out,
                                       struct pf_error *err);

#endif
