/*
 * A fixed amount of work in equal chunks, each timed: what takes longer than its like was held up by something else.
 *
 * The work is a chain of multiplications and additions that each wait for the one before, so that it takes the same
 * number of cycles wherever it runs: no memory is touched, and there is nothing for a processor to do at once.
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static int64_t now(void)
{
	struct timespec at;

	clock_gettime(CLOCK_MONOTONIC, &at);
	return at.tv_sec * 1000000000LL + at.tv_nsec;
}

static uint64_t work(uint64_t value, uint64_t rounds)
{
	for (uint64_t round = 0; round < rounds; round++) {
		value = value * 6364136223846793005u + 1442695040888963407u;
		__asm__ volatile("" : "+r"(value));	/* so that nothing of it is left out or put together */
	}
	return value;
}

/*
 * Does `most` chunks of `rounds` steps, or as many as begin within `limit` nanoseconds, in the calling thread, and
 * stores how long each took, from the end of the one before to its own, nanoseconds. Returns how many it did.
 */
size_t spin(size_t most, uint64_t rounds, int64_t limit, int64_t *durations)
{
	uint64_t value = 1;
	const int64_t begun = now();
	int64_t before = begun;
	size_t done = 0;

	while (done < most && before - begun < limit) {
		value = work(value, rounds);
		const int64_t after = now();
		durations[done++] = after - before;
		before = after;
	}
	return done;
}
