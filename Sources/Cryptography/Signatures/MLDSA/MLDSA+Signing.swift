import CKernels
import WaggleBase

extension MLDSA.PrivateKey {
    /// Signs a message in a context of at most 255 bytes (algorithm 2).
    ///
    /// With 32 random bytes the signature is hedged, which protects better against faults and side channels; without, it is deterministic.
    /// Nil when the context or the randomness has the wrong length.
    public func sign(_ message: Bytes, context: Bytes = Bytes(), randomness: SecureBytes? = nil) -> Bytes? {
        guard let context = SignatureContext(context, isPreHashed: false) else { return nil }
        return sign(MLDSA.representative(publicKey.digest, context.prefix, message), randomness)
    }

    public func sign(_ message: RawSpan, context: Bytes = Bytes(), randomness: SecureBytes? = nil) -> Bytes? {
        sign(Bytes(message), context: context, randomness: randomness)
    }

    /// The same for a message that is hashed first (algorithm 4).
    public func sign(hashing message: Bytes, _ hash: PreHash, context: Bytes = Bytes(), randomness: SecureBytes? = nil) -> Bytes? {
        guard let context = SignatureContext(context, isPreHashed: true) else { return nil }
        return sign(MLDSA.representative(publicKey.digest, context.prefix, hash.encode(message.span)), randomness)
    }

    /// The same for a representative of 64 bytes that was computed elsewhere (external µ); nil when it has another length.
    public func sign(representative: Bytes, randomness: SecureBytes? = nil) -> Bytes? {
        guard let representative = MLDSA.representative(representative) else { return nil }
        return sign(representative, randomness)
    }

    /// The same without context and prefix (algorithm 7), for tests of the standard.
    package func sign(bare message: Bytes, randomness: SecureBytes? = nil) -> Bytes? {
        sign(MLDSA.representative(publicKey.digest, message), randomness)
    }

    /// How many attempts a deterministic signature takes, for checks that compare signatures of equal cost.
    package func attempts(toSign message: Bytes, context: Bytes = Bytes()) -> Int? {
        guard let context = SignatureContext(context, isPreHashed: false) else { return nil }
        return attempt(MLDSA.representative(publicKey.digest, context.prefix, message), nil)?.attempts
    }

    private func sign(_ representative: MLDSA.Representative, _ randomness: SecureBytes?) -> Bytes? {
        if let libcrypto {
            guard randomness.map({ $0.count == MLDSA.seedLength }) ?? true else { return nil }
            return libcrypto.sign(.representative(MLDSA.bytes(representative)), randomness: randomness)
        }
        return attempt(representative, randomness)?.signature
    }

    private func attempt(_ representative: MLDSA.Representative, _ randomness: SecureBytes?) -> (signature: Bytes, attempts: Int)? {
        guard randomness.map({ $0.count == MLDSA.seedLength }) ?? true else { return nil }
        return wipingStack { attemptHere(representative, randomness) }
    }

    private func attemptHere(_ representative: MLDSA.Representative, _ randomness: SecureBytes?) -> (signature: Bytes, attempts: Int)? {
        var sponge = KeccakSponge(rate: 136, domain: .shake)
        polynomials.signingSeed.withUnsafeBytes { sponge.absorb($0) }
        if let randomness {
            randomness.withUnsafeBytes { sponge.absorb($0) }
        } else {
            withUnsafeBytes(of: MLDSA.Seed.zero) { sponge.absorb($0) }
        }
        withUnsafeBytes(of: representative) { sponge.absorb($0) }
        var maskSeed = MLDSA.Representative.zero
        withUnsafeMutableBytes(of: &maskSeed) { sponge.squeeze(into: $0) }
        sponge.wipe()
        defer { wipe(&maskSeed) }

        let attempt = SigningAttempt(parameters, polynomials, representative)
        for number in 0..<MLDSA.maximumAttempts where attempt.run(maskSeed, counter: number * parameters.columns) {
            return (attempt.encode(), number + 1)
        }
        return nil
    }
}

/// One signature in the making: draws masks until what it would show says nothing about the key (algorithm 7, lines 10 to 32).
private struct SigningAttempt: ~Copyable {
    private let parameters: MLDSA.Parameters
    private let key: MLDSA.ExpandedKey
    private let streams = MLDSA.Streams()
    /// The masks and their transforms, high and low part of w, the challenge, one more.
    private let polynomials: MLDSA.Polynomials
    /// The representative and the encoded high part of w, which together make the challenge; the challenge; the hint.
    private let bytes: UnsafeMutableRawBufferPointer

