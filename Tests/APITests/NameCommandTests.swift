import Testing
import WaggleBase
import WaggleSimulation

@testable import WaggleAPI

/// Names and routing on a computer without a daemon.
@Suite struct NameCommandTests {
    private func ready() throws -> (shell: Shell, peer: String, cid: String) {
        let shell = Shell(seed: 5)
        _ = try shell("init", "--profile=test", "--empty-repo")
        let cid = try shell("add", "-Q", input: Array("named\n".utf8)).line
        return (shell, try shell("id", "-f", "<id>").line, cid)
    }

    @Test func publishAndResolveOffline() throws {
        let (shell, peer, cid) = try ready()
        let refused = try shell("name", "publish", "/ipfs/\(cid)")
        #expect(refused.code == 1)
        #expect(refused.error == "Error: can't publish while offline: pass `--allow-offline` to override or `--allow-delegated` if Ipns.DelegatedPublishers are set up\n")
        let published = try shell("name", "publish", "--allow-offline", "/ipfs/\(cid)")
        let name = try shell("name", "publish", "--allow-offline", "-Q", cid).line
        #expect(name.hasPrefix("k51"))
        #expect(published.output == "Published to \(name): /ipfs/\(cid)\n")
        for words in [["name", "resolve"], ["name", "resolve", name], ["name", "resolve", "/ipns/\(peer)"], ["resolve", "/ipns/\(name)"], ["name", "resolve", "-s", name]] {
            #expect(try run(shell, words).output == "/ipfs/\(cid)\n", "\(words)")
        }
        #expect(try shell("cat", "/ipns/\(name)").output == "named\n")
        #expect(try shell("name", "resolve", "--offline", "-n", name).line == "/ipfs/\(cid)")
        // A key of its own, by name and by PeerID, that points at the first name.
        let key = try shell("key", "gen", "other").line
        #expect(try shell("name", "publish", "--allow-offline", "--resolve=false", "--key=other", "/ipns/\(name)").output == "Published to \(key): /ipns/\(name)\n")
        #expect(try shell("name", "publish", "--allow-offline", "--key=\(key)", "--ttl=1m", "/ipns/\(name)").code == 0)
        #expect(try shell("resolve", "/ipns/\(key)").line == "/ipfs/\(cid)")
        #expect(try shell("resolve", "-r=false", "/ipns/\(key)").line == "/ipns/\(name)")
        #expect(try shell("name", "resolve", "-r=false", key).line == "/ipns/\(name)")
    }

    private func run(_ shell: Shell, _ words: [String]) throws -> Outcome {
        switch words.count {
        case 2: try shell(words[0], words[1])
        case 3: try shell(words[0], words[1], words[2])
        default: try shell(words[0], words[1], words[2], words[3])
        }
    }

    @Test func plainErrors() throws {
        let (shell, _, cid) = try ready()
        let offline = "Error: this command must be run in online mode. Try running 'ipfs daemon' first\n"
        #expect(try shell("routing", "findprovs", cid).error == offline)
        #expect(try shell("routing", "findpeer", "12D3KooWBETYGvQhHCSDM5hjqhDzHdd4fANtM24c7Eu3zxzgoRUq").error == offline)
        #expect(try shell("routing", "get", "/ipns/12D3KooWBETYGvQhHCSDM5hjqhDzHdd4fANtM24c7Eu3zxzgoRUq").error == offline)
        #expect(try shell("routing", "provide", cid).error == offline)
        #expect(try shell("provide", "stat").error == offline)
        #expect(try shell("dht", "query", "12D3KooWBETYGvQhHCSDM5hjqhDzHdd4fANtM24c7Eu3zxzgoRUq").error == offline)
        #expect(try shell("stats", "dht").error == offline)
        #expect(try shell("dht", "findprovs", cid).error == "Error: removed, use 'ipfs routing' instead\n")
        #expect(try shell("name", "resolve", "k51qzi5uqu5dlkw8pxuw9qmqayfdeh4kfebhmreauqdc6a7c3y7d5i9fi8mk9w").error == "Error: could not resolve name\n")
        #expect(try shell("name", "resolve", "/ipfs/\(cid)").error.contains("is not an IPNS name"))
        for (words, text) in [
            (["--lifetime=0s"], "lifetime must be greater than zero, got 0s"), (["--lifetime=x"], "error parsing lifetime option: time: invalid duration \"x\""),
            (["--ttl=-1s"], "ttl must not be negative, got -1s"), (["--lifetime=1h", "--ttl=2h"], "ttl (2h0m0s) must not be greater than lifetime (1h0m0s)"),
            (["--sequence=0"], "sequence number must be greater than the current record sequence"), (["--key=none"], "no key by the given name was found"),
            (["--allow-delegated"], "cannot use both --allow-offline and --allow-delegated flags"),
        ] {
            let outcome = words.count == 1
                ? try shell("name", "publish", "--allow-offline", words[0], "/ipfs/\(cid)")
                : try shell("name", "publish", "--allow-offline", words[0], words[1], "/ipfs/\(cid)")
            #expect(outcome.error == "Error: \(text)\n", "\(words)")
        }
        #expect(try shell("name", "publish", "--allow-delegated", cid).error.hasPrefix("Error: no delegated publishers configured"))
        #expect(try shell("name", "publish", "--allow-offline", "QmYNmQKp6SuaVrpgWRsPTgCQCnpxUYGq76YEKBXuj2N4H6").code == 1)
    }

