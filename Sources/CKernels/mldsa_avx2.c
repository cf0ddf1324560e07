// ML-DSA's transforms with AVX2: 8 coefficients in a register, in the standard's own order.

#include "mldsa_avx2.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "mldsa_tables.h"
#include "mlkem_compaction.h"

#define AVX2 __attribute__((target("avx2,popcnt")))
#define AVX2_INLINE AVX2 static inline __attribute__((always_inline))

typedef __m256i vector;

// Eight constants, and the same times the inverse of q.
struct constants {
    vector value, inverse;
};

AVX2_INLINE vector load(const int32_t *p) { return _mm256_loadu_si256((const vector *)p); }
AVX2_INLINE void store(int32_t *p, vector v) { _mm256_storeu_si256((vector *)p, v); }

// The odd lanes in the places of the even ones, where a multiplication takes its factors.
AVX2_INLINE vector odd(vector v) { return _mm256_srli_epi64(v, 32); }

// The high halves of 64-bit values whose low halves are zero: the even ones and the odd ones of a register.
AVX2_INLINE vector join(vector even, vector odd) { return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa); }

// Montgomery product of 8 coefficients and 8 constants.
AVX2_INLINE vector multiply(vector a, struct constants z) {
    const vector q = _mm256_set1_epi32(Q);
    vector a_odd = odd(a);
    vector even_factor = _mm256_mul_epi32(a, z.inverse), odd_factor = _mm256_mul_epi32(a_odd, odd(z.inverse));
    vector even = _mm256_sub_epi64(_mm256_mul_epi32(a, z.value), _mm256_mul_epi32(even_factor, q));
    vector rest = _mm256_sub_epi64(_mm256_mul_epi32(a_odd, odd(z.value)), _mm256_mul_epi32(odd_factor, q));
    return join(even, rest);
}

// Cooley-Tukey butterfly.
AVX2_INLINE void forward(vector *low, vector *high, struct constants zeta) {
    vector t = multiply(*high, zeta);
    *high = _mm256_sub_epi32(*low, t);
    *low = _mm256_add_epi32(*low, t);
}

// Gentleman-Sande butterfly.
AVX2_INLINE void backward(vector *low, vector *high, struct constants zeta) {
    vector difference = _mm256_sub_epi32(*high, *low);
    *low = _mm256_add_epi32(*low, *high);
    *high = multiply(difference, zeta);
}

// Constants in the order in which the layers below want them: one everywhere; two, four times each; four, twice each; eight, where a
// lane's order is 0 2 1 3.
#define EACH(TABLE, i, EXPRESSION) \
    ((struct constants){EXPRESSION(TABLE + (i)), EXPRESSION(TABLE##_inverse + (i))})
AVX2_INLINE vector one(const int32_t *z) { return _mm256_set1_epi32(*z); }
AVX2_INLINE vector two(const int32_t *z) { return _mm256_set_m128i(_mm_set1_epi32(z[1]), _mm_set1_epi32(z[0])); }
AVX2_INLINE vector four(const int32_t *z) {
    vector all = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)z));
    return _mm256_permutevar8x32_epi32(all, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3));
}
AVX2_INLINE vector eight(const int32_t *z) {
    return _mm256_permutevar8x32_epi32(load(z), _mm256_setr_epi32(0, 2, 1, 3, 4, 6, 5, 7));
}

AVX2_INLINE vector shuffle(vector a, vector b, int odd) {
    __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    return _mm256_castps_si256(odd ? _mm256_shuffle_ps(x, y, 0xdd) : _mm256_shuffle_ps(x, y, 0x88));
}

