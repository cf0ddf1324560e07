import CMicrohttpd
import Synchronization
import WaggleBase
import WaggleFormats

/// The first lines of a request.
package struct HTTPRequestHead: Sendable {
    package let method: String
    /// The path, percent-decoded once by nobody: as it stands on the request line, without the query.
    package let path: String
    /// Query items in order, percent-decoded.
    package let query: [(name: String, value: String)]
    /// Header fields by lower-case name; the first value counts.
    package let headers: [String: String]
    package let remote: IPAddress?

    package init(method: String, path: String, query: [(name: String, value: String)] = [], headers: [String: String] = [:], remote: IPAddress? = nil) {
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.remote = remote
    }

    init(connection: OpaquePointer, method: String, url: String) {
        var query: [(name: String, value: String)] = []
        withUnsafeMutablePointer(to: &query) { query in
            _ = MHD_get_connection_values(connection, .GET_ARGUMENT_KIND, { context, _, name, value in
                if let context, let name {
                    context.assumingMemoryBound(to: [(name: String, value: String)].self).pointee
                        .append((String(cString: name), value.map { String(cString: $0) } ?? ""))
                }
                return .YES
            }, query)
        }
        var headers: [String: String] = [:]
        withUnsafeMutablePointer(to: &headers) { headers in
            _ = MHD_get_connection_values(connection, .HEADER_KIND, { context, _, name, value in
                if let context, let name, let value {
                    let headers = context.assumingMemoryBound(to: [String: String].self)
                    let key = String(cString: name).lowercased()
                    if headers.pointee[key] == nil { headers.pointee[key] = String(cString: value) }
                }
                return .YES
            }, headers)
        }
        var octets = [UInt8](repeating: 0, count: 16)
        let length = Int(waggle_http_peer(connection, &octets))
        self.init(method: method, path: url, query: query, headers: headers, remote: IPAddress(bytes: Bytes(Array(octets.prefix(length)))))
    }
}

package enum HTTPExchangeError: Error, Hashable {
    /// The client has gone, the server stops, or more answers wait for the end of a request than are kept.
    case closed
}

/// A request to be answered, as a handler sees it: `begin` once, then `write`, then `finish`.
package protocol HTTPRequesting: AnyObject, Sendable {
    var head: HTTPRequestHead { get }
    /// The next bytes of the body; nil at its end.
    func readBody() async throws -> Bytes?
    func begin(_ status: Int, _ headers: [(String, String)])
    func write(_ bytes: Bytes) async throws
    func finish()
}

extension HTTPExchange: HTTPRequesting {
    package func finish() { end() }
}

