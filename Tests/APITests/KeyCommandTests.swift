import Foundation
import Testing
import WaggleAssembly
import WaggleBase
import WaggleCryptography
import WaggleNetwork

@testable import WaggleAPI

/// `key` and the identities of `init`, on a simulated computer.
@Suite struct KeyCommandTests {
    private func ready(_ words: String = "--identity=ed25519", seed: UInt64 = 1) throws -> Shell {
        let shell = Shell(seed: seed)
        let outcome = try shell("init", "--profile=test", words)
        #expect(outcome.code == 0, "\(outcome.error)")
        return shell
    }

    private func vector(_ name: String) throws -> [UInt8] {
        let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        return [UInt8](try Data(contentsOf: tests.appendingPathComponent("Vectors/openssl-keys/\(name).pem")))
    }

    @Test(arguments: [("ml-dsa-44", "ML-DSA-44"), ("ml-dsa-65", "ML-DSA-65"), ("ml-dsa-87", "ML-DSA-87"), ("slh-dsa-shake-128s", "SLH-DSA-SHAKE-128S"), ("secp256k1", "SECP256K1")])
    func identities(type: String, name: String) throws {
        let shell = Shell()
        let outcome = try shell("init", "--profile=test", "--identity=\(type)")
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect(outcome.output.hasPrefix("generating \(name) keypair...done\npeer identity: "))
        let peer = try shell("id", "-f", "<id>\\n").line
        #expect(outcome.output.contains("peer identity: \(peer)\n"))
        #expect(try shell("config", "Identity.PeerID").line == peer)
        #expect(type == "secp256k1" || peer.hasPrefix("Qm"))
        let key = try #require(Data(base64Encoded: try shell("id", "-f", "<pubkey>").output))
        let read = try PublicKey(decoding: Bytes([UInt8](key)))
        #expect(read.kind.option == type && PeerID(read).description == peer)
        #expect(try shell("key", "ls", "-l", "--ipns-base=b58mh").output == "\(peer) self \n")
        #expect(try shell.system.files.status("/repo/identity")?.mode == 0o600)
        let signature = try #require(try shell("key", "sign", input: [1, 2]).output.firstMatch(of: /"Signature":"(u[^"]+)"/)).1
        #expect(try shell("key", "verify", "-s", String(signature), input: [1, 2]).output.contains("\"SignatureValid\":true"))
    }

    @Test func rsaIdentity() throws {
        let shell = Shell()
        #expect(try shell("init", "-a", "rsa", "-b", "2048").output.hasPrefix("generating 2048-bit RSA keypair...done\npeer identity: Qm"))
        #expect(try Shell()("init", "-a", "rsa", "-b", "1024").error.hasPrefix("Error: rsa keys must be >= 2048 bits to be useful"))
        let refused = try Shell()("init", "--algorithm=dilithium")
        #expect(refused.code == 1 && refused.error.hasPrefix("Error: unrecognized key type: dilithium; known are ed25519, rsa"))
        #expect(try Shell()("init", "--identity=ml-dsa-65", "-b", "256").error.contains("ml-dsa-65 keys have one size"))
    }

