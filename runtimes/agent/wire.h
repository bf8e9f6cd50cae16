/* Constants of the wire. The protocol is written out in prose at the top of protocol.py, which has the same values. */
#ifndef BENCH_AGENT_WIRE_H
#define BENCH_AGENT_WIRE_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the wire is little endian, and so must the machine be");

#define PROTOCOL_VERSION 1u
#define FRAME_MAGIC 0x31474142u /* the bytes "BAG1" */
#define HEADER_SIZE 16u
#define REQUEST_LIMIT (256u * 1024u)       /* bytes of payload in a request */
#define CHUNK_LIMIT (64u * 1024u)          /* bytes of payload in a reply */
#define FILE_LIMIT (64ull * 1024u * 1024u) /* bytes of a file that READ returns */
#define STRING_LIMIT 4096u                 /* arguments and variables of one command */
#define COMMAND_LIMIT 256u                 /* commands at once */
#define TEXT_LIMIT 512u                    /* bytes of a reason or a subject */
#define OUTPUT_GRACE_NS 200000000ll        /* how long output may outlast the command that wrote it */

enum frame_type {
    REQUEST_SPAWN = 1,
    REQUEST_SIGNAL = 2,
    REQUEST_READ = 3,
    REQUEST_SHUTDOWN = 4,

    REPLY_READY = 65,
    REPLY_STARTED = 66,
    REPLY_STDOUT = 67,
    REPLY_STDERR = 68,
    REPLY_EXIT = 69,
    REPLY_ERROR = 70,
    REPLY_DATA = 71,
    REPLY_END = 72,
    REPLY_FATAL = 73,
    REPLY_GOODBYE = 74,
};

static inline unsigned char *put_u32(unsigned char *at, uint32_t value)
{
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static inline unsigned char *put_u64(unsigned char *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static inline uint32_t get_u32(const unsigned char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static inline uint64_t get_u64(const unsigned char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

#endif
