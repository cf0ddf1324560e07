// SLH-DSA's hash trees, eight hashes at a time.

#include "ckernels_slhdsa.h"

#include <string.h>

#include "blake_tables.h"
#include "ckernels.h"
#include "sha2_x8.h"

enum { width = 8, rate_lanes = 17, steps = 15, address_length = 22 };

// The kinds of addresses (FIPS 205, table 1).
enum kind { one_time_hash, one_time_key, tree_node, few_time_tree, few_time_roots, one_time_secret, few_time_secret };

// Eight addresses (section 4.2), which share a place in the hypertree. The last three words mean: key pair, chain, step; or key pair,
// height, index.
struct address {
    uint32_t layer;
    uint64_t tree;
    enum kind kind;
    uint32_t pair[width], second[width], third[width];
};

static void set(uint32_t words[width], uint32_t value) {
    for (int j = 0; j < width; j++) words[j] = value;
}

static size_t lanes_of(const struct ck_slh *c) { return c->n / 8; }

// Values of n bytes in and out of their interleaved form.
static void put(const struct ck_slh *c, uint64_t *lanes, int stream, const uint8_t *bytes) {
    for (size_t i = 0; i < lanes_of(c); i++) memcpy(&lanes[width * i + (size_t)stream], bytes + 8 * i, 8);
}

static void put_all(const struct ck_slh *c, uint64_t *lanes, const uint8_t *bytes) {
    for (int j = 0; j < width; j++) put(c, lanes, j, bytes);
}

static void get(const struct ck_slh *c, uint8_t *bytes, const uint64_t *lanes, int stream) {
    for (size_t i = 0; i < lanes_of(c); i++) memcpy(bytes + 8 * i, &lanes[width * i + (size_t)stream], 8);
}

// Eight hashes.

static void hash_shake(struct ck_slh *c, uint64_t *out, const struct address *a, const uint64_t *in, size_t lanes) {
    uint64_t *s = c->states;
    size_t position = lanes_of(c);
    memcpy(s, c->seed, 64 * position);
    memset(s + width * position, 0, 64 * (25 - position));
    uint64_t *address = s + width * position;
    for (int j = 0; j < width; j++) {
        address[j] = __builtin_bswap32(a->layer);
        address[width + j] = __builtin_bswap64(a->tree);
        address[2 * width + j] = __builtin_bswap32((uint32_t)a->kind) | (uint64_t)__builtin_bswap32(a->pair[j]) << 32;
        address[3 * width + j] = __builtin_bswap32(a->second[j]) | (uint64_t)__builtin_bswap32(a->third[j]) << 32;
    }
    position += 4;
    while (lanes > 0) {
        size_t part = lanes < rate_lanes - position ? lanes : rate_lanes - position;
        for (size_t i = 0; i < width * part; i++) s[width * position + i] ^= in[i];
        in += width * part;
        lanes -= part;
        position += part;
        if (position == rate_lanes) {
            ck_keccak_x8(s);
            position = 0;
        }
    }
    for (size_t j = 0; j < width; j++) {
        s[width * position + j] ^= 0x1f;
        s[width * (rate_lanes - 1) + j] ^= 0x80ull << 56;
    }
    ck_keccak_x8(s);
    memcpy(out, s, 64 * lanes_of(c));
}

// With SHA-2 the address is shortened to 22 bytes. More than one value goes through SHA-512, unless values have 16 bytes.
static void hash_sha2(struct ck_slh *c, uint64_t *out, const struct address *a, const uint64_t *in, size_t lanes) {
    const int is_wide = c->n > 16 && lanes > lanes_of(c);
    const size_t block = is_wide ? 128 : 64, counter = is_wide ? 16 : 8, length = address_length + 8 * lanes;
    const size_t blocks = (length + 1 + counter + block - 1) / block;
    uint64_t tree = __builtin_bswap64(a->tree), bits = __builtin_bswap64(8 * (block + length));
    for (int j = 0; j < width; j++) {
        uint8_t *m = c->messages[j];
        uint32_t words[3] = {__builtin_bswap32(a->pair[j]), __builtin_bswap32(a->second[j]), __builtin_bswap32(a->third[j])};
        m[0] = (uint8_t)a->layer;
        memcpy(m + 1, &tree, 8);
        m[9] = (uint8_t)a->kind;
        memcpy(m + 10, words, 12);
        for (size_t i = 0; i < lanes; i++) memcpy(m + address_length + 8 * i, &in[width * i + (size_t)j], 8);
        m[length] = 0x80;
        memset(m + length + 1, 0, blocks * block - length - 9);
        memcpy(m + blocks * block - 8, &bits, 8);
    }
    uint8_t digests[width * 32];
    if (is_wide) ck_sha512_x8(digests, c->n, c->middle512, c->messages[0], sizeof c->messages[0], blocks);
    else ck_sha256_x8(digests, c->n, c->middle256, c->messages[0], sizeof c->messages[0], blocks);
    for (int j = 0; j < width; j++) put(c, out, j, digests + (size_t)j * c->n);
}

