import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `key sign` and `key verify`: proofs that a key is held.
enum KeySignatureCommands {
    /// Stands before everything that is signed, so that no signature serves for anything else.
    private static let domain = "libp2p-key signed message:"
    /// Bytes that are signed or verified at most.
    private static let limit = ByteCount.mebibytes(16)

    static let sign = Command(
        "sign", "Generates a signature for the given data with a specified key. Useful for proving the key ownership.",
        description: """
            Sign arbitrary bytes, such as to prove ownership of a Peer ID or an IPNS Name. To avoid signature reuse, the signed payload is always
            prefixed with "\(domain)".
            """,
        example: "> waggle key sign --key=mykey letter.txt", arguments: [.file("data", "The data to sign.", input: true)],
        options: [.string("key", "k", about: "The name of the key to use for signing."), KeyText.option]
    ) { request, session, emitter in
        let show = try KeyText(request)
        let name = own(request.string("key"))
        let key = try session.node.keystore.key(named: name)
        let data = try await payload(request)
        // SLH-DSA takes 60 ms.
        guard let signature = try await session.system.offload({ key.sign(data) }) else { throw CommandError("the key cannot sign: there is no randomness") }
        try await emitter.emitOnce(["Key": KeyCommands.entry(name, show(key)), "Signature": .string(Multibase.base64url.encode(signature))])
    }

    static let verify = Command(
        "verify", "Verify that the given data and signature match.",
        description: """
            Verify if the given data and signatures match. The key is the name of one of yours, or an IPNS name or PeerID that holds its key. To avoid
            the signature reuse, the signed payload is always prefixed with "\(domain)".
            """,
        example: "> waggle key verify --key=mykey --signature=<signature> letter.txt",
        arguments: [.file("data", "The data to verify against the given signature.", input: true)],
        options: [
            .string("key", "k", about: "The name of the key to use for verifying."), .string("signature", "s", about: "Multibase-encoded signature to verify."),
            KeyText.option,
        ]
    ) { request, session, emitter in
        let show = try KeyText(request)
        guard let text = request.string("signature"), text.utf8.count <= 3 * KeyLimits.signatureLength else {
            throw CommandError("--signature needs a multibase-encoded signature")
        }
        let signature: Bytes
        do { signature = try Multibase.decode(text).bytes } catch { throw CommandError("the signature cannot be read: \(error)") }
        let (name, key) = try publicKey(own(request.string("key")), session.node.keystore)
        let data = try await payload(request)
        try await emitter.emitOnce([
            "Key": KeyCommands.entry(name, show(PeerID(key))), "SignatureValid": .bool(key.verify(signature, of: data)),
        ])
    }

    private static func own(_ name: String?) -> String {
        guard let name, !name.isEmpty else { return Keystore.ownName }
        return name
    }

    /// The key with this name in the keystore, or the one inside an IPNS name or PeerID.
    private static func publicKey(_ name: String, _ keystore: Keystore) throws -> (String, PublicKey) {
        if try keystore.contains(name) { return (name, try keystore.key(named: name).publicKey) }
        let peer: PeerID
        do { peer = try PeerID(name.hasPrefix("/ipns/") ? String(name.dropFirst(6)) : name) } catch {
            throw CommandError("'\(name)' is not a known key, an IPNS Name, or a valid PeerID")
        }
        guard let key = peer.publicKey else { throw CommandError("\(peer) is the hash of a key, which does not hold the key itself") }
        return ("", key)
    }

    private static func payload(_ request: Request) async throws -> Bytes {
        guard let files = request.files, try await files.next() != nil else { throw CommandError.client("file argument 'data' is required") }
        let data = try await files.readAll(limit: limit)
        var writer = ByteWriter(capacity: data.count + domain.utf8.count)
        writer.write(utf8: domain)
        writer.write(data)
        return writer.finish()
    }
}
