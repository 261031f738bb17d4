#include "admintoken.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "crypto.h"
#include "file.h"
#include "text.h"

#define DIGITS (2 * PF_ADMIN_TOKEN_LEN)

/* A secret that others can read, or change, is none. */
static enum pocketfed_status check_owner(const char *path, struct pf_error *err)
{
    struct stat sb;

    if (stat(path, &sb) != 0 && errno == ENOENT)
        return pf_fail(err, POCKETFED_NOT_FOUND, "there is no token file %s",
                       path);
    if (stat(path, &sb) != 0)
        return pf_fail_errno(err, errno, "cannot look at %s", path);
    if (sb.st_uid != geteuid() && sb.st_uid != 0)
        return pf_fail(err, POCKETFED_CONFIG,
                       "the token file %s belongs to user %lu, not to %lu",
                       path, (unsigned long)sb.st_uid,
                       (unsigned long)geteuid());
    if ((sb.st_mode & 077) != 0) {
        pf_fail(err, POCKETFED_CONFIG,
                "the token file %s has mode %04o: others can use it", path,
                (unsigned)sb.st_mode & 07777);
        pf_hint(err, "chmod 600 %.200s", path);
        return POCKETFED_CONFIG;
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_admin_token_read(const char *path,
                                          uint8_t token[PF_ADMIN_TOKEN_LEN],
                                          struct pf_error *err)
{
    enum pocketfed_status st = check_owner(path, err);
    struct pf_buf text;
    size_t n;

    if (st != POCKETFED_OK)
        return st;
    pf_buf_init(&text, 256);
    st = pf_file_read(path, &text, err);
    n = text.len;
    if (n > 0 && text.data[n - 1] == '\n')
        n--;
    if (st == POCKETFED_LIMIT ||
        (st == POCKETFED_OK &&
         !pf_unhex(pf_buf_str(&text), n, token, PF_ADMIN_TOKEN_LEN))) {
        st = pf_fail(err, POCKETFED_CONFIG,
                     "the token file %s does not hold %d lower-case "
                     "hexadecimal digits",
                     path, DIGITS);
        pf_hint(err, "openssl rand -hex %d makes them", PF_ADMIN_TOKEN_LEN);
    }
    if (text.data)
        memset(text.data, 0, text.len);
    pf_buf_free(&text);
    return st;
}

enum pocketfed_status pf_admin_token_make(const char *path,
                                          uint8_t token[PF_ADMIN_TOKEN_LEN],
                                          struct pf_error *err)
{
    uint8_t fresh[PF_ADMIN_TOKEN_LEN];
    enum pocketfed_status st = pf_random(fresh, sizeof fresh);
    char text[DIGITS + 2];

    if (st != POCKETFED_OK)
        return pf_fail(err, st, "cannot make an admin token");
    pf_hex(fresh, sizeof fresh, text);
    text[DIGITS] = '\n';
    text[DIGITS + 1] = '\0';
    st = pf_file_replace(path, text, DIGITS + 1, 0600, err);
    if (st == POCKETFED_OK)
        memcpy(token, fresh, sizeof fresh);
    memset(text, 0, sizeof text);
    memset(fresh, 0, sizeof fresh);
    return st;
}
