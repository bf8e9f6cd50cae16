/* What the parts of the guest's init have from one another; see init.c for what all of it does. */
#ifndef BENCH_INIT_H
#define BENCH_INIT_H

#include <stdbool.h>
#include <stdint.h>

#define PATH_SIZE 256
#define VALUE_SIZE 128

/* Tell the host why there will be no guest, on the first serial port, and power off: a guest that did not start must not look
 * like a slow one. The error is errno's, if it is not 0. */
_Noreturn void fail(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* arguments.c: what the host tells this guest. An empty text stands for what it did not tell. */
struct arguments {
    char hostname[VALUE_SIZE];
    char address[VALUE_SIZE]; /* A.B.C.D/N */
    char gateway[VALUE_SIZE];
    char init[VALUE_SIZE];      /* "systemd", or nothing for the agent */
    char devices[VALUE_SIZE];   /* "emulated", or nothing for virtio */
    char partition[VALUE_SIZE]; /* of the root disk, its number; nothing for the whole disk */
    char scratch[VALUE_SIZE];   /* "yes": there is a scratch disk; or nothing */
    char wait[VALUE_SIZE];      /* "yes": before the rest is told, the guest is saved, and restored many times */
    char mac[VALUE_SIZE];       /* of the interface; only to a guest that waited, whose interface has that of the saved one */
    char time[VALUE_SIZE];      /* the wall clock, SECONDS.NANOSECONDS; only to a guest that waited */
    char seed[VALUE_SIZE];      /* random bytes, hexadecimal; likewise */
};

void arguments_read_command_line(struct arguments *arguments);
void arguments_read_firmware(struct arguments *arguments);
void arguments_parse(struct arguments *arguments, char *text, const char *prefix);

/* events.c: the kernel's events about devices, for what comes some time after its driver. */
void events_open(void);

/* Wait until `look` finds what it looks for, looking again at each event. False: not within the time there is. */
bool events_wait(bool (*look)(void *), void *what);

/* modules.c */
void modules_load(bool emulated);

/* disks.c: the device of the disk, or partition of the disk, with a serial number; false if there is none. */
bool disk_find(const char *serial, const char *partition, char device[PATH_SIZE]);
void disk_forget(const char *device);

/* mounts.c: in the order in which they are called. */
void mount_early(void);
void mount_root(const char *device);
void enter_root(void);
void mount_scratch(const char *device);

/* network.c */
void network_configure(const struct arguments *arguments);

/* port.c: the device of the agent's port. */
void port_find(char device[PATH_SIZE]);

/* waiting.c: read what is needed soon, have no memory that must be saved for nothing, and then wait, while the guest's state is
 * saved, for what the host tells this one. */
void make_ready_to_be_saved(const char *program);
void wait_to_be_restored(const char *port, struct arguments *arguments);

#endif
