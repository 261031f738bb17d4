#include "limiter.h"

#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "exchange.h"
#include "rates.h"

const char *const pf_limit_names[PF_LIMIT_COUNT] = {
#define PF_LIMIT_NAME(name, option) [PF_LIMIT_##name] = option,
    PF_LIMIT_REFUSALS(PF_LIMIT_NAME)
#undef PF_LIMIT_NAME
};

enum pocketfed_status pf_limits_open(struct pf_limits *l, size_t names)
{
    enum pocketfed_status st;

    if ((st = pf_rates_create(names, &l->devices)) ||
        (st = pf_rates_create(names, &l->addresses)) ||
        (st = pf_rates_create(names, &l->failures)))
        pf_limits_close(l);
    return st;
}

void pf_limits_close(struct pf_limits *l)
{
    pf_rates_free(l->devices);
    pf_rates_free(l->addresses);
    pf_rates_free(l->failures);
    l->devices = l->addresses = l->failures = NULL;
}

void pf_limits_set(struct pf_limits *l, const struct pf_limit_values *v)
{
#define PF_LIMIT_STORE(name) atomic_store(&l->now.name, v->name);
    PF_LIMIT_VALUES(PF_LIMIT_STORE)
#undef PF_LIMIT_STORE
}

void pf_limits_count(struct pf_limits *l, enum pf_limit which)
{
    atomic_fetch_add_explicit(&l->refused[which], 1, memory_order_relaxed);
}

static struct pf_rate rate_of(atomic_uint *per_s, atomic_uint *burst)
{
    struct pf_rate r = {atomic_load(per_s), atomic_load(burst)};

    return r;
}

#define RATE(l, name) rate_of(&(l)->now.name##_rate, &(l)->now.name##_burst)

/* 429 with the time after which it is worth asking again; returns 0. */
static int too_many(struct pf_exchange *ex, enum pf_limit which,
                    int64_t wait_ms, const char *of_whom)
{
    struct pf_problem why = {0};

    pf_limits_count(ex->edge->limits, which);
    pf_problem_set(&why, PF_PROBLEM_TOO_MANY_REQUESTS,
                   "too many %s; the next is taken in %" PRId64 " ms", of_whom,
                   wait_ms);
    why.retry_after_ms = wait_ms < 1000 ? 1000 : wait_ms;
    pf_reply_problem(ex, &why);
    return 0;
}

/* Proxies stand before clients, not before the admin. */
static int has_address(const struct pf_exchange *ex)
{
    return ex->has_peer &&
           (ex->edge->limits->by_address || ex->listener == PF_LISTEN_ADMIN);
}

/* Milliseconds for which the address is not asked for credentials. */
static int64_t punished(const struct pf_exchange *ex, int64_t now_ms)
{
    struct pf_limits *l = ex->edge->limits;

    if (!has_address(ex))
        return 0;
    return pf_rates_wait(l->failures, ex->peer, RATE(l, failure), now_ms);
}

int pf_limits_guess(struct pf_exchange *ex)
{
    int64_t wait = punished(ex, pf_monotonic_ms());

    return wait == 0 || too_many(ex, PF_LIMIT_FAILURE, wait,
                                 "refused credentials from this address");
}

int pf_limits_unsigned(struct pf_exchange *ex)
{
    struct pf_limits *l = ex->edge->limits;
    int64_t now = pf_monotonic_ms(), wait;

    if (!has_address(ex))
        return 1;
    wait = pf_rates_wait(l->addresses, ex->peer, RATE(l, address), now);
    if (wait > 0)
        return too_many(ex, PF_LIMIT_ADDRESS, wait,
                        "unsigned requests from this address");
    if (ex->call->auth != PF_AUTH_NONE && !pf_limits_guess(ex))
        return 0;
    pf_rates_take(l->addresses, ex->peer, RATE(l, address), now);
    return 1;
}

int pf_limits_signed(struct pf_exchange *ex, const uint8_t id[16])
{
    struct pf_limits *l = ex->edge->limits;
    int64_t now = pf_monotonic_ms(), wait;

    wait = pf_rates_wait(l->devices, id, RATE(l, device), now);
    if (wait > 0)
        return too_many(ex, PF_LIMIT_DEVICE, wait, "requests of this device");
    return pf_rates_knows(l->devices, id) || pf_limits_guess(ex);
}

void pf_limits_proved(struct pf_exchange *ex, const uint8_t id[16])
{
    struct pf_limits *l = ex->edge->limits;

    pf_rates_take(l->devices, id, RATE(l, device), pf_monotonic_ms());
}

void pf_limits_refused(struct pf_exchange *ex, enum pf_problem_id id)
{
    struct pf_limits *l = ex->edge->limits;

    switch (id) {
    case PF_PROBLEM_SIGNATURE_MISSING:
    case PF_PROBLEM_SIGNATURE_WRONG:
    case PF_PROBLEM_DEVICE_UNKNOWN:
    case PF_PROBLEM_TOKEN_UNKNOWN:
    case PF_PROBLEM_TOKEN_EXPIRED:
    case PF_PROBLEM_TOKEN_USED:
    case PF_PROBLEM_ADMIN_TOKEN:
        break;
    default:
        return;
    }
    if (has_address(ex))
        pf_rates_take(l->failures, ex->peer, RATE(l, failure),
                      pf_monotonic_ms());
}

int pf_limits_upload(struct pf_exchange *ex, struct pf_problem *why)
{
    struct pf_limits *l = ex->edge->limits;
    struct pf_inflight_bounds most = {
        .all = atomic_load(&l->now.uploads),
        .device = atomic_load(&l->now.device_uploads),
        .round_bytes = 1000000ull * atomic_load(&l->now.round_mb),
    };

    switch (pf_inflight_enter(ex->edge->inflight, &ex->ingest.entry, &most,
                              ex->task->stored.id, ex->args.round,
                              ex->device.id, ex->ingest.length)) {
    case PF_INFLIGHT_IN:
        return 1;
    case PF_INFLIGHT_ALL:
        pf_limits_count(l, PF_LIMIT_UPLOADS);
        pf_problem_set(why, PF_PROBLEM_BUSY,
                       "%" PRIu64 " uploads are under way", most.all);
        break;
    case PF_INFLIGHT_DEVICE:
        pf_limits_count(l, PF_LIMIT_DEVICE_UPLOADS);
        pf_problem_set(why, PF_PROBLEM_BUSY,
                       "%" PRIu64 " uploads of this device are under way",
                       most.device);
        break;
    default:
        pf_limits_count(l, PF_LIMIT_ROUND_BYTES);
        pf_problem_set(why, PF_PROBLEM_BUSY,
                       "%" PRIu64 " bytes are on their way into round %" PRIu64,
                       most.round_bytes, ex->args.round);
    }
    why->retry_after_ms = 5000;
    return 0;
}
