#include "update.h"

#include <string.h>
#include "bytes.h"

#define ALIGN             16
#define METRIC_SIZE       (PF_METRIC_NAME_MAX + 8)
#define SECTION_SIZE      24
#define SECTION_LENGTH_AT 16 /* in a row of the section table */

static const uint8_t magic[4] = {'P', 'F', 'U', 'P'};

/* Reading.  A frame may arrive in pieces, and what cannot become valid must be
 * refused at its first wrong byte.  So every field is checked as far as its
 * bytes are there: the scan goes on over missing bytes until something is
 * wrong (its status is kept) or until it needs a number it has not got. */
struct scan {
    const uint8_t *in;
    size_t len, pos;
    enum pocketfed_status status;
    struct pf_error *err;
};

/* How many of the next n bytes are there. */
static size_t present(const struct scan *s, size_t n)
{
    size_t left = s->pos < s->len ? s->len - s->pos : 0;

    return left < n ? left : n;
}

static void stop(struct scan *s, const char *what)
{
    if (s->status == POCKETFED_OK)
        s->status =
            pf_fail(s->err, POCKETFED_MALFORMED,
                    "the update's %s is wrong near byte %zu", what, s->pos);
}

/* The next n bytes must be these; NULL: zeros. */
static void want_bytes(struct scan *s, const uint8_t *want, size_t n,
                       const char *what)
{
    size_t i, have = present(s, n);

    for (i = 0; i < have && s->status == POCKETFED_OK; i++)
        if (s->in[s->pos + i] != (want ? want[i] : 0))
            stop(s, what);
    s->pos += n;
}

/* A little-endian number of n bytes, at most max.  Its low bytes alone are a
 * lower bound, so a number that is too large is told before it is complete. */
static uint64_t take_number(struct scan *s, size_t n, uint64_t max,
                            const char *what)
{
    size_t i, have = present(s, n);
    uint64_t v = 0;

    for (i = 0; i < have; i++)
        v |= (uint64_t)s->in[s->pos + i] << (8 * i);
    if (v > max)
        stop(s, what);
    s->pos += n;
    return v;
}

/* n bytes as they are; zeros when they are not all there. */
static void take_bytes(struct scan *s, uint8_t *out, size_t n)
{
    if (present(s, n) == n)
        memcpy(out, s->in + s->pos, n);
    else
        memset(out, 0, n);
    s->pos += n;
}

static int task_char(char c, size_t i)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           (i > 0 && (c == '.' || c == '_' || c == '-'));
}

