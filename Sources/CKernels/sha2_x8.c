// SHA-256 and SHA-512, eight messages in the lanes of vectors; one body for both words.

#include "sha2_x8.h"

#include <string.h>

#include "ckernels.h"
#include "sha2_tables.h"

typedef uint32_t eight32 __attribute__((vector_size(32)));
typedef uint64_t eight64 __attribute__((vector_size(64)));

#define RIGHT(x, n) (((x) >> (n)) | ((x) << (8 * (int)sizeof((x)[0]) - (n))))

// The functions of the standard: three rotations, or two and a shift.
#define BIG(x, a, b, c) (RIGHT(x, a) ^ RIGHT(x, b) ^ RIGHT(x, c))
#define SMALL(x, a, b, c) (RIGHT(x, a) ^ RIGHT(x, b) ^ ((x) >> (c)))
#define BIG0_32(x) BIG(x, 2, 13, 22)
#define BIG1_32(x) BIG(x, 6, 11, 25)
#define SMALL0_32(x) SMALL(x, 7, 18, 3)
#define SMALL1_32(x) SMALL(x, 17, 19, 10)
#define BIG0_64(x) BIG(x, 28, 34, 39)
#define BIG1_64(x) BIG(x, 14, 18, 41)
#define SMALL0_64(x) SMALL(x, 1, 8, 7)
#define SMALL1_64(x) SMALL(x, 19, 61, 6)

#define DEFINE_SHA2(NAME, WORD, VECTOR, ROUNDS, SWAP, CONSTANT, BITS) \
    static inline __attribute__((always_inline)) void NAME( \
        uint8_t *out, size_t length, const WORD state[8], const uint8_t *messages, size_t stride, size_t blocks) { \
        VECTOR h[8], w[16]; \
        for (int i = 0; i < 8; i++) h[i] = (VECTOR){0} + state[i]; \
        for (size_t block = 0; block < blocks; block++) { \
            for (int t = 0; t < 16; t++) \
                for (int j = 0; j < 8; j++) { \
                    WORD word; \
                    memcpy(&word, messages + (size_t)j * stride + (block * 16 + (size_t)t) * sizeof word, sizeof word); \
                    w[t][j] = SWAP(word); \
                } \
            VECTOR a = h[0], b = h[1], c = h[2], d = h[3], e = h[4], f = h[5], g = h[6], k = h[7]; \
            _Pragma("clang loop unroll_count(16)") for (int t = 0; t < ROUNDS; t++) { \
                if (t >= 16) \
                    w[t % 16] += SMALL0_##BITS(w[(t + 1) % 16]) + w[(t + 9) % 16] + SMALL1_##BITS(w[(t + 14) % 16]); \
                VECTOR first = k + BIG1_##BITS(e) + ((e & f) ^ (~e & g)) + (WORD)(CONSTANT) + w[t % 16]; \
                VECTOR second = BIG0_##BITS(a) + ((a & b) ^ (a & c) ^ (b & c)); \
                k = g, g = f, f = e, e = d + first, d = c, c = b, b = a, a = first + second; \
            } \
            h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e, h[5] += f, h[6] += g, h[7] += k; \
        } \
        for (size_t j = 0; j < 8; j++) \
            for (size_t i = 0; i * sizeof(WORD) < length; i++) { \
                WORD word = SWAP(h[i][j]); \
                memcpy(out + j * length + i * sizeof word, &word, sizeof word); \
            } \
    }

DEFINE_SHA2(sha256, uint32_t, eight32, 64, __builtin_bswap32, sha2_constants[t] >> 32, 32)
DEFINE_SHA2(sha512, uint64_t, eight64, 80, __builtin_bswap64, sha2_constants[t], 64)

#define PARAMETERS(WORD) \
    (uint8_t *out, size_t length, const WORD state[8], const uint8_t *messages, size_t stride, size_t blocks)
#define ARGUMENTS (out, length, state, messages, stride, blocks)

#if defined(__x86_64__)
#define DISPATCH(NAME, WORD) \
    static void NAME##_portable PARAMETERS(WORD) { NAME ARGUMENTS; } \
    __attribute__((target("avx2"))) static void NAME##_avx2 PARAMETERS(WORD) { NAME ARGUMENTS; } \
    __attribute__((target("avx2,avx512f,avx512vl"))) static void NAME##_avx512 PARAMETERS(WORD) { NAME ARGUMENTS; } \
    void ck_##NAME##_x8 PARAMETERS(WORD) { \
        switch (ck_current_level()) { \
        case CK_AVX512: NAME##_avx512 ARGUMENTS; return; \
        case CK_AVX2: NAME##_avx2 ARGUMENTS; return; \
        default: NAME##_portable ARGUMENTS; \
        } \
    }
#else
#define DISPATCH(NAME, WORD) \
    void ck_##NAME##_x8 PARAMETERS(WORD) { NAME ARGUMENTS; }
#endif

DISPATCH(sha256, uint32_t)
DISPATCH(sha512, uint64_t)
