import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// `name inspect`, `get`, `put`: records as they are.
enum NameRecordCommands {
    /// Bytes of a file that are read; a record has far less.
    private static let limit = ByteCount.mebibytes(1)

    // MARK: inspect

    static let inspect = Command(
        "inspect", "Inspects an IPNS Record",
        description: """
            Prints values inside of IPNS Record protobuf and its DAG-CBOR Data field. Passing --verify will verify the signature against the name.
            """,
        example: "> waggle routing get /ipns/<name> > record\n> waggle name inspect --verify=<name> record",
        arguments: [.file("record", "The IPNS record payload to be verified.", input: true)],
        options: [
            .string("verify", about: "CID of the public IPNS key to validate against."),
            .flag("dump", about: "Include a full hex dump of the raw Protobuf record.", default: true),
        ],
        needs: .nothing, text: { value, _ in text(value) }
    ) { request, session, emitter in
        let bytes = try await NameCommands.file(request, "record", limit: limit)
        let record = try IPNSRecord(decoding: bytes)
        var validation = JSON.null
        if let text = request.string("verify") {
            guard let name = IPNSName(text) else { throw CommandError("failed to parse peer ID: \(text)") }
            var reason = ""
            do throws(IPNSError) { try record.verify(name, at: session.system.wallTime) } catch { reason = error.description }
            validation = ["Valid": .bool(reason.isEmpty), "Reason": .string(reason), "Name": .string(name.description)]
        }
        let value: String
        do { value = try record.path.description } catch { value = "" }
        try await emitter.emitOnce([
            "Entry": [
                "Value": .string(value), "ValidityType": record.validityType.map { JSON($0) } ?? .null,
                "Validity": record.validity.map { .string($0.rfc3339) } ?? .null, "Sequence": record.sequence.map { JSON($0) } ?? .null,
                "TTL": record.timeToLive.map { JSON($0.wholeNanoseconds) } ?? .null,
            ],
            "PbSize": JSON(bytes.count), "SignatureType": .string(record.signatureType),
            "HexDump": .string(request.flagIfGiven("dump") ?? true ? HexDump.text(bytes) : ""), "Validation": validation,
        ])
    }

    private static func text(_ value: JSON) -> String {
        let entry = value["Entry"] ?? .null
        var rows = ""
        if let text = entry["Value"]?.string, !text.isEmpty { rows += "Value:\t\"\(text)\"\n" }
        if let type = entry["ValidityType"]?.integer { rows += "Validity Type:\t\(type)\n" }
        if let validity = entry["Validity"]?.string { rows += "Validity:\t\"\(validity)\"\n" }
        if case .integer(let sequence)? = entry["Sequence"] { rows += "Sequence:\t\(sequence)\n" }
        if let ttl = entry["TTL"]?.integer { rows += "TTL:\t\(GoDuration.text(.nanoseconds(ttl)))\n" }
        rows += "Protobuf Size:\t\(value["PbSize"]?.integer ?? 0)\nSignature Type:\t\(value["SignatureType"]?.string ?? "")\n"
        var text = AlignedText.lay(rows)
        if let validation = value["Validation"], !validation.isNull {
            text += "\nValidation results:\n"
            var rows = "\tValid:\t\(validation["Valid"] == true)\n"
            if let reason = validation["Reason"]?.string, !reason.isEmpty { rows += "\tReason:\t\(reason)\n" }
            text += AlignedText.lay(rows + "\tName:\t\(validation["Name"]?.string ?? "")\n")
        } else {
            text += "\nThis record was not verified. Pass '--verify k51...' to verify.\n"
        }
        if let dump = value["HexDump"]?.string, !dump.isEmpty { text += "\nHex Dump:\n\(dump)" }
        return text
    }

    // MARK: get and put