    init(_ parameters: MLDSA.Parameters, _ key: MLDSA.ExpandedKey, _ representative: MLDSA.Representative) {
        self.parameters = parameters
        self.key = key
        polynomials = MLDSA.Polynomials(count: 2 * parameters.columns + 2 * parameters.rows + 2, isSecret: true)
        let length = 64 + parameters.rows * parameters.highLength + 64 + parameters.rows * MLDSA.degree
        bytes = .allocate(byteCount: length, alignment: 64)
        bytes.storeBytes(of: representative, as: MLDSA.Representative.self)
    }

    deinit {
        wipe(bytes)
        bytes.deallocate()
    }

    private typealias Polynomial = UnsafeMutablePointer<Int32>
    private func mask(_ column: Int) -> Polynomial { polynomials[column] }
    private func transformed(_ column: Int) -> Polynomial { polynomials[parameters.columns + column] }
    private func high(_ row: Int) -> Polynomial { polynomials[2 * parameters.columns + row] }
    private func low(_ row: Int) -> Polynomial { polynomials[2 * parameters.columns + parameters.rows + row] }
    private var challengePolynomial: Polynomial { polynomials[2 * parameters.columns + 2 * parameters.rows] }
    private var product: Polynomial { polynomials[2 * parameters.columns + 2 * parameters.rows + 1] }

    private var commitmentLength: Int { 64 + parameters.rows * parameters.highLength }
    private var start: UnsafeMutablePointer<UInt8> { bytes.octets.unsafelyUnwrapped }
    private var challenge: UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: start + commitmentLength, count: parameters.challengeLength)
    }
    private var hint: UnsafeMutablePointer<UInt8> { start + commitmentLength + 64 }

    /// Whether the masks that start at `counter` give a signature. Stops at the first polynomial that shows they do not; which one that
    /// is does not depend on the key.
    func run(_ seed: MLDSA.Representative, counter: Int) -> Bool {
        commit(seed, counter: counter)
        for column in 0..<parameters.columns {
            multiply(key.first(column))
            ck_mldsa_add(mask(column), product)
            if ck_mldsa_reaches(mask(column), parameters.maskBound - parameters.beta) { return false }
        }
        for row in 0..<parameters.rows {
            multiply(key.second(row))
            ck_mldsa_subtract(low(row), product)
            if ck_mldsa_reaches(low(row), parameters.gamma - parameters.beta) { return false }
        }
        var ones = 0
        for row in 0..<parameters.rows {
            multiply(key.low(row))
            if ck_mldsa_reaches(product, parameters.gamma) { return false }
            ck_mldsa_add(low(row), product)
            ones += ck_mldsa_make_hint(hint + row * MLDSA.degree, low(row), high(row), parameters.isNarrow)
        }
        return ones <= parameters.hintWeight
    }

    /// Draws the masks, and from the high part of the matrix times them the challenge.
    private func commit(_ seed: MLDSA.Representative, counter: Int) {
        MLDSA.sampleMask(seed, counter: counter, parameters, into: mask(0), streams)
        transformed(0).update(from: mask(0), count: parameters.columns * MLDSA.degree)
        for column in 0..<parameters.columns { ck_mldsa_ntt(transformed(column)) }
        for row in 0..<parameters.rows {
            ck_mldsa_dot(product, key.matrix(row: row), transformed(0), parameters.columns)
            ck_mldsa_inverse_ntt(product)
            ck_mldsa_canonical(product)
            ck_mldsa_decompose(high(row), low(row), product, parameters.isNarrow)
            ck_mldsa_pack(start + 64 + row * parameters.highLength, high(row), parameters.highBits, 0)
        }
        var sponge = KeccakSponge(rate: 136, domain: .shake)
        sponge.absorb(UnsafeRawBufferPointer(start: start, count: commitmentLength))
        sponge.squeeze(into: challenge)
        MLDSA.sampleChallenge(UnsafeRawBufferPointer(challenge), weight: parameters.weight, into: challengePolynomial)
        ck_mldsa_ntt(challengePolynomial)
    }

    /// The challenge times a transformed polynomial, reduced to the least magnitudes.
    private func multiply(_ polynomial: Polynomial) {
        ck_mldsa_dot(product, challengePolynomial, polynomial, 1)
        ck_mldsa_inverse_ntt(product)
    }

    /// Challenge ‖ z ‖ hint (algorithm 26).
    func encode() -> Bytes {
        Bytes(count: parameters.signatureLength) { output in
            output.copyMemory(from: UnsafeRawBufferPointer(challenge))
            var next = output.octets.unsafelyUnwrapped + parameters.challengeLength
            for column in 0..<parameters.columns {
                ck_mldsa_pack(next, mask(column), Int32(parameters.maskBits), parameters.maskBound)
                next += parameters.maskLength
            }
            MLDSA.encodeHint(hint, parameters, into: next)
            return output.count
        }
    }
}