    @Test func recordsAreShownAndCarried() throws {
        let (shell, _, cid) = try ready()
        let name = try shell("name", "publish", "--allow-offline", "--ttl=30m", "--v1compat=false", "-Q", cid).line
        // Without a daemon a record is read from the store through another name command only.
        let record = try shell.record()
        try shell.file("/work/record", record)
        let shown = try shell("name", "inspect", "record").output
        #expect(shown.contains("Value:          \"/ipfs/\(cid)\"\n") && shown.contains("TTL:            30m0s\n") && shown.contains("Signature Type: V2\n"))
        #expect(shown.contains("Protobuf Size:  \(record.count)\n") && shown.contains("This record was not verified."))
        #expect(shown.contains("\nHex Dump:\n00000000  "))
        let verified = try shell("name", "inspect", "--dump=false", "--verify=\(name)", "record").output
        #expect(verified.contains(" Valid: true\n Name:  \(name)\n") && !verified.contains("Hex Dump"))
        let foreign = try shell("name", "inspect", "--enc=json", "--verify=12D3KooWBETYGvQhHCSDM5hjqhDzHdd4fANtM24c7Eu3zxzgoRUq", "record").output
        #expect(foreign.contains("\"Valid\":false,\"Reason\":\"signature verification failed\""))
        #expect(try shell("name", "put", "--allow-offline", name, "record").line == name)
        #expect(try shell("name", "put", "--allow-offline", "12D3KooWBETYGvQhHCSDM5hjqhDzHdd4fANtM24c7Eu3zxzgoRUq", "record").error == "Error: record validation failed: signature verification failed\n")
        #expect(try shell("routing", "put", "--allow-offline", "/ipns/\(name)", "record").code == 0)
        for command in ["name", "routing"] {
            #expect(try shell(command, "put", "/ipns/\(name)", "record").error.hasPrefix("Error: can't put while offline: pass `--allow-offline` to override"))
        }
        try shell.file("/work/text", Array("foo".utf8))
        #expect(try shell("routing", "put", "--allow-offline", "/ipns/\(name)", "text").error == "Error: invalid IPNS record: record is malformed: it is no protobuf message\n")
        for key in ["foo", "/pk/foo", "/ipns/foo"] { #expect(try shell("routing", "put", key, "text").error == "Error: invalid key: \(key) is not an IPNS name\n") }
        try shell.file("/work/large", [UInt8](repeating: 0, count: 11 << 10))
        #expect(try shell("name", "put", "--allow-offline", name, "large").error == "Error: record exceeds maximum size of 10240 bytes, use --force to skip size check\n")
    }

    @Test func durationsAndColumns() {
        for (nanoseconds, text) in [
            (0, "0s"), (1, "1ns"), (1500, "1.5µs"), (2_000_000, "2ms"), (1_500_000_000, "1.5s"), (60_000_000_000, "1m0s"), (5_400_000_000_000, "1h30m0s"), (-90_000_000_000, "-1m30s"),
        ] as [(Int64, String)] {
            #expect(GoDuration.text(.nanoseconds(nanoseconds)) == text)
        }
        #expect(AlignedText.lay("a\tb\nlonger\tc\n\nx\ty\n") == "a      b\nlonger c\n\nx y\n")
        #expect(AlignedText.lay("a\tb\tc\nd\te\n", minimum: 4, padding: 2) == "a   b   c\nd   e\n")
        #expect(ProvidePage.number(-1_234_567) == "-1,234,567" && ProvidePage.number(12) == "12")
        #expect(HTTPDate.text(WallTime(nanoseconds: 784_111_777_000_000_000)) == "Sun, 06 Nov 1994 08:49:37 GMT")
    }
}

extension Shell {
    /// The record that the node published last, as it is stored.
    fileprivate func record() throws -> [UInt8] {
        let shell = self
        return try world.run {
            let store = try shell.system.openStore("/repo/data", tables: [Table("names")], capacity: 1 << 30)
            let found: [UInt8] = try store.read { reader in
                var value: [UInt8] = []
                try [UInt8]().withUnsafeBytes { try reader.scan(Table("names"), from: $0) { value = Array($1); _ = $0; return true } }
                return value
            }
            await store.close()
            return found
        }
    }
}
