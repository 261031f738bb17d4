/* config.h - the daemon's options: one table feeds the INI file, the command
 * line, the environment, --help, --print-config and the documentation.
 *
 * Order of truth: default < file < POCKETFED_SECTION_KEY < flag.  Unknown keys
 * and flags are refused with the nearest known one.  A wrong file or variable
 * is CONFIG, a wrong command line is INVALID (the program's exit codes 78 and
 * 2).
 */
#ifndef PF_CONFIG_H
#define PF_CONFIG_H

#include <stddef.h>
#include <stdint.h>
#include "buf.h"
#include "fail.h"
#include "limiter.h"

#define PF_CONFIG_TEXT 512

struct pf_config {
    /* [server] */
    char state[PF_CONFIG_TEXT];
    uint32_t threads, fold_threads; /* 0: one per core */
    uint32_t queue, drain_s;
    /* [client] */
    char listen[PF_CONFIG_TEXT], host[PF_CONFIG_TEXT];
    uint32_t max_connections, buffer_kib;
    uint32_t resume_mb, resume_s;
    int tls;
    char certificate[PF_CONFIG_TEXT], private_key[PF_CONFIG_TEXT];
    /* [limits], and timeout_s and request_s of [client] */
    struct pf_limit_values limits;
    uint32_t limit_names;
    /* [admin] [ops] [log] */
    char admin_socket[PF_CONFIG_TEXT];
    char admin_listen[PF_CONFIG_TEXT], admin_token[PF_CONFIG_TEXT];
    char ops_listen[PF_CONFIG_TEXT];
    int log_level; /* enum pf_log_level */

    /* Only on the command line. */
    char file[PF_CONFIG_TEXT];
    int check, print, json, help, version;
};

enum pf_option_type {
    PF_OPTION_TEXT,
    PF_OPTION_U32,
    PF_OPTION_BOOL,    /* on, off */
    PF_OPTION_ENUM,    /* index into names */
    PF_OPTION_ADDRESS, /* ADDR:PORT */
};

struct pf_option {
    const char *section, *key, *flag; /* flag without "--"; NULL: none */
    enum pf_option_type type;
    size_t offset;
    const char *preset; /* default as text; "" when it depends on the machine */
    uint32_t min, max;
    const char *const *names;
    const char *arg;  /* in --help: ADDR:PORT */
    const char *help; /* sentences, the first one short */
    int live;         /* a reload (SIGHUP) changes it */
};
extern const struct pf_option pf_options[]; /* ends with key == NULL */

void pf_config_init(struct pf_config *c); /* the table's defaults */
/* Text of an INI file; `name` is what messages call it. */
enum pocketfed_status pf_config_ini(struct pf_config *c, const char *name,
                                    const char *text, size_t len,
                                    struct pf_error *err);
/* Everything, in order, and the defaults that depend on the machine filled
 * in. argv is not changed. `env` is getenv, or a test's. */
enum pocketfed_status pf_config_load(struct pf_config *c, int argc,
                                     char *const argv[],
                                     char *(*env)(const char *name),
                                     struct pf_error *err);
/* 1 when [admin] listen is to speak TLS: on any but a loopback address. */
int pf_config_admin_tls(const struct pf_config *c);
/* An INI file with every option explained; what has its default is commented
 * out. */
enum pocketfed_status pf_config_print(const struct pf_config *c,
                                      struct pf_buf *out);
/* --help. */
enum pocketfed_status pf_config_help(struct pf_buf *out);
/* Sets one option from text. CONFIG names the accepted values. */
enum pocketfed_status pf_option_set(const struct pf_option *o,
                                    struct pf_config *c, const char *text,
                                    struct pf_error *err);

#endif
