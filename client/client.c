/* The handle: open, join, status, close. */
#include "client_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device_clock.h"
#include "text.h"
#include "transport.h"

#define DEFAULT_CHECKPOINT_S 10

const char *pocketfed_version(void)
{
    return POCKETFED_VERSION;
}

/* Through a volatile pointer, so that the compiler does not drop it. */
void pf_client_wipe(void *p, size_t n)
{
    volatile uint8_t *byte = p;

    while (n-- > 0)
        *byte++ = 0;
}

int64_t pf_client_now(const struct pocketfed_client *c)
{
    return c->env.now_ms ? c->env.now_ms(c->env.ctx) : pf_device_wall_ms();
}

static void log_line(void *ctx, enum pf_log_level level, const char *line)
{
    const struct pocketfed_client *c = ctx;

    c->env.log(c->env.ctx, (int)level, line);
}

/* Structs of an older or newer app: the common beginning counts. */
static int take_struct(void *to, size_t to_size, const void *from,
                       size_t from_size, size_t least)
{
    if (from_size < least)
        return 0;
    memset(to, 0, to_size);
    memcpy(to, from, from_size < to_size ? from_size : to_size);
    return 1;
}

static int take_text(char *to, size_t cap, const char *from)
{
    size_t n = from ? strlen(from) : 0;

    if (n >= cap)
        return 0;
    if (n)
        memcpy(to, from, n);
    to[n] = '\0';
    return 1;
}

_Static_assert((int)POCKETFED_F32 == PF_F32 && (int)POCKETFED_F16 == PF_F16 &&
                   (int)POCKETFED_INT8 == PF_INT8,
               "take_options casts one to the other");

static enum pocketfed_status take_options(struct pocketfed_client *c,
                                          const struct pocketfed_options *in,
                                          struct pf_error *err)
{
    struct pocketfed_options o;

    if (!in || !take_struct(&o, sizeof o, in, in->size,
                            offsetof(struct pocketfed_options, label)))
        return pf_fail(err, POCKETFED_INVALID,
                       "set options.size to sizeof(struct pocketfed_options)");
    if (!o.storage || !o.storage[0])
        return pf_fail(err, POCKETFED_INVALID, "options.storage is missing");
    if (!take_text(c->label, sizeof c->label, o.label))
        return pf_fail(err, POCKETFED_INVALID,
                       "options.label is longer than %d bytes", PF_LABEL_MAX);
    if (!take_text(c->device_class, sizeof c->device_class, o.device_class))
        return pf_fail(err, POCKETFED_INVALID,
                       "options.device_class is longer than %zu bytes",
                       sizeof c->device_class - 1);
    if ((unsigned)o.precision > POCKETFED_INT8)
        return pf_fail(err, POCKETFED_INVALID,
                       "options.precision is none of enum pocketfed_precision");
    c->precision = (enum pf_precision)o.precision;
    c->member.memory = o.memory;
    c->member.client_version = POCKETFED_VERSION;
    c->member.device_class = c->device_class;
    c->checkpoint_s = o.checkpoint_s ? o.checkpoint_s : DEFAULT_CHECKPOINT_S;
    c->max_participations = o.max_participations;
    return POCKETFED_OK;
}

static enum pocketfed_status take_env(struct pocketfed_client *c,
                                      const struct pocketfed_env *in,
                                      struct pf_error *err)
{
    if (!in || !take_struct(&c->env, sizeof c->env, in, in->size,
                            offsetof(struct pocketfed_env, examples)))
        return pf_fail(err, POCKETFED_INVALID,
                       "set env.size to sizeof(struct pocketfed_env)");
    if (c->env.sign && !c->env.public_key)
        return pf_fail(err, POCKETFED_INVALID,
                       "env.sign is set, env.public_key is missing");
    if (!c->env.examples != !c->env.example)
        return pf_fail(err, POCKETFED_INVALID,
                       "env.examples and env.example belong together");
    if (c->env.threads > 1 && !c->env.run)
        return pf_fail(err, POCKETFED_INVALID,
                       "env.threads is set, env.run is missing");
    pf_client_threads(c);
    if (c->env.log)
        c->log = (struct pf_log){log_line, c, PF_LOG_DEBUG};
    if (!c->env.transport)
        return pf_transport_curl(&c->transport, err);
    if (!take_struct(&c->transport, sizeof c->transport, c->env.transport,
                     c->env.transport->size,
                     offsetof(struct pocketfed_transport, destroy)) ||
        !c->transport.begin || !c->transport.poll || !c->transport.cancel) {
        memset(&c->transport, 0, sizeof c->transport);
        return pf_fail(err, POCKETFED_INVALID,
                       "env.transport needs size, begin, poll and cancel");
    }
    return POCKETFED_OK;
}

