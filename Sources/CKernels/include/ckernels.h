#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ckernels_mldsa.h"
#include "ckernels_slhdsa.h"

// The processor features that kernels are chosen by, best last. A level includes those below it.
enum ck_level {
    CK_PORTABLE = 0, // plain C
    CK_AVX2 = 1,     // AVX2, BMI, BMI2 and POPCNT
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

// Copies the first `lanes` lanes of eight interleaved states out: stream j goes to out + j * stride.
void ck_keccak_x8_extract(const uint64_t states[200], uint8_t *out, size_t stride, size_t lanes);

// ML-KEM (FIPS 203). A polynomial is 256 coefficients modulo q = 3329, kept as signed 16-bit numbers that need not be reduced;
// each function says what it takes and gives. "Reduced" means at most (q + 1) / 2 in magnitude. All run in constant time, except
// ck_mlkem_reject, whose input is public.

// Number-theoretic transform (algorithm 9), in place. Takes magnitudes up to q, gives reduced.
void ck_mlkem_ntt(int16_t p[256]);

// Inverse transform (algorithm 10), in place, times 2^16. Takes magnitudes below q, gives the same.
void ck_mlkem_inverse_ntt(int16_t p[256]);

// Makes ready a transformed, reduced polynomial b for ck_mlkem_dot. For each of the 128 pairs (b0, b1) with its root z,
// prepared[0..<256] has (b0, b1 * z) and prepared[256..<512] has (b1, b0).
void ck_mlkem_prepare(int16_t prepared[512], const int16_t b[256]);

// The sum of three products in the transformed domain (algorithm 11), times 2^-16, of magnitude below q. The three left
// polynomials lie `step` polynomials apart and have coefficients below 2^12; the three right ones are prepared, one behind the other.
void ck_mlkem_dot(int16_t out[256], const int16_t *left, size_t step, const int16_t right[1536]);

// p = 2^16 * p + addend, reduced.
void ck_mlkem_lift_add(int16_t p[256], const int16_t addend[256]);

// p = p + addend and p = minuend - p; sums must fit 16 bits.
void ck_mlkem_add(int16_t p[256], const int16_t addend[256]);
void ck_mlkem_subtract_from(int16_t p[256], const int16_t minuend[256]);

// Centred binomial distribution with eta = 2 (algorithm 8).
void ck_mlkem_sample_binomial(int16_t p[256], const uint8_t bytes[128]);

// Rejection sampling (algorithm 7): appends 12-bit values below q from `bytes` to the `have` coefficients already there and gives the
// new number, at most 256. `length` is a multiple of 3.
size_t ck_mlkem_reject(int16_t p[256], size_t have, const uint8_t *bytes, size_t length);

// ByteEncode and ByteDecode with 12 bits (algorithms 5 and 6). Encoding takes any 16-bit magnitudes. Decoding gives values below
// 2^12 and says whether all were below q.
void ck_mlkem_encode12(uint8_t bytes[384], const int16_t p[256]);
bool ck_mlkem_decode12(int16_t p[256], const uint8_t bytes[384]);

// Compress and encode with 10 and 4 bits, and back (section 4.2.1). Compressing takes any 16-bit magnitudes.
void ck_mlkem_compress10(uint8_t bytes[320], const int16_t p[256]);
void ck_mlkem_compress4(uint8_t bytes[128], const int16_t p[256]);
void ck_mlkem_decompress10(int16_t p[256], const uint8_t bytes[320]);
void ck_mlkem_decompress4(int16_t p[256], const uint8_t bytes[128]);

// A 32-byte message as a polynomial (decompressed from 1 bit), added to p; and the nearest message of a polynomial.
void ck_mlkem_add_message(int16_t p[256], const uint8_t message[32]);
void ck_mlkem_extract_message(uint8_t message[32], const int16_t p[256]);

// out = a and b are equal in all `length` bytes ? same : different, 32 bytes, without a branch.
void ck_select_if_equal(
    uint8_t out[32], const uint8_t same[32], const uint8_t different[32], const uint8_t *a, const uint8_t *b, size_t length);

// BLAKE2b and BLAKE2s (RFC 7693) without a key; digests of 1 to 64 and of 1 to 32 bytes.
void ck_blake2b(uint8_t *digest, size_t digest_length, const uint8_t *data, size_t length);
void ck_blake2s(uint8_t *digest, size_t digest_length, const uint8_t *data, size_t length);

// BLAKE3 in its plain mode, with output of any length.
void ck_blake3(uint8_t *digest, size_t digest_length, const uint8_t *data, size_t length);

// Overwrites the stack below its caller, where functions that have returned left what they worked on: local arrays and spilled registers.
// The deepest of them, Keccak on eight states, takes a quarter of it.
enum { CK_WIPED_STACK = 16384 };
void ck_wipe_stack(void);
