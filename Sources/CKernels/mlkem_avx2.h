#pragma once
#include <stddef.h>
#include <stdint.h>

// The AVX2 forms of the functions in ckernels.h; where the processor is another, they are never called.
void ck_avx2_ntt(int16_t p[256]);
void ck_avx2_inverse_ntt(int16_t p[256]);
void ck_avx2_prepare(int16_t prepared[512], const int16_t b[256]);
void ck_avx2_dot(int16_t out[256], const int16_t *left, size_t step, const int16_t right[1536]);
// Takes whole groups of 24 bytes while 16 more coefficients are sure to fit; the caller does the rest.
size_t ck_avx2_reject(int16_t p[256], size_t have, const uint8_t *bytes, size_t length, size_t *consumed);