/// One request and its response. The body is read with `readBody`; a response is a head, then bytes, then an end.
package final class HTTPExchange: @unchecked Sendable {
    package let head: HTTPRequestHead
    package let system: any System
    private let connection: OpaquePointer
    private let scope = TaskScope()
    private let bodyReady: Waiter
    private let responseDrained: Waiter

    /// Guards what the server's thread and the loop share.
    private let state = Mutex(State())

    private struct State {
        var body = Deque<Bytes>()
        var bodySize = 0
        var bodyEnded = false
        var response: Response?
        var output = Deque<Bytes>()
        var outputSize = 0
        var outputEnded = false
        var trailer: (name: String, value: String)?
        var responsePointer: UncheckedPointer?
        var isSuspended = false
        var isClosed = false
        /// Whether the handler waits for bytes of the body, or for room in the response: only then it is woken.
        var readerWaits = false
        var writerWaits = false
    }

    private struct Response {
        var status: Int
        var headers: [(String, String)]
    }

    init(head: HTTPRequestHead, connection: OpaquePointer, system: any System) {
        self.head = head
        self.connection = connection
        self.system = system
        bodyReady = Waiter(on: system.home)
        responseDrained = Waiter(on: system.home)
    }

    // MARK: For handlers, on the home loop

    /// Whether a body is to come.
    package var hasBody: Bool { head.headers["content-length"].map { $0 != "0" } ?? (head.headers["transfer-encoding"] != nil) }

    /// The next bytes of the body; nil at its end.
    package func readBody() async throws -> Bytes? {
        while true {
            let (bytes, ended, closed) = state.withLock { state -> (Bytes?, Bool, Bool) in
                let bytes = state.body.popFirst()
                state.bodySize -= bytes?.count ?? 0
                // Half empty before the server's thread goes on, so that it does not stop and go for each piece.
                if bytes != nil, state.bodySize <= HTTPLimits.bodyBacklog.bytes / 2 { resumeIfSuspended(&state) }
                if bytes == nil { state.readerWaits = true }
                return (bytes, state.bodyEnded, state.isClosed)
            }
            if let bytes { return bytes }
            if ended { return nil }
            if closed { throw HTTPExchangeError.closed }
            try await bodyReady.wait()
        }
    }

    /// Sends the status line and the header fields. Once.
    package func begin(_ status: Int, _ headers: [(String, String)]) {
        state.withLock { state in
            guard state.response == nil else { return }
            state.response = Response(status: status, headers: headers)
            resumeIfSuspended(&state)
        }
    }

    package var hasBegun: Bool { state.withLock { $0.response != nil } }

    /// Sends bytes of the body, waiting while the client is slow.
    package func write(_ bytes: Bytes) async throws {
        if bytes.isEmpty { return }
        while true {
            let verdict = state.withLock { state -> Bool? in
                if state.isClosed { return nil }
                // While the request's body still comes in the response cannot leave; then small answers are kept instead of
                // stopping the command that has to read that body.
                if state.outputSize > HTTPLimits.responseBacklog.bytes, state.bodyEnded || bytes.count > 4096 {
                    state.writerWaits = true
                    return false
                }
                if state.outputSize > HTTPLimits.earlyAnswers.bytes { return nil }
                state.output.append(bytes)
                state.outputSize += bytes.count
                resumeIfSuspended(&state)
                return true
            }
            guard let accepted = verdict else { throw HTTPExchangeError.closed }
            if accepted { return }
            try await responseDrained.wait()
        }
    }

    /// Ends the response; `trailer` is sent behind the body.
    package func end(trailer: (name: String, value: String)? = nil) {
        state.withLock { state in
            state.outputEnded = true
            state.trailer = trailer
            resumeIfSuspended(&state)
        }
    }

    /// Sends a short last piece and ends the response, without waiting.
    package func endAfter(_ bytes: Bytes) {
        state.withLock { state in
            state.output.append(bytes)
            state.outputSize += bytes.count
        }
        end()
    }

    // MARK: For the server's thread

    func start(_ handler: @escaping HTTPServer.Handler) {
        scope.spawn(on: system.home) {
            await handler(self)
            self.finishHandling()
        }
    }

    private func finishHandling() {
        // Read what the handler left of the body, so that the connection can be used again.
        if !hasBegun { begin(500, []) }
        state.withLock { state in
            if !state.outputEnded { state.outputEnded = true }
            state.body = Deque()
            state.bodySize = Int.min / 2
            resumeIfSuspended(&state)
        }
    }

    /// Takes a piece of the body; false when it must be offered again later.
    func received(_ bytes: UnsafeRawBufferPointer) -> Bool {
        let (accepted, wakes) = state.withLock { state -> (Bool, Bool) in
            if state.bodySize < 0 || state.isClosed { return (true, false) }
            guard state.bodySize <= HTTPLimits.bodyBacklog.bytes else {
                suspend(&state)
                return (false, false)
            }
            state.body.append(Bytes(copying: bytes))
            state.bodySize += bytes.count
            let wakes = state.readerWaits
            state.readerWaits = false
            return (true, wakes)
        }
        if wakes { wake(bodyReady) }
        return accepted
    }

    /// The body has been received: answers when the head of the response is there.
    func respond() -> MHD_Result {
        let response = state.withLock { state -> Response? in
            if !state.bodyEnded {
                state.bodyEnded = true
                wake(bodyReady)
                wake(responseDrained)
            }
            if state.response == nil { if state.isClosed { state.response = Response(status: 503, headers: []) } else { suspend(&state) } }
            return state.response
        }
        guard let response else { return .YES }
        let reference = Unmanaged.passRetained(self)
        guard let pointer = MHD_create_response_from_callback(UInt64.max, HTTPLimits.responseBlock.bytes, readResponse, reference.toOpaque(), freeResponse) else {
            reference.release()
            return .NO
        }
        for (name, value) in response.headers { MHD_add_response_header(pointer, name, value) }
        state.withLock { $0.responsePointer = UncheckedPointer(pointer) }
        let result = MHD_queue_response(connection, UInt32(response.status), pointer)
        MHD_destroy_response(pointer)
        return result
    }

    /// Fills `buffer` with bytes of the response.
    fileprivate func produce(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let (count, wakes) = state.withLock { state -> (Int, Bool) in
            var filled = 0
            while filled < buffer.count, let first = state.output.first {
                let part = first.prefix(buffer.count - filled)
                part.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]).copyMemory(from: $0) }
                filled += part.count
                if part.count == first.count { state.output.popFirst() } else { state.output.first = first.dropFirst(part.count) }
            }
            state.outputSize -= filled
            if filled > 0 {
                let wakes = state.writerWaits && state.outputSize <= HTTPLimits.responseBacklog.bytes / 2
                if wakes { state.writerWaits = false }
                return (filled, wakes)
            }
            if state.outputEnded || state.isClosed {
                if let trailer = state.trailer, let pointer = state.responsePointer {
                    MHD_add_response_footer(pointer.pointer, trailer.name, trailer.value)
                }
                return (-1, false)
            }
            suspend(&state)
            return (0, false)
        }
        if wakes { wake(responseDrained) }
        return count
    }

    /// The server is done with the connection.
    func completed() {
        state.withLock { state in
            state.isClosed = true
            state.isSuspended = false
        }
        scope.cancelAll()
        wake(bodyReady)
        wake(responseDrained)
    }

    /// Nobody watches a suspended connection: looks whether its client is still there, and ends the handler when it is not.
    func lookAfterClient() {
        let hasLeft = state.withLock { state in
            guard state.isSuspended, !state.isClosed, waggle_http_has_left(connection) != 0 else { return false }
            state.isClosed = true
            resumeIfSuspended(&state)
            return true
        }
        guard hasLeft else { return }
        scope.cancelAll()
        wake(bodyReady)
        wake(responseDrained)
    }

    /// The server stops.
    func abort() async {
        state.withLock { state in
            state.isClosed = true
            resumeIfSuspended(&state)
        }
        await scope.close()
    }

    private func wake(_ waiter: Waiter) { system.home.execute { waiter.wake() } }

    // The lock is held across these calls, so a resume never comes before its suspend.
    private func suspend(_ state: inout State) {
        guard !state.isSuspended else { return }
        state.isSuspended = true
        MHD_suspend_connection(connection)
    }

    private func resumeIfSuspended(_ state: inout State) {
        guard state.isSuspended else { return }
        state.isSuspended = false
        MHD_resume_connection(connection)
    }
}

