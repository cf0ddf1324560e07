import WaggleBase

/// The archive format of `get`: POSIX ustar, with pax records (IEEE 1003.1, "pax Header Block") for what does not fit.
package enum TarFormat {
    package enum Kind: Hashable, Sendable { case file, directory, link(target: String) }

    package struct Metadata: Hashable, Sendable {
        package var mode: UInt32?
        package var seconds: Int64?
        /// After that second.
        package var nanoseconds: UInt32

        package init(mode: UInt32? = nil, seconds: Int64? = nil, nanoseconds: UInt32 = 0) {
            self.mode = mode
            self.seconds = seconds
            self.nanoseconds = nanoseconds
        }

        /// The time as a pax record writes it: decimal seconds, negative ones with their fraction counted downwards.
        var decimal: String {
            let (seconds, fraction) = (seconds ?? 0, nanoseconds)
            guard fraction > 0 else { return seconds.description }
            let isNegative = seconds < 0
            let digits = String(isNegative ? 1_000_000_000 - fraction : fraction)
            let whole = isNegative ? (seconds + 1).magnitude.description : seconds.description
            return (isNegative ? "-" : "") + whole + "." + String(repeating: "0", count: 9 - digits.utf8.count) + digits
        }

        /// Takes the time from a pax record; digits behind the ninth are dropped. False when it is none.
        mutating func setTime(_ text: String) -> Bool {
            let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            let fraction = parts.count == 2 ? parts[1].prefix(9) : ""
            guard let whole = Int64(parts[0]) ?? (parts[0] == "-" ? 0 : nil), fraction.allSatisfy({ $0.isASCII && $0.isNumber }) else {
                return false
            }
            let padded = fraction + String(repeating: "0", count: 9 - fraction.count)
            guard let nanoseconds = UInt32(padded) else { return false }
            let countsDown = nanoseconds > 0 && text.hasPrefix("-")
            guard !countsDown || whole > .min else { return false }
            self.seconds = countsDown ? whole - 1 : whole
            self.nanoseconds = countsDown ? 1_000_000_000 - nanoseconds : nanoseconds
            return true
        }
    }

    package static let blockSize = 512
    /// What ends an archive.
    package static let end = Bytes([UInt8](repeating: 0, count: 1024))

    /// Whether a name may stand in a directory on the disk.
    package static func isSafe(_ name: String) -> Bool {
        !name.isEmpty && name != "." && name != ".." && !name.utf8.contains(UInt8(ascii: "/")) && !name.utf8.contains(0)
    }

    /// The header of an entry, with a pax header before it where it needs one.
    package static func header(_ path: String, kind: Kind, size: UInt64, _ metadata: Metadata) -> Bytes {
        var records = ""
        var target = ""
        if case .link(let text) = kind { target = text }
        if path.utf8.count > 100 || !isASCII(path) { records += record("path", path) }
        if target.utf8.count > 100 || !isASCII(target) { records += record("linkpath", target) }
        if size >= 1 << 33 { records += record("size", size.description) }
        if let seconds = metadata.seconds, seconds < 0 || seconds >= 1 << 33 || metadata.nanoseconds > 0 {
            records += record("mtime", metadata.decimal)
        }
        var writer = ByteWriter(capacity: 1536)
        if !records.isEmpty {
            block(&writer, "PaxHeaders.0/entry", UInt8(ascii: "x"), UInt64(records.utf8.count), "", Metadata())
            writer.write(utf8: records)
            pad(&writer, records.utf8.count)
        }
        let type =
            switch kind {
            case .file: UInt8(ascii: "0")
            case .directory: UInt8(ascii: "5")
            case .link: UInt8(ascii: "2")
            }
        var shown = metadata
        shown.mode = shown.mode ?? (kind == .directory ? 0o755 : 0o644)
        block(&writer, path, type, size, target, shown)
        return writer.finish()
    }

    private static func isASCII(_ text: String) -> Bool { text.utf8.allSatisfy { $0 < 128 } }

    /// "length key=value\n", the length counting itself.
    private static func record(_ key: String, _ value: String) -> String {
        let rest = " \(key)=\(value)\n".utf8.count
        var length = rest
        while length != rest + "\(length)".utf8.count { length = rest + "\(length)".utf8.count }
        return "\(length) \(key)=\(value)\n"
    }

    private static func pad(_ writer: inout ByteWriter, _ count: Int) {
        let padding = (blockSize - count % blockSize) % blockSize
        if padding > 0 { writer.write([UInt8](repeating: 0, count: padding)) }
    }

    private static func block(_ writer: inout ByteWriter, _ path: String, _ type: UInt8, _ size: UInt64, _ target: String, _ metadata: Metadata) {
        var fields = [UInt8](repeating: 0, count: blockSize)
        func put(_ text: some Collection<UInt8>, at offset: Int, limit: Int) {
            for (index, byte) in text.prefix(limit).enumerated() { fields[offset + index] = byte }
        }
        func octal(_ value: UInt64, at offset: Int, width: Int) {
            let digits = String(value & ((1 << UInt64(3 * (width - 1))) - 1), radix: 8)
            put((String(repeating: "0", count: width - 1 - digits.count) + digits).utf8, at: offset, limit: width - 1)
        }
        put(path.utf8, at: 0, limit: 100)
        octal(UInt64((metadata.mode ?? 0o644) & 0o7777), at: 100, width: 8)
        octal(0, at: 108, width: 8)
        octal(0, at: 116, width: 8)
        octal(size, at: 124, width: 12)
        octal(UInt64(clamping: metadata.seconds ?? 0), at: 136, width: 12)
        fields[156] = type
        put(target.utf8, at: 157, limit: 100)
        put("ustar\u{0}00".utf8, at: 257, limit: 8)
        // The checksum counts its own field as blanks.
        for index in 148..<156 { fields[index] = 0x20 }
        let sum = fields.reduce(0) { $0 + UInt64($1) }
        octal(sum, at: 148, width: 7)
        fields[154] = 0
        fields[155] = 0x20
        writer.write(fields)
    }
}

