/* File systems: the kernel's own, the image under an overlay, and the way into it. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

static void mount_it(const char *source, const char *target, const char *kind, unsigned long flags, const char *options)
{
    if (mount(source, target, kind, flags, options) < 0)
        fail(errno, "could not mount %s (%s) at %s", source, kind, target);
}

static void make_directory(const char *path)
{
    if (mkdir(path, 0755) < 0 && errno != EEXIST)
        fail(errno, "could not make %s", path);
}

static void make_link(const char *target, const char *path)
{
    if (symlink(target, path) < 0 && errno != EEXIST)
        fail(errno, "could not make %s", path);
}

void mount_early(void)
{
    mount_it("proc", "/proc", "proc", 0, "");
    mount_it("sysfs", "/sys", "sysfs", 0, "");
    mount_it("devtmpfs", "/dev", "devtmpfs", 0, "mode=755");
}

void mount_root(const char *device)
{
    const unsigned long no_programs_of_others = MS_NOSUID | MS_NODEV;

    mount_it("writes", "/writes", "tmpfs", 0, "mode=755");
    make_directory("/writes/files");
    make_directory("/writes/work");
    mount_it(device, "/image", "ext4", MS_RDONLY, "");
    mount_it("overlay", "/newroot", "overlay", 0, "lowerdir=/image,upperdir=/writes/files,workdir=/writes/work");
    make_directory("/dev/pts");
    make_directory("/dev/shm");
    mount_it("devpts", "/dev/pts", "devpts", 0, "gid=5,mode=620,ptmxmode=666");
    mount_it("shm", "/dev/shm", "tmpfs", no_programs_of_others, "mode=1777");
    mount_it("tmp", "/newroot/tmp", "tmpfs", no_programs_of_others, "mode=1777");
    mount_it("run", "/newroot/run", "tmpfs", no_programs_of_others, "mode=755");
    make_link("/proc/self/fd", "/dev/fd");
    make_link("/proc/self/fd/0", "/dev/stdin");
    make_link("/proc/self/fd/1", "/dev/stdout");
    make_link("/proc/self/fd/2", "/dev/stderr");
}

void mount_scratch(const char *device)
{
    mount_it(device, "/newroot/scratch", "ext4", 0, "");
}

/* Give back the memory of the initramfs: all that is in its directories, but for what is mounted there. */
static void empty(int directory, dev_t device)
{
    DIR *entries = fdopendir(directory);

    if (entries == NULL)
        return;
    for (struct dirent *entry; (entry = readdir(entries)) != NULL;) {
        struct stat status;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (fstatat(dirfd(entries), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) < 0 || status.st_dev != device)
            continue;
        if (S_ISDIR(status.st_mode))
            empty(openat(dirfd(entries), entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), device);
        unlinkat(dirfd(entries), entry->d_name, S_ISDIR(status.st_mode) ? AT_REMOVEDIR : 0);
    }
    closedir(entries);
}

/* Make the overlay the root, as switch_root(8) does: the initramfs cannot be unmounted. */
void enter_root(void)
{
    static const char *const kept[] = {"/proc", "/sys", "/dev"};
    int initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct stat status;

    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
        char target[PATH_SIZE];

        snprintf(target, sizeof target, "/newroot%s", kept[i]);
        mount_it(kept[i], target, "", MS_MOVE, NULL);
    }
    if (initramfs < 0 || fstat(initramfs, &status) < 0 || chdir("/newroot") < 0)
        fail(errno, "could not enter the image");
    empty(initramfs, status.st_dev);
    if (mount(".", "/", "", MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
        fail(errno, "could not make the image the root");
}
