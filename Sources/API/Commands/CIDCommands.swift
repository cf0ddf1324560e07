import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `cid`: CIDs taken apart and written in other ways. Needs no repository.
enum CIDCommands {
    static let command: Command = Command(
        "cid", "Convert and discover properties of CIDs.", description: "Works on the text of CIDs; no content is read.",
        example: "> waggle cid inspect <cid>\n> waggle cid base32 <cid>", subcommands: [inspect, format, base32, bases, codecs, hashes],
        needs: .nothing)

    private static let cids: Argument = .string("cid", "CIDs to convert.", variadic: true, input: true)

    private static let format = Command(
        "format", "Format and convert a CID in various useful ways.",
        description: """
            The format string is in the manner of printf:

              %%  a percent sign             %s  the whole CID, %S without the multibase prefix
              %b  the multibase's name       %B  its prefix character
              %v  cidv0 or cidv1             %V  0 or 1
              %c  the codec's name           %C  its number
              %h  the hash function's name   %H  its number
              %L  the digest's length in bytes
              %m  the multihash, %M with multibase prefix
              %d  the digest, %D with multibase prefix
              %P  version, codec, hash function and length, as in cidv1-raw-sha2-256-32
            """,
        example: "> waggle cid format -f '%c %h %L' <cid>\n> waggle cid format -v 1 -b base36 <cid>", arguments: [cids],
        options: [
            .string("f", about: "Printf style format string.", default: "%s"),
            .string("v", about: "CID version to convert to."),
            .string("mc", about: "CID multicodec to convert to."),
            .string("b", about: "Multibase to display CID in."),
        ],
        needs: .nothing, present: { _, console in CIDPresenter(console) }
    ) { request, _, emitter in
        try await emit(request.arguments, try CIDConversion(request), emitter)
    }

    private static let base32 = Command(
        "base32", "Convert CIDs to Base32 CID version 1.", description: "Gives the form in which letter case does not matter.",
        example: "> waggle cid base32 <cid>", arguments: [cids], needs: .nothing, present: { _, console in CIDPresenter(console) }
    ) { request, _, emitter in
        try await emit(request.arguments, CIDConversion(version: .v1, base: .base32), emitter)
    }

    private static func emit(_ texts: [String], _ conversion: CIDConversion, _ emitter: any Emitter) async throws {
        for text in texts {
            let text = text.filter { !$0.isWhitespace }
            var row: JSON = ["CidStr": .string(text), "Formatted": "", "ErrorMsg": ""]
            do {
                row["Formatted"] = .string(try conversion.apply(to: text))
            } catch CIDConversion.Failure.format(let message) {
                throw CommandError(message)
            } catch {
                row["ErrorMsg"] = .string("\(error)")
            }
            try await emitter.emit(row)
        }
    }

    private static let bases = Command(
        "bases", "List available multibase encodings.", example: "> waggle cid bases --prefix",
        options: [
            .flag("prefix", about: "also include the single letter prefixes in addition to the code"),
            .flag("numeric", about: "also include numeric codes"),
        ],
        needs: .nothing, text: { value, request in BaseTable.text(value, request) }
    ) { _, _, emitter in try await emitter.emitOnce(BaseTable.json) }

    private static let listOptions: [Option] = [
        .flag("numeric", "n", about: "also include numeric codes"),
        .flag("supported", "s", about: "list only codecs that commands can read and write"),
    ]

    private static let listText: Command.Text = { value, request in
        (value.array ?? []).map { row in
            let code = "\(row["Code"]?.integer ?? 0)"
            let name = row["Name"]?.string ?? ""
            return request.flag("numeric") ? String(repeating: " ", count: max(0, 5 - code.count)) + "\(code)  \(name)\n" : "\(name)\n"
        }.joined()
    }

    private static let codecs = Command(
        "codecs", "List available CID multicodecs.", example: "> waggle cid codecs --supported", options: listOptions, needs: .nothing,
        text: listText
    ) { request, _, emitter in
        let supported: Set<Multicodec> = [.raw, .dagPB, .dagCBOR, .libp2pKey, .dagJSON, .json, .cbor]
        let all = Multicodec.all(tagged: "ipld").filter { !request.flag("supported") || supported.contains($0) }
        try await emitter.emitOnce(.array(all.map { ["Code": JSON(Int64($0.rawValue)), "Name": .string($0.name ?? "")] }))
    }

