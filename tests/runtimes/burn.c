/* burn MEBIBYTES SECONDS: touches so much memory, then computes until it has had so much CPU time. */
#include <stdlib.h>
#include <time.h>

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    size_t size = (size_t)atol(argv[1]) << 20;
    double wanted = atof(argv[2]);
    volatile char *memory = malloc(size);
    if (!memory) return 1;
    for (size_t at = 0; at < size; at += 4096) memory[at] = 1;
    struct timespec used;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    while ((double)used.tv_sec + (double)used.tv_nsec / 1e9 < wanted);
    return 0;
}