AVX2 void ck_mldsa_avx2_ntt(int32_t p[256]) {
    // Layers of length 128, 64 and 32 pair registers 16, 8 and 4 apart: every fourth register at a time.
    for (int offset = 0; offset < 32; offset += 8) {
        vector v[8];
        for (int i = 0; i < 8; i++) v[i] = load(p + 32 * i + offset);
        for (int i = 0; i < 4; i++) forward(&v[i], &v[i + 4], EACH(zetas, 1, one));
        for (int block = 0; block < 2; block++)
            for (int i = 4 * block; i < 4 * block + 2; i++) forward(&v[i], &v[i + 2], EACH(zetas, 2 + block, one));
        for (int block = 0; block < 4; block++) forward(&v[2 * block], &v[2 * block + 1], EACH(zetas, 4 + block, one));
        for (int i = 0; i < 8; i++) store(p + 32 * i + offset, v[i]);
    }
    for (int i = 0; i < 8; i++) {
        vector v[4];
        for (int j = 0; j < 4; j++) v[j] = load(p + 32 * i + 8 * j);
        for (int j = 0; j < 2; j++) forward(&v[j], &v[j + 2], EACH(zetas, 8 + i, one)); // length 16
        for (int j = 0; j < 2; j++) forward(&v[2 * j], &v[2 * j + 1], EACH(zetas, 16 + 2 * i + j, one)); // length 8
        // Within a pair of registers: they trade halves, then quarters, then single lanes, so that partners face each other.
        for (int j = 0; j < 2; j++) {
            int pair = 2 * i + j;
            vector x = v[2 * j], y = v[2 * j + 1];
            vector a = _mm256_permute2x128_si256(x, y, 0x20), b = _mm256_permute2x128_si256(x, y, 0x31);
            forward(&a, &b, EACH(zetas, 32 + 2 * pair, two));
            x = _mm256_unpacklo_epi64(a, b), y = _mm256_unpackhi_epi64(a, b);
            forward(&x, &y, EACH(zetas, 64 + 4 * pair, four));
            a = shuffle(x, y, 0), b = shuffle(x, y, 1);
            forward(&a, &b, EACH(zetas, 128 + 8 * pair, eight));
            // Back into the standard's order.
            x = _mm256_unpacklo_epi32(a, b), y = _mm256_unpackhi_epi32(a, b);
            a = _mm256_unpacklo_epi64(x, y), b = _mm256_unpackhi_epi64(x, y);
            store(p + 16 * pair, _mm256_permute2x128_si256(a, b, 0x20));
            store(p + 16 * pair + 8, _mm256_permute2x128_si256(a, b, 0x31));
        }
    }
}

// Sums double in each of the eight layers; 256 (q - 1) is the most that fits 32 bits.
AVX2 void ck_mldsa_avx2_inverse_ntt(int32_t p[256]) {
    for (int i = 0; i < 8; i++) {
        vector v[4];
        for (int j = 0; j < 2; j++) {
            int pair = 2 * i + j;
            vector x = load(p + 16 * pair), y = load(p + 16 * pair + 8);
            vector a = _mm256_permute2x128_si256(x, y, 0x20), b = _mm256_permute2x128_si256(x, y, 0x31);
            x = _mm256_unpacklo_epi64(a, b), y = _mm256_unpackhi_epi64(a, b);
            a = shuffle(x, y, 0), b = shuffle(x, y, 1);
            backward(&a, &b, EACH(mirrored_zetas, 128 + 8 * pair, eight));
            x = _mm256_unpacklo_epi32(a, b), y = _mm256_unpackhi_epi32(a, b);
            backward(&x, &y, EACH(mirrored_zetas, 64 + 4 * pair, four));
            a = _mm256_unpacklo_epi64(x, y), b = _mm256_unpackhi_epi64(x, y);
            backward(&a, &b, EACH(mirrored_zetas, 32 + 2 * pair, two));
            v[2 * j] = _mm256_permute2x128_si256(a, b, 0x20), v[2 * j + 1] = _mm256_permute2x128_si256(a, b, 0x31);
        }
        for (int j = 0; j < 2; j++) backward(&v[2 * j], &v[2 * j + 1], EACH(mirrored_zetas, 16 + 2 * i + j, one)); // length 8
        for (int j = 0; j < 2; j++) backward(&v[j], &v[j + 2], EACH(mirrored_zetas, 8 + i, one)); // length 16
        for (int j = 0; j < 4; j++) store(p + 32 * i + 8 * j, v[j]);
    }
    // 2^64 / 256 modulo q: divides by the 256 of the transform and leaves one factor 2^32.
    const struct constants scale = {_mm256_set1_epi32(41978), _mm256_set1_epi32((int32_t)(41978u * (uint32_t)Q_INVERSE))};
    for (int offset = 0; offset < 32; offset += 8) {
        vector v[8];
        for (int i = 0; i < 8; i++) v[i] = load(p + 32 * i + offset);
        for (int block = 0; block < 4; block++) backward(&v[2 * block], &v[2 * block + 1], EACH(mirrored_zetas, 4 + block, one));
        for (int block = 0; block < 2; block++)
            for (int i = 4 * block; i < 4 * block + 2; i++) backward(&v[i], &v[i + 2], EACH(mirrored_zetas, 2 + block, one));
        for (int i = 0; i < 4; i++) backward(&v[i], &v[i + 4], EACH(mirrored_zetas, 1, one));
        for (int i = 0; i < 8; i++) store(p + 32 * i + offset, multiply(v[i], scale));
    }
}

