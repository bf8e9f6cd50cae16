/*
 * Executes steps: system calls written down as data (runtimes/launcher/steps.py says what they are and how they are
 * encoded), either in the calling thread or in a new process that ends with an execve.
 *
 * The new process shares its parent's memory until it has executed its program (CLONE_VM and CLONE_VFORK of clone(2)),
 * unless its caller will have it copied, so nothing is copied for it, however large the parent is: a start costs what
 * the kernel needs for it. It also means that the child must leave memory as it found it. So it does nothing but system calls, on the part of the stack below
 * its parent's frame, and writes nowhere but into the outcome.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define MAX_ARGUMENTS 200

enum special {
    STAMP = -1,      /* place in the outcome's stamps */
    WRITE_FILE = -2, /* path, data, length: open for writing, write once, close */
    OPEN_AS = -3,    /* path, flags, descriptor: open under this number */
    FILTER = -4,     /* instructions, their number: seccomp(2) with a filter */
    SET_UP = -5,     /* struct ifreq with name and flags: set the flags of a network interface */
    MAP_MOUNT = -6,  /* path, path, user namespace: the mount at the first, with mapped owners, at the second */
    EXECUTE = -7,    /* path, strings, how many are arguments, how many environment: execve; the arguments come first */
};

struct step {
    int32_t call;         /* a system call's number, or one of enum special */
    uint16_t pointers;    /* bit n: argument n is an offset into the segment's data */
    uint16_t descriptors; /* bit n: argument n is an index into the descriptors */
    uint64_t arguments[6];
};

struct segment {
    uint32_t steps;
    uint32_t data_size; /* a multiple of 8 */
};

struct outcome {
    int32_t failed; /* number of the step that failed, over all segments; -1 if none did */
    int32_t error;  /* its errno */
    int64_t stamps[16];
};

struct request {
    const unsigned char *segments;
    size_t size;
    const int32_t *descriptors;
    struct outcome *outcome;
};

static long stamp(struct outcome *outcome, uint64_t place)
{
    struct timespec now;
    long result = syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    outcome->stamps[place] = now.tv_sec * 1000000000LL + now.tv_nsec;
    return result;
}

static long write_file(const char *path, const void *data, size_t length)
{
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    long written = syscall(SYS_write, fd, data, length);
    int error = errno;
    syscall(SYS_close, fd);
    errno = error;
    return written;
}

static long open_as(const char *path, int flags, int wanted)
{
    long fd = syscall(SYS_openat, AT_FDCWD, path, flags | O_CLOEXEC);
    if (fd < 0)
        return -1;
    if (fd == wanted)
        return syscall(SYS_fcntl, fd, F_SETFD, 0);
    long result = syscall(SYS_dup3, fd, wanted, 0);
    int error = errno;
    syscall(SYS_close, fd);
    errno = error;
    return result;
}

static long filter(const void *instructions, unsigned short count)
{
    struct sock_fprog program = {.len = count, .filter = (struct sock_filter *)instructions};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static long set_up(const void *request)
{
    long fd = syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    long result = syscall(SYS_ioctl, fd, SIOCSIFFLAGS, request);
    int error = errno;
    syscall(SYS_close, fd);
    errno = error;
    return result;
}

static long map_mount(const char *source, const char *target, int user_namespace)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)user_namespace};
    long tree = syscall(SYS_open_tree, AT_FDCWD, source, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return -1;
    long result = syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &attributes, sizeof attributes);
    if (result == 0)
        result = syscall(SYS_move_mount, tree, "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH);
    int error = errno;
    syscall(SYS_close, tree);
    errno = error;
    return result;
}

/* The place behind `count` strings that lie one behind the other, with pointers to them in `list`. */
static const char *point_at(const char *strings, uint64_t count, const char **list)
{
    for (uint64_t place = 0; place < count; place++) {
        list[place] = strings;
        while (*strings++)
            ;
    }
    list[count] = NULL;
    return strings;
}

static long execute(const char *path, const char *strings, uint64_t arguments, uint64_t environment)
{
    const char *argv[MAX_ARGUMENTS + 1], *envp[MAX_ARGUMENTS + 1];
    if (arguments > MAX_ARGUMENTS || environment > MAX_ARGUMENTS) {
        errno = E2BIG;
        return -1;
    }
    point_at(point_at(strings, arguments, argv), environment, envp);
    return syscall(SYS_execve, path, argv, envp);
}

