// ML-KEM's arithmetic with AVX2: 16 coefficients in a register, in the standard's own order.

#include "mlkem_avx2.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include "mlkem_compaction.h"
#include "mlkem_tables.h"

#define AVX2 __attribute__((target("avx2,popcnt")))
#define AVX2_INLINE AVX2 static inline __attribute__((always_inline))

typedef __m256i vector;

AVX2_INLINE vector load(const int16_t *p) { return _mm256_loadu_si256((const vector *)p); }
AVX2_INLINE void store(int16_t *p, vector v) { _mm256_storeu_si256((vector *)p, v); }

// Montgomery product of 16 coefficients and 16 constants: the high halves of a * z and of its correction by a multiple of q.
AVX2_INLINE vector multiply(vector a, vector z) {
    vector z_inverse = _mm256_mullo_epi16(z, _mm256_set1_epi16(Q_INVERSE));
    vector factor = _mm256_mullo_epi16(a, z_inverse);
    return _mm256_sub_epi16(_mm256_mulhi_epi16(a, z), _mm256_mulhi_epi16(factor, _mm256_set1_epi16(Q)));
}

// Barrett reduction to magnitude (q + 1) / 2; the second multiplication is a rounding shift by 10.
AVX2_INLINE vector barrett(vector a) {
    vector quotient = _mm256_mulhrs_epi16(_mm256_mulhi_epi16(a, _mm256_set1_epi16(20159)), _mm256_set1_epi16(32));
    return _mm256_sub_epi16(a, _mm256_mullo_epi16(quotient, _mm256_set1_epi16(Q)));
}

// Cooley-Tukey butterfly.
AVX2_INLINE void forward(vector *low, vector *high, vector zeta) {
    vector t = multiply(*high, zeta);
    *high = _mm256_sub_epi16(*low, t);
    *low = _mm256_add_epi16(*low, t);
}

// Gentleman-Sande butterfly.
AVX2_INLINE void backward(vector *low, vector *high, vector zeta) {
    vector difference = _mm256_sub_epi16(*high, *low);
    *low = _mm256_add_epi16(*low, *high);
    *high = multiply(difference, zeta);
}

// The layers within a pair of registers (x, y) = 32 coefficients. Before each, the registers trade halves, quarters or eighths so
// that `low` and `high` hold the partners of all butterflies; the constants are laid out in the same order.
//
// length 8: low has the lower 8 of each half-register's 16, so constants 0 and 1, eight times each.
AVX2_INLINE vector zetas8(const int16_t *z) { return _mm256_set_m128i(_mm_set1_epi16(z[1]), _mm_set1_epi16(z[0])); }

// length 4: four constants, four times each, in order.
AVX2_INLINE vector zetas4(const int16_t *z) {
    const vector order = _mm256_setr_epi8(
        0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3, 4, 5, 4, 5, 4, 5, 4, 5, 6, 7, 6, 7, 6, 7, 6, 7);
    int64_t four;
    __builtin_memcpy(&four, z, 8);
    return _mm256_shuffle_epi8(_mm256_set1_epi64x(four), order);
}

// length 2: eight constants twice each; within a lane the order is 0 2 1 3, which is what the shuffles below leave.
AVX2_INLINE vector zetas2(const int16_t *z) {
    const vector order = _mm256_setr_epi8(
        0, 1, 0, 1, 4, 5, 4, 5, 2, 3, 2, 3, 6, 7, 6, 7, 8, 9, 8, 9, 12, 13, 12, 13, 10, 11, 10, 11, 14, 15, 14, 15);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)z)), order);
}

AVX2_INLINE vector shuffle32(vector a, vector b, int odd) {
    __m256 x = _mm256_castsi256_ps(a), y = _mm256_castsi256_ps(b);
    return _mm256_castps_si256(odd ? _mm256_shuffle_ps(x, y, 0xdd) : _mm256_shuffle_ps(x, y, 0x88));
}

