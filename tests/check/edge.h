/* edge.h - a daemon of one test's own in a fresh directory, requests to it
 * without a socket, and devices that sign them.
 */
#ifndef PF_CHECK_EDGE_H
#define PF_CHECK_EDGE_H

#include "daemon.h"

struct edge {
    char dir[256];
    uint8_t peer; /* the shortcuts ask from 10.0.0.`peer`; 0: from nowhere */
    struct pf_daemon daemon;
};

/* Plain HTTP on free loopback ports, one thread each. Fails the test when it
 * does not start. */
void edge_start(struct edge *e);
/* With another timeout_s (0: the usual), or with TLS. */
void edge_start_with(struct edge *e, unsigned timeout_s, int tls);
void edge_stop(struct edge *e);

/* Fixtures of cmocka: *state is a started edge, with a task for `cohort`
 * devices when that is not 0; edge_set_up makes the one for two devices. */
int edge_fresh(void **state, unsigned cohort, unsigned timeout_s, int tls);
int edge_set_up(void **state);
int edge_tear_down(void **state);

#define EDGE_HEADERS 12
struct edge_request {
    enum pf_listener listener;
    const char *method, *path;
    const char *query; /* NULL: none */
    const void *body;  /* NULL: no Content-Length is sent */
    size_t len;
    size_t piece;               /* bytes a read; 0: all at once */
    const struct pf_buf *whole; /* of which a PATCH's body is the end */
    int stranger;               /* admin: the peer may not */
    struct pf_gate *gate;       /* admin over TCP; NULL: over the socket */
    uint8_t peer[16];           /* the address it comes from; zeros: none */
    struct {
        const char *name;
        char value[1200];
    } header[EDGE_HEADERS];
    unsigned n_headers;
};
struct edge_reply {
    int status;
    enum pf_problem_id problem;
    int at_headers; /* answered before the body */
    char type[64], statement[120], etag[80], retry_after[16], allow[32];
    char upload_offset[24], upload_length[24], upload_complete[8];
    char repr_digest[64];
    struct pf_buf body;
};

void edge_header(struct edge_request *rq, const char *name, const char *value);
/* Runs the request to its end. The reply is freed by edge_forget. */
void edge_send(struct edge *e, const struct edge_request *rq,
               struct edge_reply *out);
/* Only the headers and `bytes` of the body; then the connection is lost. */
void edge_cut(struct edge *e, const struct edge_request *rq, size_t bytes);
void edge_forget(struct edge_reply *r);

/* Signs rq as it stands: call it last. created 0: now. */
void edge_sign(struct edge *e, struct edge_request *rq,
               const struct pf_key *key, int64_t created);

/* Shortcuts. */
void edge_admin(struct edge *e, const char *method, const char *path,
                const char *body, struct edge_reply *out);
void edge_device(struct edge *e, const struct pf_key *key, const char *method,
                 const char *path, const void *body, size_t len,
                 struct edge_reply *out);
/* A running task "t" for `cohort` devices. */
void edge_task(struct edge *e, unsigned cohort);
/* A token for task t, and an enrolled key. */
void edge_token(struct edge *e, const char *request, char *out);
struct pf_key *edge_join(struct edge *e);
void edge_enrol(struct edge *e, const struct pf_key *key, const char *token,
                struct edge_reply *out);
/* Checks in and makes the frame of an update that will be accepted. */
void edge_update(struct edge *e, const struct pf_key *key, uint64_t *round,
                 struct pf_buf *frame);

#define EDGE_ASK "{\"client_version\":\"0.1.0\",\"codecs\":[\"f32\"]}"

void edge_expect(struct edge_reply *r, int status, enum pf_problem_id problem);
/* The reply is a statement of this daemon's record key. */
void edge_says(struct edge *e, const struct edge_reply *r, const char *label);
void edge_get(struct edge *e, enum pf_listener on, const char *path,
              struct edge_reply *r);
void edge_checkin(struct edge *e, const struct pf_key *key, const char *ask,
                  struct edge_reply *r);
void edge_put(struct edge *e, const struct pf_key *key, uint64_t round,
              const struct pf_buf *frame, struct edge_reply *r);
/* Only its request, signed; `path` holds the path that it points to. */
#define EDGE_PATH 100
void edge_put_request(struct edge *e, const struct pf_key *key, uint64_t round,
                      const struct pf_buf *frame, char path[EDGE_PATH],
                      struct edge_request *rq);
/* Places taken in the coordinator's queue. */
uint64_t edge_waiting(struct edge *e);

#endif
