#include "cbaseline.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static double on_clock(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

static double now(void) { return on_clock(CLOCK_MONOTONIC); }

static pthread_t threads[3];

double cbaseline_server_time(int mode) {
    clockid_t clock;
    return pthread_getcpuclockid(threads[mode], &clock) ? 0 : on_clock(clock);
}

double cbaseline_thread_time(void) { return on_clock(CLOCK_THREAD_CPUTIME_ID); }

static void no_delay(int descriptor) {
    int on = 1;
    setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

struct server {
    int mode;
    int listener;
};

static void handle(int descriptor, int mode, char *buffer) {
    if (mode == cbaseline_source) {
        if (send(descriptor, buffer, 65536, MSG_NOSIGNAL) < 0 && errno != EAGAIN) close(descriptor);
        return;
    }
    ssize_t length = read(descriptor, buffer, 65536);
    if (length <= 0) {
        if (length == 0 || errno != EAGAIN) close(descriptor);
        return;
    }
    for (ssize_t sent = 0; mode == cbaseline_echo && sent < length;) {
        ssize_t part = send(descriptor, buffer + sent, (size_t)(length - sent), MSG_NOSIGNAL);
        if (part > 0) {
            sent += part;
        } else if (errno != EAGAIN) {
            close(descriptor);
            return;
        }
    }
}

static void *serve(void *argument) {
    struct server *server = argument;
    char *buffer = calloc(1, 65536);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = server->listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, server->listener, &event);
    struct epoll_event events[256];
    for (;;) {
        int count = epoll_wait(epoll, events, 256, -1);
        for (int index = 0; index < count; index++) {
            int descriptor = events[index].data.fd;
            if (descriptor != server->listener) {
                handle(descriptor, server->mode, buffer);
                continue;
            }
            int connection = accept4(descriptor, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
            if (connection < 0) continue;
            no_delay(connection);
            struct epoll_event watch = {
                .events = server->mode == cbaseline_source ? EPOLLOUT : EPOLLIN, .data.fd = connection};
            epoll_ctl(epoll, EPOLL_CTL_ADD, connection, &watch);
        }
    }
    return NULL;
}

int cbaseline_serve(int mode) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        return -1;
    struct server *server = malloc(sizeof *server);
    *server = (struct server){.mode = mode, .listener = listener};
    if (pthread_create(&threads[mode], NULL, serve, server)) return -1;
    return ntohs(address.sin_port);
}

static int dial(int port) {
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) return -1;
    if (connect(descriptor, (struct sockaddr *)&address, sizeof address)) {
        close(descriptor);
        return -1;
    }
    no_delay(descriptor);
    return descriptor;
}

double cbaseline_messages(int port, int connections, long count) {
    char buffer[4096] = {0};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int *descriptors = malloc(sizeof(int) * (size_t)connections);
    for (int index = 0; index < connections; index++) {
        descriptors[index] = dial(port);
        if (descriptors[index] < 0) return 0;
        struct epoll_event event = {.events = EPOLLIN, .data.fd = descriptors[index]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, descriptors[index], &event);
    }
    double start = now();
    for (int index = 0; index < connections; index++)
        if (write(descriptors[index], buffer, 64) != 64) return 0;
    struct epoll_event events[256];
    for (long done = 0; done < count;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int index = 0; index < ready; index++) {
            if (read(events[index].data.fd, buffer, sizeof buffer) <= 0) return 0;
            done++;
            if (write(events[index].data.fd, buffer, 64) != 64) return 0;
        }
    }
    double elapsed = now() - start;
    for (int index = 0; index < connections; index++) close(descriptors[index]);
    free(descriptors);
    close(epoll);
    return (double)count / elapsed * 1e9;
}

static int ascending(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return a < b ? -1 : a > b;
}

double cbaseline_round_trip(int port, int count) {
    int descriptor = dial(port);
    if (descriptor < 0) return 0;
    double *times = malloc(sizeof(double) * (size_t)count);
    char byte = 1;
    for (int index = 0; index < count; index++) {
        double start = now();
        if (write(descriptor, &byte, 1) != 1 || read(descriptor, &byte, 1) != 1) return 0;
        times[index] = now() - start;
    }
    qsort(times, (size_t)count, sizeof(double), ascending);
    double median = times[count / 2];
    free(times);
    close(descriptor);
    return median;
}

double cbaseline_push(int port, int64_t bytes) {
    int descriptor = dial(port);
    char *buffer = calloc(1, 65536);
    if (descriptor < 0 || !buffer) return 0;
    double start = now();
    for (int64_t left = bytes; left > 0;) {
        ssize_t sent = write(descriptor, buffer, 65536);
        if (sent <= 0) return 0;
        left -= sent;
    }
    shutdown(descriptor, SHUT_WR);
    while (read(descriptor, buffer, 65536) > 0) {}
    double elapsed = now() - start;
    close(descriptor);
    free(buffer);
    return (double)bytes / elapsed * 1e9;
}

double cbaseline_pull(int port, int64_t bytes) {
    int descriptor = dial(port);
    char *buffer = malloc(262144);
    if (descriptor < 0 || !buffer) return 0;
    double start = now();
    for (int64_t left = bytes; left > 0;) {
        ssize_t received = read(descriptor, buffer, 262144);
        if (received <= 0) return 0;
        left -= received;
    }
    double elapsed = now() - start;
    close(descriptor);
    free(buffer);
    return (double)bytes / elapsed * 1e9;
}