    @Test func generateListRenameRemove() throws {
        let shell = try ready()
        let id = try shell("key", "gen", "blog").line
        #expect(id.hasPrefix("k51"))
        let other = try shell("key", "gen", "--type=ml-dsa-65", "a").line
        #expect(other.hasPrefix("k2k4r8"))
        let own = try shell("key", "ls", "-l").output.split(separator: " ").first ?? ""
        #expect(try shell("key", "ls").output == "self\na\nblog\n")
        #expect(try shell("key", "list").output == "self\na\nblog\n")
        #expect(try shell("key", "ls", "-l").output == "\(own) self \n\(other)\(String(repeating: " ", count: own.count - other.count)) a    \n\(id) blog \n")
        #expect(try shell("key", "gen", "blog").error.hasPrefix("Error: key with name 'blog' already exists"))
        #expect(try shell("key", "gen", "self").error.hasPrefix("Error: cannot create key with name 'self'"))
        #expect(try shell("key", "gen", "--type=ecdsa", "x").error.hasPrefix("Error: unrecognized key type: ecdsa"))
        #expect(try shell("key", "gen", "--size=512", "x").error.hasPrefix("Error: invalid key size 512: ed25519 keys are always 256 bits"))
        #expect(try shell("key", "gen", "--size=256", "x").code == 0)
        #expect(try shell("key", "rename", "blog", "a").error.hasPrefix("Error: key by that name already exists, refusing to overwrite"))
        #expect(try shell("key", "rename", "blog", "a", "--force").output == "Key \(id) renamed to a with overwriting\n")
        #expect(try shell("key", "rename", "a", "new\nline").output == "Key \(id) renamed to new\\nline\n")
        #expect(try shell("key", "rename", "nobody", "x").error.hasPrefix("Error: no key named nobody was found"))
        #expect(try shell("key", "rename", "self", "x").error.hasPrefix("Error: cannot rename key with name 'self'"))
        #expect(try shell("key", "rename", "x", "self").error.hasPrefix("Error: cannot overwrite key with name 'self'"))
        #expect(try shell("key", "rm", "x", "new\nline").output == "x\nnew\\nline\n")
        #expect(try shell("key", "rm", "x").error.hasPrefix("Error: no key named x was found"))
        #expect(try shell("key", "rm", "self").error.hasPrefix("Error: cannot remove key with name 'self'"))
        #expect(try shell("key", "ls").output == "self\n")
        #expect(try shell("key", "gen", "").error.hasPrefix("Error: key name must be at least one character"))
        #expect(try shell("key", "gen", String(repeating: "n", count: KeystoreLimits.nameLength)).code == 0)
        #expect(try shell("key", "gen", String(repeating: "n", count: KeystoreLimits.nameLength + 1)).error.contains("at most 150 bytes"))
    }

    /// The files are those of Kubo.
    @Test func files() throws {
        let shell = try ready()
        try shell("key", "gen", "mykey")
        let path = "/repo/keystore/key_nv4wwzlz"
        #expect(try shell.system.files.status(path)?.mode == 0o600)
        #expect(try shell.system.files.read(path, limit: 100).prefix(4) == [8, 1, 0x12, 64])
        // What is no key file, or a damaged one, hides no other.
        try shell.file("/repo/keystore/README", [1])
        try shell.file("/repo/keystore/key_mi", [1])
        #expect(try shell("key", "ls").output == "self\nmykey\n")
        #expect(try shell("key", "export", "a").error.contains("doesn't exist"))
        #expect(try shell("key", "export", "b").error.contains("/repo/keystore/key_mi cannot be read: not the encoding of a key"))
    }

