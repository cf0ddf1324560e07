// ML-KEM's arithmetic in plain C, and the choice between it and the AVX2 form (mlkem_avx2.c).

#include "ckernels.h"
#include "mlkem_avx2.h"
#include "mlkem_tables.h"

// Hides from the compiler what it knows about a secret value, so that it cannot turn arithmetic on it into a branch.
static inline uint32_t opaque(uint32_t value) {
    __asm__("" : "+r"(value));
    return value;
}

// Montgomery reduction: a * 2^-16 modulo q, of magnitude below q, for |a| < q * 2^15.
static inline int16_t montgomery(int32_t a) {
    int16_t factor = (int16_t)((uint32_t)a * (uint32_t)Q_INVERSE);
    return (int16_t)((a - (int32_t)factor * Q) >> 16);
}

static inline int16_t multiply(int16_t a, int16_t b) { return montgomery((int32_t)a * b); }

// Barrett reduction to magnitude (q + 1) / 2; 20159 is 2^26 / q, rounded.
static inline int16_t barrett(int16_t a) {
    int16_t quotient = (int16_t)(((int32_t)20159 * a + (1 << 25)) >> 26);
    return (int16_t)(a - quotient * Q);
}

// The representative in 0 ..< q.
static inline uint16_t canonical(int16_t a) {
    int16_t reduced = barrett(a);
    return (uint16_t)(reduced + ((reduced >> 15) & Q));
}

// Transforms.

static void ntt_portable(int16_t p[256]) {
    for (int length = 128, blocks = 1; length >= 2; length /= 2, blocks *= 2) {
        for (int block = 0; block < blocks; block++) {
            int16_t zeta = zetas[blocks + block];
            int16_t *low = p + 2 * length * block, *high = low + length;
            for (int j = 0; j < length; j++) {
                int16_t t = multiply(zeta, high[j]);
                high[j] = (int16_t)(low[j] - t);
                low[j] = (int16_t)(low[j] + t);
            }
        }
    }
    // Each of the seven layers added less than q, so the sums are below 8q and still fit.
    for (int i = 0; i < 256; i++) p[i] = barrett(p[i]);
}

static void inverse_ntt_portable(int16_t p[256]) {
    for (int length = 2, blocks = 64; length <= 128; length *= 2, blocks /= 2) {
        for (int block = 0; block < blocks; block++) {
            int16_t zeta = mirrored_zetas[blocks + block];
            int16_t *low = p + 2 * length * block, *high = low + length;
            for (int j = 0; j < length; j++) {
                int16_t t = low[j];
                low[j] = barrett((int16_t)(t + high[j]));
                high[j] = multiply(zeta, (int16_t)(high[j] - t));
            }
        }
    }
    // 1441 = 2^32 / 128 modulo q: divides by the 128 of the transform and leaves one factor 2^16.
    for (int i = 0; i < 256; i++) p[i] = multiply(p[i], 1441);
}

void ck_mlkem_ntt(int16_t p[256]) {
    if (ck_current_level() >= CK_AVX2) ck_avx2_ntt(p);
    else ntt_portable(p);
}

void ck_mlkem_inverse_ntt(int16_t p[256]) {
    if (ck_current_level() >= CK_AVX2) ck_avx2_inverse_ntt(p);
    else inverse_ntt_portable(p);
}

// Products.

static void prepare_portable(int16_t prepared[512], const int16_t b[256]) {
    for (int i = 0; i < 128; i++) {
        // The roots of neighbouring pairs differ in their sign only.
        int16_t zeta = i % 2 == 0 ? zetas[64 + i / 2] : (int16_t)-zetas[64 + i / 2];
        prepared[2 * i] = b[2 * i];
        prepared[2 * i + 1] = multiply(b[2 * i + 1], zeta);
        prepared[256 + 2 * i] = b[2 * i + 1];
        prepared[256 + 2 * i + 1] = b[2 * i];
    }
}

// Six products of 4095 * 1665 stay far below q * 2^15, so one reduction serves for the sum.
static void dot_portable(int16_t out[256], const int16_t *left, size_t step, const int16_t right[1536]) {
    for (int i = 0; i < 256; i += 2) {
        int32_t even = 0, odd = 0;
        for (int j = 0; j < 3; j++) {
            const int16_t *a = left + 256 * step * (size_t)j + i;
            const int16_t *b = right + 512 * j + i;
            even += (int32_t)a[0] * b[0] + (int32_t)a[1] * b[1];
            odd += (int32_t)a[0] * b[256] + (int32_t)a[1] * b[257];
        }
        out[i] = montgomery(even);
        out[i + 1] = montgomery(odd);
    }
}

