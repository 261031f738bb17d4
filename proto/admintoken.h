/* admintoken.h - the file with the secret of the admin interface over TCP: 256
 * random bits as 64 lower-case hexadecimal digits and a line end.
 *
 * Who can read it can do everything, so a file that others can read is not
 * taken, by the daemon or by `pocketfed`.
 */
#ifndef PF_ADMINTOKEN_H
#define PF_ADMINTOKEN_H

#include <stdint.h>
#include "fail.h"

#define PF_ADMIN_TOKEN_LEN 32 /* bytes */

/* NOT_FOUND when there is none; CONFIG when it is no token, belongs to another
 * user (but root) or has a mode that lets others in; IO. */
enum pocketfed_status pf_admin_token_read(const char *path,
                                          uint8_t token[PF_ADMIN_TOKEN_LEN],
                                          struct pf_error *err);
/* A new one, mode 0600, in place of what was there. */
enum pocketfed_status pf_admin_token_make(const char *path,
                                          uint8_t token[PF_ADMIN_TOKEN_LEN],
                                          struct pf_error *err);

#endif
