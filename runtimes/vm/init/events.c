/* The kernel's events about devices, from its netlink socket (kobject_uevent(9)): what comes some time after the driver that
 * makes it, disks of an emulated controller and the names of ports, is waited for and not asked for again and again. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define PATIENCE 10 /* seconds; one is long for an emulated machine on a busy host */

static int events;

void events_open(void)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = 1};

    events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
    if (events < 0 || bind(events, (struct sockaddr *)&address, sizeof address) < 0)
        fail(errno, "could not listen to the kernel's events");
}

static int milliseconds_until(const struct timespec *deadline)
{
    struct timespec time;
    long long left;

    clock_gettime(CLOCK_MONOTONIC, &time);
    left = (deadline->tv_sec - time.tv_sec) * 1000LL + (deadline->tv_nsec - time.tv_nsec) / 1000000;
    return left > 0 ? (int)left : 0;
}

bool events_wait(bool (*look)(void *), void *what)
{
    struct timespec deadline;

    clock_gettime(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += PATIENCE;
    for (;;) {
        struct pollfd poller = {.fd = events, .events = POLLIN};
        char event[4096];

        if (look(what))
            return true;
        if (poll(&poller, 1, milliseconds_until(&deadline)) <= 0)
            return false;
        while (read(events, event, sizeof event) > 0 || errno == ENOBUFS)
            errno = 0;
    }
}
