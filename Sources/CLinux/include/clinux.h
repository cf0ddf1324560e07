// What Swift cannot call itself: thread-local variables, variadic functions, signal handlers.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

// The event loop that the calling thread runs, or NULL.
extern __thread void *_Nullable clinux_current_loop_slot __attribute__((tls_model("initial-exec")));

static inline void *_Nullable clinux_current_loop(void) { return clinux_current_loop_slot; }
static inline void clinux_set_current_loop(void *_Nullable loop) { clinux_current_loop_slot = loop; }

// An eventfd that does not block.
int clinux_event_descriptor(void);

// Cores that the process may run on; 0 when the system does not say.
int clinux_core_count(void);

struct sockaddr;
// accept4(2): the new descriptor does not block.
int clinux_accept(int listener, struct sockaddr *_Nonnull address, unsigned int *_Nonnull length);

// pipe2(2): neither end blocks.
int clinux_pipe(int *_Nonnull ends);

// open(2) with O_CLOEXEC.
int clinux_open(const char *_Nonnull path, int flags, mode_t mode);

// Fills `buffer` from the system's random source; returns 0, or -1 and errno.
int clinux_random(void *_Nonnull buffer, size_t count);

// epoll_wait with a time-out in nanoseconds; negative for none.
int clinux_epoll_wait(int epoll, struct epoll_event *_Nonnull events, int capacity, int64_t nanoseconds);

// From now on each `signal` writes its number as one byte to `descriptor` (which does not block).
int clinux_catch_signal(int signal, int descriptor);
// Back to the default action.
int clinux_release_signal(int signal);
int clinux_ignore_signal(int signal);

// Names the calling thread.
void clinux_name_thread(const char *_Nonnull name);
