#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "store_bench.h"
#include "tmpdir.h"

void bench_open(struct bench *b)
{
    assert_int_equal(pf_store_open(b->dir, NULL, &b->s, &b->err), POCKETFED_OK);
    assert_int_equal(pf_reader_open(b->s, &b->r, &b->err), POCKETFED_OK);
}

void bench_close(struct bench *b)
{
    pf_reader_close(b->r);
    pf_store_close(b->s);
    b->r = NULL;
    b->s = NULL;
}

void bench_restart(struct bench *b)
{
    bench_close(b);
    bench_open(b);
}

int bench_set_up(void **state)
{
    struct bench *b = calloc(1, sizeof *b);

    pf_tmpdir_make(b->dir, sizeof b->dir);
    bench_open(b);
    *state = b;
    return 0;
}

int bench_tear_down(void **state)
{
    struct bench *b = *state;

    bench_close(b);
    pf_tmpdir_remove(b->dir);
    free(b);
    return 0;
}

void bench_begin(struct bench *b)
{
    assert_int_equal(pf_store_begin(b->s, &b->err), POCKETFED_OK);
}

void bench_commit(struct bench *b)
{
    assert_int_equal(pf_store_commit(b->s, &b->err), POCKETFED_OK);
}

const uint8_t *bench_digest(int i)
{
    static uint8_t d[8][32];
    static int next;

    next = (next + 1) % 8;
    memset(d[next], i, 32);
    return d[next];
}

int64_t bench_add_task(struct bench *b, const char *name, int mark)
{
    struct pf_store_task t = {0};

    snprintf(t.name, sizeof t.name, "%s", name);
    pf_buf_init(&t.file, 1000);
    pf_buf_addf(&t.file, "{\"name\": \"%s\"}", name);
    memcpy(t.plan, bench_digest(mark), 32);
    memset(t.plan_signature, mark + 1, 64);
    memcpy(t.initial_model, bench_digest(mark + 2), 32);
    t.created_ms = 1700000000000 + mark;
    bench_begin(b);
    assert_int_equal(pf_store_task_add(b->s, &t, &b->err), POCKETFED_OK);
    bench_commit(b);
    pf_buf_free(&t.file);
    return t.id;
}

void bench_query(struct bench *b, const char *sql)
{
    char path[300];
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/pocketfed.db", b->dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}
