/* tables.h - every table of fields that messages.h, record.h and plan.h
 * declare, by the name of its struct, for tests that walk them all.
 */
#ifndef PF_TABLES_H
#define PF_TABLES_H

#include "messages.h"
#include "plan.h"
#include "record.h"

struct pf_table {
    const char *name; /* without "pf_" */
    const struct pf_json_field *fields;
    size_t size; /* of the struct */
};

extern const struct pf_table pf_tables[]; /* ends with name == NULL */
extern const size_t pf_n_tables;
/* Every member gets a value: the largest that it can have, or a small one. The
 * plan's tables, which hold raw JSON, are not meant. */
void table_fill(const struct pf_table *t, void *message, int high);

#endif
