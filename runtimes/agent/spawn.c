/* Starting one process: see spawn.h. */
#define _GNU_SOURCE
#include "spawn.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static const char *search_path(char **envp)
{
    for (; *envp != NULL; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return default_path;
}

/* Like execvpe(3), but with the PATH that the command is given instead of our own. Returns only on failure. */
static int exec_search(const char *name, char **argv, char **envp)
{
    static char path[PATH_MAX];
    int error = ENOENT;

    if (strchr(name, '/') != NULL) {
        execve(name, argv, envp);
        return errno;
    }
    for (const char *part = search_path(envp), *end; *name != '\0'; part = end + 1) {
        size_t length, rest = strlen(name) + 1;

        end = strchrnul(part, ':');
        length = (size_t)(end - part);
        if (length > 0 && length + 1 + rest <= sizeof path) {
            memcpy(path, part, length);
            path[length] = '/';
            memcpy(path + length + 1, name, rest);
            execve(path, argv, envp);
            if (errno == EACCES)
                error = EACCES; /* there may be a better one further on */
            else if (errno != ENOENT && errno != ENOTDIR)
                return errno;
        }
        if (*end == '\0')
            break;
    }
    return error;
}

/* The child; it shares our memory until it execs or exits, and we stand still meanwhile. */
static int child_main(void *argument)
{
    struct spawn *spawn = argument;
    sigset_t none;

    setsid();
    dup2(spawn->input, STDIN_FILENO);
    dup2(spawn->output[0], STDOUT_FILENO);
    dup2(spawn->output[1], STDERR_FILENO);
    spawn->failed_at = SPAWN_CHDIR;
    if (chdir(spawn->cwd) == 0) {
        spawn->failed_at = SPAWN_EXEC;
        sigemptyset(&none);
        sigprocmask(SIG_SETMASK, &none, NULL);
        spawn->error = exec_search(spawn->argv[0], spawn->argv, spawn->envp);
    } else {
        spawn->error = errno;
    }
    _exit(127);
}

/* Sharing memory instead of copying it (CLONE_VM | CLONE_VFORK, as posix_spawn does) is quick, and lets the child hand
 * back errno. The kernel folds our own resident peak into the child's ru_maxrss at exec all the same; as that is under
 * one MiB, less than any dynamically linked program has, it does not show. */
pid_t spawn_process(struct spawn *spawn)
{
    static _Alignas(16) char stack[32 * 1024];
    pid_t pid;

    spawn->error = 0;
    spawn->failed_at = SPAWN_FORK;
    pid = clone(child_main, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, spawn);
    if (pid < 0)
        spawn->error = errno;
    if (pid >= 0 && spawn->error != 0) {
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
            ;
        return -1;
    }
    return pid;
}
