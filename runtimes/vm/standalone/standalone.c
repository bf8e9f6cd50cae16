/* PID 1 of a guest that boots an exported disk in anybody's QEMU: no harness, no agent, a shell on the console.
 *
 * It loads the kernel's modules, finds the image by the label of its file system, wherever the disk is, and mounts it
 * under an overlay in memory, as every instance has it; so every boot is the first one. The end of the shell powers
 * off. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "../init/init.h"

#define LABEL "bench"
#define CONSOLE "/dev/console"
/* Where ext4 has it, its magic number and its label (kernel documentation, ext4, "Super Block"). */
#define SUPER_BLOCK 1024
#define MAGIC_OFFSET 0x38
#define LABEL_OFFSET 0x78
#define LABEL_SIZE 16

_Noreturn void fail(int error, const char *format, ...)
{
    va_list arguments;
    int console = open(CONSOLE, O_WRONLY | O_NOCTTY);

    va_start(arguments, format);
    dprintf(console, "bench: ");
    vdprintf(console, format, arguments);
    dprintf(console, error != 0 ? ": %s\n" : "\n", strerror(error));
    va_end(arguments);
    tcdrain(console);
    reboot(RB_POWER_OFF);
    _exit(1);
}

static bool has_the_label(const char *device)
{
    unsigned char block[LABEL_OFFSET + LABEL_SIZE];
    int file = open(device, O_RDONLY | O_CLOEXEC);
    bool found = file >= 0 && pread(file, block, sizeof block, SUPER_BLOCK) == (ssize_t)sizeof block &&
                 block[MAGIC_OFFSET] == 0x53 && block[MAGIC_OFFSET + 1] == 0xEF &&
                 strncmp((char *)block + LABEL_OFFSET, LABEL, LABEL_SIZE) == 0;

    if (file >= 0)
        close(file);
    return found;
}

static bool look_for_image(void *what)
{
    char *device = what;
    glob_t found;
    bool there = false;

    if (glob("/sys/class/block/*", GLOB_NOSORT, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && !there; i++) {
        snprintf(device, PATH_SIZE, "/dev/%s", strrchr(found.gl_pathv[i], '/') + 1);
        there = has_the_label(device);
    }
    globfree(&found);
    return there;
}

static _Noreturn void become_shell(void)
{
    char *shell[] = {"-sh", NULL};
    char *environment[] = {
        "HOME=/root",
        "TERM=linux",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        NULL,
    };
    int console;

    setsid();
    console = open(CONSOLE, O_RDWR);
    if (console < 0 || ioctl(console, TIOCSCTTY, 1) < 0)
        fail(errno, "could not open the console");
    for (int number = 0; number < 3; number++)
        dup2(console, number);
    dprintf(1, "\nThis is an image of bench. Writes go to memory. The end of this shell powers off.\n");
    execve("/bin/sh", shell, environment);
    fail(errno, "could not start /bin/sh, which this image may not have");
}

int main(void)
{
    char image[PATH_SIZE];
    pid_t shell;

    mount_early();
    events_open();
    modules_load(true);
    if (!look_for_image(image) && !events_wait(look_for_image, image))
        fail(0, "there is no disk with a file system labelled '" LABEL "'");
    mount_root(image);
    enter_root();
    if ((shell = fork()) < 0)
        fail(errno, "could not start a process");
    if (shell == 0)
        become_shell();
    for (pid_t ended = 0; ended != shell;)
        if ((ended = wait(NULL)) < 0 && errno == ECHILD)
            break;
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
