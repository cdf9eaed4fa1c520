/* events: what the programs of a run tell the harness: lines "WORD NUMBER" in the FIFO that PROBE_FIFO names, each in one
 * write. A time is CLOCK_MONOTONIC in nanoseconds. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000L + t.tv_nsec;
}

static void say(const char *what, long number) {
    static int fifo = -1;
    char line[64];
    if (fifo < 0 && (fifo = open(getenv("PROBE_FIFO"), O_WRONLY | O_CLOEXEC)) < 0)
        exit(127);
    if (write(fifo, line, snprintf(line, sizeof line, "%s %ld\n", what, number)) < 0)
        exit(127);
}