// Montgomery reduction of 64-bit sums; the result is in their high halves.
AVX2_INLINE vector reduce_sums(vector sums) {
    vector factor = _mm256_mul_epi32(sums, _mm256_set1_epi32(Q_INVERSE));
    return _mm256_sub_epi64(sums, _mm256_mul_epi32(factor, _mm256_set1_epi32(Q)));
}

AVX2 void ck_mldsa_avx2_dot(int32_t out[256], const int32_t *left, const int32_t *right, size_t count) {
    for (int i = 0; i < 256; i += 8) {
        vector even = _mm256_setzero_si256(), rest = _mm256_setzero_si256();
        for (size_t j = 0; j < count; j++) {
            vector a = load(left + 256 * j + i), b = load(right + 256 * j + i);
            even = _mm256_add_epi64(even, _mm256_mul_epi32(a, b));
            rest = _mm256_add_epi64(rest, _mm256_mul_epi32(odd(a), odd(b)));
        }
        store(out + i, join(reduce_sums(even), reduce_sums(rest)));
    }
}

AVX2 size_t ck_mldsa_avx2_reject_uniform(int32_t p[256], size_t have, const uint8_t *bytes, size_t length, size_t *consumed) {
    // Twenty-four bytes are eight values: three bytes to each lane, twelve to each half.
    const vector order = _mm256_setr_epi8(
        0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1, 4, 5, 6, -1, 7, 8, 9, -1, 10, 11, 12, -1, 13, 14, 15, -1);
    size_t position = 0;
    while (have + 8 <= 256 && position + 24 <= length) {
        __m128i first = _mm_loadu_si128((const __m128i *)(bytes + position));
        __m128i second = _mm_loadu_si128((const __m128i *)(bytes + position + 8));
        vector values = _mm256_shuffle_epi8(_mm256_set_m128i(second, first), order);
        values = _mm256_and_si256(values, _mm256_set1_epi32(0x7fffff));
        vector below = _mm256_cmpgt_epi32(_mm256_set1_epi32(Q), values);
        unsigned accepted = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(below));
        // The table has twice the positions.
        vector places = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)compaction[accepted]));
        store(p + have, _mm256_permutevar8x32_epi32(values, _mm256_srli_epi32(places, 1)));
        have += (size_t)__builtin_popcount(accepted);
        position += 24;
    }
    *consumed = position;
    return have;
}

#else

// Never called: the level is CK_PORTABLE on every other processor.
void ck_mldsa_avx2_ntt(int32_t p[256]) { (void)p; }
void ck_mldsa_avx2_inverse_ntt(int32_t p[256]) { (void)p; }
void ck_mldsa_avx2_dot(int32_t out[256], const int32_t *left, const int32_t *right, size_t count) {
    (void)out, (void)left, (void)right, (void)count;
}
size_t ck_mldsa_avx2_reject_uniform(int32_t p[256], size_t have, const uint8_t *bytes, size_t length, size_t *consumed) {
    (void)p, (void)bytes, (void)length;
    *consumed = 0;
    return have;
}

#endif
