#pragma once
#include <stddef.h>
#include <stdint.h>

// The compression functions of SHA-256 and SHA-512 (FIPS 180-4, section 6) on eight messages at once, from one common state: `blocks`
// blocks of message j start at messages + j * stride. The eight digests come as bytes, `length` of each, at out + j * length.
void ck_sha256_x8(uint8_t *out, size_t length, const uint32_t state[8], const uint8_t *messages, size_t stride, size_t blocks);
void ck_sha512_x8(uint8_t *out, size_t length, const uint64_t state[8], const uint8_t *messages, size_t stride, size_t blocks);
