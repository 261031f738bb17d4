/* What a participation keeps, in the client's folder. */
#include "client_core.h"

static enum pocketfed_status object_get(void *ctx, const uint8_t digest[32],
                                        struct pf_buf *out)
{
    struct pocketfed_client *c = ctx;

    return pf_storage_object_get(&c->storage, digest, out);
}

static enum pocketfed_status object_put(void *ctx, const uint8_t digest[32],
                                        const void *p, size_t len)
{
    struct pocketfed_client *c = ctx;
    struct pf_error err;
    enum pocketfed_status st;

    st = pf_storage_object_put(&c->storage, &c->counters, digest, p, len, &err);
    if (st)
        pf_log(&c->log, PF_LOG_WARN, "model not kept why=\"%s\"", err.text);
    return st;
}

static enum pocketfed_status save(void *ctx, const char *name, const void *p,
                                  size_t len)
{
    struct pocketfed_client *c = ctx;
    struct pf_error err;
    enum pocketfed_status st;

    st = pf_storage_save(&c->storage, name, p, len, &err);
    if (st)
        pf_log(&c->log, PF_LOG_WARN, "not saved name=%s why=\"%s\"", name,
               err.text);
    return st;
}

static enum pocketfed_status load(void *ctx, const char *name,
                                  struct pf_buf *out)
{
    struct pocketfed_client *c = ctx;

    return pf_storage_load(&c->storage, name, out, NULL);
}

static void forget(void *ctx, const char *name)
{
    struct pocketfed_client *c = ctx;

    pf_storage_remove(&c->storage, name);
}

static enum pocketfed_status append(void *ctx, const char *name,
                                    const char *line, size_t key_len)
{
    struct pocketfed_client *c = ctx;
    struct pf_error err;
    enum pocketfed_status st;

    st = pf_storage_append(&c->storage, name, line, key_len, &err);
    if (st)
        pf_log(&c->log, PF_LOG_WARN, "not kept name=%s why=\"%s\"", name,
               err.text);
    return st;
}

static enum pocketfed_status last(void *ctx, const char *name,
                                  struct pf_buf *out)
{
    struct pocketfed_client *c = ctx;

    return pf_storage_last(&c->storage, name, out, NULL);
}

static enum pocketfed_status rotated(void *ctx, const struct pf_rotation *r,
                                     const void *body, size_t len,
                                     const char *statement)
{
    struct pocketfed_client *c = ctx;
    struct pf_error err;
    enum pocketfed_status st;

    st = pf_keyring_follow(&c->keyring, &c->storage, r, body, len, statement,
                           &err);
    if (st) {
        pf_log(&c->log, PF_LOG_WARN, "record key not followed why=\"%s\"",
               err.text);
        return st;
    }
    pf_client_use_key(c);
    pf_log(&c->log, PF_LOG_INFO,
           "record key replaced, by the word of the one "
           "before");
    return POCKETFED_OK;
}

void pf_client_io(struct pocketfed_client *c, struct pf_participation_io *out)
{
    *out = (struct pf_participation_io){
        .ctx = c,
        .object_get = object_get,
        .object_put = object_put,
        .save = save,
        .load = load,
        .remove = forget,
        .append = append,
        .last = last,
        .rotated = rotated,
        .threads = &c->threads,
    };
}
