// What Swift cannot call itself: thread-local variables, variadic functions, signal handlers.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#include "resolver.h"

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

// One datagram of a batch: address and control data beside its bytes.
struct clinux_datagram {
    void *_Nullable bytes;
    size_t size;  // Receiving: the room, then what came. Sending: what is to be sent.
    const void *_Nullable remote;  // Sending: a sockaddr.
    unsigned int remote_length;
    uint32_t interface;  // 0 for none.
    uint8_t local_family;  // AF_INET or AF_INET6 where `local` is known, else 0.
    uint8_t congestion;
    uint8_t truncated;
    uint16_t segment;  // Size of each datagram in `bytes`, 0 for one.
    uint8_t local[16];  // Network byte order.
    uint8_t remote_storage[28];  // Receiving: room for the sender's sockaddr.
};
#define CLINUX_DATAGRAM_BATCH 64
// recvmmsg(2) and sendmmsg(2) for at most CLINUX_DATAGRAM_BATCH datagrams: how many were moved, or -1 and errno.
int clinux_receive_datagrams(int descriptor, struct clinux_datagram *_Nonnull datagrams, int count);
int clinux_send_datagrams(int descriptor, int family, const struct clinux_datagram *_Nonnull datagrams, int count);
// Sets an integer option: what the options of a datagram socket need. Returns 0, or -1 and errno.
enum clinux_datagram_option {
    CLINUX_PACKET_INFORMATION,
    CLINUX_CONGESTION_MARKS,
    CLINUX_JOIN_SEGMENTS,
    CLINUX_MULTICAST_HOPS,
    CLINUX_MULTICAST_LOOP,
    CLINUX_ONLY_JOINED_GROUPS,
};
int clinux_set_datagram_option(int descriptor, int family, enum clinux_datagram_option option, int value);
// Joins or leaves a multicast group (network byte order, 4 or 16 bytes) on an interface.
int clinux_join_group(int descriptor, int family, const void *_Nonnull group, uint32_t interface, int join);

// Names the calling thread.
void clinux_name_thread(const char *_Nonnull name);
