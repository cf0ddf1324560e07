// BLAKE3, plain mode (the BLAKE3 paper, section 2): a binary tree over chunks of 1 KiB. Whole subtrees go eight chunks and eight
// parents at a time, one in each 32-bit lane of a vector.

#include "ckernels.h"

#include <string.h>

#include "blake_tables.h"

enum {
    block_length = 64,
    chunk_length = 1024,
    value_length = 32,
    width = 8,                 // inputs at a time
    most_chunks = 1024,        // of one subtree: bounds the recursion
    most_levels = 54,          // of the stack: 2^64 bytes of chunks
    flag_start = 1, flag_end = 2, flag_parent = 4, flag_root = 8,
};

#define R1(x) RIGHT32(x, 16)
#define R2(x) RIGHT32(x, 12)
#define R3(x) RIGHT32(x, 8)
#define R4(x) RIGHT32(x, 7)

// One compression; all sixteen words of the state come out, unfinished.
static void mix(uint32_t v[16], const uint32_t value[8], const uint8_t *block, uint32_t length, uint64_t counter, uint32_t flags) {
    uint32_t m[16];
    memcpy(m, block, sizeof m);
    for (int i = 0; i < 8; i++) v[i] = value[i];
    for (int i = 0; i < 4; i++) v[8 + i] = blake_initial32[i];
    v[12] = (uint32_t)counter, v[13] = (uint32_t)(counter >> 32), v[14] = length, v[15] = flags;
#pragma clang loop unroll(full)
    for (int round = 0; round < 7; round++) { BLAKE_ROUND(v, m, blake3_order[round], R1, R2, R3, R4) }
}

static void compress(uint32_t value[8], const uint8_t *block, uint32_t length, uint64_t counter, uint32_t flags) {
    uint32_t v[16];
    mix(v, value, block, length, counter, flags);
    for (int i = 0; i < 8; i++) value[i] = v[i] ^ v[8 + i];
}

// Eight inputs at once.

typedef uint32_t lanes __attribute__((vector_size(32), aligned(4)));