    private static let hashes = Command(
        "hashes", "List available multihashes.", example: "> waggle cid hashes --numeric", options: listOptions, needs: .nothing, text: listText
    ) { _, _, emitter in
        let all = Multicodec.all(tagged: "multihash").filter { Hashing.isKnown($0.rawValue) && CIDPolicy.admits($0) }
        try await emitter.emitOnce(.array(all.map { ["Code": JSON(Int64($0.rawValue)), "Name": .string(HashName.of($0))] }))
    }

    private static let inspect = Command(
        "inspect", "Inspect and display detailed information about a CID.",
        description: """
            Shows version, multibase, codec and multihash of a CID, and the same CID as version 0 and 1 where that is possible. What a version 0
            CID does not say in its bytes is marked as implicit.
            """,
        example: "> waggle cid inspect <cid>", arguments: [.string("cid", "CID to inspect.", input: true)], needs: .nothing,
        text: { value, _ in try CIDInspection.text(value) }
    ) { request, _, emitter in
        try await emitter.emitOnce(CIDInspection.json(request.arguments[0].filter { !$0.isWhitespace }))
    }
}

/// The bases as `cid bases` and `multibase list` show them.
enum BaseTable {
    /// Bases that other programs of this kind know too, in the order of their letters.
    private static let order: [Multibase] = [
        .identity, .base2, .base32, .base32upper, .base32pad, .base32padupper, .base16, .base16upper, .base36, .base36upper, .base64, .base64pad,
        .base32hexpad, .base32hexpadupper, .base64url, .base64urlpad, .base32hex, .base32hexupper, .base58btc, .base58flickr, .base256emoji,
    ]

    static var json: JSON {
        .array(order.map { ["Code": JSON(Int64($0.prefix.value)), "Name": .string($0.name)] })
    }

    static func text(_ value: JSON, _ request: Request) -> String {
        (value.array ?? []).map { row in
            let code = row["Code"]?.integer ?? 0
            var line = ""
            if request.flag("prefix") {
                let scalar = Unicode.Scalar(UInt32(clamping: code)) ?? " "
                line += code < 32 ? " " : "\(Character(scalar))"
                line += request.flag("numeric") ? " " : "  "
            }
            if request.flag("numeric") {
                let digits = "\(code)"
                line += String(repeating: " ", count: max(0, 7 - digits.count)) + digits + "  "
            }
            return line + (row["Name"]?.string ?? "") + "\n"
        }.joined()
    }
}

/// Names of hash functions; two differ from the registry's in what people are used to.
enum HashName {
    static func of(_ code: Multicodec) -> String { code.name ?? "unknown" }
}

/// A CID written another way.
struct CIDConversion {
    enum Failure: Error, CustomStringConvertible {
        case cid(String)
        /// The format string is wrong, whatever the CID.
        case format(String)

        var description: String { switch self { case .cid(let text), .format(let text): text } }
    }

    private var format = "%s"
    private var version: CID.Version?
    private var codec: Multicodec?
    private var base: Multibase?

    init(version: CID.Version?, base: Multibase?) {
        self.version = version
        self.base = base
    }

    init(_ request: Request) throws(CommandError) {
        format = request.string("f") ?? "%s"
        guard format.contains("%") else { throw CommandError("invalid format string: \"\(format)\"") }
        if let name = request.string("mc"), !name.isEmpty {
            guard let found = Multicodec(name: name) else { throw CommandError("unknown multicodec: \"\(name)\"") }
            codec = found
        }
        let baseName = request.string("b") ?? ""
        switch request.string("v") ?? "" {
        case "": version = baseName.isEmpty ? nil : .v1
        case "0":
            if let codec, codec != .dagPB { throw CommandError("cannot convert to CIDv0 with any codec other than dag-pb") }
            guard baseName.isEmpty || baseName == "base58btc" else {
                throw CommandError("cannot convert to CIDv0 with any multibase other than the implicit base58btc")
            }
            version = .v0
        case "1": version = .v1
        case let other: throw CommandError("invalid cid version: \"\(other)\"")
        }
        if !baseName.isEmpty { base = try CIDText.base(named: baseName) }
    }

