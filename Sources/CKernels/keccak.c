// Keccak-f[1600]: one round is written once, as a macro over the vector type, and compiled for one, four and eight states.

#include "ckernels.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

static const uint64_t round_constants[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000, 0x000000000000808b, 0x0000000080000001,
    0x8000000080008081, 0x8000000000008009, 0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003, 0x8000000000008002, 0x8000000000000080,
    0x000000000000800a, 0x800000008000000a, 0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008,
};

// Lanes are named a0 … a24, lane x + 5y as in FIPS 202, so that the compiler keeps as many as it can in registers.
#define EACH_LANE(DO) \
    DO(0) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14) DO(15) DO(16) DO(17) \
    DO(18) DO(19) DO(20) DO(21) DO(22) DO(23) DO(24)

// One round from the lanes a… into the lanes e…, or back: theta (column parities c, corrections d); then for each row of the result
// rho and pi (five rotated lanes b), chi and iota. Going to and fro between two sets of names saves the copies that a round in
// place would need.
#define ROUND(TYPE, A, E, XOR5, ROTATE, CHI, CONSTANT) \
    { \
        TYPE c0 = XOR5(A##0, A##5, A##10, A##15, A##20), c1 = XOR5(A##1, A##6, A##11, A##16, A##21), \
             c2 = XOR5(A##2, A##7, A##12, A##17, A##22), c3 = XOR5(A##3, A##8, A##13, A##18, A##23), \
             c4 = XOR5(A##4, A##9, A##14, A##19, A##24); \
        TYPE d0 = c4 ^ ROTATE(c1, 1), d1 = c0 ^ ROTATE(c2, 1), d2 = c1 ^ ROTATE(c3, 1), d3 = c2 ^ ROTATE(c4, 1), \
             d4 = c3 ^ ROTATE(c0, 1); \
        TYPE b0 = A##0 ^ d0, b1 = ROTATE(A##6 ^ d1, 44), b2 = ROTATE(A##12 ^ d2, 43), b3 = ROTATE(A##18 ^ d3, 21), \
             b4 = ROTATE(A##24 ^ d4, 14); \
        E##0 = CHI(b0, b1, b2) ^ (CONSTANT), E##1 = CHI(b1, b2, b3), E##2 = CHI(b2, b3, b4), E##3 = CHI(b3, b4, b0), \
        E##4 = CHI(b4, b0, b1); \
        b0 = ROTATE(A##3 ^ d3, 28), b1 = ROTATE(A##9 ^ d4, 20), b2 = ROTATE(A##10 ^ d0, 3), b3 = ROTATE(A##16 ^ d1, 45), \
        b4 = ROTATE(A##22 ^ d2, 61); \
        E##5 = CHI(b0, b1, b2), E##6 = CHI(b1, b2, b3), E##7 = CHI(b2, b3, b4), E##8 = CHI(b3, b4, b0), E##9 = CHI(b4, b0, b1); \
        b0 = ROTATE(A##1 ^ d1, 1), b1 = ROTATE(A##7 ^ d2, 6), b2 = ROTATE(A##13 ^ d3, 25), b3 = ROTATE(A##19 ^ d4, 8), \
        b4 = ROTATE(A##20 ^ d0, 18); \
        E##10 = CHI(b0, b1, b2), E##11 = CHI(b1, b2, b3), E##12 = CHI(b2, b3, b4), E##13 = CHI(b3, b4, b0), \
        E##14 = CHI(b4, b0, b1); \
        b0 = ROTATE(A##4 ^ d4, 27), b1 = ROTATE(A##5 ^ d0, 36), b2 = ROTATE(A##11 ^ d1, 10), b3 = ROTATE(A##17 ^ d2, 15), \
        b4 = ROTATE(A##23 ^ d3, 56); \
        E##15 = CHI(b0, b1, b2), E##16 = CHI(b1, b2, b3), E##17 = CHI(b2, b3, b4), E##18 = CHI(b3, b4, b0), \
        E##19 = CHI(b4, b0, b1); \
        b0 = ROTATE(A##2 ^ d2, 62), b1 = ROTATE(A##8 ^ d3, 55), b2 = ROTATE(A##14 ^ d4, 39), b3 = ROTATE(A##15 ^ d0, 41), \
        b4 = ROTATE(A##21 ^ d1, 2); \
        E##20 = CHI(b0, b1, b2), E##21 = CHI(b1, b2, b3), E##22 = CHI(b2, b3, b4), E##23 = CHI(b3, b4, b0), \
        E##24 = CHI(b4, b0, b1); \
    }

#define PERMUTATION(TYPE, XOR5, ROTATE, CHI, SPREAD) \
    for (int round = 0; round < 24; round += 2) { \
        ROUND(TYPE, a, e, XOR5, ROTATE, CHI, SPREAD(round_constants[round])) \
        ROUND(TYPE, e, a, XOR5, ROTATE, CHI, SPREAD(round_constants[round + 1])) \
    }

#define ROTATE_PLAIN(a, n) (((a) << (n)) | ((a) >> (64 - (n))))
#define XOR5_PLAIN(a, b, c, d, e) ((a) ^ (b) ^ (c) ^ (d) ^ (e))
#define CHI_PLAIN(x, y, z) ((x) ^ (~(y) & (z)))

#define ALL1(c) (c)

#define LOAD(i) uint64_t a##i = state[i], e##i;
#define STORE(i) state[i] = a##i;

// Absorbs and permutes block after block; with no data it permutes once. The body is shared by two functions that differ only in
// the instructions the compiler may use: BMI has and-not and a rotation that leaves its source alone.
#define ABSORB_BODY \
    EACH_LANE(LOAD) \
    for (size_t block = 0; block < blocks; block++) { \
        if (data) { \
            uint64_t lane[25] = {0}; \
            memcpy(lane, data, rate); \
            data += rate; \
            EACH_LANE(XOR_LANE) \
        } \
        PERMUTATION(uint64_t, XOR5_PLAIN, ROTATE_PLAIN, CHI_PLAIN, ALL1) \
    } \
    EACH_LANE(STORE)
#define XOR_LANE(i) a##i ^= lane[i];

static void absorb_portable(uint64_t state[25], const uint8_t *data, size_t rate, size_t blocks) { ABSORB_BODY }

#if defined(__x86_64__)
__attribute__((target("bmi,bmi2"))) static void absorb_bmi(uint64_t state[25], const uint8_t *data, size_t rate, size_t blocks) {
    ABSORB_BODY
}
#endif

void ck_keccak_absorb(uint64_t state[25], const uint8_t *data, size_t rate, size_t blocks) {
#if defined(__x86_64__)
    if (ck_current_level() >= CK_AVX2) {
        absorb_bmi(state, data, rate, blocks);
        return;
    }
#endif
    absorb_portable(state, data, rate, blocks);
}

void ck_keccak(uint64_t state[25]) { ck_keccak_absorb(state, NULL, 0, 1); }

#undef LOAD
#undef STORE

// Several states at once.

// One state after the other, where the processor has no wide registers.
static void permute_each(uint64_t *states, int count) {
    uint64_t state[25];
    for (int j = 0; j < count; j++) {
        for (int i = 0; i < 25; i++) state[i] = states[count * i + j];
        ck_keccak(state);
        for (int i = 0; i < 25; i++) states[count * i + j] = state[i];
    }
}

#if defined(__x86_64__)

typedef uint64_t lane_x4 __attribute__((vector_size(32), aligned(8)));
typedef uint64_t lane_x8 __attribute__((vector_size(64), aligned(8)));

#define LOAD(i) lane_x4 a##i = ((const lane_x4 *)states)[i], e##i;
#define STORE(i) ((lane_x4 *)states)[i] = a##i;
#define ALL4(c) ((lane_x4){(c), (c), (c), (c)})

__attribute__((target("avx2"))) static void permute_x4_avx2(uint64_t *states) {
    EACH_LANE(LOAD)
    PERMUTATION(lane_x4, XOR5_PLAIN, ROTATE_PLAIN, CHI_PLAIN, ALL4)
    EACH_LANE(STORE)
}

// AVX-512 has a rotation and any function of three inputs in one instruction: 0x96 is a ^ b ^ c, 0xd2 is a ^ (~b & c).
#define TERNARY4(a, b, c, f) ((lane_x4)_mm256_ternarylogic_epi64((__m256i)(a), (__m256i)(b), (__m256i)(c), f))
#define XOR5_X4(a, b, c, d, e) TERNARY4(TERNARY4(a, b, c, 0x96), d, e, 0x96)
#define CHI_X4(x, y, z) TERNARY4(x, y, z, 0xd2)
#define ROTATE_X4(a, n) ((lane_x4)_mm256_rol_epi64((__m256i)(a), n))

__attribute__((target("avx512f,avx512vl"))) static void permute_x4_avx512(uint64_t *states) {
    EACH_LANE(LOAD)
    PERMUTATION(lane_x4, XOR5_X4, ROTATE_X4, CHI_X4, ALL4)
    EACH_LANE(STORE)
}

#undef LOAD
#undef STORE
#define LOAD(i) lane_x8 a##i = ((const lane_x8 *)states)[i], e##i;
#define STORE(i) ((lane_x8 *)states)[i] = a##i;
#define ALL8(c) ((lane_x8){(c), (c), (c), (c), (c), (c), (c), (c)})
#define TERNARY8(a, b, c, f) ((lane_x8)_mm512_ternarylogic_epi64((__m512i)(a), (__m512i)(b), (__m512i)(c), f))
#define XOR5_X8(a, b, c, d, e) TERNARY8(TERNARY8(a, b, c, 0x96), d, e, 0x96)
#define CHI_X8(x, y, z) TERNARY8(x, y, z, 0xd2)
#define ROTATE_X8(a, n) ((lane_x8)_mm512_rol_epi64((__m512i)(a), n))

__attribute__((target("avx512f,avx512vl"))) static void permute_x8_avx512(uint64_t *states) {
    EACH_LANE(LOAD)
    PERMUTATION(lane_x8, XOR5_X8, ROTATE_X8, CHI_X8, ALL8)
    EACH_LANE(STORE)
}

#undef LOAD
#undef STORE

// Without AVX-512, eight states go as two fours.
static void permute_x8_avx2(uint64_t *states) {
    uint64_t half[100];
    for (int first = 0; first < 8; first += 4) {
        for (int i = 0; i < 25; i++) memcpy(half + 4 * i, states + 8 * i + first, 32);
        permute_x4_avx2(half);
        for (int i = 0; i < 25; i++) memcpy(states + 8 * i + first, half + 4 * i, 32);
    }
}

void ck_keccak_x4(uint64_t states[100]) {
    switch (ck_current_level()) {
    case CK_AVX512: permute_x4_avx512(states); return;
    case CK_AVX2: permute_x4_avx2(states); return;
    default: permute_each(states, 4);
    }
}

void ck_keccak_x8(uint64_t states[200]) {
    switch (ck_current_level()) {
    case CK_AVX512: permute_x8_avx512(states); return;
    case CK_AVX2: permute_x8_avx2(states); return;
    default: permute_each(states, 8);
    }
}

#else

void ck_keccak_x4(uint64_t states[100]) { permute_each(states, 4); }
void ck_keccak_x8(uint64_t states[200]) { permute_each(states, 8); }

#endif

void ck_keccak_x8_extract(const uint64_t states[200], uint8_t *out, size_t stride, size_t lanes) {
    for (size_t j = 0; j < 8; j++)
        for (size_t i = 0; i < lanes; i++) memcpy(out + j * stride + 8 * i, &states[8 * i + j], 8);
}
