/* words.h - `pocketfed` by words, as in a shell, and what it said.
 *
 * All of it is about one daemon directory: a word that begins with '%' is a
 * name in there.  The last run's result stays in `said`.
 */
#ifndef PF_E2E_WORDS_H
#define PF_E2E_WORDS_H

#include "json.h"
#include "proc.h"
#include "testdaemon.h"

extern struct pf_testdaemon words_daemon;
extern struct pf_run said;

/* For teardowns. */
void words_end(void);
void words_file(const char *name, const char *text);
/* Runs `pocketfed COMMAND WORDS EXTRA`. */
void words_run(const char *command, const char *words, const char *extra);
/* The text has this part. */
void words_has(const struct pf_buf *text, const char *part);
/* Every line is one JSON object; how many, and the last one, to be freed. */
unsigned words_json(const struct pf_buf *text, struct pf_json_doc **last);
/* `said` is a failure told as one JSON object on stdout, with this code. */
void words_fail_in_json(int code);

#endif