    func apply(to text: String) throws -> String {
        var cid: CID
        do { cid = try CID(parsing: text) } catch { throw Failure.cid("invalid cid: \(error)") }
        let own = cid.version == .v0 ? Multibase.base58btc : text.unicodeScalars.first.flatMap { Multibase(prefix: $0) } ?? .base32
        if let codec, codec != cid.codec { cid = try CID(codec: codec, hash: cid.multihash) }
        switch version {
        case .v0?:
            guard cid.codec == .dagPB else { throw Failure.cid("can't convert non-dag-pb nodes to cidv0") }
            guard let converted = cid.v0 else { throw Failure.cid("can't convert this CID to cidv0: only sha2-256 of 32 bytes can be") }
            cid = converted
        case .v1?: cid = cid.v1
        case nil: break
        }
        return try render(cid, cid.version == .v0 ? .base58btc : base ?? own)
    }

    private func render(_ cid: CID, _ base: Multibase) throws(Failure) -> String {
        var output = ""
        var rest = format[...]
        while let character = rest.popFirst() {
            guard character == "%" else {
                output.append(character)
                continue
            }
            guard let token = rest.popFirst() else { throw .format("invalid format string: \"\(format)\" ends in a percent sign") }
            output += try field(token, cid, base)
        }
        return output
    }

    private func field(_ token: Character, _ cid: CID, _ base: Multibase) throws(Failure) -> String {
        let version = cid.version == .v0 ? "0" : "1"
        let codec = cid.codec.name ?? "codec-\(cid.codec.rawValue)"
        let hash = cid.hashCode.name ?? "hash-\(cid.hashCode.rawValue)"
        switch token {
        case "%": return "%"
        case "b": return base.name
        case "B": return "\(Character(base.prefix))"
        case "v": return "cidv\(version)"
        case "V": return version
        case "c": return codec
        case "C": return "\(cid.codec.rawValue)"
        case "h": return hash
        case "H": return "\(cid.hashCode.rawValue)"
        case "L": return "\(cid.multihash.digestCount)"
        case "m": return base.encode(cid.multihash.bytes, prefixed: false)
        case "M": return base.encode(cid.multihash.bytes)
        case "d": return base.encode(cid.digest, prefixed: false)
        case "D": return base.encode(cid.digest)
        case "s": return cid.version == .v0 ? cid.description : cid.text(base: base)
        case "S": return cid.version == .v0 ? cid.description : base.encode(cid.bytes, prefixed: false)
        case "P": return "cidv\(version)-\(codec)-\(hash)-\(cid.multihash.digestCount)"
        default: throw .format("unrecognized specifier in format string: %\(token)")
        }
    }
}

/// What `cid inspect` says.
private enum CIDInspection {
    static func json(_ text: String) -> JSON {
        let cid: CID
        do { cid = try CID(parsing: text) } catch {
            var message = "invalid CID: \(error)"
            if let peer = PeerText.parse(text) {
                message += "\nNote: the value is a PeerID; inspect its CID representation instead:\n  \(peer.cidText(base: .base36))"
            }
            return ["cid": .string(text), "errorMsg": .string(message)]
        }
        let base = cid.version == .v0 ? Multibase.base58btc : text.unicodeScalars.first.flatMap { Multibase(prefix: $0) } ?? .base32
        var value: JSON = [
            "cid": .string(text), "version": cid.version == .v0 ? 0 : 1,
            "multibase": ["prefix": .string("\(Character(base.prefix))"), "name": .string(base.name)],
            "multicodec": ["code": JSON(Int64(clamping: cid.codec.rawValue)), "name": .string(cid.codec.name ?? "unknown")],
            "multihash": [
                "code": JSON(Int64(clamping: cid.hashCode.rawValue)), "name": .string(cid.hashCode.name ?? "unknown"),
                "length": JSON(cid.multihash.digestCount), "digest": .string(Multibase.base16.encode(cid.digest, prefixed: false)),
            ],
        ]
        if let old = cid.version == .v0 ? cid : cid.v0 { value["cidV0"] = .string(old.description) }
        value["cidV1"] = .string(cid.v1.text(base: cid.codec == .libp2pKey ? .base36 : .base32))
        return value
    }

