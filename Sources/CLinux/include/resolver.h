// c-ares behind a few calls. Its own header would bring the system's types into Swift a second time.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct sockaddr;
struct clinux_lookup;

enum clinux_lookup_status {
    CLINUX_LOOKUP_FOUND,
    CLINUX_LOOKUP_NOT_FOUND,
    CLINUX_LOOKUP_BAD_NAME,
    CLINUX_LOOKUP_TIMED_OUT,
    CLINUX_LOOKUP_SERVER_FAILURE,
    CLINUX_LOOKUP_CANCELLED,
    CLINUX_LOOKUP_OTHER,
};

struct clinux_lookup_calls {
    void *_Nonnull context;
    // Watch a descriptor for these; for neither, no longer.
    void (*_Nonnull watch)(void *_Nonnull context, int descriptor, int readable, int writable);
    // One address of the answer; `done` follows after the last.
    void (*_Nonnull address)(void *_Nonnull context, const struct sockaddr *_Nonnull address, int seconds);
    // The end, with the message that answers a question for texts.
    void (*_Nonnull done)(void *_Nonnull context, enum clinux_lookup_status status, const uint8_t *_Nullable message, size_t size, const char *_Nonnull detail);
};

// A channel for one question, or NULL. `servers` is a list of address:port with commas, or NULL for the system's.
struct clinux_lookup *_Nullable clinux_lookup_open(
    const char *_Nullable servers, int milliseconds, int rounds, struct clinux_lookup_calls calls);
// Asks, once. `done` comes exactly once, at the latest from `clinux_lookup_close`.
void clinux_lookup_addresses(struct clinux_lookup *_Nonnull lookup, const char *_Nonnull name, int family);
void clinux_lookup_texts(struct clinux_lookup *_Nonnull lookup, const char *_Nonnull name);
// Descriptors that are ready, or -1; both -1 when time has passed.
void clinux_lookup_process(struct clinux_lookup *_Nonnull lookup, int readable, int writable);
// Microseconds until `process` wants to be called, or -1.
int64_t clinux_lookup_wait(struct clinux_lookup *_Nonnull lookup);
// Not from within a callback.
void clinux_lookup_close(struct clinux_lookup *_Nonnull lookup);
