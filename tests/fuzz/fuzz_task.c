/* A task file of any bytes: refused with a sentence, or a task whose engine
 * can be made, whose plan is valid, and which reads back from its own text. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "task.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz_task: %s\n", what);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pf_buf text, again;
    struct pf_error err;
    struct pf_task t, u;
    enum pocketfed_status st;

    memset(&err, 0, sizeof err);
    st = pf_task_parse((const char *)data, size, &t, &err);
    if (st != POCKETFED_OK) {
        must(st == err.status && err.text[0] != '\0', "no sentence");
        must(st == POCKETFED_CONFIG || st == POCKETFED_NO_MEMORY, "status");
        return 0;
    }
    must(t.round.collect.min >= 1 && t.round.collect.min <= t.round.select.min,
         "collect.min");
    must(t.round.collect.max <= t.round.select.max, "collect.max");
    pf_buf_init(&text, 1u << 20);
    pf_buf_init(&again, 1u << 20);
    must(!pf_json_encode(pf_task_fields, &t, &text), "encode");
    must(!pf_task_parse(pf_buf_str(&text), text.len, &u, &err), "read back");
    must(!pf_json_encode(pf_task_fields, &u, &again), "encode again");
    must(again.len == text.len && !memcmp(again.data, text.data, text.len),
         "another task");
    pf_buf_free(&text);
    pf_buf_free(&again);
    pf_task_free(&t);
    pf_task_free(&u);
    return 0;
}
