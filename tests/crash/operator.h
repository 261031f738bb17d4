/* operator.h - the admin interface for a harness: asked over the Unix socket of
 * a daemon that may be gone at any moment.  From any thread.
 */
#ifndef CRASH_OPERATOR_H
#define CRASH_OPERATOR_H

#include "buf.h"

/* The HTTP status and the body; 0 when there was no answer. body NULL: none is
 * sent. */
int operator_ask(const char *socket, const char *method, const char *path,
                 const char *body, struct pf_buf *out);
/* 1 when the task is there (made now or before), else 0. */
int operator_task(const char *socket, const char *json);
/* A join link with one use; 1 or 0. */
int operator_token(const char *socket, const char *task, char link[512]);
/* "paused" or "running"; 1 or 0. */
int operator_set(const char *socket, const char *task, const char *state);

#endif
