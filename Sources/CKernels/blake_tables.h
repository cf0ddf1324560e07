#pragma once
#include <stdint.h>

// The order in which each round of BLAKE2 takes the message words (RFC 7693, section 2.7); BLAKE2b's last two repeat the first two.
static const uint8_t blake2_order[12][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
};

// The same for BLAKE3: its permutation 2 6 3 10 7 0 4 13 1 11 12 5 9 14 15 8, applied once more in each round.
static const uint8_t blake3_order[7][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8},
    {3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1}, {10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6},
    {12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4}, {9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7},
    {11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13},
};

// The fractions of the square roots of the first eight primes, in 64 and in 32 bits.
static const uint64_t blake_initial64[8] = {
    0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b, 0xa54ff53a5f1d36f1,
    0x510e527fade682d1, 0x9b05688c2b3e6c1f, 0x1f83d9abfb41bd6b, 0x5be0cd19137e2179,
};
static const uint32_t blake_initial32[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

// One round on the state v with the message words m in the given order: columns, then diagonals. R1 to R4 rotate right.
#define BLAKE_MIX(v, a, b, c, d, x, y, R1, R2, R3, R4) \
    v[a] = v[a] + v[b] + (x), v[d] = R1(v[d] ^ v[a]), v[c] = v[c] + v[d], v[b] = R2(v[b] ^ v[c]); \
    v[a] = v[a] + v[b] + (y), v[d] = R3(v[d] ^ v[a]), v[c] = v[c] + v[d], v[b] = R4(v[b] ^ v[c]);
#define BLAKE_ROUND(v, m, order, R1, R2, R3, R4) \
    BLAKE_MIX(v, 0, 4, 8, 12, m[order[0]], m[order[1]], R1, R2, R3, R4) \
    BLAKE_MIX(v, 1, 5, 9, 13, m[order[2]], m[order[3]], R1, R2, R3, R4) \
    BLAKE_MIX(v, 2, 6, 10, 14, m[order[4]], m[order[5]], R1, R2, R3, R4) \
    BLAKE_MIX(v, 3, 7, 11, 15, m[order[6]], m[order[7]], R1, R2, R3, R4) \
    BLAKE_MIX(v, 0, 5, 10, 15, m[order[8]], m[order[9]], R1, R2, R3, R4) \
    BLAKE_MIX(v, 1, 6, 11, 12, m[order[10]], m[order[11]], R1, R2, R3, R4) \
    BLAKE_MIX(v, 2, 7, 8, 13, m[order[12]], m[order[13]], R1, R2, R3, R4) \
    BLAKE_MIX(v, 3, 4, 9, 14, m[order[14]], m[order[15]], R1, R2, R3, R4)

#define RIGHT64(x, n) (((x) >> (n)) | ((x) << (64 - (n))))
#define RIGHT32(x, n) (((x) >> (n)) | ((x) << (32 - (n))))
