#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

__thread void *clinux_current_loop_slot;

int clinux_event_descriptor(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

int clinux_core_count(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}

int clinux_accept(int listener, struct sockaddr *address, unsigned int *length) {
    return accept4(listener, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int clinux_pipe(int *ends) { return pipe2(ends, O_NONBLOCK | O_CLOEXEC); }

int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags | O_CLOEXEC, mode); }

int clinux_random(void *buffer, size_t count) {
    uint8_t *position = buffer;
    while (count > 0) {
        ssize_t filled = getrandom(position, count, 0);
        if (filled < 0) {
            if (errno == EINTR) continue;
            return -1;
        }
        position += filled;
        count -= (size_t)filled;
    }
    return 0;
}

int clinux_epoll_wait(int epoll, struct epoll_event *events, int capacity, int64_t nanoseconds) {
    // epoll_pwait2 came with Linux 5.11; before it the time-out is rounded up to milliseconds.
    static atomic_bool coarse;
    if (nanoseconds <= 0) return epoll_wait(epoll, events, capacity, nanoseconds < 0 ? -1 : 0);
    if (!atomic_load_explicit(&coarse, memory_order_relaxed)) {
        struct timespec timeout = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000};
        int count = epoll_pwait2(epoll, events, capacity, &timeout, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
        atomic_store_explicit(&coarse, 1, memory_order_relaxed);
    }
    int64_t milliseconds = (nanoseconds + 999999) / 1000000;
    return epoll_wait(epoll, events, capacity, milliseconds > 86400000 ? 86400000 : (int)milliseconds);
}

static atomic_int signal_descriptor[65];

static void write_signal(int signal) {
    int saved = errno;
    uint8_t number = (uint8_t)signal;
    ssize_t written = write(atomic_load(&signal_descriptor[signal]), &number, 1);
    (void)written;  // A full pipe has told the signal already.
    errno = saved;
}

int clinux_catch_signal(int signal, int descriptor) {
    if (signal < 1 || signal > 64) {
        errno = EINVAL;
        return -1;
    }
    atomic_store(&signal_descriptor[signal], descriptor);
    struct sigaction action = {.sa_handler = write_signal, .sa_flags = SA_RESTART};
    return sigaction(signal, &action, NULL);
}

int clinux_release_signal(int signal) {
    struct sigaction action = {.sa_handler = SIG_DFL};
    return sigaction(signal, &action, NULL);
}

int clinux_ignore_signal(int signal) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    return sigaction(signal, &action, NULL);
}

void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }
