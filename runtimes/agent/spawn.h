/* Starting one process. */
#ifndef BENCH_AGENT_SPAWN_H
#define BENCH_AGENT_SPAWN_H

#include <sys/types.h>

struct spawn {
    const char *cwd;
    char **argv;      /* ends with NULL */
    char **envp;      /* ends with NULL */
    int input;        /* becomes stdin */
    int output[2];    /* become stdout and stderr */
    int error;        /* out: errno of what failed */
    int failed_at;    /* out: an enum spawn_step */
};

enum spawn_step { SPAWN_FORK, SPAWN_CHDIR, SPAWN_EXEC };

/* Run a program in a session of its own, every signal unblocked. Returns its pid; or -1, with error and failed_at set,
 * and no process left. */
pid_t spawn_process(struct spawn *spawn);

#endif
