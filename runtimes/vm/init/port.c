/* Finding the agent's port: the host names ports some time after their driver has loaded. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

#define NAME "org.bench.agent"

static bool look_for_port(void *what)
{
    char *device = what;
    glob_t found;
    bool there = false;

    if (glob("/sys/class/virtio-ports/*/name", GLOB_NOSORT, NULL, &found) != 0)
        return false;
    for (size_t i = 0; i < found.gl_pathc && !there; i++) {
        char name[VALUE_SIZE] = "";
        int file = open(found.gl_pathv[i], O_RDONLY | O_CLOEXEC);

        if (file < 0)
            continue;
        there = read(file, name, sizeof name - 1) > 0 && strcmp(name, NAME "\n") == 0;
        close(file);
        if (there) {
            char *end = strrchr(found.gl_pathv[i], '/');

            *end = '\0';
            snprintf(device, PATH_SIZE, "/dev/%s", strrchr(found.gl_pathv[i], '/') + 1);
        }
    }
    globfree(&found);
    return there;
}

void port_find(char device[PATH_SIZE])
{
    if (!events_wait(look_for_port, device))
        fail(0, "there is no virtio-serial port named '" NAME "'");
}
