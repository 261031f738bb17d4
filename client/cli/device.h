/* device.h - what join, train and status share: the device's folder, and the
 * library's handle over it.
 */
#ifndef PF_CLI_DEVICE_H
#define PF_CLI_DEVICE_H

#include <pocketfed/client.h>

#include "cli.h"
#include "idx.h"
#include "pool.h"

#define CLI_DEVICE_OPTIONS                                                     \
    {                                                                          \
        "dir", 0, CLI_TEXT, "DIR", NULL, 0, 0, NULL,                           \
            "this device's folder (default: by XDG)"                           \
    }

/* The folder of --dir, else the default one. INVALID when neither is known. */
enum pocketfed_status device_dir(const struct cli *c, char *out, size_t cap,
                                 struct pf_error *err);

struct device {
    struct cli *cli;
    struct pf_idx shard; /* empty: no examples are lent */
    struct pool *pool;   /* NULL: no threads are lent */
    struct pocketfed_client *client;
    char dir[512];
};

/* Opens the folder; label may be NULL. shard and pool are set beforehand, or
 * empty. */
enum pocketfed_status device_open(struct device *d, const char *label,
                                  uint32_t participations,
                                  struct pf_error *err);
void device_close(struct device *d);
/* The library's sentence as an error of `status`. */
enum pocketfed_status device_error(const struct device *d,
                                   enum pocketfed_status status,
                                   struct pf_error *err);
/* Sleeps for at most ms; returns at once when interrupted. */
void device_wait(int64_t ms);

#endif
