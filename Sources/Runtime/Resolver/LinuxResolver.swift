import Glibc
import WaggleBase

/// The domain name system through c-ares, on the home loop: no thread, no blocking but for the system's few small configuration files.
///
/// Every question has a channel of its own. That costs some microseconds and brings that each can be given up by itself, leaves from a
/// port of its own, and sees what `/etc/resolv.conf` says now.
final class LinuxResolver: NameResolver, @unchecked Sendable {
    /// Questions at once; each may hold a few descriptors.
    static let concurrency = 128

    private let loop: LinuxLoop
    private let servers: String?
    // On the loop.
    private var running = 0

    /// - Parameter servers: `address:port` with commas between, instead of the system's servers.
    init(on loop: LinuxLoop, servers: String? = nil) {
        self.loop = loop
        self.servers = servers
    }

    func addresses(of name: String, _ family: AddressFamily) async throws(ResolveError) -> [NameRecord<IPAddress>] {
        guard case .addresses(let addresses) = try await ask(.addresses(name, family)), !addresses.isEmpty else { throw .notFound }
        return addresses
    }

    func texts(of name: String) async throws(ResolveError) -> [NameRecord<String>] {
        guard case .texts(let texts) = try await ask(.texts(name)), !texts.isEmpty else { throw .notFound }
        return texts
    }

    private func ask(_ question: NameLookup.Question) async throws(ResolveError) -> NameLookup.Answer {
        guard Self.isName(question.name) else { throw .invalidName }
        return try await loop.run { () async throws(ResolveError) -> NameLookup.Answer in
            if Task.isCancelled { throw .cancelled }
            guard running < Self.concurrency else { throw .busy }
            running += 1
            defer { running -= 1 }
            let lookup = NameLookup(question, servers: servers, on: loop)
            let outcome = await withTaskCancellationHandler {
                await withUnsafeContinuation { lookup.start($0) }
            } onCancel: {
                loop.execute { lookup.end(.failure(.cancelled)) }
            }
            return try outcome.get()
        }
    }

    /// Whether `name` can be asked for: up to 253 printable characters without those that have a meaning in c-ares.
    private static func isName(_ name: String) -> Bool {
        let labels = (name.last == "." ? name.dropLast() : name[...]).split(separator: ".", omittingEmptySubsequences: false)
        return name.utf8.count <= 254 && labels.allSatisfy { (1...63).contains($0.utf8.count) }
            && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "\\") }
    }
}
