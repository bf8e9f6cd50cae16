/* What the host tells: words NAME=VALUE. On the kernel's command line each name has the prefix "bench.". */
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
        {"mac", arguments->mac},
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

void arguments_read_command_line(struct arguments *arguments)
{
    static char text[4096];
    int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);

    if (length < 0)
        fail(errno, "could not read /proc/cmdline");
    close(file);
    text[length] = '\0';
    arguments_parse(arguments, text, "bench.");
}
