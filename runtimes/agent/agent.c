/* The agent: says READY, then runs commands for the host until that lets it go.
 *
 *     agent (--fd N | --device PATH | --stdio) [--power-off]
 *
 * N is a connected stream socket, PATH a virtio-serial port, and --stdio says to take requests from standard input and
 * to reply on standard output, whatever those are. With --power-off the end is that of the machine, not of
 * the process: the agent is then PID 1 of a guest, or a service of systemd. The protocol is written out in protocol.py.
 *
 * One thread, one poll loop, no allocation, bounded buffers. When the host does not read, the outgoing buffer fills,
 * then the commands' pipes and the requests are no longer read, and so the commands wait. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "command.h"
#include "limits.h"
#include "stream.h"

#define SECOND 1000000000ll
#define PATIENCE (2 * SECOND) /* with a host that does not read our last words, and with children that do not die */

static struct {
    bool power_off;
    int signals; /* signalfd */
    bool requests_wait; /* for room, or for the READ under way */
    bool closing;
    int64_t closing_deadline;
    struct { /* the one READ under way */
        bool active;
        uint32_t id;
        int fd;
        uint64_t total;
        char path[PATH_MAX];
    } file;
} agent;

static void complain(const char *what, const char *name)
{
    struct text line = {.length = 0};

    text_add(&line, "bench-agent: ");
    text_add(&line, what);
    text_add(&line, name);
    text_add(&line, "\n");
    if (write(STDERR_FILENO, line.bytes, line.length) < 0)
        return; /* there is nobody else to tell */
}

static bool is_init(void)
{
    return getpid() == 1;
}

static _Noreturn void leave(int status)
{
    /* Another PID 1 is systemd: it stops its services first, and unmounts (systemd(1), SIGRTMIN+4). */
    if (agent.power_off && (is_init() ? reboot(RB_POWER_OFF) : kill(1, SIGRTMIN + 4)) < 0)
        complain("cannot power off", "");
    _exit(status);
}

/* SIGKILL all that descends from us. PID 1 can do so in one call. Elsewhere that call would kill the host, so it is the
 * groups of our commands, and those who left their group: once their parents are dead, the kernel makes them children
 * of ours, as we are the subreaper (without /proc those cannot be found). */
static void kill_descendants(void)
{
    char list[4096];
    ssize_t length;
    int fd;

    if (is_init()) {
        kill(-1, SIGKILL);
        return;
    }
    commands_kill();
    fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    length = read(fd, list, sizeof list);
    close(fd);
    /* "12 345 ": what the size of the list cuts off lacks its blank, and comes the next time. */
    for (pid_t pid = 0, i = 0; i < length; i++) {
        if (list[i] == ' ') {
            kill(pid, SIGKILL);
            pid = 0;
        } else {
            pid = pid * 10 + (list[i] - '0');
        }
    }
}

/* Kill and reap until nobody is left; and write to disk what they wrote, if the kernel ends with us. */
static void wind_up(void)
{
    int64_t deadline = monotonic_now() + PATIENCE;

    for (;;) {
        struct pollfd signals = {.fd = agent.signals, .events = POLLIN};
        struct signalfd_siginfo signal;

        kill_descendants();
        if (!commands_reap() || monotonic_now() > deadline)
            break;
        poll(&signals, 1, 10); /* a child that dies in between is not missed for longer than this */
        while (read(agent.signals, &signal, sizeof signal) > 0)
            ;
    }
    if (agent.power_off && is_init())
        sync(); /* elsewhere nothing is lost with us, and a sync would wait for all the writes of the host */
}

static _Noreturn void fail(const struct text *reason)
{
    stream_last_words(REPLY_FATAL, reason, PATIENCE);
    wind_up();
    leave(1);
}

static _Noreturn void say_goodbye(const struct text *reason, int64_t patience, int status)
{
    wind_up();
    stream_last_words(REPLY_GOODBYE, reason, patience);
    leave(status);
}

static _Noreturn void host_vanished(void)
{
    struct text reason = {.length = 0};

    text_add(&reason, "the other end closed the stream");
    say_goodbye(&reason, 0, 1);
}

