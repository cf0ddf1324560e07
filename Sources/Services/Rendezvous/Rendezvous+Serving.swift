import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

extension Rendezvous {
    /// Opens the registry with what the store holds.
    func open(_ swarm: Swarm) async {
        let log = Log("rendezvous", to: swarm.system.log)
        var secret: Bytes?
        var stored: [RendezvousRegistry.Registration] = []
        do {
            if let store { (secret, stored) = try store.load() }
            if secret?.count != 32 {
                let fresh = Bytes(swarm.system.randomBytes(32))
                secret = fresh
                try await store?.write(secret: fresh)
            }
        } catch {
            log(.warning, "registrations not read", [LogField("error", "\(error)")])
        }
        var registry = RendezvousRegistry(secret: secret ?? Bytes(swarm.system.randomBytes(32)), at: swarm.system.wallTime)
        registry.restore(stored, at: swarm.system.wallTime)
        let opened = registry
        state.withLock { $0.registry = opened }
    }

    func sweep(_ swarm: Swarm) async {
        let now = swarm.system.wallTime
        let changes = state.withLock { $0.registry?.sweep(now) ?? [] }
        await write(changes, swarm)
    }

    private func write(_ changes: [RendezvousRegistry.Change], _ swarm: Swarm) async {
        guard let store, !changes.isEmpty else { return }
        do { try await store.write(changes) } catch {
            // Told to nobody: after a restart peers register again when their time is over.
            Log("rendezvous", to: swarm.system.log)(.warning, "registrations not written", [LogField("error", "\(error)")])
        }
    }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        guard let swarm = state.withLock({ $0.swarm }) else { return }
        for _ in 0..<RendezvousLimits.requestsPerStream {
            stream.deadline = stream.connection.loop.now + RendezvousLimits.timeout
            guard let bytes = try await stream.readMessage(limit: RendezvousLimits.request) else { return }
            let message: RendezvousMessage
            do { message = try RendezvousMessage(decoding: bytes) } catch {
                swarm.reputation.report(peer, .malformedMessage)
                return stream.reset()
            }
            switch message {
            case .register(let request): try await stream.writeMessage(RendezvousMessage.registered(await register(request, from: peer, swarm)).encoded)
            case .unregister(let request): await unregister(request, from: peer, swarm)
            case .discover(let request): try await stream.writeMessage(RendezvousMessage.discovered(discover(request, from: peer, swarm)).encoded)
            // Answers that nobody asked for.
            case .registered, .discovered: return stream.reset()
            }
        }
    }

    private func note(_ outcome: String) { state.withLock { $0.answers[outcome, default: 0] &+= 1 } }

    // MARK: Requests

    private func register(_ request: RendezvousMessage.Register, from peer: PeerID, _ swarm: Swarm) async -> RendezvousMessage.Registered {
        do throws(RendezvousStatus) {
            guard !request.namespace.isEmpty, request.namespace.utf8.count <= RendezvousLimits.namespace else { throw .invalidNamespace }
            let time = try Rendezvous.time(request.seconds)
            let now = swarm.system.home.now
            guard state.withLock({ $0.admits(peer, at: now) }) else { throw .unavailable }
            let (envelope, addresses) = try await verify(request.record, of: peer, swarm)
            let wallTime = swarm.system.wallTime
            let outcome: Result<RendezvousRegistry.Change, RendezvousStatus> = state.withLock { state in
                guard state.registry != nil else { return .failure(.unavailable) }
                do throws(RendezvousStatus) {
                    let change = try state.registry?.register(
                        peer, request.namespace, envelope: envelope, addresses: addresses, time: time, at: wallTime)
                    return change.map { .success($0) } ?? .failure(.unavailable)
                } catch { return .failure(error) }
            }
            await write([try outcome.get()], swarm)
            note("registered")
            return RendezvousMessage.Registered(seconds: UInt64(time.wholeNanoseconds / 1_000_000_000))
        } catch {
            note("refused")
            return RendezvousMessage.Registered(status: error, text: error.sentence)
        }
    }

    private static func time(_ seconds: UInt64?) throws(RendezvousStatus) -> Duration {
        guard let seconds, seconds != 0 else { return RendezvousLimits.standardTime }
        let time = Duration.seconds(Int64(clamping: min(seconds, 1 << 32)))
        guard time >= RendezvousLimits.shortestTime, time <= RendezvousLimits.longestTime else { throw .invalidTime }
        return time
    }

    /// A signed record of the peer itself, or its addresses without a signature: the connection proves who it is.
    private func verify(_ record: Bytes, of peer: PeerID, _ swarm: Swarm) async throws(RendezvousStatus) -> (Bytes?, [Multiaddr]) {
        if let unsigned = UnsignedPeer(decoding: record) {
            guard unsigned.peer == peer else { throw .notAuthorized }
            guard !unsigned.addresses.isEmpty else { throw .invalidRecord }
            return (nil, unsigned.addresses)
        }
        guard record.count <= SignedEnvelope.maximumLength else { throw .invalidRecord }
        let signed: PeerRecord
        do { signed = try await swarm.system.offload { try PeerRecord(verifying: record) } } catch { throw .invalidRecord }
        guard signed.peer == peer else {
            // Proven: it came inside its own connection.
            swarm.reputation.report(peer, .forgedRecord)
            throw .notAuthorized
        }
        return (record.compacted(), signed.addresses)
    }

    private func unregister(_ request: RendezvousMessage.Unregister, from peer: PeerID, _ swarm: Swarm) async {
        if let id = request.id, !id.isEmpty, id != peer.bytes { return note("refused") }
        let change = state.withLock { $0.registry?.unregister(peer, request.namespace) }
        note("unregistered")
        if let change { await write([change], swarm) }
    }

    private func discover(_ request: RendezvousMessage.Discover, from peer: PeerID, _ swarm: Swarm) -> RendezvousMessage.Discovered {
        do throws(RendezvousStatus) {
            guard request.namespace.utf8.count <= RendezvousLimits.namespace else { throw .invalidNamespace }
            let limit = min(request.limit.flatMap { $0 == 0 ? nil : Int(clamping: $0) } ?? RendezvousLimits.page, RendezvousLimits.page)
            let now = swarm.system.wallTime
            let (outcome, isUnsigned): (Result<(registrations: [RendezvousRegistry.Registration], cookie: Bytes), RendezvousStatus>, Bool) =
                state.withLock { state in
                    guard let registry = state.registry else { return (.failure(.unavailable), false) }
                    let isUnsigned = registry.isUnsigned(peer)
                    do throws(RendezvousStatus) {
                        let page = try registry.discover(
                            request.namespace, limit: limit, cookie: request.cookie, signedOnly: !isUnsigned, at: now)
                        return (.success(page), isUnsigned)
                    } catch { return (.failure(error), isUnsigned) }
                }
            let (registrations, cookie) = try outcome.get()
            note("discovered")
            return RendezvousMessage.Discovered(
                registrations: registrations.map { row in
                    let record = isUnsigned ? nil : row.envelope
                    return RendezvousMessage.Register(
                        namespace: row.namespace, record: record ?? UnsignedPeer(row.peer, row.addresses).encoded,
                        seconds: UInt64(max(1, (row.expires.nanoseconds - now.nanoseconds) / 1_000_000_000)))
                }, cookie: cookie)
        } catch {
            note("refused")
            return RendezvousMessage.Discovered(status: error, text: error.sentence)
        }
    }
}

extension Rendezvous.State {
    /// Whether the peer may register once more now.
    mutating func admits(_ peer: PeerID, at now: Instant) -> Bool {
        if rates[peer] == nil, rates.count >= RendezvousLimits.ratedPeers { rates = [:] }
        return rates[peer, default: Allowance(RendezvousLimits.registrationRate)].take(now)
    }
}

extension RendezvousStatus {
    /// A few words for whoever reads the answer.
    var sentence: String {
        switch self {
        case .ok: "OK"
        case .invalidNamespace: "the namespace is empty or too long"
        case .invalidRecord: "no valid signed peer record"
        case .invalidTime: "the time must be between 120 and 259200 seconds"
        case .invalidCookie: "the cookie is not of this server or of another namespace"
        case .notAuthorized: "not your own record, or too many registrations"
        case .internalError: "internal error"
        case .unavailable: "full or too busy; try again later"
        }
    }
}
