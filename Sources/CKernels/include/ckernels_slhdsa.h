#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// SLH-DSA (FIPS 205): the hash trees, with eight independent hashes at a time. All hashes are those of the standard's section 11 with the
// public seed and an address in front. Signing takes time that depends on the parameters and on what the signature shows only.

enum {
    CK_SLH_MOST_LANES = 4,      // 8-byte lanes of a hash value: n / 8
    CK_SLH_MOST_CHAINS = 67,    // chains of a one-time key: 2 n + 3
    CK_SLH_MOST_TREES = 35,     // few-time trees
    CK_SLH_LONGEST_MESSAGE = 2304, // the longest input of one hash in whole blocks: an address and 67 values of 32 bytes
};

// A parameter set, the seeds of a key, and room to work in, which holds secrets after signing: wipe it.
struct ck_slh {
    size_t n;              // bytes of a hash value: 16, 24 or 32
    uint32_t tree_height;  // of one tree of the hypertree (h')
    uint32_t fors_height;  // of a few-time tree (a)
    uint32_t fors_trees;   // how many (k)
    bool is_shake;         // SHAKE256, else SHA-256 and SHA-512
    // Set by ck_slh_start. Lane i of stream j lies at 8 * i + j.
    uint64_t seed[8 * CK_SLH_MOST_LANES], secret[8 * CK_SLH_MOST_LANES];
    uint32_t middle256[8];
    uint64_t middle512[8];
    uint64_t states[200], value[8 * CK_SLH_MOST_LANES], next[8 * CK_SLH_MOST_LANES], pairs[16 * CK_SLH_MOST_LANES];
    uint64_t chains[8 * CK_SLH_MOST_LANES * CK_SLH_MOST_CHAINS];
    uint8_t messages[8][CK_SLH_LONGEST_MESSAGE];
    uint8_t passed[16][8 * CK_SLH_MOST_LANES];
};

// Takes in the public seed and, for signing, the secret one (else NULL); the parameters are set before.
void ck_slh_start(struct ck_slh *context, const uint8_t *seed, const uint8_t *secret);

// Signs n bytes with leaf `leaf` of a tree of the hypertree (algorithm 10), and gives its root (algorithm 9). With no signature wanted,
// both it and the message are NULL. `nodes` has room for 2^tree_height values.
void ck_slh_tree_sign(
    struct ck_slh *context, uint8_t *root, uint8_t *signature, uint32_t layer, uint64_t tree, uint32_t leaf, const uint8_t *message,
    uint8_t *nodes);

// The root that such a signature leads to (algorithm 11).
void ck_slh_tree_root(
    struct ck_slh *context, uint8_t *root, const uint8_t *signature, uint32_t layer, uint64_t tree, uint32_t leaf, const uint8_t *message);

// Signs a digest of fors_trees * fors_height bits with a few-time key (algorithm 16), and gives its public key. `nodes` has room for
// 2^fors_height values.
void ck_slh_fors_sign(
    struct ck_slh *context, uint8_t *public_key, uint8_t *signature, uint64_t tree, uint32_t leaf, const uint8_t *digest, uint8_t *nodes);

// The public key that such a signature leads to (algorithm 17).
void ck_slh_fors_root(
    struct ck_slh *context, uint8_t *public_key, const uint8_t *signature, uint64_t tree, uint32_t leaf, const uint8_t *digest);
