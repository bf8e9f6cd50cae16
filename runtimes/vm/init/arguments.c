/* What the host tells: words NAME=VALUE. On the kernel's command line each name has the prefix "bench.", and so it has in an
 * OEM string of SMBIOS, for guests that boot from a disk: they share it, and the command line on it, with others. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

static char *value_of(struct arguments *arguments, const char *name)
{
    const struct {
        const char *name;
        char *value;
    } known[] = {
        {"hostname", arguments->hostname}, {"address", arguments->address}, {"gateway", arguments->gateway},
        {"init", arguments->init},         {"devices", arguments->devices}, {"partition", arguments->partition},
        {"wait", arguments->wait},         {"time", arguments->time},       {"seed", arguments->seed},
        {"mac", arguments->mac},           {"scratch", arguments->scratch},
    };

    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0)
            return known[i].value;
    return NULL;
}

/* Take the words of `text` that start with the prefix; the others are not for us. */
void arguments_parse(struct arguments *arguments, char *text, const char *prefix)
{
    char *rest = text;

    for (char *word; (word = strsep(&rest, " \n")) != NULL;) {
        char *value, *equals;

        if (strncmp(word, prefix, strlen(prefix)) != 0 || (equals = strchr(word, '=')) == NULL)
            continue;
        *equals = '\0';
        if ((value = value_of(arguments, word + strlen(prefix))) == NULL)
            fail(0, "it does not know the argument '%s'", word);
        if (strlen(equals + 1) >= VALUE_SIZE)
            fail(0, "the argument '%s' is longer than %d bytes", word, VALUE_SIZE - 1);
        strcpy(value, equals + 1);
    }
}

/* Read as much of a file as there is room for; -1 if it cannot be read. */
static ssize_t read_whole(const char *path, char *text, size_t room)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = 0, count = -1;

    while (file >= 0 && (count = read(file, text + length, room - (size_t)length)) > 0)
        length += count;
    if (file >= 0)
        close(file);
    return count < 0 ? -1 : length;
}

void arguments_read_command_line(struct arguments *arguments)
{
    static char text[4096];
    ssize_t length = read_whole("/proc/cmdline", text, sizeof text - 1);

    if (length < 0)
        fail(errno, "could not read /proc/cmdline");
    text[length] = '\0';
    arguments_parse(arguments, text, "bench.");
}

/* Strings lie in the table one after the other, each ended by a NUL, behind the fixed part of what they belong to: the first
 * of them is not at the start of what stands between two NULs (System Management BIOS, DSP0134, 6.1.3). */
void arguments_read_firmware(struct arguments *arguments)
{
    static char table[65536];
    static const char prefix[] = "bench.";
    ssize_t length = read_whole("/sys/firmware/dmi/tables/DMI", table, sizeof table - 1);
    char *found;

    if (length < 0)
        return; /* there is no such table, or it is empty */
    table[length] = '\0';
    if ((found = memmem(table, (size_t)length, prefix, sizeof prefix - 1)) != NULL)
        arguments_parse(arguments, found, prefix);
}
