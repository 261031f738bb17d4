/* openapi.h - the parts of proto/openapi/ that are made from the tables, so
 * that they cannot differ: schemas.yaml and problems.yaml.
 */
#ifndef PF_OPENAPI_H
#define PF_OPENAPI_H

#include "buf.h"

/* One schema a table of tables.h. */
void pf_openapi_schemas(struct pf_buf *out);
/* One example a row of pf_problem_rows. */
void pf_openapi_problems(struct pf_buf *out);

#endif
