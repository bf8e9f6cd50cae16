/* A guest whose state is saved, to be restored many times: here it stops, and here each of those that are restored goes on,
 * with a name, an address, a clock and random numbers of its own. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define GREETING "BENCH-WAITING\n"
#define LINE_SIZE 1024
#define SEED_BYTES 32

/* The driver of the port sends SIGIO when the host opens or closes its end, and when there is something to read. */
static void wait_for_signal(void)
{
    struct timespec at_most = {.tv_sec = 1}; /* should the signal have come before we waited */
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGIO);
    sigtimedwait(&signals, NULL, &at_most);
}

static void block_signal(int port)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGIO);
    if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0 || fcntl(port, F_SETOWN, getpid()) < 0 ||
        fcntl(port, F_SETFL, O_ASYNC | O_NONBLOCK) < 0)
        fail(errno, "could not ask to be told when the host speaks");
}

/* One line from the host. Nothing is read while the host's end is closed, as it is for some time when a guest is restored. */
static void read_line(int port, char line[LINE_SIZE])
{
    size_t length = 0;

    for (;;) {
        ssize_t count = read(port, line + length, LINE_SIZE - 1 - length);

        if (count < 0 && errno != EAGAIN && errno != EINTR)
            fail(errno, "could not read what the host has to say");
        if (count > 0) {
            length += (size_t)count;
            line[length] = '\0';
            if (memchr(line, '\n', length) != NULL)
                return;
            if (length == LINE_SIZE - 1)
                fail(0, "what the host said is longer than %d bytes", LINE_SIZE - 1);
            continue;
        }
        wait_for_signal();
    }
}

static void set_clock(const char *text)
{
    long long seconds;
    long nanoseconds;
    struct timespec time;

    if (sscanf(text, "%lld.%9ld", &seconds, &nanoseconds) != 2)
        fail(0, "'%s' is no time", text);
    time = (struct timespec){.tv_sec = seconds, .tv_nsec = nanoseconds};
    if (clock_settime(CLOCK_REALTIME, &time) < 0)
        fail(errno, "could not set the clock");
}

/* Two guests of one state would have the same random numbers. */
static void seed_random_numbers(const char *text)
{
    struct {
        int entropy_count, buffer_size;
        unsigned char bytes[SEED_BYTES];
    } pool = {.entropy_count = SEED_BYTES * 8, .buffer_size = SEED_BYTES};
    int random = open("/dev/urandom", O_RDWR | O_CLOEXEC);

    if (strlen(text) != 2 * SEED_BYTES)
        fail(0, "the seed has %zu digits; expected %d", strlen(text), 2 * SEED_BYTES);
    for (int i = 0; i < SEED_BYTES; i++)
        if (sscanf(text + 2 * i, "%2hhx", &pool.bytes[i]) != 1)
            fail(0, "'%s' is no seed", text);
    if (random < 0 || ioctl(random, RNDADDENTROPY, &pool) < 0 || ioctl(random, RNDRESEEDCRNG) < 0)
        fail(errno, "could not seed the random numbers");
    close(random);
}

void wait_to_be_restored(const char *device, struct arguments *arguments)
{
    static char line[LINE_SIZE];
    int port = open(device, O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (port < 0)
        fail(errno, "could not open %s", device);
    if (write(port, GREETING, strlen(GREETING)) != (ssize_t)strlen(GREETING))
        fail(errno, "could not tell the host that it waits");
    block_signal(port);
    read_line(port, line);
    close(port);
    arguments_parse(arguments, line, "");
    set_clock(arguments->time);
    seed_random_numbers(arguments->seed);
}