private func readResponse(_ context: UnsafeMutableRawPointer?, _ position: UInt64, _ buffer: UnsafeMutablePointer<CChar>?, _ capacity: Int) -> Int {
    guard let context, let buffer else { return -2 }
    let exchange = Unmanaged<HTTPExchange>.fromOpaque(context).takeUnretainedValue()
    return exchange.produce(UnsafeMutableRawBufferPointer(start: buffer, count: capacity))
}

private func freeResponse(_ context: UnsafeMutableRawPointer?) {
    if let context { Unmanaged<HTTPExchange>.fromOpaque(context).release() }
}

/// The requests that a server is working on.
final class ExchangeList: Sendable {
    private let list = Mutex<(open: [ObjectIdentifier: HTTPExchange], closed: Bool)>(([:], false))
    private let home: any EventLoop
    private let emptied: Waiter

    init(on home: any EventLoop) {
        self.home = home
        emptied = Waiter(on: home)
    }

    func add(_ exchange: HTTPExchange) -> Bool {
        list.withLock { list in
            if list.closed { return false }
            list.open[ObjectIdentifier(exchange)] = exchange
            return true
        }
    }

    var open: [HTTPExchange] { list.withLock { Array($0.open.values) } }

    func remove(_ exchange: HTTPExchange) {
        let isEmpty = list.withLock { list in
            list.open[ObjectIdentifier(exchange)] = nil
            return list.open.isEmpty
        }
        if isEmpty { home.execute { [emptied] in emptied.wake() } }
    }

    /// Takes no new requests, waits for the open ones, and gives those that are left after `limit`.
    func close(within limit: Duration) async -> [HTTPExchange] {
        list.withLock { $0.closed = true }
        await home.run { [self] in
            let timer = home.schedule(at: home.now + limit) { [emptied] in emptied.wake() }
            defer { home.cancel(timer) }
            if list.withLock({ !$0.open.isEmpty }) { do { try await emptied.wait() } catch {} }
        }
        return list.withLock { Array($0.open.values) }
    }
}
