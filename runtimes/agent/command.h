/* The commands that run: started, drained, timed, reaped. */
#ifndef BENCH_AGENT_COMMAND_H
#define BENCH_AGENT_COMMAND_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stream.h"

/* Open what every command needs. False: failed, see errno. */
bool commands_prepare(void);

/* Start what a SPAWN frame asks for and reply STARTED or ERROR. False: the frame is malformed, `reason` says how. */
bool command_spawn(const struct frame *frame, struct text *reason);

/* Send a signal to the process group of command `id`; nothing happens if that has ended. */
void command_signal(uint32_t id, int number);

/* SIGKILL the process group of every command. */
void commands_kill(void);

/* Reap every child that has ended, our own commands and adopted orphans alike. True: there are children left. */
bool commands_reap(void);

/* Enforce timeouts and graces, and send the EXITs that are due. */
void commands_service(void);

/* How many commands have not had their EXIT sent. */
size_t commands_active(void);

/* When commands_service must be called next, CLOCK_MONOTONIC; INT64_MAX for never. */
int64_t commands_next_event(void);

/* Does an EXIT wait for nothing but room? */
bool commands_exit_due(void);

/* Enter the pipes into `set`, which has room for two a command; how many were entered. */
size_t commands_poll(struct pollfd *set);

/* Read those pipes of `set` that are ready, as far as there is room. */
void commands_drain(const struct pollfd *set, size_t count);

#endif
