/* json_sample.h - a struct with a member of every JSON type and its table, for
 * the tests of json.h.
 */
#ifndef PF_JSON_SAMPLE_H
#define PF_JSON_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "json.h"

enum sample_phase { SAMPLE_OPEN, SAMPLE_CLOSED, SAMPLE_FAILED };

struct sample_inner {
    uint32_t batch;
    double lr;
};

struct sample {
    char name[16];
    uint8_t digest[4];
    struct {
        size_t len;
        uint8_t data[10];
    } nonce;
    uint32_t count;
    uint64_t seed;
    int64_t offset;
    double scale;
    int shuffle;
    int phase;
    struct sample_inner train;
    char hosts[3][8];
    size_t n_hosts;
    struct pf_buf extra;
};

extern const struct pf_json_field sample_fields[];

#endif