static int metric_char(char c, size_t i)
{
    (void)i;
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

/* A name of 1..n characters, padded with NULs to n; out has n + 1 bytes. */
static void take_name(struct scan *s, char *out, size_t n,
                      int (*char_ok)(char c, size_t i), const char *what)
{
    size_t i, have = present(s, n), ended = 0;

    memset(out, 0, n + 1);
    for (i = 0; i < have; i++) {
        char c = (char)s->in[s->pos + i];

        if (c == '\0' && i > 0)
            ended = 1;
        else if (ended || !char_ok(c, i))
            break;
        out[i] = c;
    }
    if (i < have)
        stop(s, what);
    s->pos += n;
}

static int finite_bits(uint64_t u)
{
    return (u >> 52 & 0x7ff) != 0x7ff;
}

static size_t pad_up(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static size_t head_length(unsigned n_metrics, unsigned n_sections)
{
    return pad_up(PF_UPDATE_FIXED + (size_t)n_metrics * METRIC_SIZE +
                  (size_t)n_sections * SECTION_SIZE);
}

/* Everything before the metrics. 1: both counts are known. */
static int scan_fixed(struct scan *s, struct pf_update *u)
{
    uint8_t head[4];
    size_t length;

    want_bytes(s, magic, sizeof magic, "magic");
    take_number(s, 2, PF_UPDATE_VERSION, "version");
    u->n_metrics =
        (unsigned)take_number(s, 2, PF_MAX_METRICS, "number of metrics");
    u->n_sections =
        (unsigned)take_number(s, 2, PF_MAX_SECTIONS, "number of sections");
    if (s->pos > s->len || s->status)
        return 0;
    if (u->n_sections == 0)
        stop(s, "number of sections");
    want_bytes(s, NULL, 2, "reserved field");
    length = head_length(u->n_metrics, u->n_sections);
    pf_put32(head, (uint32_t)length); /* follows from the counts */
    want_bytes(s, head, sizeof head, "head length");
    take_name(s, u->task, PF_TASK_NAME_MAX, task_char, "task name");
    u->round = take_number(s, 8, UINT64_MAX, "round");
    take_bytes(s, u->plan, sizeof u->plan);
    take_bytes(s, u->base, sizeof u->base);
    take_bytes(s, u->layout, sizeof u->layout);
    u->examples = take_number(s, 8, UINT64_MAX, "number of examples");
    return 1;
}

static void scan_metrics(struct scan *s, struct pf_update *u)
{
    unsigned i, k;

    for (i = 0; i < u->n_metrics; i++) {
        struct pf_metric *m = &u->metrics[i];
        uint64_t bits;

        take_name(s, m->name, PF_METRIC_NAME_MAX, metric_char, "metric name");
        for (k = 0; k < i && s->pos <= s->len; k++)
            if (!strcmp(u->metrics[k].name, m->name))
                stop(s, "metric name (given twice)");
        bits = take_number(s, 8, UINT64_MAX, "metric");
        if (!finite_bits(bits)) /* missing bytes are zeros: finite so far */
            stop(s, "metric (not finite)");
        memcpy(&m->value, &bits, sizeof bits);
    }
}

/* `before` is what the sections' bytes follow: the head length. */
static void scan_table(struct scan *s, struct pf_update *u, size_t before)
{
    size_t total = before, padded;
    unsigned i;

    for (i = 0; i < u->n_sections; i++) {
        struct pf_section *sec = &u->sections[i];
        uint64_t length;

        sec->kind = (uint8_t)take_number(s, 1, UINT8_MAX, "section kind");
        sec->codec = (uint8_t)take_number(s, 1, UINT8_MAX, "section codec");
        sec->tensor_set = (uint16_t)take_number(s, 2, UINT16_MAX, "tensor set");
        want_bytes(s, NULL, 4, "section's reserved field");
        sec->count = take_number(s, 8, UINT64_MAX, "element count");
        length = take_number(s, 8, UINT64_MAX, "section length");
        /* Also when bytes of it are missing: they cannot make it smaller. */
        padded =
            length > PF_MAX_UPDATE ? PF_MAX_UPDATE : pad_up((size_t)length);
        if (length > PF_MAX_UPDATE || padded > PF_MAX_UPDATE - total) {
            if (s->status == POCKETFED_OK)
                s->status = pf_fail(s->err, POCKETFED_LIMIT,
                                    "the update's sections say more than %zu "
                                    "bytes",
                                    PF_MAX_UPDATE);
            return;
        }
        sec->len = (size_t)length;
        total += padded;
    }
}

enum pocketfed_status pf_update_parse(const uint8_t *in, size_t len,
                                      struct pf_update *out,
                                      struct pf_error *err)
{
    struct scan s = {in, len, 0, POCKETFED_OK, err};
    struct pf_update u;
    size_t head, at;
    unsigned i;

    memset(&u, 0, sizeof u);
    if (scan_fixed(&s, &u)) {
        head = head_length(u.n_metrics, u.n_sections);
        scan_metrics(&s, &u);
        scan_table(&s, &u, head);
        want_bytes(&s, NULL, head - s.pos, "padding before the sections");
        for (i = 0; i < u.n_sections && s.status == POCKETFED_OK; i++) {
            s.pos += u.sections[i].len;
            want_bytes(&s, NULL, pad_up(s.pos) - s.pos,
                       "padding after a section");
        }
        if (s.pos < len)
            stop(&s, "end (bytes follow it)");
    }
    if (s.status)
        return s.status;
    if (s.pos > len)
        return pf_fail(err, POCKETFED_INCOMPLETE,
                       "the update ends after %zu bytes; more are needed", len);
    at = head_length(u.n_metrics, u.n_sections);
    for (i = 0; i < u.n_sections; i++) {
        u.sections[i].bytes = in + at;
        at = pad_up(at + u.sections[i].len);
    }
    *out = u;
    return POCKETFED_OK;
}

/* Writing. */

static int name_ok(const char *s, size_t max, int (*char_ok)(char c, size_t i))
{
    size_t i, n = strnlen(s, max + 1);

    for (i = 0; i < n; i++)
        if (!char_ok(s[i], i))
            return 0;
    return n > 0 && n <= max;
}

static int update_ok(const struct pf_update *u)
{
    uint64_t bits;
    unsigned i, k;

    if (u->n_metrics > PF_MAX_METRICS || u->n_sections < 1 ||
        u->n_sections > PF_MAX_SECTIONS ||
        !name_ok(u->task, PF_TASK_NAME_MAX, task_char))
        return 0;
    for (i = 0; i < u->n_metrics; i++) {
        memcpy(&bits, &u->metrics[i].value, sizeof bits);
        if (!finite_bits(bits) ||
            !name_ok(u->metrics[i].name, PF_METRIC_NAME_MAX, metric_char))
            return 0;
        for (k = 0; k < i; k++)
            if (!strcmp(u->metrics[k].name, u->metrics[i].name))
                return 0;
    }
    return 1;
}

enum pocketfed_status pf_update_begin(struct pf_buf *out,
                                      const struct pf_update *u)
{
    size_t head = head_length(u->n_metrics, u->n_sections);
    uint8_t *p;
    unsigned i;

    if (out->len != 0 || !update_ok(u))
        return POCKETFED_INVALID;
    p = pf_buf_extend(out, head);
    if (!p)
        return pf_buf_status(out);
    memset(p, 0, head);
    memcpy(p, magic, sizeof magic);
    pf_put16(p + 4, PF_UPDATE_VERSION);
    pf_put16(p + 6, (uint16_t)u->n_metrics);
    pf_put16(p + 8, (uint16_t)u->n_sections);
    pf_put32(p + 12, (uint32_t)head);
    memcpy(p + 16, u->task, strlen(u->task));
    pf_put64(p + 80, u->round);
    memcpy(p + 88, u->plan, sizeof u->plan);
    memcpy(p + 120, u->base, sizeof u->base);
    memcpy(p + 152, u->layout, sizeof u->layout);
    pf_put64(p + 184, u->examples);
    p += PF_UPDATE_FIXED;
    for (i = 0; i < u->n_metrics; i++, p += METRIC_SIZE) {
        memcpy(p, u->metrics[i].name, strlen(u->metrics[i].name));
        pf_putd(p + PF_METRIC_NAME_MAX, u->metrics[i].value);
    }
    for (i = 0; i < u->n_sections; i++, p += SECTION_SIZE) {
        p[0] = u->sections[i].kind;
        p[1] = u->sections[i].codec;
        pf_put16(p + 2, u->sections[i].tensor_set);
        pf_put64(p + 8, u->sections[i].count);
    }
    return POCKETFED_OK;
}

enum pocketfed_status pf_update_section_end(struct pf_buf *out,
                                            const struct pf_update *u,
                                            unsigned i, size_t began_at)
{
    enum pocketfed_status st = pf_buf_status(out);
    size_t row;

    if (st)
        return st; /* a codec's append has failed */
    if (i >= u->n_sections || began_at > out->len || began_at % ALIGN != 0 ||
        began_at < head_length(u->n_metrics, u->n_sections))
        return POCKETFED_INVALID;
    row = PF_UPDATE_FIXED + (size_t)u->n_metrics * METRIC_SIZE +
          (size_t)i * SECTION_SIZE;
    pf_put64(out->data + row + SECTION_LENGTH_AT, out->len - began_at);
    return pf_buf_pad(out, ALIGN);
}

double pf_update_metric(const struct pf_update *u, const char *name,
                        double absent)
{
    unsigned i;

    for (i = 0; i < u->n_metrics; i++)
        if (!strcmp(u->metrics[i].name, name))
            return u->metrics[i].value;
    return absent;
}
