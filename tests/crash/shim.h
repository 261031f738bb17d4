/* shim.h - what the files of the shim share.
 */
#ifndef CRASH_SHIM_H
#define CRASH_SHIM_H

#include "control.h"

extern struct crash_control *crash_shared; /* NULL: nothing is asked of us */

/* SIGKILL for the whole process; does not return. */
void crash_die(void);

/* The log of operations. lock spans the call and its record, so that records
 * are in the order in which things happened. Without a log both do nothing. */
int crash_log_on(void);
void crash_log_lock(void);
void crash_log_unlock(void);
void crash_log_add(enum crash_op op, int fd, uint64_t number, const char *path,
                   const void *data, size_t len);

#endif
