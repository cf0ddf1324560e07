#pragma once
// The block-level SHA functions are marked deprecated in OpenSSL 3 in favour of EVP, but they are the only ones whose state is a
// plain value: no allocation, no fetch, no context to share between threads. They stay in every 3.x.
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
