// ML-DSA's arithmetic in plain C, and the choice between it and the AVX2 form (mldsa_avx2.c).

#include "ckernels.h"
#include "ckernels_mldsa.h"

#include <string.h>

#include "mldsa_avx2.h"
#include "mldsa_tables.h"

#define INLINE static inline __attribute__((always_inline))

// Montgomery reduction: a * 2^-32 modulo q, of magnitude below q, for |a| < q * 2^31.
INLINE int32_t montgomery(int64_t a) {
    int32_t factor = (int32_t)((uint32_t)a * (uint32_t)Q_INVERSE);
    return (int32_t)((a - (int64_t)factor * Q) >> 32);
}

INLINE int32_t multiply(int32_t a, int32_t b) { return montgomery((int64_t)a * b); }

// Takes off the multiple of q that the bits above 2^23 tell: for |a| < 2^30 the result has magnitude below q.
INLINE int32_t reduce(int32_t a) { return a - ((a + (1 << 22)) >> 23) * Q; }

INLINE int32_t canonical_value(int32_t a) {
    int32_t reduced = reduce(a);
    return reduced + ((reduced >> 31) & Q);
}

// Transforms.

static void ntt_portable(int32_t p[256]) {
    for (int length = 128, blocks = 1; length >= 1; length /= 2, blocks *= 2) {
        for (int block = 0; block < blocks; block++) {
            int32_t zeta = zetas[blocks + block];
            int32_t *low = p + 2 * length * block, *high = low + length;
            for (int j = 0; j < length; j++) {
                int32_t t = multiply(zeta, high[j]);
                high[j] = low[j] - t;
                low[j] = low[j] + t;
            }
        }
    }
}

static void inverse_ntt_portable(int32_t p[256]) {
    // Sums double in each of the eight layers; 256 (q - 1) is the most that fits 32 bits.
    for (int length = 1, blocks = 128; length <= 128; length *= 2, blocks /= 2) {
        for (int block = 0; block < blocks; block++) {
            int32_t zeta = mirrored_zetas[blocks + block];
            int32_t *low = p + 2 * length * block, *high = low + length;
            for (int j = 0; j < length; j++) {
                int32_t t = low[j];
                low[j] = t + high[j];
                high[j] = multiply(zeta, high[j] - t);
            }
        }
    }
    // 41978 = 2^64 / 256 modulo q: divides by the 256 of the transform and leaves one factor 2^32.
    for (int i = 0; i < 256; i++) p[i] = multiply(p[i], 41978);
}

void ck_mldsa_ntt(int32_t p[256]) {
    if (ck_current_level() >= CK_AVX2) ck_mldsa_avx2_ntt(p);
    else ntt_portable(p);
}

void ck_mldsa_inverse_ntt(int32_t p[256]) {
    if (ck_current_level() >= CK_AVX2) ck_mldsa_avx2_inverse_ntt(p);
    else inverse_ntt_portable(p);
}

// Eight products of q * 10q stay below q * 2^31, so one reduction serves for the sum.
static void dot_portable(int32_t out[256], const int32_t *left, const int32_t *right, size_t count) {
    for (int i = 0; i < 256; i++) {
        int64_t sum = 0;
        for (size_t j = 0; j < count; j++) sum += (int64_t)left[256 * j + i] * right[256 * j + i];
        out[i] = montgomery(sum);
    }
}

void ck_mldsa_dot(int32_t out[256], const int32_t *left, const int32_t *right, size_t count) {
    if (ck_current_level() >= CK_AVX2) ck_mldsa_avx2_dot(out, left, right, count);
    else dot_portable(out, left, right, count);
}

// Loops that the compiler vectorises by itself: one body, compiled twice.

INLINE void add(int32_t p[256], const int32_t addend[256]) {
    for (int i = 0; i < 256; i++) p[i] = reduce(p[i] + addend[i]);
}

INLINE void subtract(int32_t p[256], const int32_t subtrahend[256]) {
    for (int i = 0; i < 256; i++) p[i] = reduce(p[i] - subtrahend[i]);
}

INLINE void shift(int32_t p[256], int bits) {
    for (int i = 0; i < 256; i++) p[i] <<= bits;
}

INLINE void canonical(int32_t p[256]) {
    for (int i = 0; i < 256; i++) p[i] = canonical_value(p[i]);
}

INLINE uint32_t reaching(const int32_t p[256], int32_t bound) {
    uint32_t any = 0;
    for (int i = 0; i < 256; i++) {
        int32_t sign = p[i] >> 31;
        // The sign bit of bound - 1 - |p| tells |p| >= bound.
        any |= (uint32_t)(bound - 1 - ((p[i] ^ sign) - sign));
    }
    return any >> 31;
}