static void hash(struct ck_slh *c, uint64_t *out, const struct address *a, const uint64_t *in, size_t lanes) {
    if (c->is_shake) hash_shake(c, out, a, in, lanes);
    else hash_sha2(c, out, a, in, lanes);
}

void ck_slh_start(struct ck_slh *c, const uint8_t *seed, const uint8_t *secret) {
    put_all(c, c->seed, seed);
    if (secret) put_all(c, c->secret, secret);
    if (c->is_shake) return;
    // The seed fills the first block of every message, so its state is kept.
    uint8_t block[width][128] = {{0}}, state[width * 64];
    for (int j = 0; j < width; j++) memcpy(block[j], seed, c->n);
    ck_sha256_x8(state, 32, blake_initial32, block[0], sizeof block[0], 1);
    for (int i = 0; i < 8; i++) {
        memcpy(&c->middle256[i], state + 4 * i, 4);
        c->middle256[i] = __builtin_bswap32(c->middle256[i]);
    }
    ck_sha512_x8(state, 64, blake_initial64, block[0], sizeof block[0], 1);
    for (int i = 0; i < 8; i++) {
        memcpy(&c->middle512[i], state + 8 * i, 8);
        c->middle512[i] = __builtin_bswap64(c->middle512[i]);
    }
}

// Trees.

// From 2^height nodes to the root, which ends up in front; the neighbours of the path from `leaf` are written one behind the other.
// Nodes are numbered through all the trees of a kind, of which this one is number `number`.
static void climb(
    struct ck_slh *c, struct address *a, uint8_t *nodes, uint32_t height, uint32_t number, uint32_t leaf, uint8_t *path) {
    const size_t n = c->n, lanes = lanes_of(c);
    for (uint32_t level = 1; level <= height; level++, leaf /= 2) {
        if (path) {
            memcpy(path, nodes + (leaf ^ 1) * n, n);
            path += n;
        }
        uint32_t count = 1u << (height - level);
        set(a->second, level);
        for (uint32_t first = 0; first < count; first += width) {
            for (uint32_t j = 0; j < width; j++) {
                // Where fewer than eight are left, the last is made several times.
                uint32_t node = first + j < count ? first + j : count - 1;
                put(c, c->pairs, (int)j, nodes + 2 * node * n);
                put(c, c->pairs + width * lanes, (int)j, nodes + (2 * node + 1) * n);
                a->third[j] = number * count + node;
            }
            hash(c, c->value, a, c->pairs, 2 * lanes);
            for (uint32_t j = 0; j < width && first + j < count; j++) get(c, nodes + (first + j) * n, c->value, (int)j);
        }
    }
}

// From eight leaves, which are in c->value, to the roots their paths lead to.
static void follow(
    struct ck_slh *c, struct address *a, uint32_t height, const uint32_t indices[width], const uint8_t *const paths[width]) {
    const size_t lanes = lanes_of(c);
    for (uint32_t level = 1; level <= height; level++) {
        set(a->second, level);
        for (int j = 0; j < width; j++) {
            const uint32_t is_right = indices[j] >> (level - 1) & 1;
            uint8_t node[32];
            get(c, node, c->value, j);
            put(c, c->pairs + width * lanes * is_right, j, node);
            put(c, c->pairs + width * lanes * (1 - is_right), j, paths[j] + (level - 1) * c->n);
            a->third[j] = indices[j] >> level;
        }
        hash(c, c->value, a, c->pairs, 2 * lanes);
    }
}

// One-time signatures.

static size_t chains_of(const struct ck_slh *c) { return 2 * c->n + 3; }

