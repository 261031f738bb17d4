/* The log of what was done to files: appended under one lock to the file that
 * the harness shares, from where it is read after the daemon's end. */
#include "shim.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int crash_log_on(void)
{
    return crash_shared && crash_shared->log_room > 0;
}

void crash_log_lock(void)
{
    if (crash_log_on())
        pthread_mutex_lock(&lock);
}

void crash_log_unlock(void)
{
    if (crash_log_on())
        pthread_mutex_unlock(&lock);
}

void crash_log_add(enum crash_op op, int fd, uint64_t number, const char *path,
                   const void *data, size_t len)
{
    static const char full[] = "shim: the log of operations is full\n";
    struct crash_control *c = crash_shared;
    struct crash_record r = {0};
    uint64_t used;
    char *at;

    if (!crash_log_on())
        return;
    r.op = op;
    r.fd = fd;
    r.number = number;
    r.path_len = path ? (uint32_t)strlen(path) : 0;
    r.data_len = (uint32_t)len;
    used = atomic_load(&c->log_used);
    if (c->log_room - used < crash_record_size(&r)) {
        if (write(2, full, sizeof full - 1) < 0)
            _exit(98);
        _exit(99); /* the harness takes any end but SIGKILL for a failure */
    }
    at = (char *)c + CRASH_LOG_AT + used;
    memcpy(at, &r, sizeof r);
    if (r.path_len)
        memcpy(at + sizeof r, path, r.path_len);
    if (len)
        memcpy(at + sizeof r + r.path_len, data, len);
    atomic_store(&c->log_used, used + crash_record_size(&r)); /* now it is in */
}