    static let get = Command(
        "get", "Retrieve a signed IPNS record.",
        description: """
            Retrieves the signed IPNS record for a given name from the routing system: the one with the highest sequence number. The output is the raw
            record, which 'name inspect' shows.
            """,
        example: "> waggle name get <name> > record", arguments: [.string("name", "The IPNS name to look up.")]
    ) { request, session, emitter in
        guard let name = IPNSName(request.arguments[0]) else { throw CommandError("invalid IPNS name: \(request.arguments[0])") }
        let record = try await RoutingCommands.value(of: name.routingKey, session)
        emitter.setContentType("application/vnd.ipfs.ipns-record")
        try await emitter.write(record)
    }

    static let put = Command(
        "put", "Store a pre-signed IPNS record in the routing system.",
        description: """
            Stores a record that was signed elsewhere: to publish someone's record again, to carry one from node to node, or to restore a backup.

            The record must be the name's, valid, at most 10 KiB long, and newer than what is known. --force leaves these checks to the routing system,
            which may refuse it all the same.
            """,
        example: "> waggle name get <name> > record\n> waggle name put <name> record",
        arguments: [
            .string("name", "The IPNS name to store the record for (e.g., k51... or /ipns/k51...)."),
            .file("record", "Path to file containing the signed IPNS record.", input: true),
        ],
        options: [
            .flag("force", "f", about: "Skip validation (signature, sequence, size)."),
            .flag("allow-offline", about: "Store locally without broadcasting to the network."),
            .flag("allow-delegated", about: "Publish via HTTP delegated publishers only (no DHT)."), .flag("quiet", "q", about: "Write no output."),
        ],
        text: { value, request in request.flag("quiet") ? "" : "\(value["Name"]?.string ?? "")\n" }
    ) { request, session, emitter in
        let route = try PublishingRoute(request, session, offline: "can't put while offline")
        guard let name = IPNSName(request.arguments[0]) else { throw CommandError("invalid IPNS name: \(request.arguments[0])") }
        let bytes = try await NameCommands.file(request, "record", limit: limit)
        guard !bytes.isEmpty else { throw CommandError("record is empty") }
        let names = try session.node.names
        let isForced = request.flag("force")
        guard isForced || bytes.count <= NamingLimits.record else {
            throw CommandError("record exceeds maximum size of \(NamingLimits.record) bytes, use --force to skip size check")
        }
        let record: IPNSRecord
        do { record = try IPNSRecord(decoding: bytes) } catch { throw CommandError("invalid IPNS record: \(error)") }
        if !isForced { try await check(record, name, names, session) }
        try await names.put(record, of: name, sharing: false)
        try await route.share(record, of: name, isForced: isForced)
        let value: String
        do { value = try record.path.description } catch { value = "" }
        try await emitter.emitOnce(["Name": .string(name.description), "Value": .string(value)])
    }

    private static func check(_ record: IPNSRecord, _ name: IPNSName, _ names: NameSystem, _ session: Session) async throws {
        do { try record.verify(name, at: session.system.wallTime) } catch { throw CommandError("record validation failed: \(error)") }
        let known: IPNSRecord?
        do { known = try await names.record(of: name) } catch is CancellationError { throw CancellationError() } catch { known = nil }
        // The same record again is welcome.
        guard let known, known != record, let old = known.sequence, let new = record.sequence, old >= new else { return }
        throw CommandError("existing IPNS record has sequence \(old) >= new record sequence \(new), use 'name put --force' to skip this check")
    }
}

/// Bytes as `hexdump -C` shows them, and Go's `hex.Dump`.
enum HexDump {
    static func text(_ bytes: Bytes) -> String {
        let digits = Array("0123456789abcdef")
        func hex(_ byte: UInt8) -> String { String([digits[Int(byte >> 4)], digits[Int(byte & 15)]]) }
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 16) {
            let row = bytes[start..<min(start + 16, bytes.count)]
            let offset = String(start, radix: 16)
            text += String(repeating: "0", count: 8 - offset.count) + offset
            for column in 0..<16 {
                text += column == 0 || column == 8 ? "  " : " "
                text += column < row.count ? hex(row[column]) : "  "
            }
            text += "  |" + String(row.map { (0x20...0x7e).contains($0) ? Character(Unicode.Scalar($0)) : "." }) + "|\n"
        }
        return text
    }
}