// How far into each chain a message goes: its half bytes, then a checksum of three more (algorithm 7).
static void one_time_digits(const struct ck_slh *c, uint8_t digits[CK_SLH_MOST_CHAINS], const uint8_t *message) {
    uint32_t sum = 0;
    for (size_t i = 0; i < 2 * c->n; i++) {
        digits[i] = i % 2 == 0 ? message[i / 2] >> 4 : message[i / 2] & 15;
        sum += steps - digits[i];
    }
    for (size_t i = 0; i < 3; i++) digits[2 * c->n + i] = sum >> (8 - 4 * i) & 15;
}

// Goes on in eight chains from c->value, which is at `starts`, to their ends.
static void run_chains(struct ck_slh *c, struct address *a, const uint8_t starts[width]) {
    for (uint32_t step = 0; step < steps; step++) {
        set(a->third, step);
        hash(c, c->next, a, c->value, lanes_of(c));
        for (size_t i = 0; i < lanes_of(c); i++)
            for (size_t j = 0; j < width; j++)
                if (step >= starts[j]) c->value[width * i + j] = c->next[width * i + j];
    }
}

// Eight leaves from `first` on; the values that sign a message with one of them are written on the way.
static void make_leaves(
    struct ck_slh *c, struct address *a, uint8_t *nodes, uint32_t first, int signer, const uint8_t *digits, uint8_t *signature) {
    const size_t lanes = lanes_of(c);
    for (uint32_t j = 0; j < width; j++) a->pair[j] = first + j;
    for (size_t chain = 0; chain < chains_of(c); chain++) {
        set(a->second, (uint32_t)chain);
        set(a->third, 0);
        a->kind = one_time_secret;
        uint64_t *value = c->chains + width * lanes * chain;
        hash(c, value, a, c->secret, lanes);
        a->kind = one_time_hash;
        for (uint32_t step = 0; step <= steps; step++) {
            if (signer >= 0) get(c, c->passed[step], value, signer);
            if (step == steps) break;
            set(a->third, step);
            hash(c, value, a, value, lanes);
        }
        // All the same number of instructions, wherever in its chain the message stops.
        if (signer >= 0) memcpy(signature + chain * c->n, c->passed[digits[chain]], c->n);
    }
    a->kind = one_time_key;
    set(a->second, 0);
    set(a->third, 0);
    hash(c, c->value, a, c->chains, chains_of(c) * lanes);
    for (int j = 0; j < width; j++) get(c, nodes + (first + (uint32_t)j) * c->n, c->value, j);
}

void ck_slh_tree_sign(
    struct ck_slh *c, uint8_t *root, uint8_t *signature, uint32_t layer, uint64_t tree, uint32_t leaf, const uint8_t *message,
    uint8_t *nodes) {
    struct address a = {.layer = layer, .tree = tree};
    uint8_t digits[CK_SLH_MOST_CHAINS] = {0};
    if (signature) one_time_digits(c, digits, message);
    for (uint32_t first = 0; first < 1u << c->tree_height; first += width) {
        int signer = signature && leaf / width == first / width ? (int)(leaf % width) : -1;
        make_leaves(c, &a, nodes, first, signer, digits, signature);
    }
    a.kind = tree_node;
    set(a.pair, 0);
    climb(c, &a, nodes, c->tree_height, 0, leaf, signature ? signature + chains_of(c) * c->n : NULL);
    memcpy(root, nodes, c->n);
}

void ck_slh_tree_root(
    struct ck_slh *c, uint8_t *root, const uint8_t *signature, uint32_t layer, uint64_t tree, uint32_t leaf, const uint8_t *message) {
    const size_t lanes = lanes_of(c), chains = chains_of(c);
    struct address a = {.layer = layer, .tree = tree, .kind = one_time_hash};
    uint8_t digits[CK_SLH_MOST_CHAINS];
    one_time_digits(c, digits, message);
    set(a.pair, leaf);
    for (size_t first = 0; first < chains; first += width) {
        uint8_t starts[width];
        for (size_t j = 0; j < width; j++) {
            size_t chain = first + j < chains ? first + j : chains - 1;
            starts[j] = digits[chain];
            a.second[j] = (uint32_t)chain;
            put(c, c->value, (int)j, signature + chain * c->n);
        }
        run_chains(c, &a, starts);
        for (size_t j = 0; j < width && first + j < chains; j++) {
            uint8_t end[32];
            get(c, end, c->value, (int)j);
            put_all(c, c->chains + width * lanes * (first + j), end);
        }
    }
    a.kind = one_time_key;
    set(a.second, 0);
    set(a.third, 0);
    hash(c, c->value, &a, c->chains, chains * lanes);
    a.kind = tree_node;
    set(a.pair, 0);
    uint32_t indices[width];
    const uint8_t *paths[width];
    for (int j = 0; j < width; j++) indices[j] = leaf, paths[j] = signature + chains * c->n;
    follow(c, &a, c->tree_height, indices, paths);
    get(c, root, c->value, 0);
}

