#include "table.h"

#define POINT_NAME(name, parameters, arguments) #name,
const char *const point_names[POINT_COUNT] = {PF_STORE_POINTS(
    POINT_NAME, POINT_NAME) PF_COORDINATOR_POINTS(POINT_NAME, POINT_NAME)};
