/* The table of commands: see command.h. */
#define _GNU_SOURCE
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "spawn.h"

/* A read is worth its frame only if at least so much may come. */
#define WORTH_READING 4096u

enum { STDOUT_PIPE, STDERR_PIPE, PIPES };

struct command {
    bool active;
    bool ended;    /* the main process was reaped: its pid and group are no longer ours to signal */
    bool timed_out;
    bool cut;      /* the grace is over: `left` says what may still be read */
    uint32_t id;
    pid_t pid;
    int pipe[PIPES]; /* -1: closed */
    int left[PIPES];
    int status;
    int64_t started, deadline, ended_at;
    struct rusage usage;
};

static struct command commands[COMMAND_LIMIT];
static size_t commands_used; /* slots from here on were never touched */
static size_t active;
static int null_fd;

bool commands_prepare(void)
{
    do {
        null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    } while (null_fd >= 0 && null_fd <= STDERR_FILENO && fcntl(null_fd, F_SETFD, 0) == 0);
    return null_fd >= 0;
}

/* Point `vector` at `count` strings from *at on, end it with NULL, and move *at behind them. */
static bool take_strings(char **vector, uint32_t count, char **at, const char *end)
{
    for (uint32_t i = 0; i < count; i++) {
        if (*at >= end)
            return false;
        vector[i] = *at;
        *at += strlen(*at) + 1; /* stays inside: the payload ends with a NUL */
    }
    vector[count] = NULL;
    return true;
}

/* A free slot, or NULL. */
static struct command *new_command(void)
{
    size_t i = 0;

    while (i < commands_used && commands[i].active)
        i++;
    if (i == COMMAND_LIMIT)
        return NULL;
    if (i == commands_used)
        commands_used++;
    return &commands[i];
}

static struct command *find_command(uint32_t id)
{
    for (size_t i = 0; i < commands_used; i++)
        if (commands[i].active && commands[i].id == id)
            return &commands[i];
    return NULL;
}

static void close_pipe(struct command *command, int which)
{
    close(command->pipe[which]);
    command->pipe[which] = -1;
}

/* Start `spawn` with its output in new pipes. False: spawn->error and failed_at say why not. */
static bool start(struct command *command, struct spawn *spawn)
{
    int out[2], err[2];

    spawn->failed_at = SPAWN_FORK;
    if (pipe2(out, O_CLOEXEC) < 0) {
        spawn->error = errno;
        return false;
    }
    if (pipe2(err, O_CLOEXEC) < 0) {
        spawn->error = errno;
        close(out[0]);
        close(out[1]);
        return false;
    }
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    command->pipe[STDOUT_PIPE] = out[0];
    command->pipe[STDERR_PIPE] = err[0];
    spawn->input = null_fd;
    spawn->output[0] = out[1];
    spawn->output[1] = err[1];
    command->started = monotonic_now();
    command->pid = spawn_process(spawn);
    close(out[1]);
    close(err[1]);
    if (command->pid < 0) {
        close_pipe(command, STDOUT_PIPE);
        close_pipe(command, STDERR_PIPE);
    }
    return command->pid >= 0;
}

static void run(const struct frame *frame, struct spawn *spawn, uint64_t timeout)
{
    static const char *const steps[] = {
        [SPAWN_FORK] = "start ", [SPAWN_CHDIR] = "change directory to ", [SPAWN_EXEC] = "execute "};
    struct command *command = new_command();
    unsigned char pid[4];

    if (command == NULL) {
        stream_put_error(frame->id, EAGAIN, "run more than 256 commands at once: ", spawn->argv[0]);
        return;
    }
    memset(command, 0, sizeof *command);
    if (!start(command, spawn)) {
        const char *name = spawn->failed_at == SPAWN_CHDIR ? spawn->cwd : spawn->argv[0];
        stream_put_error(frame->id, spawn->error, steps[spawn->failed_at], name);
        return;
    }
    command->active = true;
    command->id = frame->id;
    command->deadline = INT64_MAX;
    if (timeout > 0 && timeout < (uint64_t)(INT64_MAX - command->started))
        command->deadline = command->started + (int64_t)timeout;
    active++;
    put_u32(pid, (uint32_t)command->pid);
    stream_put(REPLY_STARTED, frame->id, pid, sizeof pid);
}

bool command_spawn(const struct frame *frame, struct text *reason)
{
    static char *strings[STRING_LIMIT + 2];
    struct spawn spawn;
    uint32_t arguments, variables;
    char *at, *end, *cwd[2];

    if (frame->id == 0 || find_command(frame->id) != NULL) {
        text_add(reason, "SPAWN with an id that is 0 or in use");
        return false;
    }
    if (frame->length < 17 || frame->payload[frame->length - 1] != '\0') {
        text_add(reason, "SPAWN that is too short or does not end with a NUL");
        return false;
    }
    arguments = get_u32(frame->payload + 8);
    variables = get_u32(frame->payload + 12);
    if (arguments < 1 || arguments > STRING_LIMIT || variables > STRING_LIMIT - arguments) {
        text_add(reason, "SPAWN with no argument, or with more than 4096 arguments and variables");
        return false;
    }
    at = (char *)frame->payload + 16;
    end = (char *)frame->payload + frame->length;
    spawn.argv = strings;
    spawn.envp = strings + arguments + 1;
    if (!take_strings(cwd, 1, &at, end) || !take_strings(spawn.argv, arguments, &at, end) ||
        !take_strings(spawn.envp, variables, &at, end) || at != end) {
        text_add(reason, "SPAWN that does not hold as many strings as it says");
        return false;
    }
    spawn.cwd = cwd[0];
    run(frame, &spawn, get_u64(frame->payload));
    return true;
}

