import CKernels
import WaggleBase

extension SLHDSA.PrivateKey {
    /// Signs a message in a context of at most 255 bytes (algorithm 22).
    ///
    /// With n random bytes the signature is hedged, which protects better against faults and side channels; without, it is
    /// deterministic. Nil when the context or the randomness has the wrong length. Costs about 60 ms with SHAKE-128s.
    public func sign(_ message: Bytes, context: Bytes = Bytes(), randomness: SecureBytes? = nil) -> Bytes? {
        guard let context = SignatureContext(context, isPreHashed: false) else { return nil }
        return sign([context.prefix, message], randomness)
    }

    public func sign(_ message: RawSpan, context: Bytes = Bytes(), randomness: SecureBytes? = nil) -> Bytes? {
        sign(Bytes(message), context: context, randomness: randomness)
    }

    /// The same for a message that is hashed first (algorithm 23).
    public func sign(hashing message: Bytes, _ hash: PreHash, context: Bytes = Bytes(), randomness: SecureBytes? = nil) -> Bytes? {
        guard let context = SignatureContext(context, isPreHashed: true) else { return nil }
        return sign([context.prefix, hash.encode(message.span)], randomness)
    }

    /// The same without context and prefix (algorithm 19), for tests of the standard.
    package func sign(bare message: Bytes, randomness: SecureBytes? = nil) -> Bytes? { sign([message], randomness) }

    private func sign(_ parts: [Bytes], _ randomness: SecureBytes?) -> Bytes? {
        guard randomness.map({ $0.count == parameters.randomnessLength }) ?? true else { return nil }
        if PostQuantum.usesLibcrypto(parameters.name), let key = LibcryptoKey(parameters.name, privateKey: encoded) {
            return key.sign(.encoded(SLHDSA.joined(parts)), randomness: randomness)
        }
        return wipingStack { signHere(parts, randomness) }
    }

    private func signHere(_ parts: [Bytes], _ randomness: SecureBytes?) -> Bytes {
        let n = parameters.hashLength
        return encoded.withUnsafeBytes { key in
            let secret = UnsafeRawBufferPointer(rebasing: key[n..<2 * n])
            let publicSeed = UnsafeRawBufferPointer(rebasing: key[2 * n..<3 * n])
            let randomizer =
                randomness?.withUnsafeBytes { parameters.randomizer(secret, $0, parts) }
                ?? parameters.randomizer(secret, publicSeed, parts)
            let digest = parameters.digest(randomizer, publicKey: publicKey.encoded, parts)
            let start = key.octets.unsafelyUnwrapped
            let workspace = SLHDSA.Workspace(parameters, publicSeed: start + 2 * n, secret: start)
            return sign(randomizer, SLHDSA.Selection(digest, parameters), workspace)
        }
    }

    /// Randomizer ‖ few-time signature ‖ one part for each layer: each layer signs the root below it.
    private func sign(_ randomizer: Bytes, _ selection: SLHDSA.Selection, _ workspace: borrowing SLHDSA.Workspace) -> Bytes {
        Bytes(count: parameters.signatureLength) { output in
            randomizer.withUnsafeBytes { output.copyMemory(from: $0) }
            let context = workspace.context, nodes = workspace.nodes
            var next = output.octets.unsafelyUnwrapped + parameters.hashLength
            withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 2 * parameters.hashLength) { values in
                let message = values.baseAddress.unsafelyUnwrapped, root = message + parameters.hashLength
                selection.fewTimeDigest.withUnsafeBytes {
                    ck_slh_fors_sign(context, message, next, selection.tree, selection.leaf, $0.octets, nodes)
                }
                next += parameters.fewTimeLength
                for (layer, place) in SLHDSA.places(selection, parameters).enumerated() {
                    ck_slh_tree_sign(context, root, next, UInt32(layer), place.tree, place.leaf, message, nodes)
                    message.update(from: root, count: parameters.hashLength)
                    next += parameters.layerLength
                }
            }
            return output.count
        }
    }
}

extension SLHDSA {
    fileprivate static func joined(_ parts: [Bytes]) -> Bytes {
        var writer = ByteWriter(capacity: parts.reduce(0) { $0 + $1.count })
        for part in parts { writer.write(part) }
        return writer.finish()
    }

    /// The tree and the leaf that sign in each layer, lowest first (algorithm 12).
    fileprivate static func places(_ selection: Selection, _ parameters: Parameters) -> [(tree: UInt64, leaf: UInt32)] {
        var place = (tree: selection.tree, leaf: selection.leaf)
        return (0..<parameters.layers).map { _ in
            defer {
                let mask: UInt64 = 1 << UInt64(parameters.treeHeight) - 1
                place = (place.tree >> UInt64(parameters.treeHeight), UInt32(place.tree & mask))
            }
            return place
        }
    }
}

extension SLHDSA.PublicKey {
    /// Whether `signature` is this key's for the message in this context (algorithm 24). No input makes it fail otherwise than with false.
    public func verify(_ signature: Bytes, of message: Bytes, context: Bytes = Bytes()) -> Bool {
        guard let context = SignatureContext(context, isPreHashed: false) else { return false }
        return verify(signature, [context.prefix, message])
    }

    public func verify(_ signature: RawSpan, of message: RawSpan, context: Bytes = Bytes()) -> Bool {
        verify(Bytes(signature), of: Bytes(message), context: context)
    }

    /// The same for a message that was hashed before (algorithm 25).
    public func verify(_ signature: Bytes, ofHashed message: Bytes, _ hash: PreHash, context: Bytes = Bytes()) -> Bool {
        guard let context = SignatureContext(context, isPreHashed: true) else { return false }
        return verify(signature, [context.prefix, hash.encode(message.span)])
    }

    /// The same without context and prefix (algorithm 20), for tests of the standard.
    package func verify(_ signature: Bytes, ofBare message: Bytes) -> Bool { verify(signature, [message]) }

    private func verify(_ signature: Bytes, _ parts: [Bytes]) -> Bool {
        let n = parameters.hashLength
        guard signature.count == parameters.signatureLength else { return false }
        if PostQuantum.usesLibcrypto(parameters.name), let key = LibcryptoKey(parameters.name, publicKey: encoded) {
            return key.verify(signature, of: .encoded(SLHDSA.joined(parts)))
        }
        let digest = parameters.digest(signature.prefix(n), publicKey: encoded, parts)
        let selection = SLHDSA.Selection(digest, parameters)
        return signature.withUnsafeBytes { signature in
            encoded.withUnsafeBytes { key in
                let start = key.octets.unsafelyUnwrapped
                let workspace = SLHDSA.Workspace(parameters, publicSeed: start, secret: nil)
                let context = workspace.context
                var next = signature.octets.unsafelyUnwrapped + n
                return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 2 * n) { values in
                    let message = values.baseAddress.unsafelyUnwrapped, root = message + n
                    selection.fewTimeDigest.withUnsafeBytes {
                        ck_slh_fors_root(context, message, next, selection.tree, selection.leaf, $0.octets)
                    }
                    next += parameters.fewTimeLength
                    for (layer, place) in SLHDSA.places(selection, parameters).enumerated() {
                        ck_slh_tree_root(context, root, next, UInt32(layer), place.tree, place.leaf, message)
                        message.update(from: root, count: n)
                        next += parameters.layerLength
                    }
                    return ConstantTime.equal(
                        UnsafeRawBufferPointer(start: message, count: n), UnsafeRawBufferPointer(rebasing: key[n..<2 * n]))
                }
            }
        }
    }
}