static long take(const struct step *step, const uint64_t *a, struct outcome *outcome)
{
    switch (step->call) {
    case STAMP:
        return stamp(outcome, a[0]);
    case WRITE_FILE:
        return write_file((const char *)a[0], (const void *)a[1], a[2]);
    case OPEN_AS:
        return open_as((const char *)a[0], (int)a[1], (int)a[2]);
    case FILTER:
        return filter((const void *)a[0], (unsigned short)a[1]);
    case SET_UP:
        return set_up((const void *)a[0]);
    case MAP_MOUNT:
        return map_mount((const char *)a[0], (const char *)a[1], (int)a[2]);
    case EXECUTE:
        return execute((const char *)a[0], (const char *)a[1], a[2], a[3]);
    default:
        return syscall(step->call, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
}

static void take_all(const struct request *request)
{
    const unsigned char *at = request->segments, *end = at + request->size;
    int32_t number = 0;
    while (at < end) {
        const struct segment *segment = (const void *)at;
        const struct step *steps = (const void *)(at + sizeof *segment);
        const unsigned char *data = (const void *)(steps + segment->steps);
        for (uint32_t place = 0; place < segment->steps; place++, number++) {
            const struct step *step = &steps[place];
            uint64_t arguments[6];
            for (int n = 0; n < 6; n++) {
                arguments[n] = step->arguments[n];
                if (step->pointers >> n & 1)
                    arguments[n] += (uintptr_t)data;
                if (step->descriptors >> n & 1)
                    arguments[n] = request->descriptors[arguments[n]];
            }
            if (take(step, arguments, request->outcome) < 0) {
                request->outcome->failed = number;
                request->outcome->error = errno;
                return;
            }
        }
        at = data + segment->data_size;
    }
}

/* Take the steps in the calling thread, up to the first that fails. */
void take_steps(const unsigned char *segments, size_t size, const int32_t *descriptors, struct outcome *outcome)
{
    outcome->failed = -1;
    take_all(&(struct request){segments, size, descriptors, outcome});
}

#ifndef __x86_64__
#error "clone3 has to be entered without a function call: give its instructions for this processor below"
#endif

static long raw_clone3(struct clone_args *arguments)
{
    long result;
    /* Not by way of a function: the child would return from it first and use its frame, and the parent find it in
       ruins (vfork(2), NOTES). */
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(arguments), "S"(sizeof *arguments)
                     : "rcx", "r11", "memory");
    return result;
}

/*
 * Make a process that waits to be killed, in the namespaces that flags name, for their sake alone: a user namespace
 * gets its mapping from outside, while somebody is in it. Returns its pid, with a pidfd, or -errno.
 */
long hold(uint64_t flags, int32_t *pidfd)
{
    struct clone_args arguments = {
        .flags = flags | CLONE_VM | CLONE_PIDFD,
        .pidfd = (uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
    };
    sigset_t all;
    uint64_t before;
    long result;
    memset(&all, 0xff, sizeof all);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, _NSIG / 8);
    /* The child runs beside its parent on the same stack, so it must not touch it: prctl and pause from registers. */
    __asm__ volatile("syscall\n\t"
                     "test %%rax, %%rax\n\t"
                     "jnz 2f\n\t"
                     "mov %[prctl], %%eax\n\t"
                     "mov %[option], %%edi\n\t"
                     "mov %[signal], %%esi\n\t"
                     "syscall\n\t"
                     "1: mov %[pause], %%eax\n\t"
                     "syscall\n\t"
                     "jmp 1b\n\t"
                     "2:"
                     : "=a"(result)
                     : "a"(SYS_clone3), "D"(&arguments), "S"(sizeof arguments), [prctl] "i"(SYS_prctl),
                       [option] "i"(PR_SET_PDEATHSIG), [signal] "i"(SIGKILL), [pause] "i"(SYS_pause)
                     : "rcx", "r11", "memory");
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, _NSIG / 8);
    return result;
}

__attribute__((noreturn, noinline)) static void become(const struct request *request, const sigset_t *signals)
{
    /* Whatever a shell, a service or Python ignores or handles: a program finds every signal at its default, and let
       in. The kernel's structure is not the library's; all zero, it means the default. */
    static const uint64_t default_action[4];
    for (int signal = 1; signal < _NSIG; signal++)
        syscall(SYS_rt_sigaction, signal, default_action, NULL, _NSIG / 8);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, signals, NULL, _NSIG / 8);
    take_all(request);
    for (;;)
        syscall(SYS_exit_group, 127);
}

/*
 * Take the steps in a new process and wait until it has executed its program, or failed.
 *
 * flags are those of clone3, CLONE_VM among them or not; with CLONE_INTO_CGROUP, cgroup is the descriptor of the
 * directory. The outcome lies in memory that both share. Returns its pid, with a pidfd of it, also if a step failed: it
 * is then dead and to be reaped. Returns -errno if there is no process.
 */
__attribute__((noinline)) long spawn(uint64_t flags, int cgroup, const unsigned char *segments, size_t size,
                                     const int32_t *descriptors, struct outcome *outcome, int32_t *pidfd)
{
    struct request request = {segments, size, descriptors, outcome};
    struct clone_args arguments = {
        .flags = flags | CLONE_VFORK | CLONE_PIDFD,
        .pidfd = (uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = flags & CLONE_INTO_CGROUP ? (uint64_t)cgroup : 0,
    };
    sigset_t all, none;
    uint64_t before;
    memset(&all, 0xff, sizeof all);
    memset(&none, 0, sizeof none);
    outcome->failed = -1;
    /* A handler of the parent's must not run in the child. */
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, _NSIG / 8);
    long pid = raw_clone3(&arguments);
    if (pid == 0)
        become(&request, &none);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, _NSIG / 8);
    return pid;
}
