#include "buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

void pf_buf_init(struct pf_buf *b, size_t max)
{
    memset(b, 0, sizeof *b);
    b->max = max;
}

void pf_buf_free(struct pf_buf *b)
{
    if (!b)
        return;
    free(b->data);
    pf_buf_init(b, b->max);
}

void pf_buf_clear(struct pf_buf *b)
{
    b->len = 0;
    b->status = POCKETFED_OK;
    if (b->data)
        b->data[0] = '\0';
}

/* Memory for n more bytes and the NUL; sets the status when there is none. */
static int reserve(struct pf_buf *b, size_t n)
{
    size_t need, cap;
    uint8_t *data;

    if (b->status != POCKETFED_OK)
        return 0;
    if (n > b->max - b->len || !pf_add_size(b->len + n, 1, &need)) {
        b->status = POCKETFED_LIMIT;
        return 0;
    }
    if (b->data && need <= b->cap)
        return 1;
    cap = b->cap > b->max / 2 ? b->max : b->cap * 2;
    if (cap < 64)
        cap = 64;
    if (cap < need)
        cap = need;
    data = realloc(b->data, cap);
    if (!data) {
        b->status = POCKETFED_NO_MEMORY;
        return 0;
    }
    b->data = data;
    b->cap = cap;
    b->data[b->len] = '\0';
    return 1;
}

uint8_t *pf_buf_extend(struct pf_buf *b, size_t n)
{
    uint8_t *p;

    if (!reserve(b, n))
        return NULL;
    p = b->data + b->len;
    b->len += n;
    b->data[b->len] = '\0';
    return p;
}

enum pocketfed_status pf_buf_add(struct pf_buf *b, const void *p, size_t n)
{
    uint8_t *to = pf_buf_extend(b, n);

    if (to && n > 0)
        memcpy(to, p, n);
    return b->status;
}

enum pocketfed_status pf_buf_adds(struct pf_buf *b, const char *s)
{
    return pf_buf_add(b, s, strlen(s));
}

enum pocketfed_status pf_buf_addf(struct pf_buf *b, const char *fmt, ...)
{
    va_list args;
    int n;

    if (b->status != POCKETFED_OK)
        return b->status;
    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        return b->status = POCKETFED_INVALID;
    if (!reserve(b, (size_t)n))
        return b->status;
    va_start(args, fmt);
    vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len += (size_t)n;
    return POCKETFED_OK;
}

enum pocketfed_status pf_buf_pad(struct pf_buf *b, size_t align)
{
    size_t n = (align - (b->len & (align - 1))) & (align - 1);
    uint8_t *p = pf_buf_extend(b, n);

    if (p)
        memset(p, 0, n);
    return b->status;
}

void pf_reader_init(struct pf_reader *r, const void *p, size_t len)
{
    r->p = p;
    r->len = len;
    r->pos = 0;
    r->short_by = 0;
}

const uint8_t *pf_read_bytes(struct pf_reader *r, size_t n)
{
    static const uint8_t nothing[1];
    size_t left = pf_reader_left(r);
    const uint8_t *p;

    if (r->short_by)
        return NULL;
    if (n > left) {
        r->short_by = n - left;
        return NULL;
    }
    if (!r->p) /* an empty reader over NULL: still not a failure */
        return nothing;
    p = r->p + r->pos;
    r->pos += n;
    return p;
}

uint8_t pf_read8(struct pf_reader *r)
{
    const uint8_t *p = pf_read_bytes(r, 1);
    return p ? *p : 0;
}

uint16_t pf_read16(struct pf_reader *r)
{
    const uint8_t *p = pf_read_bytes(r, 2);
    return p ? pf_get16(p) : 0;
}

uint32_t pf_read32(struct pf_reader *r)
{
    const uint8_t *p = pf_read_bytes(r, 4);
    return p ? pf_get32(p) : 0;
}

uint64_t pf_read64(struct pf_reader *r)
{
    const uint8_t *p = pf_read_bytes(r, 8);
    return p ? pf_get64(p) : 0;
}

double pf_readd(struct pf_reader *r)
{
    const uint8_t *p = pf_read_bytes(r, 8);
    return p ? pf_getd(p) : 0;
}

void pf_read_pad(struct pf_reader *r, size_t align)
{
    (void)pf_read_bytes(r, (align - (r->pos & (align - 1))) & (align - 1));
}