// Few-time signatures.

// Which leaf of each tree a digest opens: fors_height bits each, the first ones first (algorithm 4).
static void few_time_indices(const struct ck_slh *c, uint32_t indices[CK_SLH_MOST_TREES], const uint8_t *digest) {
    uint32_t bits = 0, count = 0;
    for (uint32_t i = 0; i < c->fors_trees; i++) {
        for (; count < c->fors_height; count += 8) bits = bits << 8 | *digest++;
        count -= c->fors_height;
        indices[i] = bits >> count & ((1u << c->fors_height) - 1);
    }
}

// The hash of the roots, which are in c->chains for all eight streams.
static void hash_roots(struct ck_slh *c, struct address *a, uint8_t *public_key) {
    a->kind = few_time_roots;
    set(a->second, 0);
    set(a->third, 0);
    hash(c, c->value, a, c->chains, c->fors_trees * lanes_of(c));
    get(c, public_key, c->value, 0);
}

void ck_slh_fors_sign(
    struct ck_slh *c, uint8_t *public_key, uint8_t *signature, uint64_t tree, uint32_t leaf, const uint8_t *digest, uint8_t *nodes) {
    const size_t n = c->n, lanes = lanes_of(c);
    uint32_t indices[CK_SLH_MOST_TREES];
    few_time_indices(c, indices, digest);
    struct address a = {.layer = 0, .tree = tree};
    set(a.pair, leaf);
    for (uint32_t number = 0; number < c->fors_trees; number++) {
        const uint32_t opened = indices[number];
        set(a.second, 0);
        for (uint32_t first = 0; first < 1u << c->fors_height; first += width) {
            for (uint32_t j = 0; j < width; j++) a.third[j] = (number << c->fors_height) + first + j;
            a.kind = few_time_secret;
            hash(c, c->value, &a, c->secret, lanes);
            if (opened / width == first / width) get(c, signature, c->value, (int)(opened % width));
            a.kind = few_time_tree;
            hash(c, c->value, &a, c->value, lanes);
            for (uint32_t j = 0; j < width; j++) get(c, nodes + (first + j) * n, c->value, (int)j);
        }
        climb(c, &a, nodes, c->fors_height, number, opened, signature + n);
        signature += (1 + c->fors_height) * n;
        put_all(c, c->chains + width * lanes * number, nodes);
    }
    hash_roots(c, &a, public_key);
}

void ck_slh_fors_root(
    struct ck_slh *c, uint8_t *public_key, const uint8_t *signature, uint64_t tree, uint32_t leaf, const uint8_t *digest) {
    const size_t n = c->n, lanes = lanes_of(c);
    uint32_t opened[CK_SLH_MOST_TREES];
    few_time_indices(c, opened, digest);
    struct address a = {.layer = 0, .tree = tree, .kind = few_time_tree};
    set(a.pair, leaf);
    for (uint32_t first = 0; first < c->fors_trees; first += width) {
        uint32_t indices[width];
        const uint8_t *paths[width];
        set(a.second, 0);
        for (uint32_t j = 0; j < width; j++) {
            uint32_t number = first + j < c->fors_trees ? first + j : c->fors_trees - 1;
            const uint8_t *part = signature + (size_t)number * (1 + c->fors_height) * n;
            indices[j] = (number << c->fors_height) + opened[number];
            a.third[j] = indices[j];
            paths[j] = part + n;
            put(c, c->value, (int)j, part);
        }
        hash(c, c->value, &a, c->value, lanes);
        follow(c, &a, c->fors_height, indices, paths);
        for (uint32_t j = 0; j < width && first + j < c->fors_trees; j++) {
            uint8_t root[32];
            get(c, root, c->value, (int)j);
            put_all(c, c->chains + width * lanes * (first + j), root);
        }
    }
    hash_roots(c, &a, public_key);
}
