/* The framed stream to the host: one bounded buffer each way, never blocking except where it says so. */
#ifndef BENCH_AGENT_STREAM_H
#define BENCH_AGENT_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "text.h"
#include "wire.h"

/* Room that suffices for any reply other than STDOUT, STDERR and DATA. */
#define REPLY_ROOM (TEXT_LIMIT + 64u)

struct frame {
    uint32_t type;
    uint32_t id;
    uint32_t length;
    unsigned char *payload; /* valid until the next stream_fill */
};

enum next_frame { FRAME_NONE, FRAME_WHOLE, FRAME_BROKEN };

/* Send READY to `out`, and take requests from `in`; both may be the same. It waits as long as it takes; on a virtio
 * port that is until the host side is connected, as the kernel holds a blocking write until then. False: failed, see
 * errno. */
bool stream_ready(int in, int out);

/* From now on the stream does not block. */
void stream_set_nonblocking(void);

int stream_in(void);
int stream_out(void);

/* Bytes of payload that fit into the outgoing buffer now. */
size_t stream_room(void);

/* Queue one frame; the caller has seen to the room. */
void stream_put(enum frame_type type, uint32_t id, const void *payload, size_t length);

/* Queue an ERROR: the errno, and what could not be done to what. */
void stream_put_error(uint32_t id, int error, const char *what, const char *name);

/* Read at most `limit` bytes from `fd` into one queued frame; what read(2) returned. */
ssize_t stream_put_from(enum frame_type type, uint32_t id, int fd, size_t limit);

/* Is anything still to be written? */
bool stream_pending(void);

/* Write what the stream takes now. False: the other end is gone. */
bool stream_flush(void);

/* Write all, then one last frame, waiting for the other end at most `patience` nanoseconds. */
void stream_last_words(enum frame_type type, const struct text *reason, int64_t patience);

/* Can another byte be taken in? */
bool stream_can_fill(void);

/* Take in what has come. False: the stream has ended. */
bool stream_fill(void);

/* The next whole frame, if there is one; FRAME_BROKEN with the reason if what came is no frame. */
enum next_frame stream_next(struct frame *frame, struct text *reason);

/* Nanoseconds on CLOCK_MONOTONIC. */
int64_t monotonic_now(void);

#endif