/// Why an archive cannot be unpacked.
package enum TarError: Error, Hashable, Sendable, CustomStringConvertible {
    case malformed
    case endsEarly
    case unsafePath(String)
    case tooLong

    package var description: String {
        switch self {
        case .malformed: "the archive is malformed"
        case .endsEarly: "the data ends before it is complete"
        case .unsafePath(let path): "the entry \"\(TerminalText.visible(path))\" leads out of its directory and was not written"
        case .tooLong: "the archive has a header longer than 1 MiB"
        }
    }
}

/// Unpacks an archive as it arrives. What it writes stays below its root: names are checked, and no symbolic link is followed.
package final class TarExtractor {
    private static let paxLimit = 1 << 20

    private let root: String
    private let files: any FileSystem
    private var pending: [UInt8] = []
    private var content: (file: (any OpenFile)?, path: String, left: UInt64, offset: Int64, padding: Int, metadata: TarFormat.Metadata)?
    private var pax: [String: String] = [:]
    private var paxLeft: (bytes: Int, padding: Int)?
    private var paxText: [UInt8] = []
    private var target: String?
    private var directories: [(path: String, metadata: TarFormat.Metadata)] = []
    private var ended = false

    /// The archive's first entry becomes `root`: a directory that is there is filled, a file goes into a directory that is there.
    package init(to root: String, files: any FileSystem) {
        self.root = root
        self.files = files
    }

    package func receive(_ bytes: Bytes) throws {
        var rest = bytes
        while !rest.isEmpty {
            if content != nil {
                rest = try write(rest)
            } else if let left = paxLeft {
                rest = try readPax(rest, left)
            } else {
                let take = min(TarFormat.blockSize - pending.count, rest.count)
                pending += rest.prefix(take).array
                rest = rest.dropFirst(take)
                if pending.count == TarFormat.blockSize {
                    let block = pending
                    pending = []
                    try header(block)
                }
            }
        }
    }

    package func finish() throws {
        guard ended, content == nil, paxLeft == nil else {
            abandon()
            throw TarError.endsEarly
        }
        // Directories last, because writing into them changes their times.
        for (path, metadata) in directories.reversed() { try apply(metadata, path) }
    }

    package func abandon() {
        content?.file?.close()
        content = nil
    }

    private func readPax(_ bytes: Bytes, _ left: (bytes: Int, padding: Int)) throws -> Bytes {
        let take = min(left.bytes, bytes.count)
        paxText += bytes.prefix(take).array
        let skip = min(left.padding, bytes.count - take)
        let now = (bytes: left.bytes - take, padding: left.padding - skip)
        paxLeft = now
        if now.bytes == 0, now.padding == 0 {
            paxLeft = nil
            try parsePax()
        }
        return bytes.dropFirst(take + skip)
    }

    private func parsePax() throws {
        var rest = paxText[...]
        paxText = []
        while !rest.isEmpty {
            guard let blank = rest.firstIndex(of: 0x20), let length = Int(String(decoding: rest[..<blank], as: UTF8.self)), length > 0,
                length <= rest.count, length > blank - rest.startIndex + 1
            else { throw TarError.malformed }
            let record = rest[(blank + 1)..<(rest.startIndex + length - 1)]
            guard let equals = record.firstIndex(of: UInt8(ascii: "=")) else { throw TarError.malformed }
            pax[String(decoding: record[..<equals], as: UTF8.self)] = String(decoding: record[(equals + 1)...], as: UTF8.self)
            rest = rest[(rest.startIndex + length)...]
        }
    }

    private func header(_ block: [UInt8]) throws {
        if block.allSatisfy({ $0 == 0 }) {
            ended = true
            return
        }
        guard !ended else { throw TarError.malformed }
        func text(_ range: Range<Int>) -> String { String(decoding: block[range].prefix { $0 != 0 }, as: UTF8.self) }
        func octal(_ range: Range<Int>) throws -> UInt64 {
            guard let value = UInt64(text(range).filter { $0 != " " }, radix: 8) else { throw TarError.malformed }
            return value
        }
        var sum: UInt64 = 0
        for (index, byte) in block.enumerated() { sum += (148..<156).contains(index) ? 0x20 : UInt64(byte) }
        guard try octal(148..<156) == sum else { throw TarError.malformed }
        var size = try octal(124..<136)
        if let long = pax["size"] {
            guard let value = UInt64(long) else { throw TarError.malformed }
            size = value
        }
        guard size <= UInt64(Int64.max) else { throw TarError.malformed }
        let padding = Int((512 - size % 512) % 512)
        if block[156] == UInt8(ascii: "x") {
            guard size <= Self.paxLimit else { throw TarError.tooLong }
            pax = [:]
            paxLeft = (Int(size), padding)
            return
        }
        let path = pax["path"] ?? text(0..<100)
        let link = pax["linkpath"] ?? text(157..<257)
        var metadata = TarFormat.Metadata(
            mode: UInt32(truncatingIfNeeded: try octal(100..<108)) & 0o7777, seconds: Int64(clamping: try octal(136..<148)))
        if let time = pax["mtime"], !metadata.setTime(time) { throw TarError.malformed }
        pax = [:]
        try entry(block[156], path, link, size, padding, metadata)
    }

    private func entry(_ type: UInt8, _ path: String, _ link: String, _ size: UInt64, _ padding: Int, _ metadata: TarFormat.Metadata) throws {
        let parts = path.split(separator: "/", omittingEmptySubsequences: true).map(String.init)
        guard !parts.isEmpty, parts.allSatisfy(TarFormat.isSafe) else { throw TarError.unsafePath(path) }
        let place = try self.place(parts, isDirectory: type == UInt8(ascii: "5"), path)
        switch type {
        case UInt8(ascii: "5"):
            if let status = try files.status(place), status.kind != .directory { throw FileError.exists(path: place) }
            try files.makeDirectory(place, mode: 0o755)
            directories.append((place, metadata))
        case UInt8(ascii: "2"):
            if let status = try files.status(place) {
                if status.kind == .directory { throw FileError.exists(path: place) }
                try files.remove(place)
            }
            try files.makeSymbolicLink(place, target: link)
            // A link has a time, but no mode of its own.
            try apply(TarFormat.Metadata(seconds: metadata.seconds, nanoseconds: metadata.nanoseconds), place)
        case UInt8(ascii: "0"), 0:
            if let status = try files.status(place) {
                if status.kind == .directory { throw FileError.isDirectory(path: place) }
                // Never through a link that is there.
                if status.kind != .file { throw FileError.exists(path: place) }
            }
            content = (try files.create(place, mode: 0o644, exclusive: false), place, size, 0, padding, metadata)
            if size == 0 { try closeFile() }
        default: throw TarError.malformed
        }
    }

    /// Where an entry goes. Every directory above it must be a real one.
    private func place(_ parts: [String], isDirectory: Bool, _ path: String) throws -> String {
        if target == nil {
            let existing = try files.status(root)
            // What the user named may be a link to a directory; below it nothing is followed.
            let isFolder = existing?.kind == .directory || (existing != nil && (try? files.list(root)) != nil)
            target = !isDirectory && isFolder ? "\(root)/\(parts[0])" : root
        }
        var place = target ?? root
        for (index, name) in parts.enumerated().dropFirst() {
            let above = try files.status(place)
            guard above?.kind == .directory || (index == 1 && (try? files.list(place)) != nil) else { throw TarError.unsafePath(path) }
            place += "/" + name
        }
        return place
    }

    private func write(_ bytes: Bytes) throws -> Bytes {
        guard var now = content else { return bytes }
        let take = Int(min(now.left, UInt64(bytes.count)))
        if take > 0 {
            let file = now.file
            let offset = now.offset
            try bytes.prefix(take).withUnsafeBytes { (buffer) throws(FileError) in try file?.write(buffer, at: offset) }
        }
        now.left -= UInt64(take)
        now.offset += Int64(take)
        let skip = now.left == 0 ? min(now.padding, bytes.count - take) : 0
        now.padding -= skip
        content = now
        if now.left == 0, now.padding == 0 { try closeFile() }
        return bytes.dropFirst(take + skip)
    }

    private func closeFile() throws {
        guard let done = content else { return }
        content = nil
        done.file?.close()
        try apply(done.metadata, done.path)
    }

    private func apply(_ metadata: TarFormat.Metadata, _ path: String) throws {
        var modified: WallTime?
        if let seconds = metadata.seconds, seconds != 0 || metadata.nanoseconds != 0 {
            modified = WallTime(seconds: seconds, nanoseconds: Int64(metadata.nanoseconds))
        }
        guard modified != nil || metadata.mode != nil else { return }
        try files.setStatus(path, mode: metadata.mode, modified: modified)
    }
}
