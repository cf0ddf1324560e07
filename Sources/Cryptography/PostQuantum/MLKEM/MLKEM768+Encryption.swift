import CKernels

/// The public-key encryption inside (FIPS 203, section 5), which alone would not be safe against chosen ciphertexts.
extension MLKEM768 {
    /// Encrypts 32 bytes to 1,088 (algorithm 14).
    static func encrypt(
        _ message: UnsafePointer<UInt8>, _ key: ExpandedKey, randomness: Seed, into output: UnsafeMutablePointer<UInt8>,
        _ workspace: borrowing Workspace
    ) {
        // y, then e1, then e2.
        let noise = workspace.noise
        sampleNoise(randomness, count: 2 * rank + 1, into: noise, workspace)
        for index in 0..<rank {
            ck_mlkem_ntt(noise + index * degree)
            ck_mlkem_prepare(workspace.prepared + index * 2 * degree, noise + index * degree)
        }
        let product = workspace.first
        for column in 0..<rank {
            // The transposed matrix: down a column, rows `rank` polynomials apart.
            ck_mlkem_dot(product, key.matrix + column * degree, rank, workspace.prepared)
            ck_mlkem_inverse_ntt(product)
            ck_mlkem_add(product, noise + (rank + column) * degree)
            ck_mlkem_compress10(output + column * 320, product)
        }
        ck_mlkem_dot(product, key.publicVector, 1, workspace.prepared)
        ck_mlkem_inverse_ntt(product)
        ck_mlkem_add(product, noise + 2 * rank * degree)
        ck_mlkem_add_message(product, message)
        ck_mlkem_compress4(output + rank * 320, product)
    }

    /// Decrypts to 32 bytes (algorithm 15); any ciphertext gives some message.
    static func decrypt(
        _ ciphertext: UnsafePointer<UInt8>, _ secret: PolynomialVector, into message: UnsafeMutablePointer<UInt8>,
        _ workspace: borrowing Workspace
    ) {
        let polynomial = workspace.first
        for index in 0..<rank {
            ck_mlkem_decompress10(polynomial, ciphertext + index * 320)
            ck_mlkem_ntt(polynomial)
            ck_mlkem_prepare(workspace.prepared + index * 2 * degree, polynomial)
        }
        ck_mlkem_dot(polynomial, secret.pointer, 1, workspace.prepared)
        ck_mlkem_inverse_ntt(polynomial)
        ck_mlkem_decompress4(workspace.second, ciphertext + rank * 320)
        ck_mlkem_subtract_from(polynomial, workspace.second)
        ck_mlkem_extract_message(message, polynomial)
    }
}
