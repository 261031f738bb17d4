/* Not built: what the checks of tests/includes.cmake and tests/banned.cmake must find, line by line. */
#include "hash.h"
#include "common/crypto/hash.h"
#include <openssl/evp.h>
#include "nowhere.h"

/* strcpy(a, b) in a comment is fine, and so is "strcpy(a, b)" in quotes. */
void wrong(char *a, const char *b)
{
    strcpy(a, b);
    exit(1); /* as is
    exit(2) here */
    pf_rand(1), fsprintf("sprintf(");
}
