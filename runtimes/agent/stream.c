/* See stream.h; the frames are described in protocol.py. */
#define _GNU_SOURCE
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

static struct {
    int in_fd, out_fd;
    size_t in_start, in_end;
    size_t out_start, out_end;
    unsigned char in[HEADER_SIZE + REQUEST_LIMIT];
    unsigned char out[2 * (HEADER_SIZE + CHUNK_LIMIT)];
} stream;

int64_t monotonic_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static unsigned char *put_header(unsigned char *at, enum frame_type type, uint32_t id, size_t length)
{
    at = put_u32(at, FRAME_MAGIC);
    at = put_u32(at, type);
    at = put_u32(at, id);
    return put_u32(at, (uint32_t)length);
}

bool stream_ready(int in, int out)
{
    unsigned char frame[HEADER_SIZE + 16], *at = frame;
    struct timespec up;

    stream.in_fd = in;
    stream.out_fd = out;
    clock_gettime(CLOCK_BOOTTIME, &up);
    at = put_header(at, REPLY_READY, 0, sizeof frame - HEADER_SIZE);
    at = put_u32(at, PROTOCOL_VERSION);
    at = put_u32(at, (uint32_t)getpid());
    put_u64(at, (uint64_t)up.tv_sec * 1000000000 + (uint64_t)up.tv_nsec);
    for (size_t sent = 0; sent < sizeof frame;) {
        ssize_t count = write(out, frame + sent, sizeof frame - sent);
        if (count < 0 && errno != EINTR)
            return false;
        sent += count > 0 ? (size_t)count : 0;
    }
    return true;
}

void stream_set_nonblocking(void)
{
    fcntl(stream.in_fd, F_SETFL, fcntl(stream.in_fd, F_GETFL) | O_NONBLOCK);
    fcntl(stream.out_fd, F_SETFL, fcntl(stream.out_fd, F_GETFL) | O_NONBLOCK);
}

int stream_in(void)
{
    return stream.in_fd;
}

int stream_out(void)
{
    return stream.out_fd;
}

size_t stream_room(void)
{
    size_t free = sizeof stream.out - (stream.out_end - stream.out_start);

    return free > HEADER_SIZE ? free - HEADER_SIZE : 0;
}

/* Where the next frame goes: the free bytes moved to the end of the buffer. */
static unsigned char *out_tail(void)
{
    if (stream.out_start > 0) {
        memmove(stream.out, stream.out + stream.out_start, stream.out_end - stream.out_start);
        stream.out_end -= stream.out_start;
        stream.out_start = 0;
    }
    return stream.out + stream.out_end;
}

void stream_put(enum frame_type type, uint32_t id, const void *payload, size_t length)
{
    unsigned char *at = put_header(out_tail(), type, id, length);

    memcpy(at, payload, length);
    stream.out_end += HEADER_SIZE + length;
}

void stream_put_error(uint32_t id, int error, const char *what, const char *name)
{
    unsigned char payload[4 + TEXT_LIMIT];
    struct text subject = {.length = 0};

    text_add(&subject, what);
    text_add(&subject, name);
    memcpy(put_u32(payload, (uint32_t)error), subject.bytes, subject.length);
    stream_put(REPLY_ERROR, id, payload, 4 + subject.length);
}

ssize_t stream_put_from(enum frame_type type, uint32_t id, int fd, size_t limit)
{
    unsigned char *at = out_tail();
    size_t most = stream_room();
    ssize_t count;

    if (most > limit)
        most = limit;
    if (most > CHUNK_LIMIT)
        most = CHUNK_LIMIT;
    count = read(fd, at + HEADER_SIZE, most);
    if (count > 0) {
        put_header(at, type, id, (size_t)count);
        stream.out_end += HEADER_SIZE + (size_t)count;
    }
    return count;
}

bool stream_pending(void)
{
    return stream.out_end > stream.out_start;
}

bool stream_flush(void)
{
    while (stream_pending()) {
        ssize_t count = write(stream.out_fd, stream.out + stream.out_start, stream.out_end - stream.out_start);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno == EAGAIN;
        if (count == 0)
            return true;
        stream.out_start += (size_t)count;
    }
    stream.out_start = stream.out_end = 0;
    return true;
}

/* Flush until `needed` bytes of payload fit, or the buffer is empty. */
static bool wait_for_room(size_t needed, int64_t deadline)
{
    for (;;) {
        struct pollfd writable = {.fd = stream.out_fd, .events = POLLOUT};
        int64_t left = deadline - monotonic_now();

        if (!stream_flush())
            return false;
        if (!stream_pending() || stream_room() >= needed)
            return true;
        if (left <= 0)
            return false;
        poll(&writable, 1, (int)(left / 1000000) + 1);
        if (writable.revents & (POLLERR | POLLHUP))
            return false;
    }
}

void stream_last_words(enum frame_type type, const struct text *reason, int64_t patience)
{
    int64_t deadline = monotonic_now() + patience;

    if (!wait_for_room(REPLY_ROOM, deadline))
        return;
    stream_put(type, 0, reason->bytes, reason->length);
    wait_for_room(sizeof stream.out, deadline);
}

bool stream_can_fill(void)
{
    return stream.in_end - stream.in_start < sizeof stream.in;
}

bool stream_fill(void)
{
    ssize_t count;

    if (stream.in_start > 0) {
        memmove(stream.in, stream.in + stream.in_start, stream.in_end - stream.in_start);
        stream.in_end -= stream.in_start;
        stream.in_start = 0;
    }
    count = read(stream.in_fd, stream.in + stream.in_end, sizeof stream.in - stream.in_end);
    if (count > 0)
        stream.in_end += (size_t)count;
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
}

static bool check_magic(uint32_t magic, struct text *reason)
{
    if (magic == FRAME_MAGIC)
        return true;
    text_add(reason, "magic 0x");
    text_add_number(reason, magic, 16);
    text_add(reason, " where a frame should begin, expected 0x");
    text_add_number(reason, FRAME_MAGIC, 16);
    return false;
}

static bool check_header(const struct frame *frame, struct text *reason)
{
    if (frame->type < REQUEST_SPAWN || frame->type > REQUEST_SHUTDOWN) {
        text_add(reason, "unknown request type ");
        text_add_number(reason, frame->type, 10);
    } else if (frame->length > REQUEST_LIMIT) {
        text_add(reason, "request of ");
        text_add_number(reason, frame->length, 10);
        text_add(reason, " bytes, at most ");
        text_add_number(reason, REQUEST_LIMIT, 10);
        text_add(reason, " are allowed");
    } else {
        return true;
    }
    return false;
}

enum next_frame stream_next(struct frame *frame, struct text *reason)
{
    size_t held = stream.in_end - stream.in_start;
    unsigned char *at = stream.in + stream.in_start;

    if (held >= 4 && !check_magic(get_u32(at), reason))
        return FRAME_BROKEN;
    if (held < HEADER_SIZE)
        return FRAME_NONE;
    frame->type = get_u32(at + 4);
    frame->id = get_u32(at + 8);
    frame->length = get_u32(at + 12);
    frame->payload = at + HEADER_SIZE;
    if (!check_header(frame, reason))
        return FRAME_BROKEN;
    if (held < HEADER_SIZE + frame->length)
        return FRAME_NONE;
    stream.in_start += HEADER_SIZE + frame->length;
    return FRAME_WHOLE;
}
