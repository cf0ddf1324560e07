import WaggleBase

/// Why a multipart body could not be read.
package enum MultipartError: Error, Hashable {
    case noBoundary
    case malformed
    /// Part headers longer than the limit, in bytes.
    case headersTooLong(limit: Int)
    case endsEarly
}

/// Splits a multipart/form-data body (RFC 7578, RFC 2046 section 5.1) into parts as it arrives: a machine without I/O.
package struct MultipartMachine {
    package enum Output: Equatable {
        /// A part starts; header fields by lower-case name.
        case part([String: String])
        case bytes(Bytes)
        case partEnd
        case end
    }

    /// Header bytes of one part.
    package static let headerLimit = 16 << 10

    private enum State { case preamble, headers, content, afterBoundary, done }
    private let boundary: BoundaryFinder
    private var state = State.preamble
    /// What was received and not dealt with: a header that is not whole, or bytes that may begin a boundary.
    private var rest: Bytes
    /// Bytes at the start of `rest` that were searched for the end of a header, so that a header in many pieces is not searched again and again.
    private var searched = 0
    private var outputs = Deque<Output>()

    /// `contentType` is the header field of the request.
    package init(contentType: String) throws(MultipartError) {
        guard let boundary = HeaderValue(contentType).parameters["boundary"], (1...70).contains(boundary.utf8.count) else { throw .noBoundary }
        self.boundary = BoundaryFinder("\r\n--\(boundary)")
        // The first boundary has no line break before it.
        rest = Bytes([0x0d, 0x0a])
    }

    package mutating func next() -> Output? { outputs.popFirst() }

    /// Whether the closing boundary has been seen.
    package var isDone: Bool { state == .done }

    package mutating func receive(_ input: Bytes) throws(MultipartError) {
        if state == .done { return }
        if rest.isEmpty {
            rest = input
        } else {
            var writer = ByteWriter(capacity: rest.count + input.count)
            writer.write(rest)
            writer.write(input)
            rest = writer.finish()
        }
        while try step() {}
    }

    package func finish() throws(MultipartError) { if state != .done { throw .endsEarly } }

    private mutating func step() throws(MultipartError) -> Bool {
        switch state {
        case .preamble, .content:
            let (cut, isWhole) = boundary.find(in: rest)
            if cut > 0 {
                // A window onto what was received: no copy.
                if state == .content { outputs.append(.bytes(rest.prefix(cut))) }
                rest = rest.dropFirst(cut)
            }
            guard isWhole else { return false }
            rest = rest.dropFirst(boundary.count)
            if state == .content { outputs.append(.partEnd) }
            state = .afterBoundary
            return true
        case .afterBoundary:
            guard rest.count >= 2 else { return false }
            if starts(with: [0x2d, 0x2d]) {
                state = .done
                rest = Bytes()
                outputs.append(.end)
                return false
            }
            guard starts(with: [0x0d, 0x0a]) else { throw .malformed }
            rest = rest.dropFirst(2)
            state = .headers
            return true
        case .headers: return try headers()
        case .done: return false
        }
    }

    private func starts(with bytes: [UInt8]) -> Bool { rest.withUnsafeBytes { $0.starts(with: bytes) } }

    private mutating func headers() throws(MultipartError) -> Bool {
        if starts(with: [0x0d, 0x0a]) {
            // A part without header fields.
            rest = rest.dropFirst(2)
            outputs.append(.part([:]))
            state = .content
            return true
        }
        let limit = min(rest.count, Self.headerLimit + 4)
        let end = rest.withUnsafeBytes { bytes in
            var index = searched
            while index + 4 <= limit {
                if bytes[index] == 0x0d, bytes[index + 1] == 0x0a, bytes[index + 2] == 0x0d, bytes[index + 3] == 0x0a { return index as Int? }
                index += 1
            }
            return nil
        }
        guard let end else {
            if rest.count > Self.headerLimit { throw .headersTooLong(limit: Self.headerLimit) }
            searched = max(0, limit - 3)
            return false
        }
        searched = 0
        guard let text = rest.prefix(end).utf8 else { throw .malformed }
        var fields: [String: String] = [:]
        for line in text.split(separator: "\r\n") {
            guard let colon = line.firstIndex(of: ":") else { throw .malformed }
            fields[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        rest = rest.dropFirst(end + 4)
        outputs.append(.part(fields))
        state = .content
        return true
    }
}

/// Finds a pattern in pieces of a stream (Horspool): looks at one byte in as many as the pattern is long, so that content passes by quickly.
struct BoundaryFinder {
    private let pattern: [UInt8]
    /// How far the pattern may move when its last byte meets this one.
    private let steps: [UInt8]

    /// `text` has at most 255 bytes.
    init(_ text: String) {
        pattern = Array(text.utf8.prefix(255))
        var steps = [UInt8](repeating: UInt8(pattern.count), count: 256)
        for (index, byte) in pattern.enumerated().dropLast() { steps[Int(byte)] = UInt8(pattern.count - 1 - index) }
        self.steps = steps
    }

    var count: Int { pattern.count }

    /// Where the pattern begins and true; or where a piece at the end begins that may grow into it (else the count) and false.
    func find(in bytes: Bytes) -> (offset: Int, isWhole: Bool) {
        bytes.withUnsafeBytes { bytes in
            pattern.withUnsafeBytes { pattern in
                steps.withUnsafeBytes { steps in Self.find(bytes, pattern, steps) }
            }
        }
    }

    private static func find(
        _ bytes: UnsafeRawBufferPointer, _ pattern: UnsafeRawBufferPointer, _ steps: UnsafeRawBufferPointer
    ) -> (offset: Int, isWhole: Bool) {
        let last = pattern.count - 1
        var end = last
        while end < bytes.count {
            let byte = bytes[end]
            if byte == pattern[last], matches(bytes, at: end - last, pattern, last) { return (end - last, true) }
            end += Int(steps[Int(byte)])
        }
        // No whole pattern fits; one may begin near the end.
        for start in max(0, bytes.count - last)..<max(bytes.count, 0) where bytes[start] == pattern[0] {
            if matches(bytes, at: start, pattern, bytes.count - start) { return (start, false) }
        }
        return (bytes.count, false)
    }

    private static func matches(_ bytes: UnsafeRawBufferPointer, at start: Int, _ pattern: UnsafeRawBufferPointer, _ count: Int) -> Bool {
        for index in 0..<count where bytes[start + index] != pattern[index] { return false }
        return true
    }
}

/// A header field's value with its parameters: `form-data; name="file"; filename="a.txt"`.
package struct HeaderValue {
    package let value: String
    package let parameters: [String: String]

    package init(_ text: String) {
        var parts: [String] = [""]
        var quoted = false
        var escaped = false
        for character in text {
            if escaped {
                parts[parts.count - 1].append(character)
                escaped = false
            } else if quoted, character == "\\" {
                escaped = true
            } else if character == "\"" {
                quoted.toggle()
            } else if character == ";", !quoted {
                parts.append("")
            } else {
                parts[parts.count - 1].append(character)
            }
        }
        func trimmed(_ text: some StringProtocol) -> String {
            var text = Substring(text)
            while text.first == " " || text.first == "\t" { text.removeFirst() }
            while text.last == " " || text.last == "\t" { text.removeLast() }
            return String(text)
        }
        value = trimmed(parts[0]).lowercased()
        var parameters: [String: String] = [:]
        for part in parts.dropFirst() {
            guard let equals = part.firstIndex(of: "=") else { continue }
            parameters[trimmed(part[..<equals]).lowercased()] = trimmed(part[part.index(after: equals)...])
        }
        self.parameters = parameters
    }
}
