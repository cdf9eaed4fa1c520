/* probe_child: a service that says when it ran.
 *
 *   probe_child exec PROGRAM ARG...   writes "exec NS", then becomes PROGRAM: the start of PID 1
 *   probe_child                       writes "start NS" first of all, then does what PROBE in its environment says:
 *     pause                        waits until it is killed
 *     crash MS                     lives that long, writes "crash NS" and dies of SIGKILL
 *     write BYTES SIZE             writes to stdout in blocks of SIZE that end with a newline, then waits
 *     read BYTES                   reads stdin, writes "end NS" after that many bytes, and goes on reading
 *
 * NS is CLOCK_MONOTONIC in nanoseconds; the words go, a line in one write, to the FIFO that PROBE_FIFO names.
 */
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

static void say(const char *what, long when) {
    static int fifo = -1;
    char line[64];
    if (fifo < 0 && (fifo = open(getenv("PROBE_FIFO"), O_WRONLY | O_CLOEXEC)) < 0)
        exit(127);
    if (write(fifo, line, snprintf(line, sizeof line, "%s %ld\n", what, when)) < 0)
        exit(127);
}

static void write_all(long bytes, long size) {
    char *block = malloc(size);
    memset(block, 'x', size);
    block[size - 1] = '\n';
    for (long n; bytes > 0; bytes -= n)
        if ((n = write(1, block, size)) < 0)
            exit(1);
}

static void read_all(long bytes) {
    static char block[128 << 10];
    for (long n; (n = read(0, block, sizeof block)) > 0; bytes -= n)
        if (bytes > 0 && bytes <= n)
            say("end", now());
}

int main(int argc, char **argv) {
    long began = now(), a = 0, b = 0;
    char *probe = getenv("PROBE");
    // Not by the number of arguments: s6 gives a service its name.
    if (argc > 2 && !strcmp(argv[1], "exec")) {
        say("exec", now());
        execvp(argv[2], argv + 2);
        return 127;
    }
    say("start", began);
    if (sscanf(probe, "crash %ld", &a) == 1) {
        usleep(a * 1000);
        say("crash", now());
        raise(SIGKILL);
    } else if (sscanf(probe, "write %ld %ld", &a, &b) == 2) {
        write_all(a, b);
    } else if (sscanf(probe, "read %ld", &a) == 1) {
        read_all(a);
        return 0;
    }
    for (;;)
        pause();
}
