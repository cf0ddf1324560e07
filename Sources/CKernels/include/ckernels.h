#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The processor features that kernels are chosen by, best last. A level includes those below it.
enum ck_level {
    CK_PORTABLE = 0, // plain C
    CK_AVX2 = 1,     // AVX2 and BMI2
    CK_AVX512 = 2,   // AVX-512 F, VL, BW and DQ
};

// The level in use: what the processor has, or less if ck_limit_level said so.
int ck_current_level(void);

// Holds the level down, so that tests reach every kernel; CK_AVX512 lifts the limit. Never called by the library.
void ck_limit_level(int level);

// Keccak-f[1600] (FIPS 202, section 3.3) on 25 lanes.
void ck_keccak(uint64_t state[25]);

// The same on four and on eight states at once. Lane i of state j lies at states[4 * i + j] and states[8 * i + j].
void ck_keccak_x4(uint64_t states[100]);
void ck_keccak_x8(uint64_t states[200]);

// Absorbs `blocks` whole blocks of `rate` bytes (a multiple of 8, at most 200): XOR, then permute, for each.
void ck_keccak_absorb(uint64_t state[25], const uint8_t *data, size_t rate, size_t blocks);
