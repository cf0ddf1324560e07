import WaggleBase

/// The files of a multipart request, in the form that Kubo's clients send: one part per file or directory, the path percent-encoded in
/// `filename`, the kind in `Content-Type` (`application/x-directory`, `application/symlink`, else a file), mode and time in the
/// query of the field name (`name="file?mode=0644&mtime=…"`).
package final class MultipartFiles: FileTree, @unchecked Sendable {
    private let exchange: HTTPExchange
    // Only the command's task touches the rest.
    private var machine: MultipartMachine
    private var inContent = false
    private var implied: Set<String> = []
    private var queued: [FileTreeEntry] = []

    package init(_ exchange: HTTPExchange) throws(MultipartError) {
        self.exchange = exchange
        machine = try MultipartMachine(contentType: exchange.head.headers["content-type"] ?? "")
    }

    package func next() async throws -> FileTreeEntry? {
        if !queued.isEmpty { return queued.removeFirst() }
        while inContent { _ = try await read() }
        while let output = try await output() {
            guard case .part(let headers) = output else { continue }
            inContent = true
            guard let entry = try await entry(headers) else { continue }
            return entry
        }
        return nil
    }

    package func read() async throws -> Bytes? {
        guard queued.isEmpty, inContent else { return nil }
        switch try await output() {
        case .bytes(let bytes)?: return bytes
        default:
            inContent = false
            return nil
        }
    }

    package func totalSize() async throws -> Int64? { nil }

    private func output() async throws -> MultipartMachine.Output? {
        while true {
            if let output = machine.next() { return output == .end ? nil : output }
            if machine.isDone { return nil }
            guard let bytes = try await exchange.readBody() else {
                try machine.finish()
                return nil
            }
            try machine.receive(bytes)
        }
    }

    private func entry(_ headers: [String: String]) async throws -> FileTreeEntry? {
        let disposition = HeaderValue(headers["content-disposition"] ?? "")
        let name = disposition.parameters["name"] ?? ""
        let path = try Self.safePath(disposition.parameters["filename"] ?? "")
        let type = HeaderValue(headers["content-type"] ?? "").value
        var kind = FileTreeEntry.Kind.file
        switch type {
        case "application/x-directory": kind = .directory
        case "application/symlink":
            var target = ""
            while let bytes = try await read() { target += bytes.utf8 ?? "" }
            kind = .symbolicLink(target: target)
        default: break
        }
        if kind == .directory {
            if implied.contains(path) { return nil }
            implied.insert(path)
        }
        let query = name.split(separator: "?", maxSplits: 1).dropFirst().first.map { PercentCoding.items(String($0)) } ?? []
        let mode = query.first { $0.name == "mode" }.flatMap { UInt32($0.value, radix: 8) }
        let seconds = query.first { $0.name == "mtime" }.flatMap { Int64($0.value) }
        let nanoseconds = query.first { $0.name == "mtime-nsecs" }.flatMap { Int64($0.value) } ?? 0
        let modified = seconds.map { WallTime(seconds: $0, nanoseconds: nanoseconds) }
        let entry = FileTreeEntry(path: path, kind: kind, mode: mode, modified: modified, absolutePath: headers["abspath"] ?? headers["abspath-encoded"].map { PercentCoding.decode($0) })
        // Directories that were never sent on their own (plain form uploads) come before what is in them.
        let missing = parents(of: path).filter { implied.insert($0).inserted }.map { FileTreeEntry(path: $0, kind: .directory) }
        if missing.isEmpty { return entry }
        queued = Array(missing.dropFirst()) + [entry]
        return missing[0]
    }

    private func parents(of path: String) -> [String] {
        let parts = path.split(separator: "/")
        return parts.count < 2 ? [] : (1..<parts.count).map { parts.prefix($0).joined(separator: "/") }
    }

    private static func safePath(_ filename: String) throws -> String {
        let parts = PercentCoding.decode(filename).split(separator: "/", omittingEmptySubsequences: true)
        guard !parts.contains(where: { $0 == ".." || $0.contains("\0") }) else {
            throw CommandError.client("the file name \(filename) leaves its directory")
        }
        return parts.filter { $0 != "." }.joined(separator: "/")
    }
}

/// Percent-encoding of paths and queries (RFC 3986 section 2.1).
package enum PercentCoding {
    /// Decodes `%41` and, in queries, `+`; malformed escapes stay as they are.
    package static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String {
        let input = Array(text.utf8)
        var output: [UInt8] = []
        var index = 0
        while index < input.count {
            if input[index] == UInt8(ascii: "%"), index + 2 < input.count,
                let value = UInt8(String(decoding: input[index + 1...index + 2], as: UTF8.self), radix: 16)
            {
                output.append(value)
                index += 3
                continue
            }
            output.append(plusIsSpace && input[index] == UInt8(ascii: "+") ? 0x20 : input[index])
            index += 1
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// Encodes all but unreserved characters.
    package static func encode(_ text: String, keeping kept: String = "") -> String {
        let unreserved = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~".utf8).union(kept.utf8)
        let digits = Array("0123456789ABCDEF".utf8)
        var output: [UInt8] = []
        for byte in text.utf8 {
            if unreserved.contains(byte) { output.append(byte) } else { output += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]] }
        }
        return String(decoding: output, as: UTF8.self)
    }

    /// The items of a query, in order.
    package static func items(_ query: String) -> [(name: String, value: String)] {
        query.split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (decode(parts[0], plusIsSpace: true), parts.count > 1 ? decode(parts[1], plusIsSpace: true) : "")
        }
    }
}
