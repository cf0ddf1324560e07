import CLinux
import Glibc
import WaggleBase

/// One question to the domain name system and its c-ares channel. Only on its loop.
final class NameLookup: @unchecked Sendable {
    enum Question {
        case addresses(String, AddressFamily)
        case texts(String)

        var name: String {
            switch self {
            case .addresses(let name, _), .texts(let name): name
            }
        }
    }

    enum Answer: Sendable {
        case addresses([NameRecord<IPAddress>])
        case texts([NameRecord<String>])
    }

    typealias Outcome = Result<Answer, ResolveError>

    /// How long c-ares waits for a server before it asks the next; each round doubles it.
    private static let serverTimeout: Int32 = 2000  // milliseconds
    private static let rounds: Int32 = 3
    /// A question is given up after this long, whatever the servers do.
    private static let limit = Duration.seconds(20)

    /// Addresses taken from an answer; a name has a handful.
    private static let addressLimit = 256

    private let question: Question
    private let servers: String?
    private let loop: LinuxLoop
    private var channel: OpaquePointer?
    private var found: [NameRecord<IPAddress>] = []
    private var sources: [Int32: NameSource] = [:]
    private var continuation: UnsafeContinuation<Outcome, Never>?
    private var early: Outcome?
    private var alarm: Alarm?
    private var limit: WaggleBase.Timer?
    private var isOver = false
    // c-ares must not lose its channel while it is at work in it.
    private var depth = 0

    init(_ question: Question, servers: String?, on loop: LinuxLoop) {
        self.question = question
        self.servers = servers
        self.loop = loop
    }

    func start(_ continuation: UnsafeContinuation<Outcome, Never>) {
        self.continuation = continuation
        if let early { return end(early) }
        guard open() else { return end(.failure(.other(detail: "no channel for the resolver"))) }
        alarm = Alarm(on: loop) { [self] in process(-1, -1) }
        limit = loop.schedule(at: loop.now + Self.limit) { [self] in end(.failure(.timedOut)) }
        enter { ask($0) }
    }

    /// Ends the question, once.
    func end(_ outcome: Outcome) {
        guard !isOver else { return }
        guard let continuation else {
            early = outcome
            return
        }
        isOver = true
        self.continuation = nil
        alarm?.stop()
        if let limit { loop.cancel(limit) }
        closeIfIdle()
        continuation.resume(returning: outcome)
    }

    private func closeIfIdle() {
        guard isOver, depth == 0, let channel else { return }
        self.channel = nil
        clinux_lookup_close(channel)
        for source in sources.values { loop.retire(source, closing: false) }
        sources = [:]
    }

    private func enter(_ body: (OpaquePointer) -> Void) {
        guard let channel else { return }
        depth += 1
        body(channel)
        depth -= 1
        if isOver { closeIfIdle() } else { arm() }
    }

    // MARK: c-ares

    private func open() -> Bool {
        let calls = clinux_lookup_calls(
            context: Unmanaged.passUnretained(self).toOpaque(),
            watch: { context, descriptor, readable, writable in NameLookup.of(context).watch(descriptor, readable != 0, writable != 0) },
            address: { context, address, seconds in NameLookup.of(context).take(address, seconds) },
            done: { context, status, message, size, detail in
                // Balances `ask`.
                let lookup = Unmanaged<NameLookup>.fromOpaque(context).takeRetainedValue()
                lookup.answered(status, UnsafeRawBufferPointer(start: message, count: message == nil ? 0 : size), detail)
            })
        channel = clinux_lookup_open(servers, Self.serverTimeout, Self.rounds, calls)
        return channel != nil
    }

    private static func of(_ context: UnsafeMutableRawPointer) -> NameLookup {
        Unmanaged<NameLookup>.fromOpaque(context).takeUnretainedValue()
    }

    private func ask(_ channel: OpaquePointer) {
        // Held until `done`, which always comes: with the channel's end at the latest.
        _ = Unmanaged.passRetained(self)
        switch question {
        case .addresses(let name, let family):
            clinux_lookup_addresses(channel, name, family == .v4 ? AF_INET : family == .v6 ? AF_INET6 : AF_UNSPEC)
        case .texts(let name):
            clinux_lookup_texts(channel, name)
        }
    }

    private func take(_ address: UnsafePointer<sockaddr>, _ seconds: Int32) {
        guard found.count < Self.addressLimit, let ip = SocketAddress(kernel: address)?.ip, !found.contains(where: { $0.value == ip }) else { return }
        found.append(NameRecord(ip, timeToLive: .seconds(Int64(max(0, seconds)))))
    }

    private func answered(_ status: clinux_lookup_status, _ message: UnsafeRawBufferPointer, _ detail: UnsafePointer<CChar>) {
        switch status {
        case CLINUX_LOOKUP_FOUND:
            guard case .texts = question else { return end(.success(.addresses(found))) }
            end(TextReply.texts(message).map { .success(.texts($0)) } ?? .failure(.serverFailure))
        case CLINUX_LOOKUP_NOT_FOUND: end(.failure(.notFound))
        case CLINUX_LOOKUP_BAD_NAME: end(.failure(.invalidName))
        case CLINUX_LOOKUP_TIMED_OUT: end(.failure(.timedOut))
        case CLINUX_LOOKUP_SERVER_FAILURE: end(.failure(.serverFailure))
        case CLINUX_LOOKUP_CANCELLED: end(.failure(.cancelled))
        default: end(.failure(.other(detail: String(cString: detail))))
        }
    }

    // MARK: Sockets and time

    fileprivate func process(_ readable: Int32, _ writable: Int32) {
        enter { clinux_lookup_process($0, readable, writable) }
    }

    private func watch(_ descriptor: Int32, _ readable: Bool, _ writable: Bool) {
        let events = (readable ? EPOLLIN.rawValue : 0) | (writable ? EPOLLOUT.rawValue : 0)
        if let source = sources[descriptor] {
            if events == 0 {
                sources[descriptor] = nil
                loop.retire(source, closing: false)
            } else {
                loop.change(source, events)
            }
        } else if events != 0 {
            let source = NameSource(descriptor, of: self)
            if loop.watch(source, events, level: true) { sources[descriptor] = source }
        }
    }

    private func arm() {
        guard let channel, !isOver else { return }
        let wait = clinux_lookup_wait(channel)
        alarm?.set(wait < 0 ? nil : loop.now + .microseconds(wait))
    }
}

/// A socket of c-ares' own. The end of a lookup retires it.
private final class NameSource: EventSource {
    private let lookup: NameLookup

    init(_ descriptor: Int32, of lookup: NameLookup) {
        self.lookup = lookup
        super.init(descriptor: descriptor)
    }

    override func ready(_ events: UInt32) {
        let descriptor = descriptor
        let failed = events & (EPOLLERR.rawValue | EPOLLHUP.rawValue) != 0
        lookup.process(
            failed || events & EPOLLIN.rawValue != 0 ? descriptor : -1, events & EPOLLOUT.rawValue != 0 ? descriptor : -1)
    }
}
