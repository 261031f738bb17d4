#include "image.h"

#include <inttypes.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include "buf.h"
#include "file.h"

/* Any picture on its way: h x w grey values from 0 to 1. */
struct picture {
    uint32_t h, w;
    float *v; /* owned */
};

static enum pocketfed_status take_memory(struct picture *pic, const char *name,
                                         struct pf_error *err)
{
    if (pic->h == 0 || pic->w == 0)
        return pf_fail(err, POCKETFED_MALFORMED, "%s has no pixels", name);
    if (pic->h > PF_IMAGE_MAX_SIDE || pic->w > PF_IMAGE_MAX_SIDE) {
        (void)pf_fail(err, POCKETFED_LIMIT,
                      "%s is %" PRIu32 "x%" PRIu32
                      " pixels; the limit is %u a side",
                      name, pic->w, pic->h, PF_IMAGE_MAX_SIDE);
        pf_hint(err, "scale it down first");
        return POCKETFED_LIMIT;
    }
    pic->v = malloc((size_t)pic->h * pic->w * sizeof *pic->v);
    if (!pic->v)
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %s", name);
    return POCKETFED_OK;
}

/* ---- PNG ---- */

static enum pocketfed_status read_png(const uint8_t *p, size_t len,
                                      const char *name, int invert,
                                      struct picture *pic, struct pf_error *err)
{
    enum pocketfed_status st;
    png_image image = {.version = PNG_IMAGE_VERSION};
    /* Transparent must end as 0, so as white when white will be inverted. */
    png_byte level = invert ? 255 : 0;
    png_color background = {level, level, level};
    png_byte *grey = NULL;
    size_t n;

    if (!png_image_begin_read_from_memory(&image, p, len)) {
        st = pf_fail(err, POCKETFED_MALFORMED, "%s is a damaged PNG file: %s",
                     name, image.message);
        goto out;
    }
    pic->h = image.height;
    pic->w = image.width;
    st = take_memory(pic, name, err);
    if (st != POCKETFED_OK)
        goto out;
    n = (size_t)pic->h * pic->w;
    grey = malloc(n);
    if (!grey) {
        st = pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %s", name);
        goto out;
    }
    image.format = PNG_FORMAT_GRAY;
    image.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; /* or 16 bits mean linear light */
    if (!png_image_finish_read(&image, &background, grey, 0, NULL)) {
        st = pf_fail(err, POCKETFED_MALFORMED, "%s is a damaged PNG file: %s",
                     name, image.message);
        goto out;
    }
    for (size_t i = 0; i < n; i++)
        pic->v[i] = (float)grey[i] / 255.0f;
out:
    free(grey);
    png_image_free(&image);
    return st;
}

/* ---- PGM: https://netpbm.sourceforge.net/doc/pgm.html ---- */

struct cursor {
    const uint8_t *p;
    size_t len, pos;
};

static int is_blank(uint8_t c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next decimal number, after blanks and comments; -1 when there is none or
 * it is over 65535. */
static long next_number(struct cursor *c)
{
    long v = 0;
    size_t first;

    while (c->pos < c->len && (is_blank(c->p[c->pos]) || c->p[c->pos] == '#')) {
        if (c->p[c->pos] == '#')
            while (c->pos < c->len && c->p[c->pos] != '\n')
                c->pos++;
        else
            c->pos++;
    }
    first = c->pos;
    while (c->pos < c->len && c->p[c->pos] >= '0' && c->p[c->pos] <= '9') {
        v = v * 10 + (c->p[c->pos++] - '0');
        if (v > 65535)
            return -1;
    }
    return c->pos > first ? v : -1;
}

/* One binary sample of one or two bytes, the high one first; -1 at the end. */
static long next_sample(struct cursor *c, size_t bytes)
{
    long v = 0;

    if (c->len - c->pos < bytes)
        return -1;
    for (size_t i = 0; i < bytes; i++)
        v = v << 8 | c->p[c->pos++];
    return v;
}

static enum pocketfed_status read_pgm(const uint8_t *p, size_t len,
                                      const char *name, struct picture *pic,
                                      struct pf_error *err)
{
    enum pocketfed_status st;
    struct cursor c = {p, len, 2};
    int binary = p[1] == '5';
    long w = next_number(&c), h = next_number(&c), most = next_number(&c);
    size_t n, sample;

    if (w < 0 || h < 0 || most < 1)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s is a damaged PGM file: its header is not width, "
                       "height and maximum",
                       name);
    if (binary && (c.pos == c.len || !is_blank(c.p[c.pos++])))
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s is a damaged PGM file: no blank after its header",
                       name);
    pic->h = (uint32_t)h;
    pic->w = (uint32_t)w;
    sample = most > 255 ? 2 : 1;
    n = (size_t)pic->h * pic->w; /* both at most 65535 */
    if (binary && (len - c.pos) / sample < n)
        return pf_fail(err, POCKETFED_MALFORMED,
                       "%s is a damaged PGM file: it is cut short", name);
    st = take_memory(pic, name, err);
    if (st != POCKETFED_OK)
        return st;
    for (size_t i = 0; i < n; i++) {
        long v = binary ? next_sample(&c, sample) : next_number(&c);

        if (v < 0 || v > most)
            return pf_fail(err, POCKETFED_MALFORMED,
                           "%s is a damaged PGM file: pixel %zu is missing or "
                           "over %ld",
                           name, i, most);
        pic->v[i] = (float)v / (float)most;
    }
    return POCKETFED_OK;
}

