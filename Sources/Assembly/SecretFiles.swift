import WaggleBase
import WaggleCryptography

/// Files that hold secrets: what they are read into and written from is wiped.
extension FileSystem {
    /// The whole file, at most `limit` bytes of it.
    package func readSecret(_ path: String, limit: Int) throws(FileError) -> SecureBytes {
        let file = try open(path)
        defer { file.close() }
        var length = 0
        // One byte more than may be there tells a file that is too long.
        let room = try SecureBytes(count: limit + 1) { buffer throws(FileError) in
            while length < buffer.count {
                let count = try file.read(into: UnsafeMutableRawBufferPointer(rebasing: buffer[length...]), at: Int64(length))
                if count == 0 { break }
                length += count
            }
        }
        if length > limit { throw .tooLarge(path: path, limit: limit) }
        return SecureBytes(room.span.extracting(first: length))
    }

    /// Replaces the file in one step that a crash cannot tear; only its owner can read it, from its first byte on.
    package func replace(_ path: String, withSecret secret: SecureBytes) throws(FileError) {
        try secret.withUnsafeBytes { buffer throws(FileError) in try replace(path, with: buffer, mode: 0o600) }
    }
}