AVX2 void ck_avx2_ntt(int16_t p[256]) {
    // Layers of length 128, 64 and 32 pair registers 8, 4 and 2 apart: the even registers, then the odd ones.
    for (int parity = 0; parity < 2; parity++) {
        vector v[8];
        for (int i = 0; i < 8; i++) v[i] = load(p + 32 * i + 16 * parity);
        for (int i = 0; i < 4; i++) forward(&v[i], &v[i + 4], _mm256_set1_epi16(zetas[1]));
        for (int block = 0; block < 2; block++)
            for (int i = 4 * block; i < 4 * block + 2; i++) forward(&v[i], &v[i + 2], _mm256_set1_epi16(zetas[2 + block]));
        for (int block = 0; block < 4; block++) forward(&v[2 * block], &v[2 * block + 1], _mm256_set1_epi16(zetas[4 + block]));
        for (int i = 0; i < 8; i++) store(p + 32 * i + 16 * parity, v[i]);
    }
    for (int i = 0; i < 8; i++) {
        vector x = load(p + 32 * i), y = load(p + 32 * i + 16);
        forward(&x, &y, _mm256_set1_epi16(zetas[8 + i])); // length 16
        vector a = _mm256_permute2x128_si256(x, y, 0x20), b = _mm256_permute2x128_si256(x, y, 0x31);
        forward(&a, &b, zetas8(zetas + 16 + 2 * i));
        x = _mm256_unpacklo_epi64(a, b), y = _mm256_unpackhi_epi64(a, b);
        forward(&x, &y, zetas4(zetas + 32 + 4 * i));
        a = shuffle32(x, y, 0), b = shuffle32(x, y, 1);
        forward(&a, &b, zetas2(zetas + 64 + 8 * i));
        a = barrett(a), b = barrett(b);
        // Back into the standard's order.
        x = _mm256_unpacklo_epi32(a, b), y = _mm256_unpackhi_epi32(a, b);
        a = _mm256_unpacklo_epi64(x, y), b = _mm256_unpackhi_epi64(x, y);
        store(p + 32 * i, _mm256_permute2x128_si256(a, b, 0x20));
        store(p + 32 * i + 16, _mm256_permute2x128_si256(a, b, 0x31));
    }
}

AVX2 void ck_avx2_inverse_ntt(int16_t p[256]) {
    for (int i = 0; i < 8; i++) {
        vector x = load(p + 32 * i), y = load(p + 32 * i + 16);
        vector a = _mm256_permute2x128_si256(x, y, 0x20), b = _mm256_permute2x128_si256(x, y, 0x31);
        x = _mm256_unpacklo_epi64(a, b), y = _mm256_unpackhi_epi64(a, b);
        a = shuffle32(x, y, 0), b = shuffle32(x, y, 1);
        backward(&a, &b, zetas2(mirrored_zetas + 64 + 8 * i)); // sums below 2q
        x = _mm256_unpacklo_epi32(a, b), y = _mm256_unpackhi_epi32(a, b);
        backward(&x, &y, zetas4(mirrored_zetas + 32 + 4 * i)); // below 4q
        a = _mm256_unpacklo_epi64(x, y), b = _mm256_unpackhi_epi64(x, y);
        backward(&a, &b, zetas8(mirrored_zetas + 16 + 2 * i)); // below 8q, the most that fits 16 bits
        a = barrett(a);
        x = _mm256_permute2x128_si256(a, b, 0x20), y = _mm256_permute2x128_si256(a, b, 0x31);
        backward(&x, &y, _mm256_set1_epi16(mirrored_zetas[8 + i])); // below 2q again
        store(p + 32 * i, x);
        store(p + 32 * i + 16, y);
    }
    const vector scale = _mm256_set1_epi16(1441); // 2^32 / 128 modulo q
    for (int parity = 0; parity < 2; parity++) {
        vector v[8];
        for (int i = 0; i < 8; i++) v[i] = load(p + 32 * i + 16 * parity);
        for (int block = 0; block < 4; block++)
            backward(&v[2 * block], &v[2 * block + 1], _mm256_set1_epi16(mirrored_zetas[4 + block])); // below 4q
        for (int block = 0; block < 2; block++)
            for (int i = 4 * block; i < 4 * block + 2; i++) {
                backward(&v[i], &v[i + 2], _mm256_set1_epi16(mirrored_zetas[2 + block])); // below 8q
                v[i] = barrett(v[i]);
            }
        for (int i = 0; i < 4; i++) backward(&v[i], &v[i + 4], _mm256_set1_epi16(mirrored_zetas[1]));
        for (int i = 0; i < 8; i++) store(p + 32 * i + 16 * parity, multiply(v[i], scale));
    }
}

AVX2 void ck_avx2_prepare(int16_t prepared[512], const int16_t b[256]) {
    // A register has eight pairs; their roots are four constants, each with both signs. Constants are wanted at the odd places only.
    const vector order = _mm256_setr_epi8(
        -1, -1, 0, 1, -1, -1, 0, 1, -1, -1, 2, 3, -1, -1, 2, 3, -1, -1, 4, 5, -1, -1, 4, 5, -1, -1, 6, 7, -1, -1, 6, 7);
    const vector signs = _mm256_setr_epi16(0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1, 0, 1, 0, -1);
    for (int i = 0; i < 16; i++) {
        int64_t four;
        __builtin_memcpy(&four, zetas + 64 + 4 * i, 8);
        vector zeta = _mm256_sign_epi16(_mm256_shuffle_epi8(_mm256_set1_epi64x(four), order), signs);
        vector pairs = load(b + 16 * i);
        store(prepared + 16 * i, _mm256_blend_epi16(pairs, multiply(pairs, zeta), 0xaa));
        store(prepared + 256 + 16 * i, _mm256_or_si256(_mm256_slli_epi32(pairs, 16), _mm256_srli_epi32(pairs, 16)));
    }
}