/* ---- to the wanted size ---- */

/* How much of source cell s lies in target cell t, when `from` source cells
 * are laid over `to` target cells; the unit is 1/to of a source cell. */
static double overlap(uint32_t s, uint32_t t, uint32_t from, uint32_t to)
{
    uint64_t low = (uint64_t)s * to, high = low + to;
    uint64_t begin = (uint64_t)t * from, end = begin + from;

    low = low > begin ? low : begin;
    high = high < end ? high : end;
    return high > low ? (double)(high - low) : 0.0;
}

/* Each target pixel is the mean of the source area that it covers. */
static void resample(const struct picture *pic, uint32_t want_h,
                     uint32_t want_w, int invert, float *x)
{
    double area = (double)pic->h * (double)pic->w;

    for (uint32_t i = 0; i < want_h; i++) {
        uint32_t y0 = (uint32_t)((uint64_t)i * pic->h / want_h);
        uint64_t y_end = (uint64_t)(i + 1) * pic->h;

        for (uint32_t j = 0; j < want_w; j++) {
            uint32_t x0 = (uint32_t)((uint64_t)j * pic->w / want_w);
            uint64_t x_end = (uint64_t)(j + 1) * pic->w;
            double sum = 0.0;

            for (uint32_t r = y0; (uint64_t)r * want_h < y_end; r++) {
                double part = overlap(r, i, pic->h, want_h);
                const float *row = pic->v + (size_t)r * pic->w;

                for (uint32_t k = x0; (uint64_t)k * want_w < x_end; k++)
                    sum +=
                        part * overlap(k, j, pic->w, want_w) * (double)row[k];
            }
            sum /= area;
            x[(size_t)i * want_w + j] = (float)(invert ? 1.0 - sum : sum);
        }
    }
}

enum pocketfed_status pf_image_parse(const uint8_t *p, size_t len,
                                     const char *name, uint32_t want_h,
                                     uint32_t want_w, int invert, float *x,
                                     struct pf_error *err)
{
    static const uint8_t png[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    enum pocketfed_status st;
    struct picture pic = {0};

    if (want_h == 0 || want_w == 0 || want_h > PF_IMAGE_MAX_SIDE ||
        want_w > PF_IMAGE_MAX_SIDE)
        return pf_fail(err, POCKETFED_INVALID,
                       "no picture can be %" PRIu32 "x%" PRIu32 " pixels",
                       want_w, want_h);
    if (len >= sizeof png && memcmp(p, png, sizeof png) == 0) {
        st = read_png(p, len, name, invert, &pic, err);
    } else if (len >= 2 && p[0] == 'P' && (p[1] == '2' || p[1] == '5')) {
        st = read_pgm(p, len, name, &pic, err);
    } else {
        st = pf_fail(err, POCKETFED_UNSUPPORTED,
                     "%s is neither a PNG nor a PGM file", name);
        pf_hint(err, "convert it to PNG first");
    }
    if (st == POCKETFED_OK)
        resample(&pic, want_h, want_w, invert, x);
    free(pic.v);
    return st;
}

enum pocketfed_status pf_image_load(const char *path, uint32_t want_h,
                                    uint32_t want_w, int invert, float *x,
                                    struct pf_error *err)
{
    enum pocketfed_status st;
    struct pf_buf b;

    pf_buf_init(&b, PF_IMAGE_MAX_FILE);
    st = pf_file_read(path, &b, err);
    if (st == POCKETFED_OK)
        st =
            pf_image_parse(b.data, b.len, path, want_h, want_w, invert, x, err);
    pf_buf_free(&b);
    return st;
}
