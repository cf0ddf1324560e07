import WaggleBase
import WaggleFormats
import WaggleSimulation

@testable import WaggleAPI
@testable import WaggleAssembly
@testable import WaggleContent

let apiTargets: [(name: String, run: @Sendable (Bytes) -> Void)] = [
    ("delegated-routing", { bytes in
        // A router's answer gives the same however it is cut.
        for isStream in [true, false] {
            var whole = DelegatedReader(isStream: isStream, member: "Providers")
            let all = attempt { try whole.feed(bytes) + whole.finish() }
            var cut = DelegatedReader(isStream: isStream, member: "Providers")
            var found: [DelegatedRecord]? = []
            for start in stride(from: 0, to: bytes.count, by: 7) where found != nil {
                if let some = attempt({ try cut.feed(bytes[start..<min(start + 7, bytes.count)]) }) { found? += some } else { found = nil }
            }
            if found != nil { if let rest = attempt({ try cut.finish() }) { found? += rest } else { found = nil } }
            precondition(all == found)
        }
    }),
    ("multipart", { bytes in
        guard var machine = attempt({ try MultipartMachine(contentType: "multipart/form-data; boundary=xyz") }) else { return }
        var cutter = Cutter(bytes)
        while let piece = cutter.next() {
            guard attempt({ try machine.receive(piece) }) != nil else { return }
            while machine.next() != nil {}
        }
        _ = attempt { try machine.finish() }
    }),
    ("tar", { bytes in
        let world = World(seed: 1)
        let extractor = TarExtractor(to: "/out", files: world.host("host").system.files)
        var cutter = Cutter(bytes)
        while let piece = cutter.next() { guard attempt({ try extractor.receive(piece) }) != nil else { return } }
        _ = attempt { try extractor.finish() }
    }),
    ("car", { bytes in
        var machine = CARMachine()
        var cutter = Cutter(bytes)
        while let piece = cutter.next() {
            guard attempt({ try machine.receive(piece) }) != nil else { return }
            while let output = attempt({ try machine.next() }), output != nil {}
        }
    }),
    ("listing", { bytes in
        // What `ls` and `get` tell of a block that says what it likes.
        if let text = bytes.utf8 { _ = (Clock.listing(text, now: 0), WallTime(rfc3339: text).map(HTTPDate.text)) }
        guard let cid = attempt({ try CID(codec: .dagPB, hash: Multihash(.sha2_256, digest: Bytes([UInt8](repeating: 1, count: 32)))) }),
            let node = attempt({ try UnixFSNode(cid: cid, block: bytes) })
        else { return }
        _ = node.metadata.mode.map { FileModeText.of($0, isDirectory: true) }
        guard let time = node.metadata.modified else { return }
        precondition(Clock.listing(Clock.rfc3339(time.seconds), now: 0) != nil)
        let metadata = TarFormat.Metadata(mode: node.metadata.mode, seconds: time.seconds, nanoseconds: time.nanoseconds ?? 0)
        var read = TarFormat.Metadata()
        precondition(read.setTime(metadata.decimal) && read.seconds == metadata.seconds && read.nanoseconds == metadata.nanoseconds)
        _ = TarFormat.header("a", kind: .file, size: node.cumulativeSize, metadata)
    }),
    ("seed-list", { bytes in
        precondition(SeedList.addresses(inDocument: bytes).count <= BootstrapLimits.seeds)
        guard let text = bytes.utf8 else { return }
        precondition(SeedList.addresses(inTexts: [text]).count <= BootstrapLimits.seeds)
        _ = attempt { try SeedSource(text) }
    }),
    ("header-value", { bytes in if let text = bytes.utf8 { _ = HeaderValue(text) } }),
    ("query", { bytes in if let text = bytes.utf8 { for item in PercentCoding.items(text) { precondition(PercentCoding.decode(PercentCoding.encode(item.name)) == item.name) } } }),
    ("command-line", { bytes in
        guard let text = bytes.utf8 else { return }
        var line = ParsedLine(command: Commands.root)
        let words = text.split(separator: "\0", omittingEmptySubsequences: false).map(String.init)
        if let parsed = attempt({ try ArgumentParser.parse(words, root: Commands.root, partial: &line) }) {
            _ = attempt { try parsed.command.assign(parsed.arguments, hasInput: true) }
        }
    }),
    ("configuration", { bytes in
        guard let configuration = attempt({ try Configuration(parsing: bytes, path: "config") }) else { return }
        _ = attempt { try NodeSettings.make(configuration) }
        _ = (configuration.storageMaximum, configuration.apiHeaders)
    }),
    ("texts", { bytes in
        guard let text = bytes.utf8 else { return }
        _ = (GoDuration.parse(text), ByteSize.parse(text), TerminalText.visible(text))
        _ = IgnoreRules(text.split(separator: "\n").map(String.init)).excludes("a/b/c", isDirectory: false)
    }),
]