// Montgomery reduction of eight 32-bit sums; the result is in the upper half of each.
AVX2_INLINE vector reduce_sums(vector sums) {
    vector factor = _mm256_mullo_epi16(sums, _mm256_set1_epi32(Q_INVERSE & 0xffff));
    return _mm256_sub_epi32(sums, _mm256_madd_epi16(factor, _mm256_set1_epi32(Q)));
}

AVX2 void ck_avx2_dot(int16_t out[256], const int16_t *left, size_t step, const int16_t right[1536]) {
    for (int i = 0; i < 256; i += 16) {
        vector even = _mm256_setzero_si256(), odd = _mm256_setzero_si256();
        for (int j = 0; j < 3; j++) {
            vector a = load(left + 256 * step * (size_t)j + i);
            even = _mm256_add_epi32(even, _mm256_madd_epi16(a, load(right + 512 * j + i)));
            odd = _mm256_add_epi32(odd, _mm256_madd_epi16(a, load(right + 512 * j + 256 + i)));
        }
        even = _mm256_srli_epi32(reduce_sums(even), 16);
        store(out + i, _mm256_blend_epi16(even, reduce_sums(odd), 0xaa));
    }
}

// Writes the lanes of `values` that `accepted` names, and gives how many they are. Up to eight are written.
AVX2_INLINE size_t compact(int16_t *out, __m128i values, unsigned accepted) {
    __m128i even = _mm_loadl_epi64((const __m128i *)compaction[accepted]);
    __m128i order = _mm_unpacklo_epi8(even, _mm_add_epi8(even, _mm_set1_epi8(1)));
    _mm_storeu_si128((__m128i *)out, _mm_shuffle_epi8(values, order));
    return (size_t)__builtin_popcount(accepted);
}

AVX2 size_t ck_avx2_reject(int16_t p[256], size_t have, const uint8_t *bytes, size_t length, size_t *consumed) {
    // Twelve bytes are eight values: each 16-bit lane takes the two bytes its value lies in, the odd ones four bits too high.
    const vector order = _mm256_setr_epi8(
        0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11, 0, 1, 1, 2, 3, 4, 4, 5, 6, 7, 7, 8, 9, 10, 10, 11);
    size_t position = 0;
    while (have + 16 <= 256 && position + 28 <= length) {
        __m128i first = _mm_loadu_si128((const __m128i *)(bytes + position));
        __m128i second = _mm_loadu_si128((const __m128i *)(bytes + position + 12));
        vector values = _mm256_shuffle_epi8(_mm256_set_m128i(second, first), order);
        values = _mm256_blend_epi16(values, _mm256_srli_epi16(values, 4), 0xaa);
        values = _mm256_and_si256(values, _mm256_set1_epi16(0xfff));
        vector below = _mm256_cmpgt_epi16(_mm256_set1_epi16(Q), values);
        __m128i packed = _mm_packs_epi16(_mm256_castsi256_si128(below), _mm256_extracti128_si256(below, 1));
        unsigned accepted = (unsigned)_mm_movemask_epi8(packed);
        have += compact(p + have, _mm256_castsi256_si128(values), accepted & 0xff);
        have += compact(p + have, _mm256_extracti128_si256(values, 1), accepted >> 8);
        position += 24;
    }
    *consumed = position;
    return have;
}

#else

// Never called: the level is CK_PORTABLE on every other processor.
void ck_avx2_ntt(int16_t p[256]) { (void)p; }
void ck_avx2_inverse_ntt(int16_t p[256]) { (void)p; }
void ck_avx2_prepare(int16_t prepared[512], const int16_t b[256]) { (void)prepared, (void)b; }
void ck_avx2_dot(int16_t out[256], const int16_t *left, size_t step, const int16_t right[1536]) {
    (void)out, (void)left, (void)step, (void)right;
}
size_t ck_avx2_reject(int16_t p[256], size_t have, const uint8_t *bytes, size_t length, size_t *consumed) {
    (void)p, (void)bytes, (void)length;
    *consumed = 0;
    return have;
}

#endif