    @Test(arguments: ["ed25519", "secp256k1", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "slh-dsa-shake-128s", "rsa"])
    func exportAndImport(type: String) throws {
        let shell = try ready()
        let id = try shell("key", "gen", "--type=\(type)", "dir/mykey").line
        #expect(try shell("key", "export", "dir/mykey").output.isEmpty)
        #expect(try shell("key", "export", "dir/mykey", "-f", "pem-pkcs8-cleartext", "-o", "out.pem").code == 0)
        #expect(try shell.system.files.status("/work/mykey.key")?.mode == 0o600)
        #expect(try shell("key", "import", "one", "mykey.key").line == id)
        #expect(try shell("key", "import", "two", "-f", "pem-pkcs8-cleartext", "out.pem").line == id)
        #expect(try shell("key", "import", "two", "mykey.key").error.hasPrefix("Error: key with name 'two' already exists"))
        #expect(try shell("key", "import", "three", "out.pem").error.hasPrefix(
            "Error: unexpected PEM block for format=libp2p-protobuf-cleartext: try again with format=pem-pkcs8-cleartext"))
        #expect(try shell("key", "import", "three", "-f", "pem-pkcs8-cleartext", "mykey.key").error.hasPrefix("Error: PEM block not found in input data"))
    }

    @Test func exportsArePrivateAndWhole() throws {
        let shell = try ready()
        let files = shell.system.files
        try shell("key", "gen", "k")
        try shell.file("/work/k.key", [UInt8](repeating: 7, count: 500))
        #expect(try shell("key", "export", "k").code == 0)
        let key = try files.read("/work/k.key", limit: 1000)
        #expect(try key.count == 68 && key == files.read("/repo/keystore/key_nm", limit: 1000))
        #expect(try files.status("/work/k.key")?.mode == 0o600)
        // The same again is no harm, and mends what others could read.
        try files.setStatus("/work/k.key", mode: 0o644, modified: nil)
        #expect(try shell("key", "export", "k").code == 0)
        #expect(try files.status("/work/k.key")?.mode == 0o600)
        // A link is followed, wherever it leads.
        try files.makeDirectory("/work/safe", mode: 0o700)
        try files.makeSymbolicLink("/work/link", target: "safe/there")
        #expect(try shell("key", "export", "k", "-o", "link").code == 0)
        #expect(try files.read("/work/safe/there", limit: 1000) == key && files.status("/work/link")?.kind == .symbolicLink(target: "safe/there"))
        #expect(try shell("key", "export", "k", "-o", "safe").code == 1)
        #expect(try shell("key", "export", "self").error.hasPrefix("Error: cannot export key with name 'self'"))
        #expect(try shell("key", "export", "k", "-f", "jwk").error.hasPrefix("Error: unrecognized export format: jwk"))
        #expect(try shell("key", "import", "x", "-f", "jwk", "k.key").error.hasPrefix("Error: unrecognized import format: jwk"))
    }

    /// An ML-DSA key has two PeerIDs, by how libp2p writes it; its file says which, or the command.
    @Test func bothEncodingsOfMLDSA() throws {
        let shell = try ready()
        let pem = "pem-pkcs8-cleartext"
        try shell.file("/work/in.pem", try vector("ml-dsa-65"))
        let usual = try shell("key", "import", "usual", "-f", pem, "in.pem").line
        let pkix = try shell("key", "import", "pkix", "-f", pem, "--key-encoding=pkix", "in.pem").line
        #expect(usual.hasPrefix("k2k4r8") && pkix.hasPrefix("k2k4r8") && usual != pkix)
        for name in ["usual", "pkix"] {
            #expect(try shell("key", "export", name, "-f", pem).code == 0)
            #expect(try shell("key", "export", name).code == 0)
            let id = name == "pkix" ? pkix : usual
            #expect(try shell("key", "import", "\(name)-pem", "-f", pem, "\(name).pem").line == id)
            #expect(try shell("key", "import", "\(name)-key", "\(name).key").line == id)
        }
        #expect(try shell("key", "import", "back", "-f", pem, "--key-encoding=libp2p", "pkix.pem").line == usual)
        #expect(try shell("key", "import", "x", "-f", pem, "--key-encoding=x509", "in.pem").error.hasPrefix("Error: unrecognized encoding: x509; known are libp2p and pkix"))
        #expect(try shell("key", "import", "x", "--key-encoding=pkix", "pkix.key").error.hasPrefix("Error: --key-encoding belongs to format=pem-pkcs8-cleartext"))
    }

    /// A key that lost its configuration is not overwritten by a new one.
    @Test func initSparesKeys() throws {
        for file in ["identity", "identity.second"] {
            let shell = Shell()
            try shell.system.files.makeDirectory("/repo", mode: 0o700)
            try shell.file("/repo/\(file)", [1, 2, 3])
            for command in [["init"], ["daemon", "--init"]] {
                let outcome = command.count == 1 ? try shell("init") : try shell("daemon", "--init")
                #expect(outcome.code == 1 && outcome.error.contains("there is a key already, /repo/\(file)"), "\(outcome)")
            }
            #expect(try shell.system.files.read("/repo/\(file)", limit: 10) == [1, 2, 3])
        }
    }

    /// What OpenSSL 3.5 writes comes in, in every form, and goes out as it would write it.
    @Test(arguments: ["ed25519", "rsa", "secp256k1", "ml-dsa-44", "ml-dsa-65", "ml-dsa-87", "slh-dsa-shake-128s"])
    func keysOfOpenSSL(kind: String) throws {
        let shell = try ready()
        let pem = try vector(kind)
        try shell.file("/work/in.pem", pem)
        let id = try shell("key", "import", "theirs", "-f", "pem-pkcs8-cleartext", "in.pem")
        #expect(id.code == 0, "\(id.error)")
        #expect(try shell("key", "export", "theirs", "-f", "pem-pkcs8-cleartext").code == 0)
        #expect(try shell.system.files.read("/work/theirs.pem", limit: 1 << 16).array == pem)
        guard kind.hasPrefix("ml") else { return }
        for form in ["priv-only", "seed-priv"] {
            try shell.file("/work/in.pem", try vector("\(kind)-\(form)"))
            #expect(try shell("key", "import", form, "-f", "pem-pkcs8-cleartext", "in.pem").line == id.line)
        }
    }

    @Test func onlyUsualKindsComeInUnasked() throws {
        let shell = try ready()
        try shell.file("/work/in.pem", try vector("ecdsa"))
        #expect(try shell("key", "import", "x", "-f", "pem-pkcs8-cleartext", "in.pem").error.hasPrefix("Error: key type ECDSA is not allowed to be imported"))
        #expect(try shell("key", "import", "x", "-f", "pem-pkcs8-cleartext", "--allow-any-key-type", "in.pem").line.hasPrefix("k2k4r8"))
        try shell.file("/work/public.pem", try vector("ed25519.pub"))
        #expect(try shell("key", "import", "y", "-f", "pem-pkcs8-cleartext", "public.pem").error.hasPrefix("Error: expected PRIVATE KEY type in PEM block but got: PUBLIC KEY"))
        try shell.file("/work/big", [UInt8](repeating: 0, count: KeyLimits.pemLength + 1))
        #expect(try shell("key", "import", "y", "big").error.contains("larger than the limit"))
    }

    @Test func signatures() throws {
        let shell = try ready()
        let id = try shell("key", "gen", "k").line
        let signed = try shell("key", "sign", "--key=k", input: Array("text".utf8)).output
        #expect(signed.hasPrefix("{\"Key\":{\"Name\":\"k\",\"Id\":\"\(id)\"},\"Signature\":\"u"))
        let signature = String(try #require(signed.firstMatch(of: /"Signature":"(u[^"]+)"/)).1)
        // By name, by IPNS name, by PeerID; not for other data or another key.
        for key in ["k", id, "/ipns/\(id)"] {
            #expect(try shell("key", "verify", "-k", key, "-s", signature, input: Array("text".utf8)).output.contains("\"SignatureValid\":true"))
        }
        #expect(try shell("key", "verify", "-k", "k", "-s", signature, input: Array("texts".utf8)).output.contains("\"SignatureValid\":false"))
        #expect(try shell("key", "verify", "-s", signature, input: Array("text".utf8)).output.contains("\"SignatureValid\":false"))
        #expect(try shell("key", "verify", "-k", "x", "-s", signature, input: [1]).error.contains("is not a known key, an IPNS Name, or a valid PeerID"))
        #expect(try shell("key", "verify", "-k", "k", "-s", "?", input: [1]).error.contains("the signature cannot be read"))
        #expect(try shell("key", "sign", "--key=nobody", input: [1]).error.hasPrefix("Error: no key by the given name was found"))
        let rsa = try shell("key", "gen", "r", "--type=ml-dsa-44").line
        #expect(try shell("key", "verify", "-k", rsa, "-s", signature, input: [1]).error.contains("does not hold the key itself"))
    }

    /// ML-DSA's signatures are hedged: each is another, though the same again in a world that repeats itself.
    @Test func signaturesAreHedged() throws {
        func signatures() throws -> [String] {
            let shell = try ready()
            try shell("key", "gen", "k", "--type=ml-dsa-44")
            return try (0..<2).map { _ in
                let output = try shell("key", "sign", "--key=k", input: Array("text".utf8)).output
                let signature = String(try #require(output.firstMatch(of: /"Signature":"(u[^"]+)"/)).1)
                #expect(try shell("key", "verify", "-k", "k", "-s", signature, input: Array("text".utf8)).output.contains("\"SignatureValid\":true"))
                return signature
            }
        }
        let first = try signatures()
        #expect(first[0] != first[1])
        #expect(try signatures() == first)
    }

    @Test func rotation() throws {
        let shell = try ready()
        let before = try shell("id", "-f", "<id>").output
        #expect(try shell("key", "rotate").error.hasPrefix("Error: keystore name for backing up old key must be provided"))
        #expect(try shell("key", "rotate", "-o", "self").error.hasPrefix("Error: keystore name for back up cannot be named 'self'"))
        let outcome = try shell("key", "rotate", "--oldkey=before", "--type=ml-dsa-65")
        #expect(outcome.code == 0, "\(outcome.error)")
        let after = try shell("id", "-f", "<id>").output
        #expect(after != before && after.hasPrefix("Qm") && outcome.output.hasSuffix("done\npeer identity: \(after)\n"))
        #expect(try shell("config", "Identity.PeerID").line == after)
        #expect(try shell("key", "ls", "-l", "--ipns-base=b58mh").output.contains("\(before) before"))
        #expect(try shell("key", "rotate", "--oldkey=before").error.hasPrefix("Error: key with name 'before' already exists"))
        #expect(try shell("id", "-f", "<id>").output == after)
        let lock = try shell.system.files.lock("/repo/repo.lock")
        #expect(try shell("key", "rotate", "-o", "x").error.hasPrefix("Error: ipfs daemon is running. please stop it to run this command"))
        lock.release()
    }

    /// A node with two identities gets two new ones, and keeps both old ones.
    @Test func rotationOfTwo() throws {
        let shell = try ready("--identity=dual")
        let (first, second) = (try shell.system.files.read("/repo/identity", limit: 9000), try shell.system.files.read("/repo/identity.second", limit: 9000))
        #expect(try shell("key", "rotate", "--oldkey=x", "--type=ml-dsa-65").error.contains("a node with two identities has a first one of type ed25519"))
        #expect(try shell("key", "ls").output == "self\n")
        #expect(try shell("key", "rotate", "--oldkey=x").code == 0)
        #expect(try shell("key", "ls").output == "self\nx\nx-second\n")
        #expect(try shell.system.files.read("/repo/identity", limit: 9000) != first)
        #expect(try shell.system.files.read("/repo/identity.second", limit: 9000) != second)
        #expect(try shell("id", "-f", "<id>").output == shell("config", "Identity.PeerID").line)
    }

    /// The key decides who the node is: where a crash left the configuration behind, it can be put right.
    @Test func configurationFollowsTheKey() throws {
        let shell = try ready()
        let own = try shell("id", "-f", "<id>").output
        let other = try shell("key", "gen", "k", "--ipns-base=b58mh").line
        #expect(try shell("config", "Identity.PeerID", other).code == 1)
        let text = try #require(try shell.system.files.read("/repo/config", limit: 1 << 20).utf8)
        try shell.system.files.replace("/repo/config", with: Bytes(utf8: text.replacing(own, with: other)), mode: 0o600)
        #expect(try shell("config", "Identity.PeerID", own).code == 0)
        #expect(try shell("config", "Identity.PeerID").line == own)
    }

    @Test func namesInAnyBase() throws {
        let shell = try ready()
        try shell("key", "gen", "k")
        func id(_ base: String) throws -> String { String(try shell("key", "ls", "-l", "--ipns-base=\(base)").output.split(separator: "\n")[1].prefix { $0 != " " }) }
        let peer = try PeerID(id("b58mh"))
        #expect(peer.description.hasPrefix("12D3KooW"))
        #expect(try PeerID(id("base36")) == peer && id("k") == id("base36"))
        #expect(try PeerID(id("b")) == peer && id("base32").hasPrefix("bafz"))
        #expect(try shell("key", "ls", "-l", "--ipns-base=base7").error.contains("unsupported multibase encoding: base7"))
    }
}