extension MLDSA.PublicKey {
    /// Algorithm 8. Everything in it is public.
    func verify(_ signature: Bytes, _ representative: MLDSA.Representative) -> Bool {
        guard signature.count == parameters.signatureLength else { return false }
        if PostQuantum.usesLibcrypto(parameters.name), let key = LibcryptoKey(parameters.name, publicKey: encoded) {
            return key.verify(signature, of: .representative(MLDSA.bytes(representative)))
        }
        return signature.withUnsafeBytes { signature in
            encoded.withUnsafeBytes { key in
                verify(signature.octets.unsafelyUnwrapped, key.octets.unsafelyUnwrapped, representative)
            }
        }
    }

    private func verify(
        _ signature: UnsafePointer<UInt8>, _ key: UnsafePointer<UInt8>, _ representative: MLDSA.Representative
    ) -> Bool {
        let rows = parameters.rows, columns = parameters.columns, degree = MLDSA.degree
        // z, the challenge, two for what comes up, the matrix.
        let polynomials = MLDSA.Polynomials(count: columns + 3 + rows * columns, isSecret: false)
        for column in 0..<columns {
            let z = polynomials[column]
            ck_mldsa_unpack(
                z, signature + parameters.challengeLength + column * parameters.maskLength, Int32(parameters.maskBits),
                parameters.maskBound)
            if ck_mldsa_reaches(z, parameters.maskBound - parameters.beta) { return false }
            ck_mldsa_ntt(z)
        }
        let challenge = UnsafeRawBufferPointer(start: signature, count: parameters.challengeLength)
        let commitmentLength = 64 + rows * parameters.highLength
        return withUnsafeTemporaryAllocation(byteCount: commitmentLength + 64 + rows * degree, alignment: 64) { bytes in
            let start = bytes.octets.unsafelyUnwrapped
            let hint = start + commitmentLength + 64
            guard MLDSA.decodeHint(signature + parameters.challengeLength + columns * parameters.maskLength, parameters, into: hint) else {
                return false
            }
            let c = polynomials[columns], w = polynomials[columns + 1], t = polynomials[columns + 2], matrix = polynomials[columns + 3]
            MLDSA.sampleChallenge(challenge, weight: parameters.weight, into: c)
            ck_mldsa_ntt(c)
            MLDSA.sampleMatrix(UnsafeRawPointer(key).loadUnaligned(as: MLDSA.Seed.self), parameters, into: matrix, MLDSA.Streams())

            bytes.storeBytes(of: representative, as: MLDSA.Representative.self)
            for row in 0..<rows {
                // The bits that t has lost are zero here; the challenge carries their power of two.
                ck_mldsa_unpack(t, key + 32 + row * 320, 10, 0)
                ck_mldsa_shift(t, Int32(MLDSA.droppedBits))
                ck_mldsa_ntt(t)
                ck_mldsa_dot(t, c, t, 1)
                ck_mldsa_dot(w, matrix + row * columns * degree, polynomials[0], columns)
                ck_mldsa_subtract(w, t)
                ck_mldsa_inverse_ntt(w)
                ck_mldsa_canonical(w)
                ck_mldsa_use_hint(w, hint + row * degree, parameters.isNarrow)
                ck_mldsa_pack(start + 64 + row * parameters.highLength, w, parameters.highBits, 0)
            }
            var sponge = KeccakSponge(rate: 136, domain: .shake)
            sponge.absorb(UnsafeRawBufferPointer(start: start, count: commitmentLength))
            let expected = UnsafeMutableRawBufferPointer(start: start + commitmentLength, count: parameters.challengeLength)
            sponge.squeeze(into: expected)
            return ConstantTime.equal(UnsafeRawBufferPointer(expected), challenge)
        }
    }
}
