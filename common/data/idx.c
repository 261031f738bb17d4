#include "idx.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include "bytes.h"
#include "file.h"

#define MAGIC_LABELS  0x00000801u /* unsigned bytes, one dimension */
#define MAGIC_IMAGES  0x00000803u /* unsigned bytes, three dimensions */
#define LABELS_HEADER 8u
#define IMAGES_HEADER 16u
#define MAX_PATH      4096u

/* The only big-endian words of the project: the format is from 1998. */
static uint32_t get_be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 |
           (uint32_t)p[3];
}

static void put_be32(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

/* What a header says: n examples, h x w (1 x 1 for labels), and how long the
 * header and the bytes after it are. */
struct header {
    int images;
    uint32_t n, h, w;
    size_t head_bytes, body_bytes;
};

/* p holds len bytes, IMAGES_HEADER or whatever there is. */
static enum pocketfed_status read_header(const uint8_t *p, size_t len,
                                         const char *name, struct header *h,
                                         struct pf_error *err)
{
    uint32_t magic = len >= 4 ? get_be32(p) : 0;

    if (len < 4)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s is no IDX file: it has %zu bytes", name, len);
    if (magic != MAGIC_IMAGES && magic != MAGIC_LABELS)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s is no IDX file of images or labels: it begins with "
                       "%08" PRIx32 ", not 00000803 or 00000801",
                       name, magic);
    h->images = magic == MAGIC_IMAGES;
    h->head_bytes = h->images ? IMAGES_HEADER : LABELS_HEADER;
    if (len < h->head_bytes)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s ends inside its header of %zu bytes", name,
                       h->head_bytes);
    h->n = get_be32(p + 4);
    h->h = h->images ? get_be32(p + 8) : 1;
    h->w = h->images ? get_be32(p + 12) : 1;
    if (h->n == 0 || h->h == 0 || h->w == 0)
        return pf_fail(err, POCKETFED_MALFORMED, "%s holds no examples", name);
    if (h->n > PF_IDX_MAX_EXAMPLES)
        return pf_fail(err, POCKETFED_LIMIT,
                       "%s claims %" PRIu32 " examples; the limit is %u", name,
                       h->n, PF_IDX_MAX_EXAMPLES);
    if (h->h > PF_IDX_MAX_SIDE || h->w > PF_IDX_MAX_SIDE)
        return pf_fail(err, POCKETFED_LIMIT,
                       "%s claims images of %" PRIu32 "x%" PRIu32
                       "; the limit is %ux%u",
                       name, h->h, h->w, (unsigned)PF_IDX_MAX_SIDE,
                       (unsigned)PF_IDX_MAX_SIDE);
    if (!pf_mul_size((size_t)h->h * h->w, h->n, &h->body_bytes) ||
        h->body_bytes > PF_IDX_MAX_BYTES)
        return pf_fail(err, POCKETFED_LIMIT,
                       "%s claims more than %zu bytes of pixels", name,
                       PF_IDX_MAX_BYTES);
    return POCKETFED_OK;
}

/* The struct that a header and its body make. */
static struct pf_idx as_idx(const struct header *h, uint8_t *body)
{
    struct pf_idx d = {.n = h->n};

    if (h->images) {
        d.h = h->h;
        d.w = h->w;
        d.images = body;
    } else {
        d.labels = body;
    }
    return d;
}

enum pocketfed_status pf_idx_parse(const uint8_t *p, size_t len,
                                   struct pf_idx *out, struct pf_error *err)
{
    enum pocketfed_status st;
    struct header h = {0};
    uint8_t *body;

    st = read_header(p, len, "the input", &h, err);
    if (st != POCKETFED_OK)
        return st;
    if (len - h.head_bytes != h.body_bytes)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "the input has %zu bytes after its header, which "
                       "promises %zu",
                       len - h.head_bytes, h.body_bytes);
    body = malloc(h.body_bytes);
    if (!body)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %zu bytes",
                       h.body_bytes);
    memcpy(body, p + h.head_bytes, h.body_bytes);
    *out = as_idx(&h, body);
    return POCKETFED_OK;
}

