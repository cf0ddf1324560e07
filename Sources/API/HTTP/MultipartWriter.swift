import WaggleBase

/// Turns a tree of files into a multipart/form-data body in the form that `MultipartFiles` and Kubo read.
package final class MultipartWriter: @unchecked Sendable {
    package let boundary: String
    private let files: any FileTree
    // Only one task reads.
    private enum State { case between, content, done }
    private var state = State.between
    private var isFirst = true

    package init(_ files: any FileTree, boundary: String) {
        self.files = files
        self.boundary = boundary
    }

    package var contentType: String { "multipart/form-data; boundary=\(boundary)" }

    /// The next bytes of the body; nil at its end.
    package func read() async throws -> Bytes? {
        while true {
            switch state {
            case .done: return nil
            case .content:
                if let bytes = try await files.read() { return bytes }
                state = .between
            case .between:
                let lead = isFirst ? "" : "\r\n"
                isFirst = false
                guard let entry = try await files.next() else {
                    state = .done
                    return Bytes(utf8: "\(lead)--\(boundary)--\r\n")
                }
                state = .content
                return Bytes(utf8: "\(lead)--\(boundary)\r\n" + Self.headers(entry))
            }
        }
    }

    private static func headers(_ entry: FileTreeEntry) -> String {
        var query: [String] = []
        if let mode = entry.mode { query.append("mode=0\(String(mode, radix: 8))") }
        if let modified = entry.modified {
            let (seconds, nanoseconds) = modified.parts
            query.append("mtime=\(seconds)")
            if nanoseconds > 0 { query.append("mtime-nsecs=\(nanoseconds)") }
        }
        let name = query.isEmpty ? "file" : "file?" + query.joined(separator: "&")
        var text = "Content-Disposition: form-data; name=\"\(name)\"; filename=\"\(PercentCoding.encode(entry.path))\"\r\n"
        var content = ""
        switch entry.kind {
        case .directory: text += "Content-Type: application/x-directory\r\n"
        case .file: text += "Content-Type: application/octet-stream\r\n"
        case .symbolicLink(let target):
            text += "Content-Type: application/symlink\r\n"
            content = target
        }
        if let path = entry.absolutePath { text += "Abspath-Encoded: \(PercentCoding.encode(path, keeping: "/"))\r\n" }
        return text + "\r\n" + content
    }
}
