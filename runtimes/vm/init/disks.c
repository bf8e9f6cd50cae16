/* Finding disks by their serial number, which the host gives them: their names follow from the order in which they are found. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <linux/fs.h>
#include <linux/hdreg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "init.h"

struct search {
    const char *serial;
    const char *partition;
    char *device;
};

static void read_virtio_serial(const char *name, char serial[VALUE_SIZE])
{
    char path[PATH_SIZE];
    int file;

    snprintf(path, sizeof path, "/sys/block/%s/serial", name);
    if ((file = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return;
    if (read(file, serial, VALUE_SIZE - 1) < 0)
        *serial = '\0';
    close(file);
}

/* A SATA or IDE disk tells it among all that it tells of itself, filled up with blanks. */
static void read_ata_serial(const char *name, char serial[VALUE_SIZE])
{
    char path[PATH_SIZE];
    struct hd_driveid identity;
    int disk;

    snprintf(path, sizeof path, "/dev/%s", name);
    if ((disk = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return;
    if (ioctl(disk, HDIO_GET_IDENTITY, &identity) == 0) {
        memcpy(serial, identity.serial_no, sizeof identity.serial_no);
        for (size_t i = sizeof identity.serial_no; i > 0 && (serial[i - 1] == ' ' || serial[i - 1] == '\0'); i--)
            serial[i - 1] = '\0';
    }
    close(disk);
}

static bool is_the_one(const char *name, const struct search *search)
{
    char serial[VALUE_SIZE] = "";

    if (name[0] == 'v')
        read_virtio_serial(name, serial);
    else
        read_ata_serial(name, serial);
    return strncmp(serial + strspn(serial, " "), search->serial, strlen(search->serial) + 1) == 0;
}

static bool look_for_disk(void *what)
{
    const struct search *search = what;
    glob_t found;
    bool there = false;

    if (glob("/sys/block/[vs]d*", GLOB_NOSORT, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && !there; i++) {
        const char *name = strrchr(found.gl_pathv[i], '/') + 1;

        if (!is_the_one(name, search))
            continue;
        snprintf(search->device, PATH_SIZE, "/dev/%s%s", name, search->partition);
        there = access(search->device, F_OK) == 0;
    }
    globfree(&found);
    return there;
}

bool disk_find(const char *serial, const char *partition, char device[PATH_SIZE])
{
    struct search search = {.serial = serial, .partition = partition, .device = device};

    return look_for_disk(&search) || events_wait(look_for_disk, &search);
}

/* Drop what the kernel has in memory of a disk that was another when it was read. */
void disk_forget(const char *device)
{
    int disk = open(device, O_RDONLY | O_CLOEXEC);

    if (disk < 0 || ioctl(disk, BLKFLSBUF, 0) < 0)
        fail(0, "could not drop what was read of %s", device);
    close(disk);
}