void ck_mlkem_prepare(int16_t prepared[512], const int16_t b[256]) {
    if (ck_current_level() >= CK_AVX2) ck_avx2_prepare(prepared, b);
    else prepare_portable(prepared, b);
}

void ck_mlkem_dot(int16_t out[256], const int16_t *left, size_t step, const int16_t right[1536]) {
    if (ck_current_level() >= CK_AVX2) ck_avx2_dot(out, left, step, right);
    else dot_portable(out, left, step, right);
}

// Loops that the compiler vectorises by itself: one body, compiled twice.

static inline __attribute__((always_inline)) void lift_add(int16_t p[256], const int16_t addend[256]) {
    // 1353 = 2^32 modulo q.
    for (int i = 0; i < 256; i++) p[i] = barrett((int16_t)(multiply(p[i], 1353) + addend[i]));
}

static inline __attribute__((always_inline)) void sample_binomial(int16_t p[256], const uint8_t bytes[128]) {
    for (int i = 0; i < 128; i++) {
        // Pairs of bits are added in place: each half of the byte then has two sums of 0 to 2.
        uint8_t sums = (uint8_t)((bytes[i] & 0x55) + ((bytes[i] >> 1) & 0x55));
        p[2 * i] = (int16_t)((sums & 3) - ((sums >> 2) & 3));
        p[2 * i + 1] = (int16_t)(((sums >> 4) & 3) - (sums >> 6));
    }
}

static inline __attribute__((always_inline)) void encode12(uint8_t bytes[384], const int16_t p[256]) {
    uint16_t value[256];
    for (int i = 0; i < 256; i++) value[i] = canonical(p[i]);
    for (int i = 0; i < 128; i++) {
        uint32_t pair = value[2 * i] | (uint32_t)value[2 * i + 1] << 12;
        bytes[3 * i] = (uint8_t)pair;
        bytes[3 * i + 1] = (uint8_t)(pair >> 8);
        bytes[3 * i + 2] = (uint8_t)(pair >> 16);
    }
}

static inline __attribute__((always_inline)) void compress10(uint8_t bytes[320], const int16_t p[256]) {
    uint16_t value[256];
    // x * 1024 / q, rounded: the multiplier is 2^30 / q rounded up, so the added half is a little less than half. Exact for all x.
    for (int i = 0; i < 256; i++) value[i] = (uint16_t)(((uint32_t)canonical(p[i]) * 322542 + 524000) >> 20 & 1023);
    for (int i = 0; i < 64; i++) {
        const uint16_t *v = value + 4 * i;
        uint64_t four = v[0] | (uint64_t)v[1] << 10 | (uint64_t)v[2] << 20 | (uint64_t)v[3] << 30;
        for (int byte = 0; byte < 5; byte++) bytes[5 * i + byte] = (uint8_t)(four >> (8 * byte));
    }
}

static inline __attribute__((always_inline)) void compress4(uint8_t bytes[128], const int16_t p[256]) {
    uint8_t value[256];
    // x * 16 / q, rounded, with 2^26 / q as multiplier. Exact for all x.
    for (int i = 0; i < 256; i++) value[i] = (uint8_t)(((uint32_t)canonical(p[i]) * 20159 + (1 << 21)) >> 22 & 15);
    for (int i = 0; i < 128; i++) bytes[i] = (uint8_t)(value[2 * i] | value[2 * i + 1] << 4);
}

static inline __attribute__((always_inline)) void decompress10(int16_t p[256], const uint8_t bytes[320]) {
    for (int i = 0; i < 64; i++) {
        uint64_t four = 0;
        for (int byte = 0; byte < 5; byte++) four |= (uint64_t)bytes[5 * i + byte] << (8 * byte);
        for (int j = 0; j < 4; j++) p[4 * i + j] = (int16_t)(((uint32_t)(four >> (10 * j) & 1023) * Q + 512) >> 10);
    }
}

static inline __attribute__((always_inline)) void extract_message(uint8_t message[32], const int16_t p[256]) {
    uint8_t bit[256];
    // 1 where 2x / q rounds to 1 modulo 2, with 2^26 / q as multiplier. Exact for all x.
    for (int i = 0; i < 256; i++) bit[i] = (uint8_t)(((uint32_t)canonical(p[i]) * 20159 + (1 << 24)) >> 25 & 1);
    for (int i = 0; i < 32; i++) {
        uint32_t byte = 0;
        for (int j = 0; j < 8; j++) byte |= (uint32_t)bit[8 * i + j] << j;
        message[i] = (uint8_t)byte;
    }
}