/* Up to n bytes, fewer only at the end of the file. */
static enum pocketfed_status read_some(gzFile f, const char *path, uint8_t *p,
                                       size_t n, size_t *got,
                                       struct pf_error *err)
{
    *got = 0;
    while (*got < n) {
        size_t left = n - *got;
        int k =
            gzread(f, p + *got, left < (1u << 30) ? (unsigned)left : 1u << 30);
        int code = Z_OK;
        const char *why = gzerror(f, &code);

        /* A gzip stream that is cut short reads well and then says so. */
        if (code == Z_ERRNO)
            return pf_fail_errno(err, errno, "cannot read %s", path);
        if (k < 0 || (code != Z_OK && code != Z_STREAM_END))
            return pf_fail(err, POCKETFED_MALFORMED,
                           "%s is damaged or cut short: %s", path, why);
        if (k == 0)
            break;
        *got += (size_t)k;
    }
    return POCKETFED_OK;
}

/* zlib hands plain files through as they are, so one way reads both. */
static enum pocketfed_status load_file(const char *path, int images,
                                       struct pf_idx *out, struct pf_error *err)
{
    enum pocketfed_status st;
    uint8_t head[IMAGES_HEADER], *body = NULL;
    uint8_t extra;
    struct header h = {0};
    size_t got, more;
    gzFile f = NULL;
    uint64_t size;
    int fd;

    st = pf_file_open(path, &fd, &size, err);
    if (st != POCKETFED_OK)
        return st;
    f = gzdopen(fd, "rb");
    if (!f) {
        close(fd);
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory to read %s", path);
    }
    (void)gzbuffer(f, 128u << 10);

    st = read_some(f, path, head, LABELS_HEADER, &got, err);
    if (st == POCKETFED_OK && got == LABELS_HEADER &&
        get_be32(head) == MAGIC_IMAGES) {
        st = read_some(f, path, head + got, sizeof head - got, &more, err);
        got += more;
    }
    if (st == POCKETFED_OK)
        st = read_header(head, got, path, &h, err);
    if (st != POCKETFED_OK)
        goto out;
    if (h.images != images) {
        st = pf_fail(err, POCKETFED_MALFORMED, "%s holds %s, not %s", path,
                     h.images ? "images" : "labels",
                     images ? "images" : "labels");
        goto out;
    }

    body = malloc(h.body_bytes);
    if (!body) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %zu bytes of %s",
                     h.body_bytes, path);
        goto out;
    }
    st = read_some(f, path, body, h.body_bytes, &got, err);
    if (st == POCKETFED_OK && got < h.body_bytes)
        st = pf_fail(err, POCKETFED_MALFORMED,
                     "%s is cut short: it promises %zu bytes and has %zu", path,
                     h.body_bytes, got);
    if (st == POCKETFED_OK)
        st = read_some(f, path, &extra, 1, &got, err);
    if (st != POCKETFED_OK)
        goto out;
    if (got != 0) {
        st = pf_fail(err, POCKETFED_MALFORMED,
                     "%s has bytes after the %zu that it promises", path,
                     h.body_bytes);
        goto out;
    }
    *out = as_idx(&h, body);
    body = NULL;
out:
    free(body);
    (void)gzclose_r(f);
    return st;
}

enum pocketfed_status pf_idx_load_images(const char *path, struct pf_idx *out,
                                         struct pf_error *err)
{
    return load_file(path, 1, out, err);
}

enum pocketfed_status pf_idx_load_labels(const char *path, struct pf_idx *out,
                                         struct pf_error *err)
{
    return load_file(path, 0, out, err);
}

/* "train" + "images-idx3" -> the first of the four spellings that exists. */
static enum pocketfed_status find_file(const char *dir, const char *which,
                                       const char *kind, unsigned dims,
                                       char *path, size_t cap,
                                       struct pf_error *err)
{
    static const char *const separators[] = {"-", "."};
    static const char *const suffixes[] = {"", ".gz"};

    for (size_t i = 0; i < 4; i++) {
        int n = snprintf(path, cap, "%s/%s-%s%sidx%u-ubyte%s", dir, which, kind,
                         separators[i / 2], dims, suffixes[i % 2]);

        if (n < 0 || (size_t)n >= cap)
            return pf_fail(err, POCKETFED_LIMIT,
                           "the path of the data folder is longer than %zu",
                           cap);
        if (access(path, F_OK) == 0)
            return POCKETFED_OK;
    }
    (void)pf_fail(err, POCKETFED_NOT_FOUND,
                  "%s has no %s-%s-idx%u-ubyte, nor %s-%s.idx%u-ubyte, nor "
                  "either with .gz",
                  dir, which, kind, dims, which, kind, dims);
    pf_hint(err, "deploy/fetch-data mnist DIR puts the MNIST files into DIR");
    return POCKETFED_NOT_FOUND;
}

