/* audit_report.h - `pocketfedd audit`: the audit of a stopped daemon's state
 * directory, told to people or, with --json, to programs.
 */
#ifndef PF_AUDIT_REPORT_H
#define PF_AUDIT_REPORT_H

#include "fail.h"
#include "log.h"

/* Prints a line a task (stdout) and, at the end, what it means. only: the name
 * of one task, or NULL. *verdict: 0, 1 or 3 (audit.h). LOCKED while a daemon
 * has the directory. */
enum pocketfed_status pf_audit_report(const char *state, const char *only,
                                      int json, const struct pf_log *log,
                                      int *verdict, struct pf_error *err);

#endif