#if defined(__x86_64__)
#define COMPILED_TWICE(NAME, PARAMETERS, ARGUMENTS) \
    __attribute__((target("avx2,bmi,bmi2"))) static void NAME##_avx2 PARAMETERS { NAME ARGUMENTS; } \
    void ck_mlkem_##NAME PARAMETERS { \
        if (ck_current_level() >= CK_AVX2) NAME##_avx2 ARGUMENTS; \
        else NAME ARGUMENTS; \
    }
#else
#define COMPILED_TWICE(NAME, PARAMETERS, ARGUMENTS) \
    void ck_mlkem_##NAME PARAMETERS { NAME ARGUMENTS; }
#endif

COMPILED_TWICE(lift_add, (int16_t p[256], const int16_t addend[256]), (p, addend))
COMPILED_TWICE(sample_binomial, (int16_t p[256], const uint8_t bytes[128]), (p, bytes))
COMPILED_TWICE(encode12, (uint8_t bytes[384], const int16_t p[256]), (bytes, p))
COMPILED_TWICE(compress10, (uint8_t bytes[320], const int16_t p[256]), (bytes, p))
COMPILED_TWICE(compress4, (uint8_t bytes[128], const int16_t p[256]), (bytes, p))
COMPILED_TWICE(decompress10, (int16_t p[256], const uint8_t bytes[320]), (p, bytes))
COMPILED_TWICE(extract_message, (uint8_t message[32], const int16_t p[256]), (message, p))

// Loops that gain nothing from it.

void ck_mlkem_add(int16_t p[256], const int16_t addend[256]) {
    for (int i = 0; i < 256; i++) p[i] = (int16_t)(p[i] + addend[i]);
}

void ck_mlkem_subtract_from(int16_t p[256], const int16_t minuend[256]) {
    for (int i = 0; i < 256; i++) p[i] = (int16_t)(minuend[i] - p[i]);
}

bool ck_mlkem_decode12(int16_t p[256], const uint8_t bytes[384]) {
    uint32_t excess = 0;
    for (int i = 0; i < 128; i++) {
        uint32_t three = bytes[3 * i] | (uint32_t)bytes[3 * i + 1] << 8 | (uint32_t)bytes[3 * i + 2] << 16;
        p[2 * i] = (int16_t)(three & 0xfff);
        p[2 * i + 1] = (int16_t)(three >> 12);
    }
    // The sign bit of q - 1 - x tells x >= q.
    for (int i = 0; i < 256; i++) excess |= (uint32_t)(Q - 1 - p[i]);
    return excess >> 31 == 0;
}

void ck_mlkem_decompress4(int16_t p[256], const uint8_t bytes[128]) {
    for (int i = 0; i < 128; i++) {
        p[2 * i] = (int16_t)(((uint32_t)(bytes[i] & 15) * Q + 8) >> 4);
        p[2 * i + 1] = (int16_t)(((uint32_t)(bytes[i] >> 4) * Q + 8) >> 4);
    }
}

void ck_mlkem_add_message(int16_t p[256], const uint8_t message[32]) {
    for (int i = 0; i < 32; i++) {
        uint32_t byte = opaque(message[i]);
        // (q + 1) / 2 for a set bit, as a product, which no compiler makes a branch of while it cannot know the factor.
        for (int j = 0; j < 8; j++) p[8 * i + j] = (int16_t)(p[8 * i + j] + (int16_t)(opaque(byte >> j & 1) * ((Q + 1) / 2)));
    }
}

static size_t reject_portable(int16_t p[256], size_t have, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i + 3 <= length && have < 256; i += 3) {
        uint32_t three = bytes[i] | (uint32_t)bytes[i + 1] << 8 | (uint32_t)bytes[i + 2] << 16;
        uint16_t first = three & 0xfff, second = (uint16_t)(three >> 12);
        p[have] = (int16_t)first;
        have += first < Q;
        if (have == 256) break;
        p[have] = (int16_t)second;
        have += second < Q;
    }
    return have;
}

size_t ck_mlkem_reject(int16_t p[256], size_t have, const uint8_t *bytes, size_t length) {
    if (ck_current_level() >= CK_AVX2) {
        size_t consumed = 0;
        have = ck_avx2_reject(p, have, bytes, length, &consumed);
        bytes += consumed;
        length -= consumed;
    }
    return reject_portable(p, have, bytes, length);
}

void ck_select_if_equal(
    uint8_t out[32], const uint8_t same[32], const uint8_t different[32], const uint8_t *a, const uint8_t *b, size_t length) {
    uint32_t difference = 0;
    for (size_t i = 0; i < length; i++) difference |= (uint32_t)(a[i] ^ b[i]);
    // All ones when nothing differed, else zero.
    uint8_t mask = (uint8_t)((opaque(difference) - 1) >> 8);
    for (int i = 0; i < 32; i++) out[i] = (uint8_t)(different[i] ^ (mask & (same[i] ^ different[i])));
}
