import Glibc

/// Standard output, line by line: whoever reads it through a pipe sees each line at once.
enum PeerOutput {
    static func exit(_ status: Int32) -> Never { Glibc.exit(status) }

    static func write(_ line: String) {
        var rest = Array(line.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(STDOUT_FILENO, $0.baseAddress, $0.count) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }
}
