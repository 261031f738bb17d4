/* fail.h - the sentence that travels beside a status.
 *
 * A function that a person will read the outcome of takes `struct pf_error
 * *err` last (NULL allowed).  On failure it returns pf_fail(err, status, ...)
 * so the status and the sentence are set in one place; on success err is left
 * alone.  `hint` is what to do about it, as a command to copy where possible.
 */
#ifndef PF_FAIL_H
#define PF_FAIL_H

#include <stddef.h>
#include <pocketfed/status.h>

#if defined(__GNUC__) || defined(__clang__)
#define PF_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PF_PRINTF(fmt, args)
#endif

struct pf_error {
    enum pocketfed_status status;
    char text[320]; /* why, with the number that decided; no final period */
    char hint[240]; /* what to do; empty when there is nothing to say */
};

/* Sets err (when not NULL) and returns status. Clears the hint. */
enum pocketfed_status pf_fail(struct pf_error *err,
                              enum pocketfed_status status, const char *fmt,
                              ...) PF_PRINTF(3, 4);

/* Sets the hint of an error that was just failed. NULL err is fine. */
void pf_hint(struct pf_error *err, const char *fmt, ...) PF_PRINTF(2, 3);

/* pf_fail with ": <strerror(errnum)>" appended; status POCKETFED_IO. A full
 * disk gets its hint. */
enum pocketfed_status pf_fail_errno(struct pf_error *err, int errnum,
                                    const char *fmt, ...) PF_PRINTF(3, 4);

/* The entry of `names` (NULL-terminated) nearest to `word` by edit distance,
 * or NULL when none is near enough to be worth offering. */
const char *pf_nearest(const char *word, const char *const *names);

#endif
