/* Short texts without stdio: reasons and subjects of replies. What does not fit is cut off. */
#ifndef BENCH_AGENT_TEXT_H
#define BENCH_AGENT_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

struct text {
    char bytes[TEXT_LIMIT];
    size_t length;
};

static inline void text_add(struct text *text, const char *more)
{
    while (*more != '\0' && text->length < TEXT_LIMIT)
        text->bytes[text->length++] = *more++;
}

static inline void text_add_number(struct text *text, uint64_t number, unsigned base)
{
    char digits[21];
    size_t at = sizeof digits - 1;

    digits[at] = '\0';
    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number != 0);
    text_add(text, digits + at);
}

#endif