    static func text(_ value: JSON) throws(CommandError) -> String {
        if let message = value["errorMsg"]?.string, !message.isEmpty { throw CommandError(message) }
        func string(_ group: String, _ name: String) -> String { value[group]?[name]?.string ?? "" }
        func number(_ group: String, _ name: String) -> Int64 { value[group]?[name]?.integer ?? 0 }
        let isOld = value["version"]?.integer == 0
        let implicit = isOld ? ", implicit" : ""
        let codec = "\(string("multicodec", "name")) (0x\(String(number("multicodec", "code"), radix: 16))"
        let hash = "\(string("multihash", "name")) (0x\(String(number("multihash", "code"), radix: 16))"
        let digest = number("multihash", "length")
        let old: String
        if let text = value["cidV0"]?.string {
            old = text
        } else if number("multicodec", "code") != 0x70 {
            old = "not possible, requires dag-pb (0x70), got \(codec))"
        } else {
            old = "not possible, requires sha2-256 (0x12) of 32 bytes, got \(hash)) of \(digest) bytes"
        }
        return """
            CID:        \(value["cid"]?.string ?? "")
            Version:    \(value["version"]?.integer ?? 0)
            Multibase:  \(string("multibase", "name")) (\(isOld ? "implicit" : string("multibase", "prefix")))
            Multicodec: \(codec)\(implicit))
            Multihash:  \(hash)\(implicit))
              Length:   \(digest) bytes
              Digest:   \(string("multihash", "digest"))
            CIDv0:      \(old)
            CIDv1:      \(value["cidV1"]?.string ?? "")

            """
    }
}

/// Converted CIDs to the output, failures to the error output; fails at the end when one failed.
private final class CIDPresenter: Presenter, @unchecked Sendable {
    private let console: any Console
    private var failed = false

    init(_ console: any Console) { self.console = console }

    func value(_ value: JSON) async throws {
        if let error = value["ErrorMsg"]?.string, !error.isEmpty {
            failed = true
            console.writeError("\(TerminalText.visible(value["CidStr"]?.string ?? "")): \(error)\n")
        } else {
            try console.print("\(value["Formatted"]?.string ?? "")\n")
        }
    }

    func end() async throws { if failed { throw CommandError("errors while displaying some entries") } }
}

/// Which CIDs may name content that is added or read: others could be made to collide.
enum CIDPolicy {
    /// Bytes of a digest, at least; shorter ones can be searched for.
    static let shortestDigest = 20
    /// Bytes of a digest, at most.
    static let longestDigest = 128

    static func admits(_ hash: Multicodec) -> Bool {
        switch hash.rawValue {
        case 0x00, 0x11...0x17, 0x19...0x1e, 0x56: true
        // BLAKE2 from 160 bits on.
        case 0xb201 + 19...0xb240, 0xb241 + 19...0xb260: true
        default: false
        }
    }

    static func check(_ cid: CID) throws(CommandError) {
        try check(cid.hashCode, length: cid.multihash.digestCount)
    }

    static func check(_ hash: Multicodec, length: Int) throws(CommandError) {
        guard admits(hash) else { throw CommandError("potentially insecure hash functions not allowed") }
        if hash != .identity, length < shortestDigest { throw CommandError("digest too small: must be at least \(shortestDigest) bytes") }
        guard length <= longestDigest else {
            let what = hash == .identity ? "identity digest" : "digest"
            throw CommandError("\(what) too large: must be at most \(longestDigest) bytes")
        }
    }
}

/// PeerIDs given as text.
enum PeerText {
    static func parse(_ text: String) -> PeerID? {
        do { return try PeerID(text) } catch { return nil }
    }
}