static void set_identity(struct pocketfed_client *c)
{
    if (c->env.sign) {
        c->identity.alg = PF_KEY_P256;
        c->identity.sign = c->env.sign;
        c->identity.sign_ctx = c->env.ctx;
        c->public_len = PF_PUBLIC_MAX;
        memcpy(c->public_key, c->env.public_key, PF_PUBLIC_MAX);
    } else {
        c->identity.alg = pf_key_algorithm(c->key);
        c->identity.key = c->key;
        c->public_len = pf_key_public(c->key, c->public_key);
    }
    pf_device_id(c->public_key, c->public_len, c->identity.device);
}

enum pocketfed_status pf_client_make_key(struct pocketfed_client *c)
{
    char path[PF_STORAGE_PATH];
    struct pf_key *key = NULL;
    enum pocketfed_status st;

    if (c->key || c->env.sign)
        return POCKETFED_OK;
    st =
        pf_storage_path(&c->storage, PF_FILE_KEY, path, sizeof path, &c->error);
    if (st)
        return st;
    st = pf_key_generate(PF_KEY_ED25519, &key);
    if (st)
        return pf_fail(&c->error, st, "cannot make the device's key");
    st = pf_key_save(key, path, &c->error);
    if (st) {
        pf_key_free(key);
        return st;
    }
    c->key = key;
    set_identity(c);
    return POCKETFED_OK;
}

/* Example i of the app, for the training. */
static enum pocketfed_status client_example(void *ctx, size_t i, float *x,
                                            uint32_t *label)
{
    struct pocketfed_client *c = ctx;

    return c->env.example(c->env.ctx, i, x, pf_participation_input(c->part),
                          label);
}

/* The peer as the membership says; 0 when the file speaks nonsense. */
static int home_peer(struct pocketfed_client *c)
{
    size_t i;

    for (i = 0; i < c->home.n_pins; i++)
        if (!pf_unhex(c->home.pins[i], strlen(c->home.pins[i]), c->pins[i], 32))
            return 0;
    c->peer.host = c->home.host;
    c->peer.port = (uint16_t)c->home.port;
    c->peer.pins = (const uint8_t(*)[32])c->pins;
    c->peer.n_pins = c->home.n_pins;
    return 1;
}

void pf_client_use_key(struct pocketfed_client *c)
{
    pf_key_fingerprint(pf_keyring_now(&c->keyring), c->peer.record_key);
    c->member.record_key = pf_keyring_now(&c->keyring);
    c->member.keys = pf_keyring_keys(&c->keyring);
}

enum pocketfed_status pf_client_set_home(struct pocketfed_client *c)
{
    struct pf_participation_io io;
    enum pocketfed_status st;

    pf_keyring_free(&c->keyring);
    st = pf_keyring_load(&c->keyring, &c->storage, c->home.record_key, NULL);
    if (st == POCKETFED_OK && !home_peer(c))
        st = POCKETFED_MALFORMED;
    if (st)
        return pf_fail(&c->error, st, "%s/server.json is damaged",
                       c->storage.dir);
    memcpy(c->member.task, c->home.task, sizeof c->member.task);
    memcpy(c->member.device, c->home.device, sizeof c->member.device);
    c->member.ordinal = c->home.ordinal;
    pf_client_use_key(c);
    c->member.last_round = c->counters.last_round;
    c->examples = (struct pf_examples){.ctx = c, .get = client_example};
    pf_participation_free(c->part);
    c->part = NULL;
    pf_client_io(c, &io);
    st = pf_participation_create(&c->member, &c->examples, &io, &c->part);
    if (st)
        return pf_fail(&c->error, st, "no memory for a participation");
    c->joined = 1;
    return POCKETFED_OK;
}