static bool file_open(const struct frame *frame, struct text *reason)
{
    if (frame->length >= PATH_MAX || memchr(frame->payload, '\0', frame->length) != NULL) {
        text_add(reason, "READ of a path that is too long or holds a NUL");
        return false;
    }
    memcpy(agent.file.path, frame->payload, frame->length);
    agent.file.path[frame->length] = '\0';
    agent.file.id = frame->id;
    agent.file.total = 0;
    agent.file.fd = open(agent.file.path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    agent.file.active = agent.file.fd >= 0;
    if (!agent.file.active)
        stream_put_error(frame->id, errno, "open ", agent.file.path);
    return true;
}

static bool file_can_continue(void)
{
    return agent.file.active && stream_room() >= CHUNK_LIMIT + HEADER_SIZE + REPLY_ROOM;
}

/* Send on with the file as far as there is room. */
static void file_continue(void)
{
    while (file_can_continue()) {
        ssize_t count = stream_put_from(REPLY_DATA, agent.file.id, agent.file.fd, CHUNK_LIMIT);
        int error = count < 0 ? errno : EFBIG;

        if (count < 0 && error == EINTR)
            continue;
        agent.file.total += count > 0 ? (uint64_t)count : 0;
        if (count > 0 && agent.file.total <= FILE_LIMIT)
            continue;
        if (count == 0)
            stream_put(REPLY_END, agent.file.id, "", 0);
        else
            stream_put_error(agent.file.id, error, "read ", agent.file.path);
        close(agent.file.fd);
        agent.file.active = false;
    }
}

/* Do what one request asks for. False: it is malformed, `reason` says how. */
static bool obey(const struct frame *frame, struct text *reason)
{
    if (frame->type == REQUEST_SPAWN)
        return command_spawn(frame, reason);
    if (frame->type == REQUEST_READ)
        return file_open(frame, reason);
    if (frame->type == REQUEST_SIGNAL) {
        uint32_t number = frame->length == 4 ? get_u32(frame->payload) : 0;
        if (number < 1 || number > 64) {
            text_add(reason, "SIGNAL without a signal from 1 to 64");
            return false;
        }
        command_signal(frame->id, (int)number);
        return true;
    }
    agent.closing = true;
    agent.closing_deadline = monotonic_now() + PATIENCE;
    kill_descendants();
    return true;
}

static bool can_obey(void)
{
    return !agent.closing && !agent.file.active && stream_room() >= REPLY_ROOM;
}

/* Obey the requests that have come, as long as there is room for replies and nothing that must be finished first. */
static void obey_requests(void)
{
    while ((agent.requests_wait = !can_obey()) == false) {
        struct text reason = {.length = 0};
        struct frame frame;
        enum next_frame next = stream_next(&frame, &reason);

        if (next == FRAME_NONE)
            return;
        if (next == FRAME_BROKEN || !obey(&frame, &reason))
            fail(&reason);
    }
}

/* Children that ended, and signals to ourselves. */
static void take_signals(void)
{
    struct signalfd_siginfo signal;

    while (read(agent.signals, &signal, sizeof signal) > 0) {
        if (signal.ssi_signo != SIGCHLD && signal.ssi_signo != SIGPIPE) {
            struct text reason = {.length = 0};
            text_add(&reason, "the agent was ended by signal ");
            text_add_number(&reason, signal.ssi_signo, 10);
            say_goodbye(&reason, SECOND, 0);
        }
    }
    commands_reap();
    if (agent.closing)
        kill_descendants(); /* those whom the dead have left to us */
}

/* Do all that can be done without waiting. */
static void work(void)
{
    obey_requests();
    file_continue();
    commands_service();
    if (agent.closing && (commands_active() == 0 || monotonic_now() >= agent.closing_deadline)) {
        struct text reason = {.length = 0};
        text_add(&reason, "shut down as asked");
        say_goodbye(&reason, PATIENCE, 0);
    }
    if (!stream_flush())
        host_vanished();
}

/* Is there work that the last flush has made room for? */
static bool more_work(void)
{
    return file_can_continue() || (agent.requests_wait && can_obey()) ||
           (commands_exit_due() && stream_room() >= REPLY_ROOM);
}

/* Wait until something happens, and take it in. */
static void wait_and_take(void)
{
    static struct pollfd set[3 + 2 * COMMAND_LIMIT];
    struct pollfd *in = &set[0], *out = &set[1], *signals = &set[2], *pipes = &set[3];
    int64_t next = commands_next_event(), wait;
    struct timespec timeout = {0}, *limit = NULL;
    size_t count;

    *in = (struct pollfd){.fd = stream_in(), .events = stream_can_fill() ? POLLIN : 0};
    *out = (struct pollfd){.fd = stream_out(), .events = stream_pending() ? POLLOUT : 0};
    *signals = (struct pollfd){.fd = agent.signals, .events = POLLIN};
    count = commands_poll(pipes);

    if (agent.closing && next > agent.closing_deadline)
        next = agent.closing_deadline;
    if (more_work())
        limit = &timeout;
    else if (next != INT64_MAX) {
        limit = &timeout;
        if ((wait = next - monotonic_now()) > 0)
            timeout = (struct timespec){.tv_sec = wait / SECOND, .tv_nsec = wait % SECOND};
    }
    if (ppoll(set, 3 + count, limit, NULL) < 0)
        return;

    if (signals->revents != 0)
        take_signals();
    commands_drain(pipes, count);
    if (in->revents & POLLIN ? !stream_fill() : (in->revents & (POLLHUP | POLLERR)) != 0)
        host_vanished();
    if (stream_out() != stream_in() && (out->revents & POLLERR) != 0) /* a pipe that nobody reads any more */
        host_vanished();
}

static void prepare(void)
{
    const struct {
        unsigned long handler, flags, restorer, mask;
    } by_default = {0}; /* the kernel's struct sigaction, see rt_sigaction(2); SIG_DFL is 0 */
    struct text reason = {.length = 0};
    sigset_t watched;

    stream_set_nonblocking();
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    fcntl(stream_in(), F_SETFD, FD_CLOEXEC);
    fcntl(stream_out(), F_SETFD, FD_CLOEXEC);
    umask(022);
    /* Ignored ones would stay ignored in every command. By the system call, as signal(3) refuses 32 and 33, which glibc
     * keeps for itself and others may have ignored. */
    for (int number = 1; number <= 64; number++)
        syscall(SYS_rt_sigaction, number, &by_default, NULL, sizeof by_default.mask);
    sigemptyset(&watched);
    sigaddset(&watched, SIGCHLD);
    sigaddset(&watched, SIGPIPE);
    sigaddset(&watched, SIGHUP);
    sigaddset(&watched, SIGINT);
    sigaddset(&watched, SIGQUIT);
    sigaddset(&watched, SIGTERM);
    sigprocmask(SIG_SETMASK, &watched, NULL);
    agent.signals = signalfd(-1, &watched, SFD_NONBLOCK | SFD_CLOEXEC);
    if (agent.signals < 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || !commands_prepare()) {
        text_add(&reason, "the agent cannot open a signalfd, become a subreaper or open /dev/null: errno ");
        text_add_number(&reason, (uint64_t)errno, 10);
        fail(&reason);
    }
    if (agent.power_off && !limits_set()) {
        text_add(&reason, "the agent cannot set the resource limits: errno ");
        text_add_number(&reason, (uint64_t)errno, 10);
        fail(&reason);
    }
}

static _Noreturn void usage(void)
{
    complain("usage: agent (--fd N | --device PATH | --stdio) [--power-off]", "");
    _exit(2);
}

/* The number that `digits` spells, or -1. */
static int descriptor(const char *digits)
{
    int number = 0;

    if (*digits == '\0')
        return -1;
    for (; *digits != '\0'; digits++) {
        if (*digits < '0' || *digits > '9' || number > 100000)
            return -1;
        number = number * 10 + (*digits - '0');
    }
    return number;
}

int main(int argc, char **argv)
{
    const char *device = NULL;
    bool stdio = false;
    int in, out, fd = -1;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--power-off") == 0)
            agent.power_off = true;
        else if (strcmp(argv[i], "--fd") == 0 && i + 1 < argc)
            fd = descriptor(argv[++i]);
        else if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            device = argv[++i];
        else if (strcmp(argv[i], "--stdio") == 0)
            stdio = true;
        else
            usage();
    }
    if ((device != NULL) + (fd >= 0) + stdio != 1)
        usage();
    if (device != NULL && (fd = open(device, O_RDWR | O_NOCTTY)) < 0) {
        complain("cannot open ", device);
        leave(1);
    }
    in = stdio ? STDIN_FILENO : fd;
    out = stdio ? STDOUT_FILENO : fd;
    if (!stream_ready(in, out)) {
        complain("cannot write to the stream", "");
        leave(1);
    }
    prepare();
    for (;;) {
        work();
        wait_and_take();
    }
}
