/* table.h - numbers and names of the crash points of both tables.
 */
#ifndef CRASH_TABLE_H
#define CRASH_TABLE_H

#include "coordinator/points.h"
#include "store/points.h"

#define POINT_NUMBER(name, parameters, arguments) POINT_##name,
enum point {
    PF_STORE_POINTS(POINT_NUMBER, POINT_NUMBER)
        PF_COORDINATOR_POINTS(POINT_NUMBER, POINT_NUMBER) POINT_COUNT
};

extern const char *const point_names[POINT_COUNT];

#endif
