import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// A peer that a rendezvous server told of.
public struct RendezvousPeer: Hashable, Sendable {
    public let peer: PeerID
    public let addresses: [Multiaddr]
    public let namespace: String
    /// How long the registration goes on.
    public let time: Duration
    /// Whether the peer signed its addresses itself.
    public let isSigned: Bool
}

/// One answer of a rendezvous server.
public struct RendezvousPage: Sendable {
    public let peers: [RendezvousPeer]
    /// With it, the next question brings what came after this answer.
    public let cookie: Bytes?
    /// Whether the server told of nobody, not even of ourselves.
    let isEmpty: Bool
}

extension Rendezvous {
    /// Registers this node under `namespace` with the server `point`; says how long that holds. `addresses` are where the server may be.
    @discardableResult
    public func register(
        _ namespace: String, at point: PeerID, addresses: [Multiaddr] = [], time: Duration? = nil
    ) async throws(RendezvousError) -> Duration {
        try RendezvousError.check(namespace)
        let seconds = time.map { UInt64(max(1, $0.wholeNanoseconds / 1_000_000_000)) }
        let isUnsigned = state.withLock { $0.unsignedPoints.contains(point) }
        var answer = try await register(namespace, seconds, signed: !isUnsigned, at: point, addresses)
        if !isUnsigned, answer.status == .invalidRecord || answer.status == .notAuthorized {
            // The first version of the protocol takes an envelope for somebody else's address.
            let second = try await register(namespace, seconds ?? 7200, signed: false, at: point, addresses)
            if second.status == .ok {
                state.withLock { state in if state.unsignedPoints.count < RendezvousLimits.kept { state.unsignedPoints.insert(point) } }
                answer = second
            }
        }
        guard answer.status == .ok else { throw .refused(answer.status, String(answer.text.prefix(256))) }
        let granted = answer.seconds ?? seconds ?? UInt64(RendezvousLimits.standardTime.wholeNanoseconds / 1_000_000_000)
        return .seconds(Int64(clamping: min(granted, 1 << 32)))
    }

    private func register(
        _ namespace: String, _ seconds: UInt64?, signed: Bool, at point: PeerID, _ addresses: [Multiaddr]
    ) async throws(RendezvousError) -> RendezvousMessage.Registered {
        let record = try await ownRecord(signed: signed)
        let request = RendezvousMessage.register(.init(namespace: namespace, record: record, seconds: seconds))
        guard case .registered(let answer) = try await ask(request, point, addresses) else { throw .broken }
        return answer
    }

    /// Takes this node's registration under `namespace` back. The protocol has no answer to this.
    public func unregister(_ namespace: String, at point: PeerID, addresses: [Multiaddr] = []) async throws(RendezvousError) {
        guard let swarm = state.withLock({ $0.swarm }) else { throw .cancelled }
        let id = state.withLock { $0.unsignedPoints.contains(point) } ? swarm.localPeer.bytes : nil
        _ = try await ask(.unregister(.init(namespace: namespace, id: id)), point, addresses, answers: false)
    }

    /// Asks the server `point` once who is registered under `namespace` (nil: under any name). With the cookie of an earlier answer, who came since.
    public func discover(
        _ namespace: String?, at point: PeerID, addresses: [Multiaddr] = [], limit: Int? = nil, cookie: Bytes? = nil
    ) async throws(RendezvousError) -> RendezvousPage {
        let request = RendezvousMessage.discover(.init(namespace: namespace ?? "", limit: limit.map { UInt64(max(1, $0)) }, cookie: cookie))
        guard case .discovered(let answer) = try await ask(request, point, addresses) else { throw .broken }
        guard answer.status == .ok else { throw .refused(answer.status, String(answer.text.prefix(256))) }
        guard let swarm = state.withLock({ $0.swarm }) else { throw .cancelled }
        var peers: [RendezvousPeer] = []
        for row in answer.registrations {
            guard let peer = await take(row, swarm), peer.peer != swarm.localPeer, namespace == nil || peer.namespace == namespace else { continue }
            peers.append(peer)
        }
        return RendezvousPage(
            peers: peers, cookie: answer.cookie.flatMap { $0.count <= RendezvousLimits.cookie ? $0.compacted() : nil }, isEmpty: answer.registrations.isEmpty)
    }

    /// Everybody who is registered under `namespace`, page by page, until the server has told all or `limit` peers were told.
    public func peers(_ namespace: String?, at point: PeerID, addresses: [Multiaddr] = [], limit: Int = .max) -> RendezvousPeers {
        RendezvousPeers(self, namespace, point, addresses, limit)
    }

    // MARK: Inside

