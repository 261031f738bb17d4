/* core.h - the daemon's core without its edge: store, objects and coordinator
 * over a state directory, and devices that call it directly.
 *
 * Devices are numbers; their updates are a pure function of (device, round), so
 * every published model can be computed a second time, from the base and the
 * acknowledgements alone (core_check_models).
 */
#ifndef CORE_H
#define CORE_H

#include <pthread.h>
#include "coordinator.h"

#define CORE_PARAMS 51
/* A task of that many rounds; `more` are further members, e.g. ",\"x\":1". */
#define CORE_TASK(name, rounds, more)                                          \
    "{\"name\":\"" name "\",\"model\":{\"version\":1,\"input\":[1,4,4],"       \
    "\"loss\":\"softmax_cross_entropy\",\"layers\":["                          \
    "{\"name\":\"flatten\",\"type\":\"flatten\"},"                             \
    "{\"name\":\"fc\",\"type\":\"dense\",\"units\":3}]},"                      \
    "\"round\":{\"select\":{\"min\":3,\"max\":3},"                             \
    "\"collect\":{\"min\":3,\"max\":3},\"retry_s\":0.1,"                       \
    "\"poll_min_s\":0.01,\"poll_max_s\":0.02},"                                \
    "\"stop\":{\"rounds\":" #rounds "}" more "}"

struct core {
    char dir[256];
    struct pf_log log;
    struct pf_key *key;
    struct pf_store *store;
    struct pf_store_reader *reader;
    struct pf_objects *objects;
    struct pf_coordinator *c;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t wake;
    char told[64][256];
    unsigned n_told, n_fatal;
    char fatal[320];
};

/* Fixtures of cmocka over the core that is the test's prestate: in a new
 * directory, which goes with it. */
int core_set_up(void **state);
int core_tear_down(void **state);
/* Starts on a directory that exists; stops the program when it cannot. After
 * core_close k->dir may be given again. */
void core_open(struct core *k, const char *dir);
/* The same, but gives the failure back. Close it all the same. */
enum pocketfed_status core_try_open(struct core *k, const char *dir,
                                    struct pf_error *err);
void core_close(struct core *k);
/* How often a line beginning with `text` was announced. */
unsigned core_told(struct core *k, const char *text);

/* Runs a job and waits. */
void core_run(struct core *k, struct pf_job *job);
/* Makes and adds a task; NULL: the problem's id in *id. */
struct pf_live_task *core_add_task(struct core *k, const char *file,
                                   enum pf_problem_id *id);
/* Makes a token with ordinal i and enrols device i by it. */
void core_enrol(struct core *k, struct pf_live_task *t, int i);
struct pf_device_ref core_device(int i);
/* Both: a task of devices 0, 1 and 2. */
struct pf_live_task *core_begin(struct core *k, const char *file);
void core_view(struct core *k, struct pf_live_task *t, struct pf_job *out);
/* Waits until that many rounds are published; 0 when it takes over 20 s. */
int core_wait(struct core *k, struct pf_live_task *t, uint64_t published);
/* Submits an event of device i and waits for its answer; 0 when the core died
 * (fatal) instead. */
int core_ask(struct core *k, struct pf_live_task *t, struct pf_event *ev,
             struct pf_answer *out);
int core_checkin(struct core *k, struct pf_live_task *t, int i,
                 struct pf_answer *out);
/* The frame of device i in a round; salt 0 is the one it always sends. */
void core_frame(struct pf_live_task *t, uint64_t round, const uint8_t base[32],
                int i, int salt, struct pf_buf *out);
/* Offers and, when it is wanted, writes and submits it. */
int core_upload(struct core *k, struct pf_live_task *t, uint64_t round,
                const uint8_t base[32], int i, int salt, struct pf_answer *out);
/* Check-in and upload of one device; 1 when its update was acknowledged. */
int core_take_part(struct core *k, struct pf_live_task *t, int i,
                   struct pf_ack *ack);
/* Computes every published model of the task again and compares digests.
 * Returns how many there are, -1 at the first that differs. n devices. */
int core_check_models(struct core *k, struct pf_live_task *t, int n);

#endif
