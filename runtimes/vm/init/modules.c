/* Loading modules. /modules/order, which the builder of the initramfs writes, has a line for each group: when it is wanted,
 * and the files in an order that loads. It is wanted "always", or where the devices are "emulated", or where a virtio device
 * has a modalias that matches a pattern. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "init.h"

#define DIRECTORY "/modules"
#define MODALIASES "/sys/bus/virtio/devices/*/modalias"

static bool device_is_there(const char *pattern)
{
    glob_t found;
    bool there = false;

    if (glob(MODALIASES, GLOB_NOSORT, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && !there; i++) {
        char alias[VALUE_SIZE] = "";
        int file = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);

        if (file < 0)
            continue;
        if (read(file, alias, sizeof alias - 1) > 0)
            there = fnmatch(pattern, strtok(alias, "\n"), 0) == 0;
        close(file);
    }
    globfree(&found);
    return there;
}

static bool wanted(const char *when, bool emulated)
{
    if (strcmp(when, "always") == 0)
        return true;
    return strcmp(when, "emulated") == 0 ? emulated : device_is_there(when);
}

static void load(const char *name)
{
    char path[PATH_SIZE];
    int file;

    snprintf(path, sizeof path, DIRECTORY "/%s", name);
    if ((file = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        fail(errno, "could not open the kernel module %s", name);
    if (syscall(SYS_finit_module, file, "", 0) < 0 && errno != EEXIST)
        fail(errno, "the kernel module %s did not load", name);
    close(file);
}

void modules_load(bool emulated)
{
    FILE *order = fopen(DIRECTORY "/order", "re");
    char line[1024];

    if (order == NULL)
        fail(errno, "could not open " DIRECTORY "/order");
    while (fgets(line, sizeof line, order) != NULL) {
        char *rest = line, *when;

        if (strchr(line, '\n') == NULL)
            fail(0, "a line of " DIRECTORY "/order is longer than %zu bytes, or does not end", sizeof line - 2);
        when = strsep(&rest, " \n");
        if (!wanted(when, emulated))
            continue;
        for (char *name; (name = strsep(&rest, " \n")) != NULL;)
            if (*name != '\0')
                load(name);
    }
    fclose(order);
}
