/* PID 1 of a guest, from kernel entry to the agent: all that it does is part of the measured startup time.
 *
 * It loads the kernel's modules, mounts the image under an overlay, sets up the network, and hands over to the agent, or to
 * systemd, which starts the agent as a service. What there must be: a disk with serial `root` (the image), one with
 * serial `scratch` (ext4) if the host says so, and a virtio-serial port named `org.bench.agent`. What the host has to say is on
 * the kernel's command line; see arguments.c.
 *
 * For the host, /run/bench/startup has a line "NAME NANOSECONDS" for each stamp, by CLOCK_BOOTTIME: `init`, the first
 * instruction here, or `restored`, when a guest that had been saved went on; and `root`, just before the hand-over. */
#define _GNU_SOURCE
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define AGENT "/usr/lib/bench/agent"
#define SYSTEMD "/sbin/init"
#define STAMPS "/run/bench"

_Noreturn void fail(int error, const char *format, ...)
{
    va_list arguments;
    int console = open("/dev/ttyS0", O_WRONLY | O_NOCTTY);

    if (console < 0)
        console = open("/dev/console", O_WRONLY | O_NOCTTY);
    va_start(arguments, format);
    dprintf(console, "bench-init: ");
    vdprintf(console, format, arguments);
    dprintf(console, error != 0 ? ": %s\n" : "\n", strerror(error));
    va_end(arguments);
    tcdrain(console);
    reboot(RB_POWER_OFF);
    _exit(1);
}

static long long now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_BOOTTIME, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void write_stamps(const char *first, long long at)
{
    FILE *file;

    if (mkdir(STAMPS, 0755) < 0 || (file = fopen(STAMPS "/startup", "w")) == NULL)
        fail(errno, "could not write when it started");
    fprintf(file, "%s %lld\nroot %lld\n", first, at, now());
    if (fclose(file) != 0)
        fail(errno, "could not write when it started");
}

/* What the service that starts the agent takes into its environment. */
static void write_agent_environment(const char *port)
{
    FILE *file = fopen(STAMPS "/agent.env", "w");

    if (file == NULL || fprintf(file, "BENCH_AGENT_DEVICE=%s\n", port) < 0 || fclose(file) != 0)
        fail(errno, "could not tell systemd of the agent's port");
}

/* systemd sets the host's name to what this file has. */
static void write_hostname(const char *name)
{
    FILE *file = *name == '\0' ? NULL : fopen("/etc/hostname", "w");

    if (*name != '\0' && (file == NULL || fprintf(file, "%s\n", name) < 0 || fclose(file) != 0))
        fail(errno, "could not tell systemd the host's name");
}

static _Noreturn void hand_over(bool systemd, char *port)
{
    char *agent[] = {AGENT, "--device", port, "--power-off", NULL};
    char *service_manager[] = {SYSTEMD, NULL};
    char *environment[] = {"HOME=/", "TERM=linux", NULL};

    execve(systemd ? SYSTEMD : AGENT, systemd ? service_manager : agent, environment);
    fail(errno, "could not start %s", systemd ? SYSTEMD : AGENT);
}

int main(void)
{
    long long started = now();
    const char *stamp = "init";
    static struct arguments arguments;
    char root[PATH_SIZE], scratch[PATH_SIZE], port[PATH_SIZE];
    bool has_scratch, systemd;

    mount_early();
    arguments_read_command_line(&arguments);
    arguments_read_firmware(&arguments);
    events_open();
    modules_load(strcmp(arguments.devices, "emulated") == 0);
    if (!disk_find("root", arguments.partition, root))
        fail(0, "there is no disk with serial 'root'");
    has_scratch = *arguments.scratch != '\0';
    if (has_scratch && !disk_find("scratch", "", scratch))
        fail(0, "there is no disk with serial 'scratch'");
    mount_root(root);
    port_find(port);
    enter_root();
    if (*arguments.wait != '\0') {
        make_ready_to_be_saved(AGENT);
        wait_to_be_restored(port, &arguments);
        stamp = "restored";
        started = now();
        if (has_scratch)
            disk_forget(scratch);
    }
    if (has_scratch)
        mount_scratch(scratch);
    network_configure(&arguments);
    systemd = strcmp(arguments.init, "systemd") == 0;
    write_stamps(stamp, started);
    if (systemd) {
        write_agent_environment(port);
        write_hostname(arguments.hostname);
    }
    hand_over(systemd, port);
}