/* The link of an enrolment that a kill interrupted, if any. */
static void take_up_link(struct pocketfed_client *c)
{
    struct pf_buf text;

    pf_buf_init(&text, PF_JOIN_LINK_MAX);
    if (pf_storage_load(&c->storage, PF_FILE_LINK, &text, NULL) ==
            POCKETFED_OK &&
        pf_join_link_parse(pf_buf_str(&text), &c->link, NULL) == POCKETFED_OK)
        c->joining = 1;
    pf_client_wipe(text.data, text.len);
    pf_buf_free(&text);
}

static enum pocketfed_status load_identity(struct pocketfed_client *c)
{
    char path[PF_STORAGE_PATH];
    enum pocketfed_status st;

    if (!c->env.sign) {
        st = pf_storage_path(&c->storage, PF_FILE_KEY, path, sizeof path,
                             &c->error);
        if (st == POCKETFED_OK)
            st = pf_key_load(path, &c->key, &c->error);
        if (st == POCKETFED_NOT_FOUND) {
            memset(&c->error, 0, sizeof c->error);
            return POCKETFED_OK;
        }
        if (st)
            return st;
    }
    set_identity(c);
    return POCKETFED_OK;
}

static enum pocketfed_status load_state(struct pocketfed_client *c)
{
    int leaving = pf_client_is_leaving(c);
    enum pocketfed_status st = load_identity(c);

    if (st && leaving) /* killed while it wiped the key */
        return pf_client_forget(c);
    if (st)
        return st;
    pf_storage_counters(&c->storage, &c->counters);
    if (c->public_len > 0 &&
        pf_storage_membership(&c->storage, &c->home) == POCKETFED_OK) {
        if (memcmp(c->home.device, c->identity.device, PF_DEVICE_LEN) != 0) {
            pf_fail(&c->error, POCKETFED_MALFORMED,
                    "%s was made by another device key", c->storage.dir);
            pf_hint(&c->error, "use another folder, or the key it was made by");
            return POCKETFED_MALFORMED;
        }
        pf_client_forget_link(c);
        return pf_client_set_home(c);
    }
    take_up_link(c);
    return leaving && !c->joining ? pf_client_forget(c) : POCKETFED_OK;
}

static void set_why(char *why, size_t why_len, const struct pf_error *err)
{
    if (why && why_len)
        snprintf(why, why_len, "%s", err->text);
}

enum pocketfed_status
pocketfed_client_open(const struct pocketfed_options *options,
                      const struct pocketfed_env *env,
                      struct pocketfed_client **out, char *why, size_t why_len)
{
    struct pocketfed_client *c;
    struct pf_error err = {POCKETFED_NO_MEMORY, "out of memory", ""};
    enum pocketfed_status st;

    if (!out)
        return POCKETFED_INVALID;
    c = calloc(1, sizeof *c);
    if (!c) {
        set_why(why, why_len, &err);
        return POCKETFED_NO_MEMORY;
    }
    c->storage.lock_fd = -1;
    pf_built_request_init(&c->built);
    pf_buf_init(&c->enrol_body, PF_MAX_CONTROL_BODY);
    pf_buf_init(&c->receipt, 4 * PF_MAX_CONTROL_BODY);
    st = take_options(c, options, &err);
    if (st == POCKETFED_OK)
        st = take_env(c, env, &err);
    if (st == POCKETFED_OK)
        st = pf_storage_open(options->storage, &c->storage, &err);
    if (st == POCKETFED_OK) {
        st = load_state(c);
        err = c->error;
    }
    if (st) {
        set_why(why, why_len, &err);
        if (env && env->transport) /* stays the app's */
            c->transport.destroy = NULL;
        pocketfed_client_close(c);
        return st;
    }
    *out = c;
    return POCKETFED_OK;
}

