#pragma once
#include <stddef.h>
#include <stdint.h>

// The AVX2 forms of the functions in ckernels_mldsa.h; where the processor is another, they are never called.
void ck_mldsa_avx2_ntt(int32_t p[256]);
void ck_mldsa_avx2_inverse_ntt(int32_t p[256]);
void ck_mldsa_avx2_dot(int32_t out[256], const int32_t *left, const int32_t *right, size_t count);
// Takes whole groups of 24 bytes while 8 more coefficients are sure to fit; the caller does the rest.
size_t ck_mldsa_avx2_reject_uniform(int32_t p[256], size_t have, const uint8_t *bytes, size_t length, size_t *consumed);
