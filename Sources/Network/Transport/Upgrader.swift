import WaggleBase
import WaggleCryptography
import WaggleFormats

/// Turns a raw byte stream into a finished connection: negotiates a channel, shakes hands, agrees on a muxer.
///
/// The one place where sockets, channels and muxers meet; every byte-stream transport goes through it.
public struct Upgrader: Sendable {
    private let system: any System
    /// What the policy left of the configured channels, best first.
    public let channels: [any SecureChannel]
    package let muxers: [any Muxer]
    private let router: any StreamRouter
    private let limits: ConnectionLimits
    private let budget: MemoryBudget?
    private let pools: LoopPools
    private let memory = ChannelMemory()
    /// Peers met on a post-quantum channel. One that does not know the extension which protects the negotiation is believed to have nothing
    /// better than a classical channel only as long as it was never seen to have it.
    private let proven = ChannelMemory()
    private let slowWork = SlowWork()
    private let unlimited: [IPRange]
    /// The kind of this node's identity if many peers do not know it.
    private let rareIdentity: KeyKind?

    init(system: any System, identity: LocalIdentity, configuration: SwarmConfiguration, router: any StreamRouter, budget: MemoryBudget) {
        let kind = identity.key.publicKey.kind
        rareIdentity = kind.isPostQuantum ? kind : nil
        self.budget = budget
        self.system = system
        channels = configuration.channels.filter { configuration.policy.allows(postQuantum: $0.isPostQuantum) }
        muxers = configuration.muxers
        self.router = router
        limits = configuration.limits.perConnection
        unlimited = configuration.limits.unlimitedRanges
        pools = LoopPools(system.loops)
    }

    /// Upgrades `socket`, on its loop. Closes it when it throws.
    public func upgrade(
        _ socket: any ByteSocket, as role: Role, expecting peer: PeerID? = nil, local: Multiaddr, remote: Multiaddr
    ) async throws(TransportError) -> Connection {
        do throws(TransportError) {
            return try await run(socket, role, peer, local, remote)
        } catch {
            // A refusal shall arrive; anything else need not.
            socket.close(abort: !Upgrader.isRefusal(error))
            if case .handshake(.handshake(.wrongPeer(_, let actual))) = error { throw .wrongPeer(actual) }
            throw error
        }
    }

    private static func isRefusal(_ error: TransportError) -> Bool {
        switch error {
        case .handshake(.noCommonChannel), .handshake(.classicalPeer), .handshake(.handshake(.refused)): true
        default: false
        }
    }

    /// Whether a dial to `peer` will assume that it still speaks the first channel. If such a dial fails in the handshake, the assumption is
    /// dropped, and the transport dials once more.
    public func assumesFirstChannel(of peer: PeerID?) -> Bool {
        guard let peer, channels.count > 1 else { return false }
        return memory.contains(peer)
    }

    private func run(
        _ socket: any ByteSocket, _ role: Role, _ peer: PeerID?, _ local: Multiaddr, _ remote: Multiaddr
    ) async throws(TransportError) -> Connection {
        // A policy that leaves nothing of the configured channels is our own fault, and no reason to trap when somebody connects.
        guard !channels.isEmpty else { throw .handshake(.noCommonChannel) }
        let assumes = role == .initiator && assumesFirstChannel(of: peer)
        let parameters = UpgradeParameters(
            role: role, channels: channels, muxers: muxers.map(\.protocolID), expectedPeer: peer, random: random(),
            assumesFirstChannel: assumes)
        let session = UpgradeSession(
            socket, UpgradeMachine(parameters, at: socket.loop.now), on: system, role == .responder ? slowWork : nil,
            role == .responder ? pacer(for: remote.ip, socket.loop) : nil, rareIdentity: rareIdentity)
        let (upgraded, rest): (Upgraded, Bytes)
        do throws(TransportError) {
            (upgraded, rest) = try await session.run()
        } catch {
            if assumes, let peer { memory.remove(peer) }
            throw error
        }
        try checkStrength(upgraded.secured)
        if upgraded.secured.security.channel == channels[0].protocolID { memory.insert(upgraded.secured.peer) }
        guard let muxer = muxers.first(where: { $0.protocolID == upgraded.muxer }) else { throw .handshake(.noCommonMuxer) }
        return Connection(
            ConnectionParameters(
                socket: socket, direction: role == .initiator ? .outbound : .inbound, upgraded: upgraded, muxer: muxer, localAddress: local,
                remoteAddress: remote, unread: rest, limits: limits, router: router, pool: pools.pool(of: socket.loop),
                memory: budget))
    }

    /// Refuses a peer that had a post-quantum channel before and comes without one now, unless it signed that it has none any more.
    private func checkStrength(_ secured: Secured) throws(TransportError) {
        let security = secured.security
        if security.isPostQuantum {
            proven.insert(secured.peer)
        } else if security.transcriptVerified {
            proven.remove(secured.peer)
        } else if proven.contains(secured.peer) {
            throw .handshake(.handshake(.downgraded(expected: channels.first { $0.isPostQuantum }?.protocolID, negotiated: security.channel)))
        }
    }

    /// Strangers take turns; addresses that no limit counts, this machine's own by default, need not.
    private func pacer(for ip: IPAddress?, _ loop: any EventLoop) -> HandshakePacer? {
        if let ip, unlimited.contains(where: { $0.contains(ip) }) { return nil }
        return pools.pacer(of: loop)
    }

    private func random() -> SecureBytes {
        SecureBytes(count: HandshakeParameters.randomLength) { system.fillRandom($0) }
    }
}

/// The chunk pool and the pacer of each loop.
private struct LoopPools: Sendable {
    private let pools: [ObjectIdentifier: ChunkPool]
    private let pacers: [ObjectIdentifier: HandshakePacer]

    init(_ loops: [any EventLoop]) {
        pools = Dictionary(loops.map { (ObjectIdentifier($0), ChunkPool(on: $0)) }, uniquingKeysWith: { first, _ in first })
        pacers = Dictionary(loops.map { (ObjectIdentifier($0), HandshakePacer()) }, uniquingKeysWith: { first, _ in first })
    }

    /// A loop that is not the system's own has none.
    func pacer(of loop: any EventLoop) -> HandshakePacer? { pacers[ObjectIdentifier(loop)] }

    /// A loop that is not the system's own gets a pool for each connection.
    func pool(of loop: any EventLoop) -> ChunkPool { pools[ObjectIdentifier(loop)] ?? ChunkPool(on: loop) }
}
