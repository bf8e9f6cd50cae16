/*
 * Prints how often this processor's time stamp counter counts in a second, in kHz: read twice, 20 ms apart, beside
 * CLOCK_MONOTONIC.
 *
 * Whoever is interrupted between the two clocks reads rubbish, so that each time the closest of several readings counts.
 */

#include <stdint.h>
#include <stdio.h>
#include <time.h>
#include <x86intrin.h>

#define READINGS 16

struct reading {
    uint64_t ticks;
    int64_t nanoseconds;
};

static struct reading read_both(void)
{
    struct reading best = {0, 0};
    uint64_t least = UINT64_MAX;

    for (int i = 0; i < READINGS; i++) {
        struct timespec now;
        uint64_t before = __rdtsc();
        clock_gettime(CLOCK_MONOTONIC, &now);
        uint64_t took = __rdtsc() - before;

        if (took < least) {
            least = took;
            best = (struct reading){before + took / 2, now.tv_sec * 1000000000LL + now.tv_nsec};
        }
    }
    return best;
}

int main(void)
{
    const struct timespec pause = {0, 20000000};
    struct reading first = read_both();

    nanosleep(&pause, NULL);

    struct reading last = read_both();

    printf("%.0f\n", (double)(last.ticks - first.ticks) * 1e6 / (double)(last.nanoseconds - first.nanoseconds));
    return 0;
}
