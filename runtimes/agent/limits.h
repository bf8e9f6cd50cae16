/* What every program of a guest starts with: launcher/limits.py tells why, and has the same table. */
#ifndef BENCH_AGENT_LIMITS_H
#define BENCH_AGENT_LIMITS_H

#include <stdbool.h>

/* Give this process, and so its children, the limits. False: the kernel refused, see errno. */
bool limits_set(void);

#endif
