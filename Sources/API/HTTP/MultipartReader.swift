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
    private let boundary: [UInt8]
    private var state = State.preamble
    private var pending: [UInt8]
    private var outputs = Deque<Output>()

    /// `contentType` is the header field of the request.
    package init(contentType: String) throws(MultipartError) {
        guard let boundary = HeaderValue(contentType).parameters["boundary"], (1...70).contains(boundary.utf8.count) else { throw .noBoundary }
        self.boundary = Array("\r\n--\(boundary)".utf8)
        // The first boundary has no line break before it.
        pending = [0x0d, 0x0a]
    }

    package mutating func next() -> Output? { outputs.popFirst() }

    /// Whether the closing boundary has been seen.
    package var isDone: Bool { state == .done }

    package mutating func receive(_ input: Bytes) throws(MultipartError) {
        var input = input
        // Between boundaries, content that cannot contain the start of one is passed on without a copy.
        if state == .content, pending.isEmpty, let cut = firstCandidate(input) {
            if cut > 0 { outputs.append(.bytes(input.prefix(cut))) }
            input = input.dropFirst(cut)
        }
        pending += input.array
        while try step() {}
    }

    package func finish() throws(MultipartError) { if state != .done { throw .endsEarly } }

    /// Index of the first byte that may begin a boundary; the count when there is none.
    private func firstCandidate(_ input: Bytes) -> Int? {
        input.withUnsafeBytes { bytes in
            var index = 0
            while index < bytes.count {
                guard let found = bytes[index...].firstIndex(of: 0x0d) else { return bytes.count }
                let length = min(boundary.count, bytes.count - found)
                if bytes[found..<found + length].elementsEqual(boundary.prefix(length)) { return found }
                index = found + 1
            }
            return bytes.count
        }
    }

    private mutating func step() throws(MultipartError) -> Bool {
        switch state {
        case .preamble, .content:
            let bytes = Bytes(pending)
            let cut = firstCandidate(bytes) ?? bytes.count
            if cut > 0 {
                if state == .content { outputs.append(.bytes(bytes.prefix(cut))) }
                pending.removeFirst(cut)
            }
            guard pending.count >= boundary.count else { return false }
            pending.removeFirst(boundary.count)
            if state == .content { outputs.append(.partEnd) }
            state = .afterBoundary
            return true
        case .afterBoundary:
            guard pending.count >= 2 else { return false }
            if pending.starts(with: [0x2d, 0x2d]) {
                state = .done
                outputs.append(.end)
                return false
            }
            guard pending.starts(with: [0x0d, 0x0a]) else { throw .malformed }
            pending.removeFirst(2)
            state = .headers
            return true
        case .headers: return try headers()
        case .done:
            pending = []
            return false
        }
    }

    private mutating func headers() throws(MultipartError) -> Bool {
        if pending.starts(with: [0x0d, 0x0a]) {
            // A part without header fields.
            pending.removeFirst(2)
            outputs.append(.part([:]))
            state = .content
            return true
        }
        guard let end = pending.firstRange(of: [0x0d, 0x0a, 0x0d, 0x0a]) else {
            if pending.count > Self.headerLimit { throw .headersTooLong(limit: Self.headerLimit) }
            return false
        }
        guard end.lowerBound <= Self.headerLimit else { throw .headersTooLong(limit: Self.headerLimit) }
        guard let text = String(validating: pending[..<end.lowerBound], as: UTF8.self) else { throw .malformed }
        var fields: [String: String] = [:]
        for line in text.split(separator: "\r\n") {
            guard let colon = line.firstIndex(of: ":") else { throw .malformed }
            fields[line[..<colon].lowercased()] = String(line[line.index(after: colon)...].drop { $0 == " " })
        }
        pending.removeSubrange(..<end.upperBound)
        outputs.append(.part(fields))
        state = .content
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
