#include "drawn.h"

#include <stdlib.h>
#include <string.h>

#include "rng.h"

#define SIDE    28
#define CLASSES 10

/* Three strokes, each a walk of a round brush. */
static void draw_glyph(uint64_t which, uint8_t ink[SIDE * SIDE])
{
    struct pf_rng r = pf_rng_make(7, which, 0, PF_RNG_TEST);
    uint64_t at = 0;

    memset(ink, 0, SIDE * SIDE);
    for (int stroke = 0; stroke < 3; stroke++) {
        double x = 7 + 14 * pf_rng_double(&r, at++);
        double y = 7 + 14 * pf_rng_double(&r, at++);
        double dx = 1.6 * pf_rng_double(&r, at++) - 0.8;
        double dy = 1.6 * pf_rng_double(&r, at++) - 0.8;

        for (int i = 0; i < 12; i++, x += dx, y += dy)
            for (int p = 0; p < SIDE * SIDE; p++) {
                double ex = p % SIDE - x, ey = p / SIDE - y;

                if (ex * ex + ey * ey < 2.5)
                    ink[p] = 1;
            }
    }
}

/* Image i: a glyph moved by up to three pixels, its ink uneven. */
static void draw(const uint8_t glyph[SIDE * SIDE], uint64_t i, uint8_t *to)
{
    struct pf_rng r = pf_rng_make(11, i, 0, PF_RNG_TEST);
    int down = (int)pf_rng_below(&r, 0, 7) - 3;
    int right = (int)pf_rng_below(&r, 1, 7) - 3;

    for (int p = 0; p < SIDE * SIDE; p++) {
        int row = p / SIDE + down, col = p % SIDE + right;
        int inside = row >= 0 && row < SIDE && col >= 0 && col < SIDE;
        unsigned ink = 17 * (8 + ((unsigned)p * 37 + (unsigned)i) % 8);

        to[p] = (uint8_t)(inside && glyph[row * SIDE + col] ? ink : 0);
    }
}

enum pocketfed_status drawn_images(uint32_t first, uint32_t n,
                                   struct pf_idx *out, struct pf_error *err)
{
    uint8_t glyph[CLASSES][SIDE * SIDE];
    struct pf_idx d = {n, SIDE, SIDE, NULL, NULL};

    d.images = malloc((size_t)n * SIDE * SIDE + 1);
    d.labels = malloc((size_t)n + 1);
    if (!d.images || !d.labels) {
        pf_idx_free(&d);
        return pf_fail(err, POCKETFED_NO_MEMORY, "no memory for %u images", n);
    }
    for (unsigned k = 0; k < CLASSES; k++)
        draw_glyph(k, glyph[k]);
    for (uint32_t i = 0; i < n; i++) {
        d.labels[i] = (uint8_t)((first + i) % CLASSES);
        draw(glyph[d.labels[i]], first + (uint64_t)i,
             d.images + (size_t)i * SIDE * SIDE);
    }
    *out = d;
    return POCKETFED_OK;
}
