#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// ML-DSA (FIPS 204). A polynomial is 256 coefficients modulo q = 8380417, kept as signed 32-bit numbers that need not be reduced; each
// function says what it takes and gives. "Reduced" means of magnitude below q, "canonical" 0 ..< q. All take time that does not depend
// on the coefficients, except the rejection sampling, whose choices the standard lets be seen.

// Number-theoretic transform (algorithm 41), in place. Takes magnitudes up to 2^27, gives magnitudes below 9 q more.
void ck_mldsa_ntt(int32_t p[256]);

// Inverse transform (algorithm 42), in place, times 2^32. Takes reduced, gives magnitudes up to q / 2 + 2^15.
void ck_mldsa_inverse_ntt(int32_t p[256]);

// The sum of `count` (at most 8) products in the transformed domain, times 2^-32, reduced. Left and right are polynomials one behind the
// other; the sum must stay below 2^31 q, as those of 8 reduced and 8 transformed ones do, or of one transformed with another.
void ck_mldsa_dot(int32_t out[256], const int32_t *left, const int32_t *right, size_t count);

// p + addend and p - subtrahend, reduced; sums must stay below 2^30.
void ck_mldsa_add(int32_t p[256], const int32_t addend[256]);
void ck_mldsa_subtract(int32_t p[256], const int32_t subtrahend[256]);

// p * 2^bits, as it is.
void ck_mldsa_shift(int32_t p[256], int bits);

// The canonical form of magnitudes below 2^30.
void ck_mldsa_canonical(int32_t p[256]);

// Whether a coefficient, taken as it is, has a magnitude of at least `bound`. Says nothing about which, or of which sign.
bool ck_mldsa_reaches(const int32_t p[256], int32_t bound);

// Power2Round (algorithm 35): p = high * 2^13 + low, of a canonical p.
void ck_mldsa_power2round(int32_t high[256], int32_t low[256], const int32_t p[256]);

// Decompose (algorithm 36) of a canonical p; `narrow` chooses gamma2 = (q - 1) / 88 instead of (q - 1) / 32.
void ck_mldsa_decompose(int32_t high[256], int32_t low[256], const int32_t p[256], bool narrow);

// MakeHint (algorithm 39) where high and low parts of w are known: hint[i] is 1 where low, shifted by what the hint stands for, has left
// its interval. Gives the number of ones.
size_t ck_mldsa_make_hint(uint8_t hint[256], const int32_t low[256], const int32_t high[256], bool narrow);

// UseHint (algorithm 40) on a canonical p, in place.
void ck_mldsa_use_hint(int32_t p[256], const uint8_t hint[256], bool narrow);

// Rejection sampling (algorithms 30 and 31): appends values from `bytes` to the `have` coefficients already there and gives the new number,
// at most 256. `length` is a multiple of 3 for the uniform one; eta is 2 or 4.
size_t ck_mldsa_reject_uniform(int32_t p[256], size_t have, const uint8_t *bytes, size_t length);
size_t ck_mldsa_reject_short(int32_t p[256], size_t have, const uint8_t *bytes, size_t length, int eta);

// Bit packing (algorithms 16 to 19): 32 * bits bytes hold p, or offset - p where an offset is given. `bits` is 3, 4, 6, 10, 13, 18 or 20.
void ck_mldsa_pack(uint8_t *bytes, const int32_t p[256], int bits, int32_t offset);
void ck_mldsa_unpack(int32_t p[256], const uint8_t *bytes, int bits, int32_t offset);
