/* pocketfed/status.h - the one status enum, for every part of pocketfed.
 *
 * PUBLIC and frozen: values are never reused or renumbered; new ones are
 * appended.  The sentence of a status says what kind of thing went wrong; the
 * call that failed says which thing, in its own error text.
 */
#ifndef POCKETFED_STATUS_H
#define POCKETFED_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

/* X(name, number, sentence) */
#define POCKETFED_STATUSES(X)                                                  \
    X(OK, 0, "done")                                                           \
    X(AGAIN, 1, "not finished yet; call again")                                \
    X(NO_MEMORY, 2, "out of memory")                                           \
    X(INVALID, 3, "an argument is out of its range")                           \
    X(IO, 4, "reading or writing failed")                                      \
    X(MALFORMED, 5, "the bytes are not what they claim to be")                 \
    X(INCOMPLETE, 6, "more bytes are needed")                                  \
    X(LIMIT, 7, "larger than the stated limit")                                \
    X(NOT_FOUND, 8, "there is no such thing")                                  \
    X(EXISTS, 9, "there is one already")                                       \
    X(REFUSED, 10, "refused for good")                                         \
    X(BUSY, 11, "refused for now; try again later")                            \
    X(UNREACHABLE, 12, "cannot reach the other side")                          \
    X(PROOF, 13, "a signature or digest is wrong")                             \
    X(INELIGIBLE, 14, "not eligible here and now")                             \
    X(CONFIG, 15, "the configuration is wrong")                                \
    X(INTERRUPTED, 16, "interrupted; state is kept")                           \
    X(UNSUPPORTED, 17, "known by name, but not in this build or version")      \
    X(NON_FINITE, 18, "a number is NaN or infinite")                           \
    X(TOO_OLD, 19, "this version is too old for what was asked")               \
    X(FINISHED, 20, "nothing more will come")                                  \
    X(LOCKED, 21, "in use by another process")                                 \
    X(INTERNAL, 22, "a defect in pocketfed; please report it")

enum pocketfed_status {
#define POCKETFED_STATUS_ENUM(name, number, sentence) POCKETFED_##name = number,
    POCKETFED_STATUSES(POCKETFED_STATUS_ENUM)
#undef POCKETFED_STATUS_ENUM
};

#if defined(__GNUC__) || defined(__clang__)
#define POCKETFED_API __attribute__((visibility("default")))
#else
#define POCKETFED_API
#endif

/* The sentence of a status; "unknown status" for a number not in the list.
 * Static storage, never NULL. */
POCKETFED_API const char *pocketfed_status_text(enum pocketfed_status status);

/* Its name in lower case ("not_found"), for logs and JSON. Never NULL. */
POCKETFED_API const char *pocketfed_status_name(enum pocketfed_status status);

#ifdef __cplusplus
}
#endif
#endif
