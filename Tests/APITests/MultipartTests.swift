import Testing
import WaggleBase

@testable import WaggleAPI

@Suite struct MultipartTests {
    private static let type = "multipart/form-data; boundary=xyz"

    private static let body = Array(
        "preamble\r\n--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a%20b\"\r\nContent-Type: application/octet-stream\r\n\r\nhello\r\n-\r\n--xy\r\n--xyz\r\n\r\nx\r\n--xyz\r\nA: b\r\n\r\n\r\n--xyz--\r\nepilogue"
            .utf8)

    /// Parts with their content, from `body` in pieces.
    private static func read(_ pieces: [[UInt8]], type: String = type) throws -> [(headers: [String: String], content: [UInt8])] {
        var machine = try MultipartMachine(contentType: type)
        var parts: [(headers: [String: String], content: [UInt8])] = []
        func drain() {
            while let output = machine.next() {
                switch output {
                case .part(let headers): parts.append((headers, []))
                case .bytes(let bytes): parts[parts.count - 1].content += bytes.array
                case .partEnd, .end: break
                }
            }
        }
        for piece in pieces {
            try machine.receive(Bytes(piece))
            drain()
        }
        try machine.finish()
        return parts
    }

    private static func check(_ pieces: [[UInt8]]) throws {
        let parts = try read(pieces)
        #expect(parts.map(\.content) == [Array("hello\r\n-\r\n--xy".utf8), Array("x".utf8), []])
        #expect(parts[0].headers["content-type"] == "application/octet-stream")
        #expect(parts[1].headers.isEmpty)
        #expect(parts[2].headers == ["a": "b"])
    }

    @Test func everySplitPoint() throws {
        for cut in 0...Self.body.count { try Self.check([Array(Self.body[..<cut]), Array(Self.body[cut...])]) }
    }

    @Test(arguments: [1, 2, 3, 5, 7, 64]) func piecesOfOneSize(size: Int) throws {
        try Self.check(stride(from: 0, to: Self.body.count, by: size).map { Array(Self.body[$0..<min($0 + size, Self.body.count)]) })
    }

    @Test func contentPassesWithoutACopy() throws {
        var machine = try MultipartMachine(contentType: Self.type)
        try machine.receive(Bytes(Array("--xyz\r\n\r\n".utf8)))
        _ = machine.next()
        let content = Bytes([UInt8](repeating: 7, count: 1 << 20))
        try machine.receive(content)
        guard case .bytes(let out)? = machine.next() else { Issue.record("no content"); return }
        #expect(out.count == content.count)
        let same = out.withUnsafeBytes { left in content.withUnsafeBytes { right in left.baseAddress == right.baseAddress } }
        #expect(same)
    }

    @Test(arguments: ["", "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\(String(repeating: "x", count: 71))"])
    func theBoundaryMustBeThere(type: String) {
        #expect(throws: MultipartError.noBoundary) { try MultipartMachine(contentType: type) }
    }

    @Test func malformedBodies() throws {
        #expect(throws: MultipartError.malformed) { try Self.read([Array("--xyz garbage\r\n".utf8)]) }
        #expect(throws: MultipartError.malformed) { try Self.read([Array("--xyz\r\nno colon\r\n\r\n".utf8)]) }
        #expect(throws: MultipartError.malformed) { try Self.read([Array("--xyz\r\na: ".utf8) + [0xff, 0xfe] + Array("\r\n\r\n".utf8)]) }
        #expect(throws: MultipartError.endsEarly) { try Self.read([Array("--xyz\r\n\r\ncontent".utf8)]) }
        #expect(throws: MultipartError.endsEarly) { try Self.read([]) }
    }

    @Test func headersAreBounded() throws {
        let limit = MultipartMachine.headerLimit
        func body(_ count: Int) -> [UInt8] { Array("--xyz\r\na: \(String(repeating: "b", count: count - 3))\r\n\r\n\r\n--xyz--".utf8) }
        #expect(try Self.read([body(limit)]).count == 1)
        #expect(throws: MultipartError.headersTooLong(limit: limit)) { try Self.read([body(limit + 1)]) }
        #expect(throws: MultipartError.headersTooLong(limit: limit)) {
            try Self.read([Array("--xyz\r\n".utf8)] + [[UInt8]](repeating: [0x61], count: limit + 1))
        }
    }

    @Test func longBoundariesAndTheirBeginnings() throws {
        let boundary = String(repeating: "-", count: 70)
        let content = Array("\r\n--\(boundary.dropLast())\r\n\r\n-\r\r\n--".utf8)
        let body = Array("--\(boundary)\r\n\r\n".utf8) + content + Array("\r\n--\(boundary)--".utf8)
        for cut in 0...body.count {
            let parts = try Self.read([Array(body[..<cut]), Array(body[cut...])], type: "multipart/form-data; boundary=\"\(boundary)\"")
            #expect(parts.map(\.content) == [content])
        }
    }

    @Test func headerValues() {
        let value = HeaderValue("Form-Data; name=\"a\\\"b;c\" ; FileName=plain;empty=;novalue")
        #expect(value.value == "form-data")
        #expect(value.parameters == ["name": "a\"b;c", "filename": "plain", "empty": ""])
        #expect(HeaderValue("").parameters.isEmpty)
    }

    @Test func percentCoding() {
        #expect(PercentCoding.decode("a%20b%2Fc+%zz%4") == "a b/c+%zz%4")
        #expect(PercentCoding.decode("a+b%2B", plusIsSpace: true) == "a b+")
        #expect(PercentCoding.encode("a b/ü") == "a%20b%2F%C3%BC")
        #expect(PercentCoding.encode("a/b", keeping: "/") == "a/b")
        let items = PercentCoding.items("arg=a%26b&flag&x=1=2&&")
        #expect(items.map(\.name) == ["arg", "flag", "x"])
        #expect(items.map(\.value) == ["a&b", "", "1=2"])
    }
}
