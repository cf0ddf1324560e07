#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
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

union control {
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(uint16_t))];
    struct cmsghdr align;
};

static void read_control(struct msghdr *message, struct clinux_datagram *datagram) {
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control; control = CMSG_NXTHDR(message, control)) {
        if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof info);
            datagram->interface = (uint32_t)info.ipi_ifindex;
            datagram->local_family = AF_INET;
            memcpy(datagram->local, &info.ipi_addr, 4);
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(control), sizeof info);
            datagram->interface = info.ipi6_ifindex;
            datagram->local_family = AF_INET6;
            memcpy(datagram->local, &info.ipi6_addr, 16);
        } else if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_TOS) {
            datagram->congestion = *(uint8_t *)CMSG_DATA(control) & 3;
        } else if (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_TCLASS) {
            int class;
            memcpy(&class, CMSG_DATA(control), sizeof class);
            datagram->congestion = (uint8_t)(class & 3);
        } else if (control->cmsg_level == SOL_UDP && control->cmsg_type == UDP_GRO) {
            int size;
            memcpy(&size, CMSG_DATA(control), sizeof size);
            datagram->segment = (uint16_t)size;
        }
    }
}

int clinux_receive_datagrams(int descriptor, struct clinux_datagram *datagrams, int count) {
    struct mmsghdr messages[CLINUX_DATAGRAM_BATCH];
    struct iovec vectors[CLINUX_DATAGRAM_BATCH];
    union control controls[CLINUX_DATAGRAM_BATCH];
    if (count > CLINUX_DATAGRAM_BATCH) count = CLINUX_DATAGRAM_BATCH;
    for (int index = 0; index < count; index++) {
        struct clinux_datagram *datagram = &datagrams[index];
        vectors[index] = (struct iovec){.iov_base = datagram->bytes, .iov_len = datagram->size};
        messages[index].msg_hdr = (struct msghdr){
            .msg_name = datagram->remote_storage, .msg_namelen = sizeof datagram->remote_storage, .msg_iov = &vectors[index], .msg_iovlen = 1,
            .msg_control = &controls[index], .msg_controllen = sizeof controls[index]};
    }
    int received = recvmmsg(descriptor, messages, (unsigned)count, MSG_DONTWAIT, NULL);
    for (int index = 0; index < received; index++) {
        struct clinux_datagram *datagram = &datagrams[index];
        datagram->size = messages[index].msg_len;
        datagram->truncated = (messages[index].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        datagram->remote_length = messages[index].msg_hdr.msg_namelen;
        datagram->interface = 0;
        datagram->local_family = datagram->congestion = 0;
        datagram->segment = 0;
        read_control(&messages[index].msg_hdr, datagram);
    }
    return received;
}

static void *append_control(struct msghdr *message, int level, int type, size_t size) {
    struct cmsghdr *control = (struct cmsghdr *)((char *)message->msg_control + message->msg_controllen);
    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(size);
    message->msg_controllen += CMSG_SPACE(size);
    return CMSG_DATA(control);
}

int clinux_send_datagrams(int descriptor, int family, const struct clinux_datagram *datagrams, int count) {
    struct mmsghdr messages[CLINUX_DATAGRAM_BATCH];
    struct iovec vectors[CLINUX_DATAGRAM_BATCH];
    union control controls[CLINUX_DATAGRAM_BATCH];
    if (count > CLINUX_DATAGRAM_BATCH) count = CLINUX_DATAGRAM_BATCH;
    for (int index = 0; index < count; index++) {
        const struct clinux_datagram *datagram = &datagrams[index];
        vectors[index] = (struct iovec){.iov_base = datagram->bytes, .iov_len = datagram->size};
        struct msghdr *message = &messages[index].msg_hdr;
        *message = (struct msghdr){
            .msg_name = (void *)datagram->remote, .msg_namelen = datagram->remote_length, .msg_iov = &vectors[index], .msg_iovlen = 1,
            .msg_control = &controls[index], .msg_controllen = 0};
        memset(&controls[index], 0, sizeof controls[index]);
        if (datagram->interface || datagram->local_family) {
            if (family == AF_INET) {
                struct in_pktinfo info = {.ipi_ifindex = (int)datagram->interface};
                if (datagram->local_family == AF_INET) memcpy(&info.ipi_spec_dst, datagram->local, 4);
                memcpy(append_control(message, IPPROTO_IP, IP_PKTINFO, sizeof info), &info, sizeof info);
            } else {
                struct in6_pktinfo info = {.ipi6_ifindex = datagram->interface};
                if (datagram->local_family == AF_INET6) memcpy(&info.ipi6_addr, datagram->local, 16);
                memcpy(append_control(message, IPPROTO_IPV6, IPV6_PKTINFO, sizeof info), &info, sizeof info);
            }
        }
        if (datagram->congestion) {
            int class = datagram->congestion & 3;
            memcpy(append_control(
                message, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, family == AF_INET ? IP_TOS : IPV6_TCLASS, sizeof class), &class, sizeof class);
        }
        if (datagram->segment)
            memcpy(append_control(message, SOL_UDP, UDP_SEGMENT, sizeof datagram->segment), &datagram->segment, sizeof datagram->segment);
        if (!message->msg_controllen) message->msg_control = NULL;
    }
    return sendmmsg(descriptor, messages, (unsigned)count, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int clinux_set_datagram_option(int descriptor, int family, enum clinux_datagram_option option, int value) {
    int v4 = family == AF_INET;
    int level = v4 ? IPPROTO_IP : IPPROTO_IPV6;
    int name = 0;
    switch (option) {
    case CLINUX_PACKET_INFORMATION: name = v4 ? IP_PKTINFO : IPV6_RECVPKTINFO; break;
    case CLINUX_CONGESTION_MARKS: name = v4 ? IP_RECVTOS : IPV6_RECVTCLASS; break;
    case CLINUX_JOIN_SEGMENTS: level = SOL_UDP, name = UDP_GRO; break;
    case CLINUX_MULTICAST_HOPS: name = v4 ? IP_MULTICAST_TTL : IPV6_MULTICAST_HOPS; break;
    case CLINUX_MULTICAST_LOOP: name = v4 ? IP_MULTICAST_LOOP : IPV6_MULTICAST_LOOP; break;
    case CLINUX_ONLY_JOINED_GROUPS: name = v4 ? IP_MULTICAST_ALL : IPV6_MULTICAST_ALL, value = !value; break;
    }
    return setsockopt(descriptor, level, name, &value, sizeof value);
}

int clinux_join_group(int descriptor, int family, const void *group, uint32_t interface, int join) {
    if (family == AF_INET) {
        struct ip_mreqn request = {.imr_ifindex = (int)interface};
        memcpy(&request.imr_multiaddr, group, 4);
        return setsockopt(descriptor, IPPROTO_IP, join ? IP_ADD_MEMBERSHIP : IP_DROP_MEMBERSHIP, &request, sizeof request);
    }
    struct ipv6_mreq request = {.ipv6mr_interface = interface};
    memcpy(&request.ipv6mr_multiaddr, group, 16);
    return setsockopt(descriptor, IPPROTO_IPV6, join ? IPV6_JOIN_GROUP : IPV6_LEAVE_GROUP, &request, sizeof request);
}

void clinux_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }
