#include "tables.h"

#define TABLE(name)                                                            \
    {                                                                          \
#name, pf_##name##_fields, sizeof(struct pf_##name)                    \
    }

const struct pf_table pf_tables[] = {
    TABLE(enrol_request), TABLE(enrol_reply),  TABLE(checkin_request),
    TABLE(checkin_reply), TABLE(ack),          TABLE(failure_report),
    TABLE(task_status),   TABLE(task_set),     TABLE(token_request),
    TABLE(token_reply),   TABLE(round_status), TABLE(admin_info),
    TABLE(class_status),  TABLE(round_record), TABLE(log_head),
    TABLE(rotation),      TABLE(proof),        TABLE(device_status),
    TABLE(plan),          TABLE(train_config), TABLE(plan_update),
    {NULL, NULL, 0},
};
const size_t pf_n_tables = sizeof pf_tables / sizeof *pf_tables - 1;
