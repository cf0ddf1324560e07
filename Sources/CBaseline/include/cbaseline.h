// A plain epoll server and the clients that load it: what the benchmarks compare the event loop with.
#pragma once
#include <stdint.h>

enum { cbaseline_echo, cbaseline_sink, cbaseline_source };

// Serves on a loopback port of its own, from one thread, until the end of the process. Returns the port, or -1.
int cbaseline_serve(int mode);

// Processor time so far, in nanoseconds, of the thread that serves `mode` and of the calling thread.
double cbaseline_server_time(int mode);
double cbaseline_thread_time(void);

// Messages of 64 bytes a second over `connections` connections, one under way on each; 0 on failure.
double cbaseline_messages(int port, int connections, long count);

// Median round trip of one byte in nanoseconds.
double cbaseline_round_trip(int port, int count);

// Bytes a second of one stream to a sink or from a source.
double cbaseline_push(int port, int64_t bytes);
double cbaseline_pull(int port, int64_t bytes);
