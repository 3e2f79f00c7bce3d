/* Lets a Python program say to callgrind: what has been counted since the last time was this. */

#include <valgrind/callgrind.h>

void dump(const char *name) {
    CALLGRIND_DUMP_STATS_AT(name);
}

int is_running(void) {
    return RUNNING_ON_VALGRIND;
}
