/* probe_child: a service that says when it ran.
 *
 *   probe_child exec PROGRAM ARG...   says "exec", then becomes PROGRAM: the start of PID 1
 *   probe_child                       says "start" with the time of its first instruction, then does what PROBE in its
 *                                     environment says:
 *     pause                     says "term" and ends when it gets TERM
 *     once                      ends
 *     crash MS SPREAD           lives that long and up to SPREAD longer, says "crash" and dies of SIGKILL
 *     orphans N                 leaves N orphans, one after the other, and says "left" after the last
 *     zombies N                 leaves N zombies at once, says "left" just before and "reaped" when none is there any more
 *     lines N EACH              writes N lines of 120 bytes, EACH of them in a write
 *     ticks N US                writes N lines with the time in them, one every US microseconds
 *     records N                 writes N lines "<PID NUMBER LENGTH xxx>", one of them in 100 longer than PIPE_BUF
 *
 * `lines`, `ticks` and `records` say "written" when they are done. What does not end goes on as `pause`.
 */
#include "events.h"

#include <sys/mman.h>
#include <sys/wait.h>

enum { LINE = 120, LONG = 6000 };

static void write_whole(const char *data, long size) {
    for (long n; size > 0; data += n, size -= n)
        // With EAGAIN, since somebody made stdout non-blocking, most programs lose the line.
        if ((n = write(1, data, size)) < 0)
            return;
}

static void write_lines(long count, long each) {
    char *block = malloc(each * LINE);
    memset(block, 'x', each * LINE);
    for (long i = 1; i <= each; i++)
        block[i * LINE - 1] = '\n';
    for (; count > 0; count -= each)
        write_whole(block, (count < each ? count : each) * LINE);
}

static void write_ticks(long count, long pause) {
    char line[LINE];
    memset(line, 'x', sizeof line);
    while (count-- > 0) {
        usleep(pause);
        line[snprintf(line, sizeof line, "@%ld ", now())] = 'x';
        line[LINE - 1] = '\n';
        write_whole(line, LINE);
    }
}

static void write_records(long count) {
    static char line[LONG + 100], fill[LONG];
    memset(fill, 'x', sizeof fill);
    for (long i = 0; i < count; i++) {
        int length = i % 100 == 99 ? LONG : 60 + i % 40;
        write_whole(line, sprintf(line, "<%d %ld %d %.*s>\n", getpid(), i, length, length, fill));
    }
}

static void leave_orphans(long count) {
    while (count-- > 0) {
        pid_t parent = fork();
        if (parent == 0)
            _exit(fork() < 0);
        waitpid(parent, NULL, 0);
    }
    say("left", now());
}

/* Asked for by pid, one by one: that takes no lock which PID 1 needs. */
static void leave_zombies(long count) {
    pid_t *pids = mmap(NULL, count * sizeof *pids, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t parent = fork();
    if (parent == 0) {
        siginfo_t end;
        for (long i = 0; i < count; i++) {
            pid_t pid = fork();
            if (pid <= 0)
                _exit(0);
            pids[i] = pid;
        }
        for (long i = 0; i < count; i++)
            waitid(P_PID, pids[i], &end, WEXITED | WNOWAIT);
        say("left", now());
        _exit(0);
    }
    waitpid(parent, NULL, 0);
    while (count-- > 0)
        while (kill(pids[count], 0) == 0)
            usleep(50);
    say("reaped", now());
}

int main(int argc, char **argv) {
    long began = now(), a = 0, b = 0;
    const char *probe = getenv("PROBE");
    sigset_t term;
    // Not by the number of arguments: s6 gives a service its name.
    if (argc > 2 && !strcmp(argv[1], "exec")) {
        say("exec", now());
        execvp(argv[2], argv + 2);
        return 127;
    }
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    say("start", began);
    if (!strcmp(probe, "once"))
        return 0;
    if (sscanf(probe, "crash %ld %ld", &a, &b) == 2) {
        // Not all at once.
        usleep((a + getpid() * 37L % b) * 1000);
        say("crash", now());
        raise(SIGKILL);
    } else if (sscanf(probe, "orphans %ld", &a) == 1) {
        leave_orphans(a);
    } else if (sscanf(probe, "zombies %ld", &a) == 1) {
        leave_zombies(a);
    } else if (strcmp(probe, "pause")) {
        if (sscanf(probe, "lines %ld %ld", &a, &b) == 2)
            write_lines(a, b);
        else if (sscanf(probe, "ticks %ld %ld", &a, &b) == 2)
            write_ticks(a, b);
        else if (sscanf(probe, "records %ld", &a) == 1)
            write_records(a);
        say("written", now());
    }
    sigwaitinfo(&term, NULL);
    say("term", now());
    return 0;
}
