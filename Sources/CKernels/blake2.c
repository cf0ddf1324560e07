// BLAKE2b and BLAKE2s: one body for both words.

#include "ckernels.h"

#include <string.h>

#include "blake_tables.h"

#define B1(x) RIGHT64(x, 32)
#define B2(x) RIGHT64(x, 24)
#define B3(x) RIGHT64(x, 16)
#define B4(x) RIGHT64(x, 63)
#define S1(x) RIGHT32(x, 16)
#define S2(x) RIGHT32(x, 12)
#define S3(x) RIGHT32(x, 8)
#define S4(x) RIGHT32(x, 7)

// `counted` bytes of the message are in by the end of this block; their number goes into the state as two words.
#define DEFINE_BLAKE2(NAME, WORD, INITIAL, ROUNDS, HIGH, R1, R2, R3, R4) \
    static void NAME##_compress(WORD h[8], const uint8_t *block, uint64_t counted, WORD last) { \
        WORD v[16], m[16]; \
        memcpy(m, block, sizeof m); \
        for (int i = 0; i < 8; i++) v[i] = h[i], v[8 + i] = INITIAL[i]; \
        v[12] ^= (WORD)counted, v[13] ^= (WORD)(HIGH), v[14] ^= last; \
        _Pragma("clang loop unroll(full)") for (int round = 0; round < ROUNDS; round++) { \
            BLAKE_ROUND(v, m, blake2_order[round], R1, R2, R3, R4) \
        } \
        for (int i = 0; i < 8; i++) h[i] ^= v[i] ^ v[8 + i]; \
    } \
    void ck_##NAME(uint8_t *digest, size_t digest_length, const uint8_t *data, size_t length) { \
        enum { block_length = 16 * sizeof(WORD) }; \
        WORD h[8]; \
        uint8_t last[block_length] = {0}; \
        size_t done = 0; \
        for (int i = 0; i < 8; i++) h[i] = INITIAL[i]; \
        h[0] ^= 0x01010000 ^ (WORD)digest_length; /* no key, fan-out 1, depth 1 */ \
        for (; length - done > block_length; done += block_length) NAME##_compress(h, data + done, done + block_length, 0); \
        if (length > done) memcpy(last, data + done, length - done); \
        NAME##_compress(h, last, length, (WORD)-1); \
        memcpy(digest, h, digest_length); \
    }

DEFINE_BLAKE2(blake2b, uint64_t, blake_initial64, 12, 0, B1, B2, B3, B4)
DEFINE_BLAKE2(blake2s, uint32_t, blake_initial32, 10, counted >> 32, S1, S2, S3, S4)
