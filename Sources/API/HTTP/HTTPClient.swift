import CCurl
import Synchronization
import WaggleBase

package enum HTTPClientError: Error, Hashable, CustomStringConvertible {
    case connectionRefused
    /// libcurl's sentence.
    case failed(String)
    case cancelled

    package var description: String {
        switch self {
        case .connectionRefused: "connection refused"
        case .failed(let text): text
        case .cancelled: "cancelled"
        }
    }
}

/// The head of a response.
package struct HTTPResponseHead: Sendable {
    package let status: Int
    /// By lower-case name.
    package let headers: [String: String]
}

/// One HTTP request whose body and response are streamed; libcurl moves the bytes on a thread of its own.
package final class HTTPClientExchange: @unchecked Sendable {
    /// Bytes kept in each direction while the other end is slow.
    static let backlog = ByteCount.mebibytes(4)

    private struct State {
        var upload = Deque<Bytes>()
        var uploadSize = 0
        var uploadEnded = false
        var uploadFailed = false
        var readPaused = false
        var head: HTTPResponseHead?
        var fields: [String: String] = [:]
        var download = Deque<Bytes>()
        var downloadSize = 0
        var writePaused = false
        var outcome: Result<Void, HTTPClientError>?
        var cancelled = false
        var multi: UncheckedPointer?
    }

    private let state = Mutex(State())
    private let system: any System
    private let followsRedirects: Bool
    private let changed: Waiter

    private init(system: any System, redirects: Int) {
        self.system = system
        followsRedirects = redirects > 0
        changed = Waiter(on: system.home)
    }

    /// What is asked, and how.
    package struct Request: Sendable {
        package var method = "POST"
        package var url: String
        package var headers: [(String, String)] = []
        /// Bytes of the body where that is known; else it goes in chunks.
        package var length: Int?
        /// Answers that lead elsewhere are followed so many times, to https only.
        package var redirects = 0
        /// Whether the proxies of the environment are used: for servers elsewhere, not for a daemon on this machine.
        package var usesProxies = false
        /// How long connecting may take.
        package var connectTimeout = Duration.seconds(300)

        package init(_ method: String = "POST", _ url: String) {
            self.method = method
            self.url = url
        }
    }

    /// Sends a POST to `url`. `body` is asked for bytes until it says nil; `handle` gets the exchange to read the response from.
    /// Call on the home loop.
    package static func post<R: Sendable>(
        _ url: String, headers: [(String, String)], body: (@Sendable () async throws -> Bytes?)?, system: any System,
        handle: @Sendable (HTTPClientExchange) async throws -> R
    ) async throws -> R {
        var request = Request("POST", url)
        request.headers = headers
        return try await send(request, body: body, system: system, handle: handle)
    }

    /// Sends a request; otherwise like `post`.
    package static func send<R: Sendable>(
        _ request: Request, body: (@Sendable () async throws -> Bytes?)? = nil, system: any System,
        handle: @Sendable (HTTPClientExchange) async throws -> R
    ) async throws -> R {
        let exchange = HTTPClientExchange(system: system, redirects: request.redirects)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask(executorPreference: system.home.taskExecutor) { [hasBody = body != nil] in
                try await system.offloadWaiting { exchange.transfer(request, hasBody: hasBody) }
            }
            if let body {
                group.addTask(executorPreference: system.home.taskExecutor) {
                    do { while let bytes = try await body(), try await exchange.send(bytes) {} } catch {
                        exchange.endUpload(failed: true)
                        throw error
                    }
                    exchange.endUpload(failed: false)
                }
            }
            do {
                let result = try await handle(exchange)
                exchange.cancel()
                // The body's task may find out only now that nobody reads it; that is no error once there is a result.
                while let outcome = await group.nextResult() { _ = outcome }
                return result
            } catch {
                exchange.cancel()
                var cause: any Error = error
                while let outcome = await group.nextResult() {
                    if case .failure(let failure) = outcome, cause is HTTPClientError, !(failure is HTTPClientError), !(failure is CancellationError) { cause = failure }
                }
                throw cause
            }
        }
    }

    // MARK: On the home loop

    /// The response's head, once it is there.
    package func head() async throws -> HTTPResponseHead {
        while true {
            let (head, outcome) = state.withLock { ($0.head, $0.outcome) }
            if let head { return head }
            if case .failure(let error)? = outcome { throw error }
            if outcome != nil { throw HTTPClientError.failed("the server closed the connection without an answer") }
            try await changed.wait()
        }
    }

    /// The next bytes of the response; nil at its end.
    package func read() async throws -> Bytes? {
        while true {
            let (bytes, outcome) = state.withLock { state -> (Bytes?, Result<Void, HTTPClientError>?) in
                let bytes = state.download.popFirst()
                state.downloadSize -= bytes?.count ?? 0
                if state.writePaused, state.downloadSize < HTTPClientExchange.backlog.bytes / 2 { poke(&state) }
                return (bytes, state.outcome)
            }
            if let bytes { return bytes }
            if let outcome {
                try outcome.get()
                return nil
            }
            try await changed.wait()
        }
    }

    /// A field that came behind the body.
    package func trailer(_ name: String) -> String? { state.withLock { $0.fields[name] } }

    private func send(_ bytes: Bytes) async throws -> Bool {
        while true {
            let verdict = state.withLock { state -> Bool? in
                if state.outcome != nil || state.cancelled { return nil }
                guard state.uploadSize < HTTPClientExchange.backlog.bytes else { return false }
                state.upload.append(bytes)
                state.uploadSize += bytes.count
                if state.readPaused { poke(&state) }
                return true
            }
            guard let accepted = verdict else { return false }
            if accepted { return true }
            try await changed.wait()
        }
    }

    private func endUpload(failed: Bool) {
        state.withLock { state in
            state.uploadEnded = true
            state.uploadFailed = failed
            poke(&state)
        }
    }

    private func cancel() {
        state.withLock { state in
            state.cancelled = true
            poke(&state)
        }
    }

    private func poke(_ state: inout State) { if let multi = state.multi { curl_multi_wakeup(UnsafeMutableRawPointer(multi.pointer)) } }

    private func signal() { system.home.execute { [changed] in changed.wake() } }

    // MARK: On curl's thread

    private func transfer(_ request: Request, hasBody: Bool) {
        let outcome = perform(request, hasBody: hasBody)
        state.withLock { state in
            state.multi = nil
            state.outcome = outcome
            if state.head == nil, case .success = outcome { state.outcome = .failure(.failed("the server closed the connection without an answer")) }
        }
        signal()
    }

    private func perform(_ request: Request, hasBody: Bool) -> Result<Void, HTTPClientError> {
        // Given up while it waited for a thread.
        guard !state.withLock({ $0.cancelled }) else { return .failure(.cancelled) }
        guard let easy = curl_easy_init(), let multi = curl_multi_init() else { return .failure(.failed("out of memory")) }
        var list: UnsafeMutablePointer<curl_slist>?
        defer {
            curl_multi_remove_handle(multi, easy)
            curl_easy_cleanup(easy)
            curl_multi_cleanup(multi)
            curl_slist_free_all(list)
        }
        // Without "Expect" the body leaves at once; without a length it goes in chunks.
        for header in request.headers.map({ "\($0): \($1)" }) + ["Expect:"] + (hasBody && request.length == nil ? ["Transfer-Encoding: chunked"] : []) {
            list = curl_slist_append(list, header)
        }
        waggle_curl_set_text(easy, CURLOPT_URL, request.url)
        waggle_curl_set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https")
        waggle_curl_set_text(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https")
        if !request.usesProxies { waggle_curl_set_text(easy, CURLOPT_PROXY, "") }
        waggle_curl_set_long(easy, CURLOPT_CONNECTTIMEOUT, Int(request.connectTimeout.components.seconds))
        if request.redirects > 0 {
            waggle_curl_set_long(easy, CURLOPT_FOLLOWLOCATION, 1)
            waggle_curl_set_long(easy, CURLOPT_MAXREDIRS, request.redirects)
        }
        if request.method == "GET" { waggle_curl_set_long(easy, CURLOPT_HTTPGET, 1) } else {
            waggle_curl_set_long(easy, CURLOPT_POST, 1)
            if request.method != "POST" { waggle_curl_set_text(easy, CURLOPT_CUSTOMREQUEST, request.method) }
        }
        waggle_curl_set_long(easy, CURLOPT_NOSIGNAL, 1)
        waggle_curl_set_long(easy, CURLOPT_BUFFERSIZE, 512 << 10)
        waggle_curl_set_long(easy, CURLOPT_UPLOAD_BUFFERSIZE, 1 << 20)
        if !hasBody, request.method != "GET" { waggle_curl_set_long(easy, CURLOPT_POSTFIELDSIZE, 0) }
        if hasBody, let length = request.length { waggle_curl_set_long(easy, CURLOPT_POSTFIELDSIZE, length) }
        waggle_curl_set_headers(easy, list)
        waggle_curl_set_callbacks(easy, hasBody ? readUpload : nil, writeDownload, readHeader, Unmanaged.passUnretained(self).toOpaque())
        curl_multi_add_handle(multi, easy)
        state.withLock { $0.multi = UncheckedPointer(OpaquePointer(multi)) }
        while true {
            var running: Int32 = 0
            curl_multi_perform(multi, &running)
            if running == 0 { break }
            curl_multi_poll(multi, nil, 0, 1000, nil)
            let (cancelled, unpause) = state.withLock { state -> (Bool, Bool) in
                let canRead = state.readPaused && (!state.upload.isEmpty || state.uploadEnded)
                let canWrite = state.writePaused && state.downloadSize < HTTPClientExchange.backlog.bytes
                if canRead { state.readPaused = false }
                if canWrite { state.writePaused = false }
                return (state.cancelled, canRead || canWrite)
            }
            if cancelled { return .failure(.cancelled) }
            if unpause {
                let still = state.withLock { ($0.readPaused ? CURLPAUSE_SEND : 0) | ($0.writePaused ? CURLPAUSE_RECV : 0) }
                curl_easy_pause(easy, still)
            }
        }
        let code = CURLcode(rawValue: UInt32(waggle_curl_result(multi)))
        switch code {
        case CURLE_OK: return .success(())
        case CURLE_COULDNT_CONNECT: return .failure(.connectionRefused)
        default: return .failure(.failed(String(cString: curl_easy_strerror(code))))
        }
    }

    fileprivate func fillUpload(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = state.withLock { state -> Int in
            var filled = 0
            while filled < buffer.count, let first = state.upload.first {
                let part = first.prefix(buffer.count - filled)
                part.withUnsafeBytes { UnsafeMutableRawBufferPointer(rebasing: buffer[filled...]).copyMemory(from: $0) }
                filled += part.count
                if part.count == first.count { state.upload.popFirst() } else { state.upload.first = first.dropFirst(part.count) }
            }
            state.uploadSize -= filled
            if filled > 0 { return filled }
            if state.uploadEnded { return state.uploadFailed ? Int(CURL_READFUNC_ABORT) : 0 }
            state.readPaused = true
            return Int(CURL_READFUNC_PAUSE)
        }
        signal()
        return count
    }

    fileprivate func takeDownload(_ bytes: UnsafeRawBufferPointer) -> Int {
        let count = state.withLock { state -> Int in
            if state.downloadSize >= HTTPClientExchange.backlog.bytes {
                state.writePaused = true
                return Int(CURL_WRITEFUNC_PAUSE)
            }
            state.download.append(Bytes(copying: bytes))
            state.downloadSize += bytes.count
            return bytes.count
        }
        signal()
        return count
    }

    fileprivate func takeHeader(_ line: String) {
        let text = line.split(separator: "\r\n").first.map(String.init) ?? ""
        let done = state.withLock { state -> Bool in
            if text.isEmpty {
                if state.head == nil, let status = state.fields[":status"].flatMap({ Int($0) }), status >= 200,
                    !followsRedirects || !(300..<400).contains(status) || state.fields["location"] == nil
                {
                    state.head = HTTPResponseHead(status: status, headers: state.fields)
                    return true
                }
            } else if text.hasPrefix("HTTP/") {
                state.fields = [":status": text.split(separator: " ").dropFirst().first.map(String.init) ?? ""]
            } else if let colon = text.firstIndex(of: ":") {
                state.fields[text[..<colon].lowercased()] = String(text[text.index(after: colon)...].drop { $0 == " " })
            }
            return false
        }
        if done { signal() }
    }
}

private func readUpload(_ buffer: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let buffer, let context else { return Int(CURL_READFUNC_ABORT) }
    return Unmanaged<HTTPClientExchange>.fromOpaque(context).takeUnretainedValue()
        .fillUpload(UnsafeMutableRawBufferPointer(start: buffer, count: size * count))
}

private func writeDownload(_ buffer: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let buffer, let context else { return 0 }
    return Unmanaged<HTTPClientExchange>.fromOpaque(context).takeUnretainedValue()
        .takeDownload(UnsafeRawBufferPointer(start: buffer, count: size * count))
}

private func readHeader(_ buffer: UnsafeMutablePointer<CChar>?, _ size: Int, _ count: Int, _ context: UnsafeMutableRawPointer?) -> Int {
    guard let buffer, let context else { return 0 }
    let line = UnsafeRawBufferPointer(start: buffer, count: size * count)
    Unmanaged<HTTPClientExchange>.fromOpaque(context).takeUnretainedValue().takeHeader(String(decoding: line, as: UTF8.self))
    return size * count
}
