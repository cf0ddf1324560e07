import Testing
import WaggleBase
import WaggleSimulation

@testable import WaggleAPI

/// Whole command lines on a simulated computer.
@Suite struct CommandLineTests {
    private func ready(_ seed: UInt64 = 1) throws -> Shell {
        let shell = Shell(seed: seed)
        let outcome = try shell("init", "--profile=test")
        #expect(outcome.code == 0, "\(outcome.error)")
        #expect(outcome.output.hasPrefix("generating ED25519 keypair...done\npeer identity: 12D3KooW"))
        return shell
    }

    /// Bytes that do not repeat.
    private func noise(_ count: Int) -> [UInt8] {
        var state: UInt64 = 1
        return (0..<count).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: state >> 40)
        }
    }

    @Test func withoutARepository() throws {
        let shell = Shell()
        let outcome = try shell("cat", "bafkqabdumvzxi")
        #expect(outcome.code == 1)
        #expect(outcome.error.contains("no IPFS repo found in /repo"))
        #expect(try shell("version", "-n").code == 0)
        #expect(try shell("cid", "base32", "QmYNmQKp6SuaVrpgWRsPTgCQCnpxUYGq76YEKBXuj2N4H6").line == "bafybeievd6mwe6vcwnkwo3eizs3h7w3a34opszbyfxziqdxguhjw7imdve")
    }

    @Test func aSecondInitChangesNothing() throws {
        let shell = try ready()
        let before = try shell("config", "Identity.PeerID").line
        let again = try shell("init")
        #expect(again.code == 1)
        #expect(again.error.contains("already exists"))
        #expect(try shell("config", "Identity.PeerID").line == before)
        #expect(try shell("id", "-f", "<id>\\n").line == before)
    }

    @Test func aNodeWithTwoIdentities() throws {
        let shell = Shell(seed: 3)
        #expect(try shell("init", "--profile=test", "--identity=dual").output.contains("generating ML-DSA-65 keypair"))
        let said = try shell("id").output
        for name in ["12D3KooW", "\"SecondID\": \"Qm", "\"SecondPublicKey\": \"CAQSoQ8C", "\"ChainAlias\": \""] { #expect(said.contains(name)) }
        // The same at the next start.
        #expect(try shell("id").output == said)
        let other = Shell(seed: 4)
        #expect(try other("init", "--profile=test").code == 0)
        #expect(try !other("id").output.contains("SecondID"))
        #expect(try other("init", "--identity=both").code == 1)
        let versions = try shell("version", "--all").output
        #expect(versions.contains("ML-DSA-65: waggle") && versions.contains("Crypto library: OpenSSL 3."))
        #expect(try shell("config", "Waggle.PostQuantum", "other").code == 0)
        #expect(try shell("version", "--all").output == versions)
    }

    @Test func addCatAndCut() throws {
        let shell = try ready()
        try shell.file("/work/hello.txt", Array("hello world\n".utf8))
        let added = try shell("add", "hello.txt")
        #expect(added.output == "added QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o hello.txt\n")
        let cid = "QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o"
        #expect(try shell("cat", cid).output == "hello world\n")
        #expect(try shell("cat", "--offset=6", "--length=3", cid).output == "wor")
        #expect(try shell("cat", "/ipfs/\(cid)", cid).output == "hello world\nhello world\n")
        #expect(try shell("cat", "--length=0", cid).output.isEmpty)
        #expect(try shell("cat", "--offset=-1", cid).error.hasPrefix("Error: cannot specify negative offset"))
        #expect(try shell("add", "-q", input: Array("hello world\n".utf8)).line == cid)
        #expect(try shell("add", "-Q", "--only-hash", "--cid-version=1", "hello.txt").line.hasPrefix("bafkrei"))
        #expect(try shell("pin", "ls", "--type=recursive", cid).output == "\(cid) recursive\n")
    }

    @Test func directoriesThereAndBack() throws {
        let shell = try ready()
        try shell.file("/work/dir/a.txt", [1, 2, 3])
        try shell.file("/work/dir/sub/big", noise(600_000))
        try shell.system.files.makeSymbolicLink("/work/dir/link", target: "a.txt")
        let root = try shell("add", "-r", "-Q", "dir").line
        #expect(root.hasPrefix("Qm"))
        let listing = try shell("ls", root).output
        #expect(listing.contains(" a.txt\n") && listing.contains(" sub/\n") && listing.contains(" link\n"))
        #expect(try shell("get", root, "-o", "copy").code == 0)
        #expect(try shell.system.files.read("/work/copy/a.txt", limit: 10).array == [1, 2, 3])
        #expect(try shell.system.files.read("/work/copy/sub/big", limit: 1 << 20) == shell.system.files.read("/work/dir/sub/big", limit: 1 << 20))
        #expect(try shell.system.files.status("/work/copy/link")?.kind == .symbolicLink(target: "a.txt"))
        #expect(try shell("resolve", "/ipfs/\(root)/sub/big").line.hasPrefix("/ipfs/Qm"))
        #expect(try shell("add", "dir").error.contains("is a directory, use the '-r' flag"))
        let refs = try shell("refs", "-r", "--unique", root).output.split(separator: "\n")
        let stat = try shell("dag", "stat", "--enc=json", root).output
        #expect(stat.contains("\"UniqueBlocks\":\(refs.count + 1)"))
    }

    @Test func compressedFiles() throws {
        let shell = try ready()
        let cid = try shell("add", "-Q", input: [UInt8](repeating: 7, count: 300_000)).line
        let outcome = try shell("get", "-C", cid)
        #expect(outcome.output == "Saving archive to \(cid).gz\n")
        let file = try shell.system.files.read("/work/\(cid).gz", limit: 1 << 20).array
        #expect(file.prefix(3) == [0x1f, 0x8b, 8])
        #expect(file.count < 2000)
        // The last four bytes of gzip are the size of the content.
        #expect(file.suffix(4) == [0xe0, 0x93, 0x04, 0x00])
        #expect(try shell("get", "-a", "-C", "-l", "9", cid).output == "Saving archive to \(cid).tar.gz\n")
        #expect(try shell("get", "-C", "-l", "10", cid).error.hasPrefix("Error: compression level must be between 1 and 9\n"))
    }

    @Test func archivesThereAndBack() throws {
        let shell = try ready()
        try shell.file("/work/dir/big", noise(700_000))
        let root = try shell("add", "-r", "-Q", "dir").line
        let archive = try shell("dag", "export", root).bytes
        let other = try ready(2)
        try other.file("/work/x.car", archive)
        let imported = try other("dag", "import", "--stats", "x.car")
        #expect(imported.output.hasPrefix("Pinned root\t\(root)\tsuccess\nImported 5 blocks"), "\(imported)")
        #expect(try other("dag", "export", root).bytes == archive)
        #expect(try other("cat", "\(root)/big").bytes.count == 700_000)
        try other.file("/work/cut.car", Array(archive.dropLast()))
        #expect(try other("dag", "import", "cut.car").code == 1)
        var damaged = archive
        damaged[archive.count - 1] ^= 1
        try other.file("/work/bad.car", damaged)
        #expect(try other("dag", "import", "bad.car").error.contains("does not have that hash"))
    }

    @Test func objects() throws {
        let shell = try ready()
        let cid = try shell("dag", "put", input: Array("{\"a\": {\"b\": [1, \"x\"]}}".utf8)).line
        #expect(try shell("dag", "get", "\(cid)/a/b").output == "[1,\"x\"]")
        #expect(try shell("dag", "resolve", "\(cid)/a/b/0").output == "\(cid)/a/b/0")
        #expect(try shell("dag", "get", "--output-codec=dag-cbor", cid).bytes.first == 0xa1)
        let block = try shell("block", "put", input: [9, 9]).line
        #expect(try shell("block", "get", block).bytes == [9, 9])
        #expect(try shell("block", "stat", block).output == "Key: \(block)\nSize: 2\n")
        #expect(try shell("block", "rm", block).output == "removed \(block)\n")
        let gone = try shell("block", "rm", block)
        #expect(gone.code == 1)
        #expect(gone.error.contains("cannot remove \(block): ipld: could not find \(block)"))
        #expect(try shell("block", "rm", "--force", block).code == 0)
        #expect(try shell("block", "put", "--mhlen=19", input: [1]).error.contains("digest too small"))
        #expect(try shell("block", "put", input: [UInt8](repeating: 0, count: 2 << 20)).code == 0)
        #expect(try shell("block", "put", input: [UInt8](repeating: 0, count: (2 << 20) + 1)).error.contains("produced block is over 2MiB"))
    }

    @Test func pins() throws {
        let shell = try ready()
        let cid = try shell("add", "-Q", "--pin=false", input: [1]).line
        #expect(try shell("pin", "ls", cid).error.contains("is not pinned"))
        #expect(try shell("pin", "add", "--name=mine", cid).output == "pinned \(cid) recursively\n")
        #expect(try shell("pin", "ls", "--names", cid).output == "\(cid) recursive mine\n")
        #expect(try shell("pin", "add", "-r=false", cid).error == "Error: pin: \(cid) already pinned recursively\n")
        #expect(try shell("repo", "gc").code == 0)
        #expect(try shell("cat", cid).bytes == [1])
        #expect(try shell("pin", "rm", cid).output == "unpinned \(cid)\n")
        #expect(try shell("repo", "gc", "--quiet").code == 0)
        let gone = try shell("cat", cid)
        #expect(gone.code == 1)
        #expect(gone.error == "Error: block was not found locally (offline): ipld: could not find \(cid)\n")
        #expect(try shell("pin", "add", "--name=\(String(repeating: "x", count: 256))", cid).error.contains("max 255 bytes"))
    }

    @Test func configuration() throws {
        let shell = try ready()
        #expect(try shell("config", "A.B", "text").code == 0)
        #expect(try shell("config", "A.B").output == "text\n")
        #expect(try shell("config", "--json", "Bootstrap", #"["auto"]"#).code == 0)
        #expect(try shell("config", "Bootstrap").output.contains("auto"))
        let expanded = try shell("config", "--expand-auto", "Bootstrap").output
        #expect(expanded.contains("/dnsaddr/bootstrap.libp2p.io/") && !expanded.contains("auto"))
        #expect(try shell("config", "--json", "Bootstrap", "[]").code == 0)
        #expect(try shell("config", "--json", "A.C", "[1,2]").code == 0)
        #expect(try shell("config", "--enc=json", "A.C").output.contains("[1,2]"))
        #expect(try shell("config", "--bool", "A.D", "true").code == 0)
        #expect(try shell("config", "A.D").output == "true\n")
        #expect(try shell("config", "None").error.contains("key None not found"))
        #expect(try shell("config", "Identity.PrivKey").error.contains("cannot show or change private key"))
        #expect(try shell("config", "Identity.PeerID", "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA").code == 1)
        #expect(try shell("config", "profile", "apply", "server", "--dry-run").output.contains("+"))
        #expect(try shell("config", "Swarm.AddrFilters").output == "null\n")
        #expect(try shell("config", "profile", "apply", "server").code == 0)
        #expect(try shell("config", "Swarm.AddrFilters").output.split(separator: "\n").count == 21)
        #expect(try shell("bootstrap", "add", "/ip4/1.2.3.4/tcp/1").code == 1)
        let peer = "/ip4/1.2.3.4/tcp/1/p2p/12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
        #expect(try shell("bootstrap", "add", peer).output == "added \(peer)\n")
        #expect(try shell("bootstrap").output == "\(peer)\n")
        #expect(try shell("bootstrap", "rm", "--all").output == "removed \(peer)\n")
    }

    @Test func encodingsOfCIDs() throws {
        let shell = try ready()
        #expect(try shell("add", "-Q", "--cid-base=base32", input: [1]).line.hasPrefix("bafybei"))
        #expect(try shell("add", "-Q", "--cid-base=base58btc", input: [1]).line.hasPrefix("Qm"))
        #expect(try shell("add", "-Q", "--cid-base=nonsense", input: [1]).code == 1)
    }

    @Test func whatNeedsADaemonSaysSo() throws {
        let shell = try ready()
        for words in [["swarm", "peers"], ["ping", "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"], ["bitswap", "stat"], ["shutdown"]] {
            let console = TestConsole(words, on: shell.system)
            let line = CommandLineProgram(root: Commands.root, console: console, system: shell.system)
            let system = shell.system
            let code = try shell.world.run { await system.home.run { await line.run() } }
            #expect(code == 1)
            #expect(console.error.contains("daemon"), "\(words): \(console.error)")
        }
        #expect(try shell("--api", "/ip4/127.0.0.1/tcp/1", "id").error.hasPrefix("Error: cannot connect to the api."))
    }

    @Test func helpAndMistakes() throws {
        let shell = Shell()
        #expect(try shell("--help").output.hasPrefix("USAGE\n  ipfs [options] <command> ..."))
        #expect(try shell("help", "add").output == shell("add", "--help").output)
        #expect(try shell("add", "--help", "--bad").output.hasPrefix("USAGE"))
        let bad = try shell("add", "--bad")
        #expect(bad.code == 1)
        #expect(bad.output.isEmpty)
        #expect(bad.error == "Error: unknown option \"bad\"\n")
        let missing = try shell("pin", "update")
        #expect(missing.code == 1)
        #expect(missing.error.hasPrefix("Error: argument \"from-path\" is required\n\nUSAGE\n  ipfs pin update"))
        #expect(try shell("swarm", "nonsense").code == 1)
        #expect(try shell("swarm").code == 0)
        #expect(try shell("version", program: "waggle").output.contains("version"))
        #expect(try shell("id", "--timeout=never").error.contains("invalid duration"))
        #expect(try shell("commands", "--flags").output.contains("ipfs pin add --recursive / ipfs pin add -r\n"))
    }

    @Test func multibase() throws {
        let shell = Shell()
        #expect(try shell("multibase", "encode", "-b", "base16", input: Array("hello".utf8)).output == "f68656c6c6f")
        #expect(try shell("multibase", "decode", input: Array("uaGVsbG8".utf8)).output == "hello")
        #expect(try shell("multibase", "transcode", "-b", "base16", input: Array("uaGVsbG8".utf8)).output == "f68656c6c6f")
        #expect(try shell("multibase", "decode", input: Array("ę-x".utf8)).error == "Error: failed to decode multibase: selected encoding not supported\n")
    }
}
