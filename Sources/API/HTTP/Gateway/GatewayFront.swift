import WaggleBase
import WaggleFormats

/// A part of the gateway's address space.
package protocol GatewayHandler: Sendable {
    /// Whether requests for this path are its.
    func handles(_ path: String) -> Bool
    func serve(_ request: any HTTPRequesting) async
}

/// What listens on `Addresses.Gateway`: hands each request to the first handler that takes its path.
package struct GatewayFront: Sendable {
    private let handlers: [any GatewayHandler]
    /// `Gateway.HTTPHeaders`, sent with everything.
    private let headers: [(String, String)]

    package init(_ handlers: [any GatewayHandler], headers: [(String, String)] = []) {
        self.handlers = handlers
        self.headers = headers
    }

    package func serve(_ request: any HTTPRequesting) async {
        let wrapped = headers.isEmpty ? request : WithHeaders(request, headers)
        for handler in handlers where handler.handles(request.head.path) { return await handler.serve(wrapped) }
        await wrapped.answer(404, "404 page not found\n")
    }
}

/// Adds fields that the configuration asks for; those of the handler win.
private final class WithHeaders: HTTPRequesting {
    private let inner: any HTTPRequesting
    private let headers: [(String, String)]

    init(_ inner: any HTTPRequesting, _ headers: [(String, String)]) {
        self.inner = inner
        self.headers = headers
    }

    var head: HTTPRequestHead { inner.head }
    func readBody() async throws -> Bytes? { try await inner.readBody() }
    func begin(_ status: Int, _ headers: [(String, String)]) {
        let names = Set(headers.map { $0.0.lowercased() })
        inner.begin(status, headers + self.headers.filter { !names.contains($0.0.lowercased()) })
    }
    func write(_ bytes: Bytes) async throws { try await inner.write(bytes) }
    func finish() { inner.finish() }
}

extension HTTPRequesting {
    /// A whole short answer as plain text.
    func answer(_ status: Int, _ text: String, _ headers: [(String, String)] = []) async {
        let own = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
        let names = Set(headers.map { $0.0.lowercased() })
        begin(status, own.filter { !names.contains($0.0.lowercased()) } + headers)
        do { try await write(Bytes(utf8: text)) } catch { return }
        finish()
    }
}
