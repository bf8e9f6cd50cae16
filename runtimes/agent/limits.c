/* The resource limits of a guest's first process: see limits.h. The score of the out-of-memory killer is 0 already. */
#define _GNU_SOURCE
#include "limits.h"

#include <stddef.h>
#include <sys/resource.h>

#define UNLIMITED {RLIM_INFINITY, RLIM_INFINITY}

static const struct rlimit limits[RLIM_NLIMITS] = {
    [RLIMIT_CPU] = UNLIMITED,
    [RLIMIT_FSIZE] = UNLIMITED,
    [RLIMIT_DATA] = UNLIMITED,
    [RLIMIT_STACK] = {8 << 20, RLIM_INFINITY},
    [RLIMIT_CORE] = {0, RLIM_INFINITY},
    [RLIMIT_RSS] = UNLIMITED,
    [RLIMIT_NPROC] = {16384, 16384},
    [RLIMIT_NOFILE] = {1024, 4096},
    [RLIMIT_MEMLOCK] = {8 << 20, 8 << 20},
    [RLIMIT_AS] = UNLIMITED,
    [RLIMIT_LOCKS] = UNLIMITED,
    [RLIMIT_SIGPENDING] = {16384, 16384},
    [RLIMIT_MSGQUEUE] = {819200, 819200},
    [RLIMIT_NICE] = {0, 0},
    [RLIMIT_RTPRIO] = {0, 0},
    [RLIMIT_RTTIME] = UNLIMITED,
};

bool limits_set(void)
{
    for (size_t kind = 0; kind < RLIM_NLIMITS; kind++)
        if (setrlimit((__rlimit_resource_t)kind, &limits[kind]) < 0)
            return false;
    return true;
}
