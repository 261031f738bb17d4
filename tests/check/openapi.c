#include "openapi.h"

#include <string.h>
#include "problem.h"
#include "tables.h"

/* "enrol_request" becomes "EnrolRequest". */
static void add_name(struct pf_buf *out, const char *name)
{
    int upper = 1;

    for (; *name; name++) {
        char c = *name;

        if (c != '_') {
            c = (char)(upper ? c - 'a' + 'A' : c);
            pf_buf_add(out, &c, 1);
        }
        upper = *name == '_';
    }
}

/* A quoted YAML scalar. */
static void add_quoted(struct pf_buf *out, const char *s)
{
    pf_buf_adds(out, "'");
    for (; *s; s++) {
        pf_buf_add(out, s, 1);
        if (*s == '\'')
            pf_buf_adds(out, "'");
    }
    pf_buf_adds(out, "'");
}

static void add_range(struct pf_buf *out, const struct pf_json_field *f,
                      double min, double max)
{
    if (f->min != 0 || f->max != 0) {
        min = f->min;
        max = f->max;
    }
    pf_buf_addf(out, "      minimum: %.0f\n      maximum: %.0f\n", min, max);
}

static void add_enum(struct pf_buf *out, const char *const *names)
{
    size_t i;

    pf_buf_adds(out, "      type: string\n      enum: [");
    for (i = 0; names[i]; i++)
        pf_buf_addf(out, "%s%s", i ? ", " : "", names[i]);
    pf_buf_adds(out, "]\n");
}

/* The plan's two nested objects, by their tables. */
static void add_reference(struct pf_buf *out, const struct pf_json_field *f)
{
    const struct pf_table *t;

    for (t = pf_tables; t->name; t++)
        if (t->fields == f->fields) {
            pf_buf_adds(out, "      $ref: '#/");
            add_name(out, t->name);
            pf_buf_adds(out, "'\n");
        }
}

static void add_type(struct pf_buf *out, const struct pf_json_field *f)
{
    switch (f->type) {
    case PF_JSON_STRING:
        pf_buf_addf(out, "      type: string\n      maxLength: %zu\n",
                    f->size - 1);
        break;
    case PF_JSON_HEX:
        pf_buf_addf(out,
                    "      type: string\n      pattern: '^[0-9a-f]{%zu}$'\n",
                    2 * f->size);
        break;
    case PF_JSON_BASE64URL:
        pf_buf_addf(out,
                    "      type: string\n      pattern: '^[A-Za-z0-9_-]*$'\n"
                    "      maxLength: %zu\n",
                    (4 * f->size + 2) / 3);
        break;
    case PF_JSON_U32:
        pf_buf_adds(out, "      type: integer\n");
        add_range(out, f, 0, UINT32_MAX);
        break;
    case PF_JSON_U64:
        pf_buf_adds(out, "      type: string\n      pattern: "
                         "'^(0|[1-9][0-9]{0,19})$'\n");
        break;
    case PF_JSON_I64:
        pf_buf_adds(out, "      type: integer\n      format: int64\n");
        add_range(out, f, -9007199254740992.0, 9007199254740992.0);
        break;
    case PF_JSON_DOUBLE:
        pf_buf_adds(out, "      type: number\n      format: double\n");
        break;
    case PF_JSON_BOOL:
        pf_buf_adds(out, "      type: boolean\n");
        break;
    case PF_JSON_ENUM:
        add_enum(out, f->names);
        break;
    case PF_JSON_OBJECT:
        add_reference(out, f);
        break;
    case PF_JSON_STRINGS:
        pf_buf_addf(out,
                    "      type: array\n      maxItems: %zu\n      items:\n"
                    "        type: string\n        maxLength: %zu\n",
                    f->count, f->size - 1);
        break;
    case PF_JSON_RAW:
        pf_buf_adds(out, "      type: object\n");
        break;
    }
}

static void add_schema(struct pf_buf *out, const struct pf_table *t)
{
    const struct pf_json_field *f;
    const char *comma = "";

    pf_buf_adds(out, "\n");
    add_name(out, t->name);
    pf_buf_adds(out, ":\n  type: object\n");
    for (f = t->fields; f->key; f++)
        if (f->flags & PF_JSON_REQUIRED) {
            pf_buf_addf(out, "%s%s", *comma ? comma : "  required: [", f->key);
            comma = ", ";
        }
    pf_buf_adds(out, *comma ? "]\n  properties:\n" : "  properties:\n");
    for (f = t->fields; f->key; f++) {
        pf_buf_addf(out, "    %s:\n      description: ", f->key);
        add_quoted(out, f->help);
        pf_buf_adds(out, "\n");
        add_type(out, f);
    }
}

void pf_openapi_schemas(struct pf_buf *out)
{
    const struct pf_table *t;

    pf_buf_adds(
        out,
        "# Made from the field tables of messages.c, record.c and plan.c; not\n"
        "# edited by hand. After a change of a table: openapi_matches_calls "
        "schemas\n"
        "#\n"
        "# Members that are not listed are ignored.  Whole numbers that may\n"
        "# exceed 2^53 are decimal strings; a number up to 2^53 is read as "
        "well.\n"
        "# maxLength counts bytes of UTF-8.\n");
    for (t = pf_tables; t->name; t++)
        add_schema(out, t);
}

void pf_openapi_problems(struct pf_buf *out)
{
    static const char *const actions[] = {
        [PF_DO_RETRY] = "The client sends the same request again, later.",
        [PF_DO_DROP] = "The client gives up this piece of work and checks in.",
        [PF_DO_STOP] = "The client stops and tells a person.",
        [PF_DO_CLOCK] =
            "The client corrects its signing clock and tries again.",
    };
    int i;

    pf_buf_adds(out,
                "# Made from the table of problem.h; not edited by hand. After "
                "a\n# change of it: openapi_matches_calls problems\n");
    for (i = PF_PROBLEM_NONE + 1; i < PF_PROBLEM_COUNT; i++) {
        const struct pf_problem_row *row = &pf_problem_rows[i];

        pf_buf_addf(out, "\n%s:\n  summary: ", row->slug);
        add_quoted(out, row->title);
        pf_buf_addf(out,
                    "\n  description: %s\n  value:\n"
                    "    type: https://pocketfed.dev/problems/%s\n    title: ",
                    actions[row->action], row->slug);
        add_quoted(out, row->title);
        pf_buf_addf(out, "\n    status: %d\n", row->status);
    }
}
