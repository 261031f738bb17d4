/* control.h - what the crash harness and a daemon under it share: one file that
 * both map, named to the daemon by the environment.
 *
 * The shim (shim.c) reads it at system calls, the wrappers of the crash points
 * (points.c) at each pass; both count there.  It outlives the daemon, however
 * that dies.
 */
#ifndef CRASH_CONTROL_H
#define CRASH_CONTROL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define CRASH_ENV    "PF_CRASH_CONTROL" /* path of the file */
#define CRASH_POINTS 64
#define CRASH_PATH   256

enum crash_where {
    CRASH_NOWHERE,
    CRASH_BEFORE, /* the nth pass, before anything is done */
    CRASH_AT,     /* the nth system call inside; a write is half done */
    CRASH_AFTER,  /* the nth pass, when all is done */
};

/* Kinds of system calls that change files. */
enum crash_call {
    CRASH_WRITE = 1, /* write, pwrite, ftruncate, posix_fallocate */
    CRASH_SYNC = 2,  /* fsync, fdatasync */
    CRASH_NAME = 4,  /* a creating open, rename, unlink, mkdir */
};

struct crash_control {
    char root[CRASH_PATH]; /* only what lies below is looked at */

    /* One kill. */
    atomic_uint where, point;
    atomic_ullong nth; /* from 1 */
    atomic_uint fired;

    /* Calls that fail, instead of being done: those of the kinds in fail_calls
     * whose path contains fail_path, after fail_skip of them, fail_left times
     * (UINT64_MAX: for ever). */
    atomic_uint fail_calls;
    atomic_int fail_errno;
    char fail_path[64];
    atomic_ullong fail_skip, fail_left;
    atomic_ullong failed;
    /* Syncs that came to a file one of whose syncs had failed. */
    atomic_ullong retried;

    atomic_llong clock_s; /* added to the wall clock */

    /* What was passed so far. */
    atomic_ullong passes[CRASH_POINTS], left[CRASH_POINTS];
    atomic_ullong calls[CRASH_POINTS];

    /* The log of all that was done to files, behind this struct; log_room 0:
     * none is kept. With a log nothing is really synced. */
    uint64_t log_room;
    atomic_ullong log_used;
};

/* The log begins here in the file. */
#define CRASH_LOG_AT 16384

enum crash_op {
    CRASH_OP_OPEN, /* fd, path; number: was it made to be created, truncated */
    CRASH_OP_CLOSE,
    CRASH_OP_WRITE,  /* fd, number: offset, data */
    CRASH_OP_SIZE,   /* fd, number: from now on exactly */
    CRASH_OP_GROW,   /* fd, number: from now on at least */
    CRASH_OP_SYNC,   /* fd */
    CRASH_OP_RENAME, /* path, data: new path */
    CRASH_OP_UNLINK, /* path */
    CRASH_OP_MKDIR,  /* path */
};
#define CRASH_OPEN_CREATES   1
#define CRASH_OPEN_TRUNCATES 2

struct crash_record {
    uint32_t op;
    int32_t fd;
    uint64_t number;
    uint32_t path_len, data_len; /* both follow; then padding to 8 bytes */
};

static inline size_t crash_record_size(const struct crash_record *r)
{
    return (sizeof *r + r->path_len + r->data_len + 7) / 8 * 8;
}

/* The shim's, for the wrappers. */
void crash_enter(unsigned point);
void crash_leave(unsigned point);

#endif
