import CKernels
import WaggleBase
import WaggleCryptography

/// The post-quantum primitives of this package beside their own portable form and beside libcrypto's, which has them from OpenSSL 3.5 on.
///
/// All run in turns, on the same inputs, in the same process; a line has the medians and the ratios of ours to the others (below 1 is faster).
/// `scripts/openssl` runs this program with a newer libcrypto where the installed one is older.
enum PostQuantumBenchmark {
    /// What OpenSSL 3.5.7 needs on the reference machine in nanoseconds, for where the linked libcrypto is older.
    private static let known: [String: Double] = [
        "ML-KEM-768 generate": 33_000, "ML-KEM-768 encapsulate": 21_000, "ML-KEM-768 decapsulate": 32_000,
        "ML-DSA-65 generate": 133_000, "ML-DSA-65 sign": 600_000, "ML-DSA-65 verify": 126_000,
    ]

    static func run() {
        encapsulation()
        for parameters in [MLDSA.Parameters.mldsa44, .mldsa65, .mldsa87] { latticeSignatures(parameters) }
        hashSignatures(.shake128s)
        hashSignatures(.sha2_128s)
    }

    private static func seed(_ count: Int, _ number: UInt8) -> SecureBytes { SecureBytes([UInt8](repeating: number, count: count)) }

    private static func encapsulation() {
        let name = "ML-KEM-768"
        guard let key = MLKEM768.generate(d: seed(32, 1), z: seed(32, 2)), let made = MLKEM768.encapsulate(to: key.encapsulationKey, m: seed(32, 3))
        else { return }
        let both = seed(64, 1)
        let theirs = LibcryptoKey(name, privateKey: key.encoded)
        compare("\(name) generate", 200, ours: { _ = MLKEM768.generate(d: seed(32, UInt8($0 & 255)), z: seed(32, 2)) }, theirs: theirs.map { _ in
            { _ in _ = LibcryptoKey(name, seed: both) }
        })
        compare("\(name) encapsulate", 200, ours: { _ in _ = MLKEM768.encapsulate(to: key.encapsulationKey, m: seed(32, 3)) }, theirs: theirs.map { theirs in
            { _ in _ = theirs.encapsulate() }
        })
        compare("\(name) decapsulate", 200, ours: { _ in _ = key.decapsulate(made.ciphertext) }, theirs: theirs.map { theirs in
            { _ in _ = theirs.decapsulate(made.ciphertext) }
        })
    }

    /// How many attempts a signature takes depends on the message, so there are many; both sides sign the same ones, deterministically, and
    /// therefore take the same attempts.
    private static func latticeSignatures(_ parameters: MLDSA.Parameters) {
        let name = parameters.name
        guard let key = MLDSA.PrivateKey(seed: seed(32, 7), parameters) else { return }
        let theirs = LibcryptoKey(name, privateKey: key.expanded)
        let verifier = LibcryptoKey(name, publicKey: key.publicKey.encoded)
        func message(_ number: Int) -> Bytes { Bytes([UInt8(number & 255), UInt8(number >> 8)]) }
        let signatures = (0..<64).compactMap { key.sign(message($0)) }
        guard signatures.count == 64 else { return }
        compare("\(name) generate", 100, ours: { _ = MLDSA.PrivateKey(seed: seed(32, UInt8($0 & 255)), parameters) }, theirs: theirs.map { _ in
            { _ = LibcryptoKey(name, seed: seed(32, UInt8($0 & 255))) }
        })
        compare("\(name) sign", 301, ours: { _ = key.sign(message($0)) }, theirs: theirs.map { theirs in
            { _ = theirs.sign(.pure(message($0), context: Bytes())) }
        })
        let encoded = key.publicKey.encoded
        // Ours reads the key each time, as peers' keys come; theirs has read it before.
        compare(
            "\(name) verify", 101,
            ours: { _ = MLDSA.PublicKey(encoded, parameters)?.verify(signatures[$0 & 63], of: message($0 & 63)) },
            theirs: verifier.map { verifier in
                { _ = verifier.verify(signatures[$0 & 63], of: .pure(message($0 & 63), context: Bytes())) }
            })
    }

    private static func hashSignatures(_ parameters: SLHDSA.Parameters) {
        let name = parameters.name
        let message = Bytes(utf8: "a message")
        guard let key = SLHDSA.PrivateKey(seed: seed(parameters.seedLength, 7), parameters), let signature = key.sign(message) else { return }
        let theirs = LibcryptoKey(name, privateKey: key.encoded)
        compare("\(name) generate", 3, ours: { _ in _ = SLHDSA.PrivateKey(seed: seed(parameters.seedLength, 7), parameters) }, theirs: theirs.map { _ in
            { _ in _ = LibcryptoKey(name, seed: nil) }
        })
        compare("\(name) sign", 3, ours: { _ in _ = key.sign(message) }, theirs: theirs.map { theirs in
            { _ in _ = theirs.sign(.pure(message, context: Bytes())) }
        })
        compare("\(name) verify", 21, ours: { _ in _ = key.publicKey.verify(signature, of: message) }, theirs: theirs.map { theirs in
            { _ in _ = theirs.verify(signature, of: .pure(message, context: Bytes())) }
        })
    }

    /// Runs ours with the processor's kernels, ours with the portable ones and theirs in turns.
    private static func compare(_ name: String, _ count: Int, ours: (Int) -> Void, theirs: ((Int) -> Void)?) {
        let clock = ContinuousClock()
        var times: (ours: [Double], portable: [Double], theirs: [Double]) = ([], [], [])
        func nanoseconds(_ body: (Int) -> Void, _ number: Int) -> Double {
            let time = clock.measure { body(number) }
            return Double(time.components.seconds) * 1e9 + Double(time.components.attoseconds) / 1e9
        }
        ours(0)
        theirs?(0)
        for number in 0..<count {
            times.ours.append(nanoseconds(ours, number))
            ck_limit_level(0)
            times.portable.append(nanoseconds(ours, number))
            ck_limit_level(.max)
            if let theirs { times.theirs.append(nanoseconds(theirs, number)) }
        }
        func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
        let own = median(times.ours), portable = median(times.portable)
        var text = "\(padded(name, 32))\(padded(micro(own), 14))\(Measure.text(own / portable)) of our portable code (\(micro(portable)))"
        if !times.theirs.isEmpty {
            let other = median(times.theirs)
            text += ", \(Measure.text(own / other)) of OpenSSL (\(micro(other)))"
        } else if let other = known[name] {
            text += ", \(Measure.text(own / other)) of OpenSSL 3.5.7 on the reference machine (\(micro(other)))"
        }
        print(text)
    }

    private static func micro(_ nanoseconds: Double) -> String { "\(Measure.text(nanoseconds / 1000)) µs" }
    private static func padded(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(1, width - text.count)) }
}