    /// Checks what the server says and remembers the addresses: signed ones for sure, others as a hint.
    private func take(_ row: RendezvousMessage.Register, _ swarm: Swarm) async -> RendezvousPeer? {
        let time = Duration.seconds(Int64(clamping: min(row.seconds ?? 0, 1 << 32)))
        guard row.namespace.utf8.count <= RendezvousLimits.namespace else { return nil }
        if let unsigned = UnsignedPeer(decoding: row.record) {
            swarm.addressBook.add(unsigned.addresses, of: unsigned.peer, source: .hint)
            return RendezvousPeer(peer: unsigned.peer, addresses: unsigned.addresses, namespace: row.namespace, time: time, isSigned: false)
        }
        guard row.record.count <= SignedEnvelope.maximumLength else { return nil }
        let envelope = row.record.compacted()
        do {
            let record = try await swarm.system.offload { try PeerRecord(verifying: envelope) }
            swarm.addressBook.certify(record, envelope: envelope)
            return RendezvousPeer(peer: record.peer, addresses: record.addresses, namespace: row.namespace, time: time, isSigned: true)
        } catch { return nil }
    }

    private func ownRecord(signed: Bool) async throws(RendezvousError) -> Bytes {
        guard let swarm = state.withLock({ $0.swarm }) else { throw .cancelled }
        let addresses = swarm.announcedAddresses
        let peer = swarm.localPeer
        guard signed else { return UnsignedPeer(peer, Array(addresses.prefix(RendezvousLimits.unsignedAddresses))).encoded }
        if let known = state.withLock({ $0.signed }), known.addresses == addresses { return known.envelope }
        // The time of day, so that it rises over restarts too.
        let sequence = UInt64(clamping: swarm.system.wallTime.nanoseconds)
        let key = swarm.identity.key
        let envelope: Bytes?
        do { envelope = try await swarm.system.offload { Identify.record(of: peer, addresses, sequence, key) } } catch {
            throw .cancelled
        }
        guard let envelope else { throw .broken }
        state.withLock { $0.signed = (addresses, envelope) }
        return envelope
    }

    /// One question on a stream of its own.
    private func ask(
        _ message: RendezvousMessage, _ point: PeerID, _ addresses: [Multiaddr], answers: Bool = true
    ) async throws(RendezvousError) -> RendezvousMessage? {
        guard let swarm = state.withLock({ $0.swarm }) else { throw .cancelled }
        let bytes = message.encoded
        do {
            if !swarm.isConnected(point) { _ = try await swarm.connect(to: point, addresses: addresses) }
            return try await swarm.withStream(to: point, Rendezvous.protocolID) { stream in
                stream.deadline = stream.connection.loop.now + RendezvousLimits.timeout
                try await stream.writeMessage(bytes)
                stream.finish()
                guard answers else {
                    // Until the server has read it and closes.
                    _ = try await stream.readMessage(limit: RendezvousLimits.request)
                    return nil
                }
                guard let answer = try await stream.readMessage(limit: RendezvousLimits.answer) else { throw RendezvousError.broken }
                return try RendezvousMessage(decoding: answer)
            }
        } catch let error as RendezvousError {
            throw error
        } catch let error as SwarmError {
            throw error == .cancelled ? .cancelled : .unreachable(error)
        } catch {
            throw Task.isCancelled ? .cancelled : .broken
        }
    }
}

/// Peers registered under a name, in pages fetched as they are needed.
public struct RendezvousPeers: AsyncSequence, Sendable {
    public typealias Element = RendezvousPeer

    private let rendezvous: Rendezvous
    private let namespace: String?
    private let point: PeerID
    private let addresses: [Multiaddr]
    private let limit: Int

    init(_ rendezvous: Rendezvous, _ namespace: String?, _ point: PeerID, _ addresses: [Multiaddr], _ limit: Int) {
        self.rendezvous = rendezvous
        self.namespace = namespace
        self.point = point
        self.addresses = addresses
        self.limit = limit
    }

    public struct AsyncIterator: AsyncIteratorProtocol {
        let peers: RendezvousPeers
        var waiting = Deque<RendezvousPeer>()
        var cookie: Bytes?
        var pages = 0
        var told: Set<Told> = []
        var isAtEnd = false

        struct Told: Hashable {
            var peer: PeerID
            var namespace: String
        }

        public mutating func next() async throws(RendezvousError) -> RendezvousPeer? {
            while true {
                while let peer = waiting.popFirst() {
                    guard told.count < peers.limit else { return nil }
                    // Who registered anew in the meantime is told once.
                    if told.insert(Told(peer: peer.peer, namespace: peer.namespace)).inserted { return peer }
                }
                guard !isAtEnd, pages < RendezvousLimits.pages, told.count < peers.limit else { return nil }
                pages += 1
                let rest = peers.limit - told.count
                let page = try await peers.rendezvous.discover(
                    peers.namespace, at: peers.point, addresses: peers.addresses, limit: Swift.min(rest, RendezvousLimits.page), cookie: cookie)
                for peer in page.peers { waiting.append(peer) }
                // A server that repeats its cookie, or gives none, has told all.
                isAtEnd = page.isEmpty || page.cookie == nil || page.cookie?.isEmpty == true || page.cookie == cookie
                cookie = page.cookie
            }
        }
    }

    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(peers: self) }
}
