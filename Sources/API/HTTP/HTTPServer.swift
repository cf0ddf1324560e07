import CMicrohttpd
import WaggleBase
import WaggleFormats

/// Limits of the HTTP servers.
package enum HTTPLimits {
    /// Connections at once; more wait in the kernel's backlog.
    package static let connections: UInt32 = 512
    /// Memory of a connection in bytes: header space and the buffer for one chunk of a body.
    package static let connectionMemory = ByteCount.kibibytes(256)
    /// Bytes of a request's body that wait for the command to read them.
    package static let bodyBacklog = ByteCount.mebibytes(2)
    /// Bytes of a response that are handed to the server at a time; each connection that answers holds as many.
    package static let responseBlock = ByteCount.kibibytes(256)
    /// Bytes of a response that wait for the client to take them, before the command is suspended.
    package static let responseBacklog = ByteCount.mebibytes(2)
    /// Bytes of answers that are kept while the request's body still comes: they cannot leave before it has ended.
    package static let earlyAnswers = ByteCount.mebibytes(64)
    /// Between two looks at whether the clients of requests that wait for something are still there.
    package static let clientWatch = Duration.seconds(1)
    /// How long a client of the gateway may keep a connection on which nothing moves: strangers may hold all of them.
    package static let gatewayIdle = Duration.seconds(120)
    /// How long a server that stops waits for requests to end on their own.
    package static let closing = Duration.seconds(1)
}

package enum HTTPServerError: Error, Hashable {
    case addressInUse(SocketAddress)
    case permissionDenied(SocketAddress)
    case failed(SocketAddress, errno: Int32)
}

/// An HTTP/1.1 server: libmicrohttpd's thread moves the bytes, requests are handled by tasks on the home loop.
package final class HTTPServer: @unchecked Sendable {
    package typealias Handler = @Sendable (HTTPExchange) async -> Void

    /// Where it listens, with the port that the system chose.
    package let address: SocketAddress
    private let daemon: OpaquePointer
    private let context: HTTPServerContext
    private let system: any System

    /// Listens on `address` and calls `handler` for each request. Clients that neither send nor take anything for `idle` are cut off; nil where
    /// they may take their time.
    package init(on address: SocketAddress, idle: Duration? = nil, system: any System, handler: @escaping Handler) throws(HTTPServerError) {
        let context = HTTPServerContext(system: system, handler: handler)
        let ip = address.ip.bytes.array
        var code: Int32 = 0
        // The context outlives the daemon: `close` releases it after the daemon's thread has ended.
        let daemon = waggle_http_start(
            ip, Int32(ip.count), address.port, HTTPLimits.connections, HTTPLimits.connectionMemory.bytes,
            UInt32(clamping: idle?.components.seconds ?? 0), handleRequest, handleCompletion,
            Unmanaged.passRetained(context).toOpaque(), &code)
        guard let daemon else {
            Unmanaged.passUnretained(context).release()
            switch code {
            case EADDRINUSE: throw .addressInUse(address)
            case EACCES: throw .permissionDenied(address)
            default: throw .failed(address, errno: code)
            }
        }
        self.address = SocketAddress(ip: address.ip, port: waggle_http_port(daemon))
        self.daemon = daemon
        self.context = context
        self.system = system
        context.watch()
    }

    /// Lets open requests end for `HTTPLimits.closing`, cuts off the rest and stops. Must be called exactly once.
    package func close() async {
        await context.close()
        let daemon = UncheckedPointer(daemon)
        do {
            try await system.offload { MHD_stop_daemon(daemon.pointer) }
        } catch {
            MHD_stop_daemon(daemon.pointer)
        }
        Unmanaged.passUnretained(context).release()
    }
}

struct UncheckedPointer: @unchecked Sendable {
    let pointer: OpaquePointer
    init(_ pointer: OpaquePointer) { self.pointer = pointer }
}

/// What the callbacks of one server share.
final class HTTPServerContext: Sendable {
    let system: any System
    let handler: HTTPServer.Handler
    let exchanges: ExchangeList
    private let scope = TaskScope()

    init(system: any System, handler: @escaping HTTPServer.Handler) {
        self.system = system
        self.handler = handler
        exchanges = ExchangeList(on: system.home)
    }

    /// Ends requests whose clients have left, for as long as the server runs.
    func watch() {
        let home = system.home
        scope.spawn(on: home) { [exchanges] in
            while true {
                do { try await home.sleep(until: home.now + HTTPLimits.clientWatch) } catch { return }
                for exchange in exchanges.open { exchange.lookAfterClient() }
            }
        }
    }

    func close() async {
        await scope.close()
        let left = await exchanges.close(within: HTTPLimits.closing)
        for exchange in left { await exchange.abort() }
    }
}

private func handleRequest(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ url: UnsafePointer<CChar>?, _ method: UnsafePointer<CChar>?,
    _ version: UnsafePointer<CChar>?, _ upload: UnsafePointer<CChar>?, _ uploadSize: UnsafeMutablePointer<Int>?,
    _ state: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let context, let connection, let url, let method, let uploadSize, let state else { return .NO }
    let server = Unmanaged<HTTPServerContext>.fromOpaque(context).takeUnretainedValue()
    guard let existing = state.pointee else {
        let head = HTTPRequestHead(connection: connection, method: String(cString: method), url: String(cString: url))
        let exchange = HTTPExchange(head: head, connection: connection, system: server.system)
        guard server.exchanges.add(exchange) else { return .NO }
        state.pointee = Unmanaged.passRetained(exchange).toOpaque()
        exchange.start(server.handler)
        return .YES
    }
    let exchange = Unmanaged<HTTPExchange>.fromOpaque(existing).takeUnretainedValue()
    if uploadSize.pointee > 0, let upload {
        if exchange.received(UnsafeRawBufferPointer(start: upload, count: uploadSize.pointee)) { uploadSize.pointee = 0 }
        return .YES
    }
    return exchange.respond()
}

private func handleCompletion(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ state: UnsafeMutablePointer<UnsafeMutableRawPointer?>?,
    _ code: MHD_RequestTerminationCode
) {
    guard let context, let pointer = state?.pointee else { return }
    state?.pointee = nil
    let server = Unmanaged<HTTPServerContext>.fromOpaque(context).takeUnretainedValue()
    let exchange = Unmanaged<HTTPExchange>.fromOpaque(pointer).takeRetainedValue()
    server.exchanges.remove(exchange)
    exchange.completed()
}