// Turns eight rows of eight words around their diagonal: pairs, then fours, then halves change places.
static inline __attribute__((always_inline)) void transpose(lanes r[8]) {
    lanes t[8];
    for (int i = 0; i < 8; i += 2) {
        t[i] = __builtin_shufflevector(r[i], r[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        t[i + 1] = __builtin_shufflevector(r[i], r[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < 8; i += 4)
        for (int j = i; j < i + 2; j++) {
            r[j] = __builtin_shufflevector(t[j], t[j + 2], 0, 1, 8, 9, 4, 5, 12, 13);
            r[j + 2] = __builtin_shufflevector(t[j], t[j + 2], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int j = 0; j < 4; j++) {
        lanes low = __builtin_shufflevector(r[j], r[j + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        r[j + 4] = __builtin_shufflevector(r[j], r[j + 4], 4, 5, 6, 7, 12, 13, 14, 15);
        r[j] = low;
    }
}

// Eight inputs of `blocks` whole blocks each, one behind the other, to eight values of 32 bytes. The counter of input j is
// counter + j * step; the first and the last block of each get a flag more.
static inline __attribute__((always_inline)) void compress_eight(
    uint8_t *values, const uint8_t *inputs, size_t blocks, uint64_t counter, uint64_t step, uint32_t flags, uint32_t first, uint32_t last) {
    lanes h[8], low, high;
    for (int i = 0; i < 8; i++) h[i] = (lanes){0} + blake_initial32[i];
    for (int j = 0; j < width; j++) {
        uint64_t count = counter + (uint64_t)j * step;
        low[j] = (uint32_t)count;
        high[j] = (uint32_t)(count >> 32);
    }
    for (size_t block = 0; block < blocks; block++) {
        lanes m[16], v[16];
        for (int half = 0; half < 2; half++) {
            for (int j = 0; j < width; j++)
                memcpy(&m[8 * half + j], inputs + ((size_t)j * blocks + block) * block_length + 32 * half, 32);
            transpose(m + 8 * half);
        }
        uint32_t flag = flags | (block == 0 ? first : 0) | (block + 1 == blocks ? last : 0);
        for (int i = 0; i < 8; i++) v[i] = h[i];
        for (int i = 0; i < 4; i++) v[8 + i] = (lanes){0} + blake_initial32[i];
        v[12] = low, v[13] = high, v[14] = (lanes){0} + block_length, v[15] = (lanes){0} + flag;
#pragma clang loop unroll(full)
        for (int round = 0; round < 7; round++) { BLAKE_ROUND(v, m, blake3_order[round], R1, R2, R3, R4) }
        for (int i = 0; i < 8; i++) h[i] = v[i] ^ v[8 + i];
    }
    transpose(h);
    memcpy(values, h, sizeof h);
}

#define EIGHT_PARAMETERS \
    (uint8_t *values, const uint8_t *inputs, size_t blocks, uint64_t counter, uint64_t step, uint32_t flags, uint32_t first, \
     uint32_t last)
#define EIGHT_ARGUMENTS (values, inputs, blocks, counter, step, flags, first, last)

static void compress_eight_portable EIGHT_PARAMETERS { compress_eight EIGHT_ARGUMENTS; }

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void compress_eight_avx2 EIGHT_PARAMETERS { compress_eight EIGHT_ARGUMENTS; }
__attribute__((target("avx2,avx512f,avx512vl"))) static void compress_eight_avx512 EIGHT_PARAMETERS { compress_eight EIGHT_ARGUMENTS; }
#endif

// `count` inputs, eight at a time and the rest one by one.
static void compress_many(
    uint8_t *values, const uint8_t *inputs, size_t count, size_t blocks, uint64_t counter, uint64_t step, uint32_t flags,
    uint32_t first, uint32_t last) {
    for (; count >= width; count -= width) {
#if defined(__x86_64__)
        int level = ck_current_level();
        if (level >= CK_AVX512) compress_eight_avx512 EIGHT_ARGUMENTS;
        else if (level >= CK_AVX2) compress_eight_avx2 EIGHT_ARGUMENTS;
        else compress_eight_portable EIGHT_ARGUMENTS;
#else
        compress_eight_portable EIGHT_ARGUMENTS;
#endif
        values += width * value_length;
        inputs += width * blocks * block_length;
        counter += width * step;
    }
    for (; count > 0; count--) {
        uint32_t value[8];
        memcpy(value, blake_initial32, sizeof value);
        for (size_t block = 0; block < blocks; block++, inputs += block_length)
            compress(value, inputs, block_length, counter, flags | (block == 0 ? first : 0) | (block + 1 == blocks ? last : 0));
        memcpy(values, value, sizeof value);
        values += value_length;
        counter += step;
    }
}

// The values of a subtree of whole chunks (a power of two of them): at most eight, which stand for equal parts. Parents are made eight
// at a time as long as there are enough.
static size_t compress_subtree(uint8_t values[width * value_length], const uint8_t *data, size_t chunks, uint64_t counter) {
    if (chunks <= width) {
        compress_many(values, data, chunks, chunk_length / block_length, counter, 1, 0, flag_start, flag_end);
        return chunks;
    }
    uint8_t children[2 * width * value_length];
    size_t half = chunks / 2;
    size_t count = compress_subtree(children, data, half, counter);
    count += compress_subtree(children + count * value_length, data + half * chunk_length, half, counter + half);
    compress_many(values, children, count / 2, 1, 0, 0, flag_parent, 0, 0);
    return count / 2;
}

// A node whose compression is still open: it may turn out to be the root.
struct node {
    uint32_t value[8];
    uint8_t block[block_length];
    uint32_t length;
    uint64_t counter;
    uint32_t flags;
};

static void close_node(uint8_t value[value_length], const struct node *node) {
    uint32_t words[8];
    memcpy(words, node->value, sizeof words);
    compress(words, node->block, node->length, node->counter, node->flags);
    memcpy(value, words, value_length);
}

static void open_parent(struct node *node, const uint8_t *left, const uint8_t *right) {
    memcpy(node->value, blake_initial32, sizeof node->value);
    memmove(node->block + value_length, right, value_length);
    memmove(node->block, left, value_length);
    node->length = block_length;
    node->counter = 0;
    node->flags = flag_parent;
}

// The last chunk, of 0 to 1024 bytes, up to its last block.
static void open_chunk(struct node *node, const uint8_t *data, size_t length, uint64_t counter) {
    memcpy(node->value, blake_initial32, sizeof node->value);
    uint32_t flags = flag_start;
    for (; length > block_length; data += block_length, length -= block_length, flags = 0)
        compress(node->value, data, block_length, counter, flags);
    memset(node->block, 0, block_length);
    if (length > 0) memcpy(node->block, data, length);
    node->length = (uint32_t)length;
    node->counter = counter;
    node->flags = flags | flag_end;
}

void ck_blake3(uint8_t *digest, size_t digest_length, const uint8_t *data, size_t length) {
    // Values of finished subtrees, largest first; as in a binary counter, one for each bit set in the number of chunks done.
    uint8_t stack[most_levels][value_length];
    size_t depth = 0;
    uint64_t done = 0;
    struct node node;

    // Everything but the last chunk, which may be the root, in the largest subtrees that fit.
    while (length > chunk_length) {
        size_t chunks = 1;
        while (chunks < most_chunks && done % (2 * chunks) == 0 && length > 2 * chunks * chunk_length) chunks *= 2;
        uint8_t values[width * value_length];
        size_t count = compress_subtree(values, data, chunks, done);
        for (; count > 1; count /= 2) {
            uint8_t parents[width * value_length];
            compress_many(parents, values, count / 2, 1, 0, 0, flag_parent, 0, 0);
            memcpy(values, parents, count / 2 * value_length);
        }
        data += chunks * chunk_length;
        length -= chunks * chunk_length;
        done += chunks;
        // Subtrees of equal size join, as carries do; more input follows, so none of them is the root.
        for (uint64_t level = done / chunks; level % 2 == 0; level /= 2) {
            open_parent(&node, stack[--depth], values);
            close_node(values, &node);
        }
        memcpy(stack[depth++], values, value_length);
    }
    open_chunk(&node, data, length, done);
    while (depth > 0) {
        uint8_t right[value_length];
        close_node(right, &node);
        open_parent(&node, stack[--depth], right);
    }
    // The root is compressed once for each 64 bytes of output.
    for (uint64_t counter = 0; digest_length > 0; counter++) {
        uint32_t v[16];
        mix(v, node.value, node.block, node.length, counter, node.flags | flag_root);
        for (int i = 0; i < 8; i++) v[i] ^= v[8 + i], v[8 + i] ^= node.value[i];
        size_t part = digest_length < sizeof v ? digest_length : sizeof v;
        memcpy(digest, v, part);
        digest += part;
        digest_length -= part;
    }
}
