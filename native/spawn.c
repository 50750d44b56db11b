/* Start a process the way an owner wants it: a session of its own, killed when the owner dies,
   nothing inherited but three streams.

   The child borrows the parent's memory until it execs, as in posix_spawn: a start costs the same
   however large the parent is. Between clone and exec it therefore only makes system calls and
   writes to its own stack and to `struct start`. */

#define _GNU_SOURCE
#include "mnedge_native.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILD_STACK_BYTES 32768
#define CLOSED_ONE_BY_ONE 65536

struct start {
    const char *path;
    char *const *arguments;
    char *const *environment;
    const char *directory;
    int streams[3];
    int death_signal;
    pid_t owner;
    int stage;
    int error;
};

static void default_signals(void)
{
    /* A handler of the parent must not run here: it would run in the parent's memory. */
    struct sigaction action, plain;
    memset(&plain, 0, sizeof plain);
    plain.sa_handler = SIG_DFL;
    struct sigaction ignored = plain;
    ignored.sa_handler = SIG_IGN;
    /* What came before setsid, such as Ctrl-C, was meant for the parent's group: ignoring a signal
       throws away the one that waits. */
    sigset_t waiting;
    sigpending(&waiting);
    for (int number = 1; number < NSIG; number++) {
        if (number == SIGKILL || number == SIGSTOP || sigaction(number, NULL, &action) != 0)
            continue;
        if (sigismember(&waiting, number) == 1) {
            sigaction(number, &ignored, NULL);
            sigaction(number, &plain, NULL);
            continue;
        }
        /* Nor does a command inherit what we ignore: it must end when it is asked to. */
        if (action.sa_handler != SIG_DFL)
            sigaction(number, &plain, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void close_the_rest(void)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0)
        return;
#endif
    long limit = sysconf(_SC_OPEN_MAX);
    if (limit < 0 || limit > CLOSED_ONE_BY_ONE)
        limit = CLOSED_ONE_BY_ONE;
    for (int fd = 3; fd < limit; fd++)
        close(fd);
}

static int set_streams(const int streams[3])
{
    int high[3];
    for (int i = 0; i < 3; i++) {
        /* First out of the way: a source may itself be 0, 1 or 2. */
        high[i] = fcntl(streams[i], F_DUPFD_CLOEXEC, 3);
        if (high[i] < 0)
            return -1;
    }
    for (int i = 0; i < 3; i++)
        if (dup2(high[i], i) < 0)
            return -1;
    return 0;
}

static int in_child(void *given)
{
    struct start *start = given;
    setsid();
    if (start->death_signal != 0)
        prctl(PR_SET_PDEATHSIG, start->death_signal, 0, 0, 0);
    /* An owner that died before the line above sends no signal any more. */
    if (getppid() != start->owner)
        _exit(127);
    start->stage = MN_STAGE_FILES;
    if (set_streams(start->streams) != 0)
        goto failed;
    close_the_rest();
    start->stage = MN_STAGE_DIRECTORY;
    if (chdir(start->directory) != 0)
        goto failed;
    start->stage = MN_STAGE_EXEC;
    default_signals();
    execve(start->path, start->arguments, start->environment);
failed:
    start->error = errno;
    _exit(127);
}

static char **pointers(const char *block, int count)
{
    char **list = malloc(((size_t)count + 1) * sizeof *list);
    if (list == NULL)
        return NULL;
    for (int i = 0; i < count; i++) {
        list[i] = (char *)block;
        block += strlen(block) + 1;
    }
    list[count] = NULL;
    return list;
}

static pid_t clone_and_wait_for_exec(struct start *start)
{
    char stack[CHILD_STACK_BYTES] __attribute__((aligned(16)));
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    start->stage = MN_STAGE_CLONE;
    pid_t pid = clone(in_child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, start);
    if (pid < 0)
        start->error = errno;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid;
}

int mn_spawn(const char *path,
             const char *arguments, int argument_count,
             const char *environment, int environment_count,
             const char *directory,
             int standard_input, int standard_output, int standard_error,
             int death_signal, int *stage)
{
    char **argument_list = pointers(arguments, argument_count);
    char **environment_list = pointers(environment, environment_count);
    struct start start = {
        .path = path,
        .arguments = argument_list,
        .environment = environment_list,
        .directory = directory,
        .streams = {standard_input, standard_output, standard_error},
        .death_signal = death_signal,
        .owner = getpid(),
    };
    pid_t pid = -1;
    if (argument_list == NULL || environment_list == NULL)
        start.error = ENOMEM;
    else
        pid = clone_and_wait_for_exec(&start);
    if (pid > 0 && start.error != 0)
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
    free(argument_list);
    free(environment_list);
    *stage = start.error == 0 ? MN_STAGE_NONE : start.stage;
    return start.error == 0 ? pid : -start.error;
}

int mn_become_subreaper(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0 ? 0 : -errno;
}
