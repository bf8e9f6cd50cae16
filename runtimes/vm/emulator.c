/*
 * The <emulator> of every domain: says who it is, joins the instance's cgroup, says when, and becomes QEMU.
 *
 * libvirt starts its emulator somewhere in the harness's own cgroup. Moving QEMU afterwards would leave the pages it has
 * touched by then charged to the harness (kernel documentation, cgroup-v2, "Memory Ownership"); so the process moves before
 * it is QEMU, and every page of QEMU is charged where it belongs.
 *
 * Having been started for a domain, and not only to be asked, it is killed when the harness ends, however that ends: libvirt
 * has QEMU stay when the guest powers off, and nobody would be left to end it.
 *
 * A daemon's QEMU is in other namespaces than the harness, and may lack the capabilities to enter them. So it is handed what
 * it needs of them: the run's tap, already open.
 *
 * Environment, all taken out of it again:
 *   BENCH_CGROUP_JOIN  files of cgroups, separated by colons; "0" is written into each, which moves the writer
 *   BENCH_DESCRIPTORS  a Unix socket; who listens sends one message with descriptors and a letter for each: 'u' is a user
 *                      namespace to enter, 'k' is kept open for QEMU, the first as number FIRST_KEPT, the next as the next
 *   BENCH_SPAWN_STAMP  a file or FIFO that gets one line, "PID NANOSECONDS", the time being CLOCK_MONOTONIC. The pid is
 *                      written first of all, so that a process that gets no further can be killed; the time as QEMU is
 *                      about to run, when the process is killed with its parent, to which libvirt has left it by now
 * Without them it only becomes QEMU: so does libvirt ask QEMU for its capabilities.
 *
 * Compiled with -DQEMU="path". What goes wrong is said on standard error, which libvirt quotes, with exit status 126.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_KEPT = 200, MOST = 8 };

static void give_up(const char *what, const char *path, const char *why)
{
    fprintf(stderr, "bench emulator: cannot %s %s: %s\n", what, path, why);
    exit(126);
}

static void fail(const char *what, const char *path)
{
    give_up(what, path, strerror(errno));
}

static int open_to_write(const char *path)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        fail("open", path);
    return fd;
}

static void write_whole(int fd, const char *path, const char *text)
{
    if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        fail("write to", path);
}

static void join(char *join_files)
{
    for (char *path = strtok(join_files, ":"); path; path = strtok(NULL, ":")) {
        int fd = open_to_write(path);

        write_whole(fd, path, "0");
        close(fd);
    }
}

static void say_who(int fd, const char *path)
{
    char pid[32];

    snprintf(pid, sizeof pid, "%d ", getpid());
    write_whole(fd, path, pid);
}

static void stamp(int fd, const char *path)
{
    struct timespec now;
    char time[32];

    clock_gettime(CLOCK_MONOTONIC, &now);
    snprintf(time, sizeof time, "%lld\n", now.tv_sec * 1000000000LL + now.tv_nsec);
    write_whole(fd, path, time);
}

static void take(char letter, int fd, int *next)
{
    if (letter == 'u') {
        if (setns(fd, CLONE_NEWUSER) < 0)
            fail("enter the user namespace of", "the run");
    } else {
        /* libvirt's own descriptors have low numbers, and must not be lost. */
        if (fcntl(*next, F_GETFD) >= 0)
            give_up("keep open", "a descriptor", "its number is taken");
        if (dup2(fd, *next) < 0)
            fail("keep open", "a descriptor");
        ++*next;
    }
    close(fd);
}

static void take_descriptors(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    union {
        struct cmsghdr aligned;
        char bytes[CMSG_SPACE(MOST * sizeof(int))];
    } control;
    char letters[MOST];
    struct iovec text = {letters, sizeof letters};
    struct msghdr message = {
        .msg_iov = &text, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control
    };
    struct cmsghdr *header;
    ssize_t count;
    int next = FIRST_KEPT;
    int connected = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (connected < 0 || connect(connected, (struct sockaddr *)&address, sizeof address) < 0)
        fail("connect to", path);
    count = recvmsg(connected, &message, MSG_CMSG_CLOEXEC);
    header = CMSG_FIRSTHDR(&message);
    if (count < 0)
        fail("receive descriptors from", path);
    if (count == 0)
        give_up("receive descriptors from", path, "it was closed there");
    if ((message.msg_flags & MSG_CTRUNC) || !header || header->cmsg_len != CMSG_LEN(count * sizeof(int)))
        give_up("receive descriptors from", path, "there was not one for each letter");
    for (ssize_t i = 0; i < count; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
        take(letters[i], fd, &next);
    }
    close(connected);
}

static void die_with_parent(void)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        fail("be killed with the parent of", QEMU);
}

int main(int argc, char **argv)
{
    char *join_files = getenv("BENCH_CGROUP_JOIN");
    char *descriptors = getenv("BENCH_DESCRIPTORS");
    char *stamp_file = getenv("BENCH_SPAWN_STAMP");
    int stamped = stamp_file ? open_to_write(stamp_file) : -1;

    (void)argc;
    if (stamp_file)
        say_who(stamped, stamp_file);
    if (join_files)
        join(join_files);
    if (descriptors)
        take_descriptors(descriptors);
    if (stamp_file) {
        die_with_parent();
        stamp(stamped, stamp_file);
    }
    unsetenv("BENCH_CGROUP_JOIN");
    unsetenv("BENCH_DESCRIPTORS");
    unsetenv("BENCH_SPAWN_STAMP");
    execv(QEMU, argv);
    fail("execute", QEMU);
}
