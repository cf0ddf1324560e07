// Loops may still encrypt while the process exits. libcrypto would free its tables under them from an exit handler; it installs none
// when the first thing it hears is this. The kernel takes the memory back anyway.

#include <openssl/crypto.h>
#include <stddef.h>

__attribute__((constructor)) static void keep_libcrypto_until_the_end(void) {
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
}