enum pocketfed_status pf_idx_load(const char *dir, const char *which,
                                  struct pf_idx *out, struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_idx images = {0}, labels = {0};
    char path[MAX_PATH];

    st = find_file(dir, which, "images", 3, path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_idx_load_images(path, &images, err);
    if (st == POCKETFED_OK)
        st = find_file(dir, which, "labels", 1, path, sizeof path, err);
    if (st == POCKETFED_OK)
        st = pf_idx_load_labels(path, &labels, err);
    if (st == POCKETFED_OK && images.n != labels.n)
        st = pf_fail(err, POCKETFED_MALFORMED,
                     "%s has %" PRIu32 " %s images but %" PRIu32 " labels", dir,
                     images.n, which, labels.n);
    if (st == POCKETFED_OK) {
        images.labels = labels.labels;
        *out = images;
        return POCKETFED_OK;
    }
    pf_idx_free(&images);
    pf_idx_free(&labels);
    return st;
}

/* `width` bytes of each chosen example after the header, as one file. */
static enum pocketfed_status write_file(const char *dir, const char *which,
                                        const char *kind, const uint8_t *head,
                                        size_t head_bytes, const uint8_t *from,
                                        size_t width, const uint32_t *idx,
                                        uint32_t n, struct pf_error *err)
{
    enum pocketfed_status st;
    char name[96], path[MAX_PATH];
    uint8_t *bytes;
    size_t len;
    int k;

    k = snprintf(name, sizeof name, "%s-%s-ubyte", which, kind);
    if (k < 0 || (size_t)k >= sizeof name)
        return pf_fail(err, POCKETFED_INVALID, "the name %s is too long",
                       which);
    st = pf_path_join(dir, name, path, sizeof path, err);
    if (st != POCKETFED_OK)
        return st;
    if (!pf_mul_size(width, n, &len) || !pf_add_size(len, head_bytes, &len) ||
        len > PF_IDX_MAX_BYTES)
        return pf_fail(err, POCKETFED_LIMIT, "%s would be too long", path);
    bytes = malloc(len);
    if (!bytes)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %s", path);
    memcpy(bytes, head, head_bytes);
    for (size_t i = 0; i < n; i++)
        memcpy(bytes + head_bytes + i * width, from + width * idx[i], width);
    st = pf_file_replace(path, bytes, len, 0600, err);
    free(bytes);
    return st;
}

enum pocketfed_status pf_idx_write(const char *dir, const char *which,
                                   const struct pf_idx *src,
                                   const uint32_t *idx, uint32_t n,
                                   struct pf_error *err)
{
    enum pocketfed_status st;
    uint8_t head[IMAGES_HEADER];

    if (!src->images || !src->labels || n == 0)
        return pf_fail(err, POCKETFED_INVALID,
                       "a data folder needs images, labels and at least one "
                       "example");
    for (uint32_t i = 0; i < n; i++)
        if (idx[i] >= src->n)
            return pf_fail(err, POCKETFED_INVALID,
                           "there is no example %" PRIu32 " among %" PRIu32,
                           idx[i], src->n);
    put_be32(head, MAGIC_LABELS);
    put_be32(head + 4, n);
    st = write_file(dir, which, "labels-idx1", head, LABELS_HEADER, src->labels,
                    1, idx, n, err);
    if (st != POCKETFED_OK)
        return st;
    put_be32(head, MAGIC_IMAGES);
    put_be32(head + 8, src->h);
    put_be32(head + 12, src->w);
    return write_file(dir, which, "images-idx3", head, IMAGES_HEADER,
                      src->images, (size_t)src->h * src->w, idx, n, err);
}

void pf_idx_free(struct pf_idx *d)
{
    free(d->images);
    free(d->labels);
    memset(d, 0, sizeof *d);
}

enum pocketfed_status pf_idx_get(const struct pf_idx *d, size_t i, float *x,
                                 uint32_t *label)
{
    size_t width = (size_t)d->h * d->w;
    const uint8_t *p;

    if (i >= d->n || !d->images || !d->labels)
        return POCKETFED_INVALID;
    p = d->images + i * width;
    for (size_t k = 0; k < width; k++)
        x[k] = (float)p[k] / 255.0f;
    *label = d->labels[i];
    return POCKETFED_OK;
}
