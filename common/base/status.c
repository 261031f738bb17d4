#include <pocketfed/status.h>

const char *pocketfed_status_text(enum pocketfed_status status)
{
    switch (status) {
#define SENTENCE(name, number, sentence)                                       \
    case POCKETFED_##name:                                                     \
        return sentence;
        POCKETFED_STATUSES(SENTENCE)
#undef SENTENCE
    }
    return "unknown status";
}

/* The preprocessor cannot lower a name, so they stand here once more; a test
 * compares them with the list. */
const char *pocketfed_status_name(enum pocketfed_status status)
{
    static const char *const names[] = {
        "ok",        "again",       "no_memory",   "invalid",    "io",
        "malformed", "incomplete",  "limit",       "not_found",  "exists",
        "refused",   "busy",        "unreachable", "proof",      "ineligible",
        "config",    "interrupted", "unsupported", "non_finite", "too_old",
        "finished",  "locked",      "internal",
    };

    if ((unsigned)status >= sizeof names / sizeof *names)
        return "unknown";
    return names[status];
}
