#pragma once
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

// Swift cannot call variadic functions; these are the calls that Waggle makes.

static inline socklen_t waggle_http_address(struct sockaddr_storage *out, const uint8_t *ip, int ip_length, uint16_t port) {
    memset(out, 0, sizeof *out);
    if (ip_length == 4) {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, ip, 4);
        return sizeof *in;
    }
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    memcpy(&in6->sin6_addr, ip, 16);
    return sizeof *in6;
}

// Connections on which nothing moves for idle_seconds are closed (0: never), but none that waits for us.
// Starts a server with one thread; on failure returns NULL and sets *error to errno. With poll, because the library's epoll mode takes a
// short read for the end of what is there and so can miss that a client has left.
static inline struct MHD_Daemon *waggle_http_start(
    const uint8_t *ip, int ip_length, uint16_t port, unsigned connection_limit, size_t memory_per_connection, unsigned idle_seconds,
    MHD_AccessHandlerCallback handler, MHD_RequestCompletedCallback completed, void *context, int *error) {
    struct sockaddr_storage address;
    waggle_http_address(&address, ip, ip_length, port);
    errno = 0;
    struct MHD_Daemon *daemon = MHD_start_daemon(
        MHD_USE_POLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | (ip_length == 16 ? MHD_USE_IPv6 : 0), port, NULL, NULL, handler,
        context, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_CONNECTION_LIMIT, connection_limit,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, memory_per_connection, MHD_OPTION_CONNECTION_TIMEOUT, idle_seconds, MHD_OPTION_NOTIFY_COMPLETED, completed, context,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, 0u, MHD_OPTION_END);
    *error = errno;
    return daemon;
}

static inline uint16_t waggle_http_port(struct MHD_Daemon *daemon) {
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info ? info->port : 0;
}

// Whether the client has closed the connection: nothing is left to read and nothing will come.
static inline int waggle_http_has_left(struct MHD_Connection *connection) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (!info) return 0;
    char byte;
    ssize_t count = recv(info->connect_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return count == 0 || (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

// The peer's address, in 4 or 16 bytes; returns its length or 0.
static inline int waggle_http_peer(struct MHD_Connection *connection, uint8_t *out) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info || !info->client_addr) return 0;
    if (info->client_addr->sa_family == AF_INET) {
        memcpy(out, &((struct sockaddr_in *)info->client_addr)->sin_addr, 4);
        return 4;
    }
    if (info->client_addr->sa_family == AF_INET6) {
        memcpy(out, &((struct sockaddr_in6 *)info->client_addr)->sin6_addr, 16);
        return 16;
    }
    return 0;
}