void command_signal(uint32_t id, int number)
{
    struct command *command = find_command(id);

    if (command != NULL && !command->ended)
        kill(-command->pid, number);
}

void commands_kill(void)
{
    for (size_t i = 0; i < commands_used; i++)
        if (commands[i].active)
            command_signal(commands[i].id, SIGKILL);
}

bool commands_reap(void)
{
    struct rusage usage;
    int status;
    pid_t pid;

    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        for (size_t i = 0; i < commands_used; i++) {
            struct command *command = &commands[i];
            if (command->active && !command->ended && command->pid == pid) {
                command->ended = true;
                command->ended_at = monotonic_now();
                command->status = status;
                command->usage = usage;
            }
        }
    }
    return pid == 0;
}

static void send_exit(const struct command *command)
{
    const struct rusage *usage = &command->usage;
    unsigned char payload[76], *at = payload;
    int status = command->status;

    at = put_u64(at, (uint64_t)(command->ended_at - command->started));
    at = put_u32(at, (uint32_t)(WIFEXITED(status) ? WEXITSTATUS(status) : -1));
    at = put_u32(at, WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0);
    at = put_u32(at, command->timed_out);
    at = put_u64(at, (uint64_t)usage->ru_utime.tv_sec * 1000000 + (uint64_t)usage->ru_utime.tv_usec);
    at = put_u64(at, (uint64_t)usage->ru_stime.tv_sec * 1000000 + (uint64_t)usage->ru_stime.tv_usec);
    at = put_u64(at, (uint64_t)usage->ru_maxrss * 1024);
    at = put_u64(at, (uint64_t)usage->ru_minflt);
    at = put_u64(at, (uint64_t)usage->ru_majflt);
    at = put_u64(at, (uint64_t)usage->ru_nvcsw);
    put_u64(at, (uint64_t)usage->ru_nivcsw);
    stream_put(REPLY_EXIT, command->id, payload, sizeof payload);
}

/* The grace is over: let what the pipes hold now be read, and nothing after it. */
static void cut_output(struct command *command)
{
    command->cut = true;
    for (int which = 0; which < PIPES; which++) {
        if (command->pipe[which] < 0)
            continue;
        if (ioctl(command->pipe[which], FIONREAD, &command->left[which]) < 0 || command->left[which] <= 0)
            close_pipe(command, which);
    }
}

static bool drained(const struct command *command)
{
    return command->pipe[STDOUT_PIPE] < 0 && command->pipe[STDERR_PIPE] < 0;
}

void commands_service(void)
{
    int64_t now = monotonic_now();

    for (size_t i = 0; i < commands_used; i++) {
        struct command *command = &commands[i];

        if (!command->active)
            continue;
        if (!command->ended && !command->timed_out && now >= command->deadline) {
            command->timed_out = true;
            command_signal(command->id, SIGKILL);
        }
        if (command->ended && !command->cut && now >= command->ended_at + OUTPUT_GRACE_NS)
            cut_output(command);
        if (command->ended && drained(command) && stream_room() >= REPLY_ROOM) {
            send_exit(command);
            command->active = false;
            active--;
        }
    }
}

size_t commands_active(void)
{
    return active;
}

int64_t commands_next_event(void)
{
    int64_t next = INT64_MAX;

    for (size_t i = 0; i < commands_used; i++) {
        const struct command *command = &commands[i];
        int64_t at = INT64_MAX;

        if (!command->active)
            continue;
        if (command->ended && !command->cut)
            at = command->ended_at + OUTPUT_GRACE_NS;
        else if (!command->ended && !command->timed_out)
            at = command->deadline;
        if (at < next)
            next = at;
    }
    return next;
}

bool commands_exit_due(void)
{
    for (size_t i = 0; i < commands_used; i++)
        if (commands[i].active && commands[i].ended && drained(&commands[i]))
            return true;
    return false;
}

size_t commands_poll(struct pollfd *set)
{
    size_t count = 0;

    if (stream_room() < WORTH_READING)
        return 0;
    for (size_t i = 0; i < commands_used; i++)
        for (int which = 0; commands[i].active && which < PIPES; which++)
            if (commands[i].pipe[which] >= 0)
                set[count++] = (struct pollfd){.fd = commands[i].pipe[which], .events = POLLIN};
    return count;
}

static void drain(struct command *command, int which)
{
    enum frame_type type = which == STDOUT_PIPE ? REPLY_STDOUT : REPLY_STDERR;
    size_t limit = command->cut ? (size_t)command->left[which] : CHUNK_LIMIT;
    ssize_t count = stream_put_from(type, command->id, command->pipe[which], limit);

    if (count < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (command->cut && count > 0)
        command->left[which] -= (int)count;
    if (count <= 0 || (command->cut && command->left[which] == 0))
        close_pipe(command, which);
}

/* Whose pipe is it? Pipes are entered into the set in the order of the table, so the search goes on from *slot. */
static void drain_fd(int fd, size_t *slot)
{
    for (; *slot < commands_used; ++*slot)
        for (int which = 0; commands[*slot].active && which < PIPES; which++)
            if (commands[*slot].pipe[which] == fd) {
                drain(&commands[*slot], which);
                return;
            }
}

void commands_drain(const struct pollfd *set, size_t count)
{
    static size_t turn; /* whom to serve first, so that one who floods us does not starve the others */
    size_t first = count > 0 ? turn++ % count : 0, slot = 0;

    for (size_t i = 0; i < count && stream_room() >= WORTH_READING; i++) {
        size_t entry = (first + i) % count;
        if (entry == 0)
            slot = 0;
        if (set[entry].revents != 0)
            drain_fd(set[entry].fd, &slot);
    }
}