INLINE void power2round(int32_t high[256], int32_t low[256], const int32_t p[256]) {
    for (int i = 0; i < 256; i++) {
        int32_t upper = (p[i] + (1 << 12) - 1) >> 13;
        low[i] = p[i] - (upper << 13);
        high[i] = upper;
    }
}

#define NARROW_GAMMA ((Q - 1) / 88)
#define WIDE_GAMMA ((Q - 1) / 32)

// The high part is p / (2 gamma2), rounded, where the last interval before q counts as 0 and its low part is one less. 2 gamma2 is a
// multiple of 128, so the division starts with a shift by 7 (rounded up) and ends with a product; exact for all canonical p. Whether it is the
// last interval is a product too: of a comparison, however written, the compiler makes a branch where it has no vectors.
INLINE void split_narrow(int32_t p, int32_t *high, int32_t *low) {
    int32_t upper = (((p + 127) >> 7) * 11275 + (1 << 23)) >> 24;
    int32_t is_last = upper * 745 >> 15; // upper / 44, for 0 to 44
    *high = upper - 44 * is_last;
    *low = p - upper * 2 * NARROW_GAMMA - is_last;
}

INLINE void split_wide(int32_t p, int32_t *high, int32_t *low) {
    int32_t upper = (((p + 127) >> 7) * 1025 + (1 << 21)) >> 22;
    int32_t is_last = upper >> 4; // upper / 16, for 0 to 16
    *high = upper & 15;
    *low = p - upper * 2 * WIDE_GAMMA - is_last;
}

INLINE void decompose(int32_t high[256], int32_t low[256], const int32_t p[256], bool narrow) {
    if (narrow) {
        for (int i = 0; i < 256; i++) split_narrow(p[i], &high[i], &low[i]);
    } else {
        for (int i = 0; i < 256; i++) split_wide(p[i], &high[i], &low[i]);
    }
}

INLINE size_t make_hint(uint8_t hint[256], const int32_t low[256], const int32_t high[256], bool narrow) {
    const int32_t gamma = narrow ? NARROW_GAMMA : WIDE_GAMMA;
    uint32_t count = 0;
    for (int i = 0; i < 256; i++) {
        // The interval is -gamma < low <= gamma; where the high part is 0, -gamma belongs to it too.
        uint32_t above = (uint32_t)(gamma - low[i]) >> 31, below = (uint32_t)(low[i] + gamma) >> 31;
        uint32_t edge = (uint32_t)(low[i] == -gamma) & (uint32_t)(high[i] != 0);
        uint32_t bit = above | below | edge;
        hint[i] = (uint8_t)bit;
        count += bit;
    }
    return count;
}

INLINE void use_hint(int32_t p[256], const uint8_t hint[256], bool narrow) {
    for (int i = 0; i < 256; i++) {
        int32_t high, low;
        // Up where the low part is positive, else down, in the circle of 44 or 16 high parts.
        if (narrow) {
            split_narrow(p[i], &high, &low);
            high += low > 0 ? hint[i] : -(int32_t)hint[i];
            high += high < 0 ? 44 : 0;
            p[i] = high == 44 ? 0 : high;
        } else {
            split_wide(p[i], &high, &low);
            p[i] = (high + (low > 0 ? hint[i] : -(int32_t)hint[i])) & 15;
        }
    }
}

// Packing: as many coefficients at a time as make whole bytes and fit 128 bits.

typedef unsigned __int128 wide;

INLINE void pack_bits(uint8_t *bytes, const int32_t p[256], int bits, int32_t offset, int32_t sign) {
    const int group = bits <= 13 ? 8 : 4, length = bits * group / 8;
    for (int i = 0; i < 256; i += group, bytes += length) {
        wide all = 0;
        for (int j = 0; j < group; j++) all |= (wide)(uint32_t)(offset + sign * p[i + j]) << (bits * j);
        memcpy(bytes, &all, (size_t)length);
    }
}

INLINE void unpack_bits(int32_t p[256], const uint8_t *bytes, int bits, int32_t offset, int32_t sign) {
    const int group = bits <= 13 ? 8 : 4, length = bits * group / 8;
    for (int i = 0; i < 256; i += group, bytes += length) {
        wide all = 0;
        memcpy(&all, bytes, (size_t)length);
        for (int j = 0; j < group; j++) p[i + j] = offset + sign * ((int32_t)(all >> (bits * j)) & ((1 << bits) - 1));
    }
}

