#include "ckernels.h"

#include <stdatomic.h>

static atomic_int limit = CK_AVX512;
static atomic_int detected = -1;

static int detect(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    // All processors with AVX2 have the others too, but a virtual machine may hide some.
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2") ||
        !__builtin_cpu_supports("popcnt"))
        return CK_PORTABLE;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq"))
        return CK_AVX512;
    return CK_AVX2;
#else
    return CK_PORTABLE;
#endif
}

int ck_current_level(void) {
    int level = atomic_load_explicit(&detected, memory_order_relaxed);
    if (level < 0) {
        level = detect();
        atomic_store_explicit(&detected, level, memory_order_relaxed);
    }
    int most = atomic_load_explicit(&limit, memory_order_relaxed);
    return level < most ? level : most;
}

void ck_limit_level(int level) { atomic_store_explicit(&limit, level, memory_order_relaxed); }
