/* appside.h - an app in a test: a handle over a folder of its own, a clock it
 * sets, and a memory transport to a fake server that checks every signature.
 */
#ifndef PF_APPSIDE_H
#define PF_APPSIDE_H

#include <pocketfed/client.h>
#include "fakeserver.h"
#include "statement.h"
#include "transport.h"

struct pf_app {
    struct pf_fake fake;
    char base[256], dir[300], link[1024];
    struct pocketfed_options options;
    struct pocketfed_env env;
    struct pocketfed_transport transport; /* bodies end at a guard page */
    struct pocketfed_client *client;
    struct pocketfed_progress progress; /* of the last step */
    struct pf_key *hardware;            /* signs when env.sign is set */
    int64_t now_ms;                     /* the device's clock */
    char why[200];
    /* What is wrong today. */
    int may_not_run, wrong_certificate, unreachable, any_record_key;
    size_t up_limit, down_limit; /* bytes of an update or model that a
                                    connection carries before it breaks */
    int hangs;                   /* or stands still, at down_limit */
    /* What was seen. */
    int skewed, lost, cuts;
};

void pf_app_start(struct pf_app *a); /* opened, not joined */
void pf_app_stop(struct pf_app *a);
/* The two as fixtures of cmocka. */
int pf_app_set_up(void **state);
int pf_app_tear_down(void **state);
void pf_app_open(struct pf_app *a);
enum pocketfed_status pf_app_try_open(struct pf_app *a);
void pf_app_reopen(struct pf_app *a); /* closes first */
void pf_app_join(struct pf_app *a);   /* until it has joined */
/* One step; a wait it asks for passes on the device's clock. */
enum pocketfed_status pf_app_step(struct pf_app *a);
/* Steps until a step fails, at most max of them. */
enum pocketfed_status pf_app_run(struct pf_app *a, int max);
/* Steps until that event; the program stops when it does not come. */
void pf_app_until(struct pf_app *a, enum pocketfed_event event);
struct pocketfed_status_report pf_app_status(const struct pf_app *a);
/* It must be in that state. */
void pf_app_is(const struct pf_app *a, enum pocketfed_state want);
/* Reads a file of the storage folder; "" when there is none. Valid until the
 * next call. */
const char *pf_app_file(const struct pf_app *a, const char *name);
enum pocketfed_status pf_app_sign(void *ctx, const void *msg, size_t len,
                                  uint8_t signature[64]);

#endif