#define EACH_WIDTH(DO) \
    switch (bits) { \
    case 3: DO(3); break; \
    case 4: DO(4); break; \
    case 6: DO(6); break; \
    case 10: DO(10); break; \
    case 13: DO(13); break; \
    case 18: DO(18); break; \
    case 20: DO(20); break; \
    default: __builtin_trap(); \
    }

INLINE void pack(uint8_t *bytes, const int32_t p[256], int bits, int32_t offset) {
    int32_t sign = offset > 0 ? -1 : 1;
#define PACK(width) pack_bits(bytes, p, width, offset, sign)
    EACH_WIDTH(PACK)
}

INLINE void unpack(int32_t p[256], const uint8_t *bytes, int bits, int32_t offset) {
    int32_t sign = offset > 0 ? -1 : 1;
#define UNPACK(width) unpack_bits(p, bytes, width, offset, sign)
    EACH_WIDTH(UNPACK)
}

#if defined(__x86_64__)
#define COMPILED_TWICE(RESULT, NAME, PARAMETERS, ARGUMENTS) \
    __attribute__((target("avx2,bmi,bmi2"))) static RESULT NAME##_avx2 PARAMETERS { return NAME ARGUMENTS; } \
    static RESULT NAME##_portable PARAMETERS { return NAME ARGUMENTS; } \
    RESULT ck_mldsa_##NAME PARAMETERS { return ck_current_level() >= CK_AVX2 ? NAME##_avx2 ARGUMENTS : NAME##_portable ARGUMENTS; }
#else
#define COMPILED_TWICE(RESULT, NAME, PARAMETERS, ARGUMENTS) \
    RESULT ck_mldsa_##NAME PARAMETERS { return NAME ARGUMENTS; }
#endif

INLINE bool reaches(const int32_t p[256], int32_t bound) { return reaching(p, bound) != 0; }

COMPILED_TWICE(void, add, (int32_t p[256], const int32_t addend[256]), (p, addend))
COMPILED_TWICE(void, subtract, (int32_t p[256], const int32_t subtrahend[256]), (p, subtrahend))
COMPILED_TWICE(void, shift, (int32_t p[256], int bits), (p, bits))
COMPILED_TWICE(void, canonical, (int32_t p[256]), (p))
COMPILED_TWICE(bool, reaches, (const int32_t p[256], int32_t bound), (p, bound))
COMPILED_TWICE(void, power2round, (int32_t high[256], int32_t low[256], const int32_t p[256]), (high, low, p))
COMPILED_TWICE(void, decompose, (int32_t high[256], int32_t low[256], const int32_t p[256], bool narrow), (high, low, p, narrow))
COMPILED_TWICE(
    size_t, make_hint, (uint8_t hint[256], const int32_t low[256], const int32_t high[256], bool narrow), (hint, low, high, narrow))
COMPILED_TWICE(void, use_hint, (int32_t p[256], const uint8_t hint[256], bool narrow), (p, hint, narrow))
COMPILED_TWICE(void, pack, (uint8_t *bytes, const int32_t p[256], int bits, int32_t offset), (bytes, p, bits, offset))
COMPILED_TWICE(void, unpack, (int32_t p[256], const uint8_t *bytes, int bits, int32_t offset), (p, bytes, bits, offset))

// Rejection sampling.

static size_t reject_portable(int32_t p[256], size_t have, const uint8_t *bytes, size_t length) {
    for (size_t i = 0; i + 3 <= length && have < 256; i += 3) {
        int32_t value = (int32_t)(bytes[i] | (uint32_t)bytes[i + 1] << 8 | (uint32_t)(bytes[i + 2] & 0x7f) << 16);
        p[have] = value;
        have += value < Q;
    }
    return have;
}

size_t ck_mldsa_reject_uniform(int32_t p[256], size_t have, const uint8_t *bytes, size_t length) {
    if (ck_current_level() >= CK_AVX2) {
        size_t consumed = 0;
        have = ck_mldsa_avx2_reject_uniform(p, have, bytes, length, &consumed);
        bytes += consumed;
        length -= consumed;
    }
    return reject_portable(p, have, bytes, length);
}

size_t ck_mldsa_reject_short(int32_t p[256], size_t have, const uint8_t *bytes, size_t length, int eta) {
    for (size_t i = 0; i < 2 * length && have < 256; i++) {
        int32_t value = bytes[i / 2] >> (4 * (i % 2)) & 15;
        // Which values are taken may be seen, but not what they are: the remainder modulo 5 is a product and a shift.
        p[have] = eta == 2 ? 2 - (value - (205 * value >> 10) * 5) : 4 - value;
        have += value < (eta == 2 ? 15 : 9);
    }
    return have;
}