void pf_client_forget_link(struct pocketfed_client *c)
{
    pf_storage_wipe(&c->storage, PF_FILE_LINK);
    pf_client_wipe(&c->link, sizeof c->link);
    c->joining = 0;
}

/* A link of before or after the record key was replaced. */
static int is_our_key(const struct pocketfed_client *c, const uint8_t id[32])
{
    uint8_t print[32];
    size_t i;

    for (i = 0; i < c->keyring.n; i++) {
        pf_key_fingerprint(c->keyring.key[i], print);
        if (memcmp(print, id, sizeof print) == 0)
            return 1;
    }
    return 0;
}

enum pocketfed_status pocketfed_client_join(struct pocketfed_client *c,
                                            const char *text)
{
    struct pf_join_link link;
    enum pocketfed_status st;

    if (!c || !text)
        return POCKETFED_INVALID;
    st = pf_join_link_parse(text, &link, &c->error);
    if (st)
        return st;
    if (c->leaving) {
        st = pf_fail(&c->error, POCKETFED_BUSY,
                     "this folder is leaving a task and has not done so yet");
        pf_hint(&c->error, "step until it has left, then join");
        goto out;
    }
    if (c->joined) {
        if (strcmp(link.task, c->home.task) == 0 && is_our_key(c, link.id))
            st = POCKETFED_OK;
        else
            st = pf_fail(&c->error, POCKETFED_EXISTS,
                         "this folder has joined task %s at %s:%u already",
                         c->home.task, c->home.host, (unsigned)c->home.port);
        if (st)
            pf_hint(&c->error, "use another storage folder for another task");
        goto out;
    }
    if (!pf_token_ok(link.token)) {
        st = pf_fail(&c->error, POCKETFED_MALFORMED,
                     "the join link has no whole token after its #");
        pf_hint(&c->error, "copy the link again, in quotes");
        goto out;
    }
    if (c->in_flight)
        c->transport.cancel(c->transport.ctx);
    c->in_flight = 0;
    st = pf_client_make_key(c);
    if (st == POCKETFED_OK)
        st = pf_storage_save(&c->storage, PF_FILE_LINK, text, strlen(text),
                             &c->error);
    if (st)
        goto out;
    pf_keyring_free(&c->keyring);
    c->asks_key = 0;
    c->link = link;
    c->joining = 1;
    c->stopped = POCKETFED_OK; /* a new link is a new chance */
    c->wait_ms = 0;
    c->attempts = c->clocks = 0;
    memset(&c->error, 0, sizeof c->error);
out:
    pf_client_wipe(&link, sizeof link);
    return st;
}

const char *pocketfed_client_error(const struct pocketfed_client *c)
{
    return c ? c->error.text : "";
}

const char *pocketfed_client_hint(const struct pocketfed_client *c)
{
    return c ? c->error.hint : "";
}

void pocketfed_client_close(struct pocketfed_client *c)
{
    if (!c)
        return;
    pf_client_give_up_request(c);
    if (c->part && c->unsaved)
        pf_participation_checkpoint(c->part, NULL);
    if (c->storage.lock_fd >= 0 && (c->joined || c->joining) &&
        (c->bytes_up || c->bytes_down))
        pf_storage_set_counters(&c->storage, &c->counters, NULL);
    if (c->transport.destroy)
        c->transport.destroy(c->transport.ctx);
    pf_participation_free(c->part);
    pf_keyring_free(&c->keyring);
    pf_key_free(c->key);
    pf_built_request_free(&c->built);
    pf_client_wipe(c->enrol_body.data, c->enrol_body.len);
    pf_buf_free(&c->enrol_body);
    pf_buf_free(&c->receipt);
    pf_infer_close(c->infer);
    pf_model_free(c->model);
    pf_storage_close(&c->storage);
    pf_client_wipe(c, sizeof *c);
    free(c);
}
