/* points.c - every row of both tables of crash points, wrapped: the linker
 * sends calls of NAME to __wrap_NAME, which finds the real one as __real_NAME
 * (ld's --wrap; tests/crash.cmake reads the names from the tables). */
#include "table.h"

#include "control.h"

#define WRAP_STATUS(name, parameters, arguments)                               \
    enum pocketfed_status __real_##name parameters;                            \
    enum pocketfed_status __wrap_##name parameters;                            \
    enum pocketfed_status __wrap_##name parameters                             \
    {                                                                          \
        enum pocketfed_status status;                                          \
                                                                               \
        crash_enter(POINT_##name);                                             \
        status = __real_##name arguments;                                      \
        crash_leave(POINT_##name);                                             \
        return status;                                                         \
    }

#define WRAP_VOID(name, parameters, arguments)                                 \
    void __real_##name parameters;                                             \
    void __wrap_##name parameters;                                             \
    void __wrap_##name parameters                                              \
    {                                                                          \
        crash_enter(POINT_##name);                                             \
        __real_##name arguments;                                               \
        crash_leave(POINT_##name);                                             \
    }

PF_STORE_POINTS(WRAP_STATUS, WRAP_VOID)
PF_COORDINATOR_POINTS(WRAP_STATUS, WRAP_VOID)
