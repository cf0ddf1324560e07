#include "resolver.h"

#include <ares.h>
#include <netdb.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>

struct clinux_lookup {
    ares_channel channel;
    struct clinux_lookup_calls calls;
};

static int library_status;
static void start_library(void) { library_status = ares_library_init(ARES_LIB_INIT_ALL); }

static void socket_state(void *context, ares_socket_t descriptor, int readable, int writable) {
    struct clinux_lookup *lookup = context;
    lookup->calls.watch(lookup->calls.context, descriptor, readable, writable);
}

struct clinux_lookup *clinux_lookup_open(const char *servers, int milliseconds, int rounds, struct clinux_lookup_calls calls) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_library);
    if (library_status != ARES_SUCCESS) return NULL;
    struct clinux_lookup *lookup = malloc(sizeof *lookup);
    if (!lookup) return NULL;
    lookup->calls = calls;
    struct ares_options options = {.timeout = milliseconds, .tries = rounds, .sock_state_cb = socket_state, .sock_state_cb_data = lookup};
    if (ares_init_options(&lookup->channel, &options, ARES_OPT_SOCK_STATE_CB | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES) != ARES_SUCCESS) {
        free(lookup);
        return NULL;
    }
    if (servers && ares_set_servers_ports_csv(lookup->channel, servers) != ARES_SUCCESS) {
        clinux_lookup_close(lookup);
        return NULL;
    }
    return lookup;
}

static enum clinux_lookup_status meaning(int status) {
    switch (status) {
    case ARES_SUCCESS: return CLINUX_LOOKUP_FOUND;
    case ARES_ENODATA:
    case ARES_ENOTFOUND:
    case ARES_ENONAME: return CLINUX_LOOKUP_NOT_FOUND;
    case ARES_EBADNAME:
    case ARES_EBADQUERY: return CLINUX_LOOKUP_BAD_NAME;
    case ARES_ETIMEOUT: return CLINUX_LOOKUP_TIMED_OUT;
    case ARES_EFORMERR:
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
    case ARES_EREFUSED:
    case ARES_EBADRESP:
    case ARES_ECONNREFUSED: return CLINUX_LOOKUP_SERVER_FAILURE;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION: return CLINUX_LOOKUP_CANCELLED;
    default: return CLINUX_LOOKUP_OTHER;
    }
}

static void addresses_done(void *context, int status, int timeouts, struct ares_addrinfo *answer) {
    struct clinux_lookup_calls calls = ((struct clinux_lookup *)context)->calls;
    (void)timeouts;
    if (answer) {
        int shortest = INT32_MAX;
        for (struct ares_addrinfo_cname *alias = answer->cnames; alias; alias = alias->next)
            if (alias->ttl < shortest) shortest = alias->ttl;
        for (struct ares_addrinfo_node *node = answer->nodes; node; node = node->ai_next)
            if (node->ai_addr) calls.address(calls.context, node->ai_addr, node->ai_ttl < shortest ? node->ai_ttl : shortest);
        ares_freeaddrinfo(answer);
    }
    calls.done(calls.context, meaning(status), NULL, 0, ares_strerror(status));
}

static void texts_done(void *context, int status, int timeouts, unsigned char *message, int size) {
    struct clinux_lookup_calls calls = ((struct clinux_lookup *)context)->calls;
    (void)timeouts;
    calls.done(calls.context, meaning(status), message, message && size > 0 ? (size_t)size : 0, ares_strerror(status));
}

void clinux_lookup_addresses(struct clinux_lookup *lookup, const char *name, int family) {
    struct ares_addrinfo_hints hints = {.ai_flags = ARES_AI_NOSORT, .ai_family = family, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(lookup->channel, name, NULL, &hints, addresses_done, lookup);
}

void clinux_lookup_texts(struct clinux_lookup *lookup, const char *name) {
    enum { internet = 1, text = 16 };
    ares_query(lookup->channel, name, internet, text, texts_done, lookup);
}

void clinux_lookup_process(struct clinux_lookup *lookup, int readable, int writable) {
    ares_process_fd(lookup->channel, readable < 0 ? ARES_SOCKET_BAD : readable, writable < 0 ? ARES_SOCKET_BAD : writable);
}

int64_t clinux_lookup_wait(struct clinux_lookup *lookup) {
    struct timeval time;
    struct timeval *wait = ares_timeout(lookup->channel, NULL, &time);
    return wait ? (int64_t)wait->tv_sec * 1000000 + wait->tv_usec : -1;
}

void clinux_lookup_close(struct clinux_lookup *lookup) {
    ares_destroy(lookup->channel);
    free(lookup);
}
