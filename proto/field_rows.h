/* field_rows.h - the rows of field tables (json.h), spelled short: the key is
 * the member's name, S its struct without the word, f flags, h one sentence.
 *
 * For the .c files that hold tables of messages; no header includes it.
 */
#ifndef PF_FIELD_ROWS_H
#define PF_FIELD_ROWS_H

#include <stddef.h>
#include "json.h"

#define MAX_EXACT 9007199254740992.0 /* 2^53: what JSON numbers carry */
#define REQ       PF_JSON_REQUIRED
#define OMIT      PF_JSON_OMIT_EMPTY

/* A row of the table of struct S. */
#define ROW(S, k, t, f, h)                                                     \
    .key = #k, .type = PF_JSON_##t, .offset = offsetof(struct S, k),           \
    .size = sizeof((struct S *)0)->k, .flags = (f), .help = (h)
#define TEXT(S, k, f, h)                                                       \
    {                                                                          \
        ROW(S, k, STRING, f, h)                                                \
    }
#define HEX(S, k, f, h)                                                        \
    {                                                                          \
        ROW(S, k, HEX, f, h)                                                   \
    }
#define U64(S, k, f, h)                                                        \
    {                                                                          \
        ROW(S, k, U64, f, h)                                                   \
    }
#define BOOL(S, k, f, h)                                                       \
    {                                                                          \
        ROW(S, k, BOOL, f, h)                                                  \
    }
#define REAL(S, k, f, h)                                                       \
    {                                                                          \
        ROW(S, k, DOUBLE, f, h)                                                \
    }
/* Milliseconds and the like: never negative. */
#define TIME(S, k, f, h)                                                       \
    {                                                                          \
        ROW(S, k, I64, f, h), .min = 0, .max = MAX_EXACT                       \
    }
#define ENUM(S, k, f, n, h)                                                    \
    {                                                                          \
        ROW(S, k, ENUM, f, h), .names = (n)                                    \
    }
#define END                                                                    \
    {                                                                          \
        .key = NULL                                                            \
    }

#endif
