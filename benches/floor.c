/* floor N PROGRAM: what a supervisor costs that can do nothing. Starts PROGRAM N times, starts each again when it
 * ends, and on TERM tells all of them and exits when they are gone. fork, exec, wait, kill: the kernel's own price.
 * Built with -DFORK=vfork as well: that copies nothing, but starts one after the other. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef FORK
#define FORK fork
#endif

static sigset_t watched;

static pid_t start(char **argv) {
    pid_t pid = FORK();
    if (pid == 0) {
        sigprocmask(SIG_UNBLOCK, &watched, NULL);
        execv(argv[0], argv);
        _exit(127);
    }
    return pid;
}

int main(int argc, char **argv) {
    int count = argc > 2 ? atoi(argv[1]) : 0, alive = count, stopping = 0;
    pid_t *pids = calloc(count + 1, sizeof *pids);
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGTERM);
    sigprocmask(SIG_BLOCK, &watched, NULL);
    for (int i = 0; i < count; i++)
        pids[i] = start(argv + 2);
    while (alive > 0) {
        pid_t gone;
        if (sigwaitinfo(&watched, NULL) == SIGTERM) {
            stopping = 1;
            for (int i = 0; i < count; i++)
                kill(pids[i], SIGTERM);
        }
        while ((gone = waitpid(-1, NULL, WNOHANG)) > 0)
            for (int i = 0; i < count; i++)
                if (pids[i] == gone && stopping)
                    alive--;
                else if (pids[i] == gone)
                    pids[i] = start(argv + 2);
    }
    return 0;
}
