import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleFormats
import WaggleNetwork

/// `/ipfs/id/1.0.0` and `/ipfs/id/push/1.0.0`: tells peers who we are and where, and learns the same of them.
///
/// Every new connection is asked once; what changes later is pushed. What is learned goes to the address book and out as `.identified`.
/// Spec: libp2p identify. Folder: `IdentifyMessage` the wire form, `IdentifyLimits` the bounds.
public final class Identify: Service {
    public static let query: ProtocolID = "/ipfs/id/1.0.0"
    public static let push: ProtocolID = "/ipfs/id/push/1.0.0"
    /// The family of protocols that all of IPFS says it belongs to.
    public static let protocolVersion = "ipfs/0.1.0"

    private struct State {
        weak var swarm: Swarm?
        var isRunning = false
        /// The envelope for these addresses.
        var record: (addresses: [Multiaddr], sequence: UInt64, envelope: Bytes)?
        var sequence: UInt64 = 0
        /// The addresses that a record is being signed for, and who waits for it.
        var signing: [Multiaddr]?
        var waiting: [(loop: any EventLoop, waiter: Waiter)] = []
        var pushes: [PeerID: Allowance] = [:]

        mutating func takesPush(_ peer: PeerID, at now: Instant) -> Bool {
            if pushes[peer] == nil, pushes.count >= IdentifyLimits.countedPeers { pushes = [:] }
            return pushes[peer, default: Allowance(IdentifyLimits.pushes)].take(now)
        }
    }

    private let agentVersion: String
    private let state = Mutex(State())

    /// - Parameter agentVersion: program and version, for example "waggle/0.1.0".
    public init(agentVersion: String) { self.agentVersion = agentVersion }

    public var protocols: [ProtocolID] { [Identify.query, Identify.push] }

    public var limits: ServiceLimits { ServiceLimits(streamsPerPeer: IdentifyLimits.streamsPerPeer) }

    public func registered(on swarm: Swarm) { state.withLock { $0.swarm = swarm } }

    // MARK: Serving

    public func serve(_ stream: Stream, from peer: PeerID) async throws {
        guard let swarm = state.withLock({ $0.swarm }) else { return }
        stream.deadline = stream.connection.loop.now + IdentifyLimits.timeout
        if stream.protocolID == Identify.query {
            try await write(swarm, to: stream)
        } else {
            guard state.withLock({ $0.takesPush(peer, at: swarm.system.home.now) }) else { return stream.reset() }
            try learn(try await read(stream), from: stream.connection, swarm)
        }
    }

    // MARK: Life

    public func run(on swarm: Swarm) async throws {
        let scope = TaskScope()
        let events = swarm.subscribe()
        state.withLock { $0.isRunning = true }
        for connection in swarm.connections { begin(connection, scope, swarm) }
        // Until the next change, what peers have been told.
        let told = Mutex(false)
        for await event in events {
            switch event {
            case .connected(let connection): begin(connection, scope, swarm)
            case .missed: for connection in swarm.connections { begin(connection, scope, swarm) }
            case .addressesChanged, .protocolsChanged:
                let isFirst = told.withLock { isScheduled in
                    defer { isScheduled = true }
                    return !isScheduled
                }
                guard isFirst, !swarm.peers.isEmpty else {
                    told.withLock { $0 = !isFirst }
                    continue
                }
                let home = swarm.system.home
                scope.spawn(on: home) { [self] in
                    do { try await home.sleep(until: home.now + IdentifyLimits.pushDelay) } catch { return }
                    told.withLock { $0 = false }
                    await pushAll(swarm)
                }
            default: break
            }
        }
        state.withLock { $0.isRunning = false }
        await scope.close()
    }

    /// Returns when the peer of a new connection has said who it is and what it speaks, does not, or is gone; at once where this service does not run.
    public func settle(_ connection: Connection) async throws {
        if state.withLock({ $0.isRunning }) { try await connection.introduced() }
    }

    private func begin(_ connection: Connection, _ scope: TaskScope, _ swarm: Swarm) {
        scope.spawn(on: connection.loop) { [self] in
            do { _ = try await identify(connection) } catch {
                // The peer may not speak identify, or is gone already: nothing depends on it.
                swarm.system.identifyLog(.debug, "peer not identified", [LogField("peer", connection.peer.short), LogField("error", "\(error)")])
            }
            connection.noteIntroduced()
        }
    }

    /// Asks the peer of `connection` who it is.
    @discardableResult
    public func identify(_ connection: Connection) async throws -> PeerInformation {
        guard let swarm = state.withLock({ $0.swarm }) else { throw SwarmError.closed }
        return try await connection.loop.run { [self] in
            let stream = try await connection.openStream([Identify.query])
            stream.deadline = connection.loop.now + IdentifyLimits.timeout
            do {
                stream.finish()
                return try learn(try await read(stream), from: connection, swarm)
            } catch {
                stream.reset()
                throw error
            }
        }
    }

    /// Tells every connected peer that takes pushes what is true now.
    public func pushAll(_ swarm: Swarm) async {
        let peers = swarm.peers.filter { swarm.addressBook.protocols(of: $0).contains(Identify.push) }
        var rest = peers[...]
        while !rest.isEmpty {
            let batch = rest.prefix(IdentifyLimits.concurrentPushes)
            rest = rest.dropFirst(batch.count)
            let scope = TaskScope()
            for peer in batch {
                guard let connection = swarm.connections(to: peer).first else { continue }
                scope.spawn(on: connection.loop) { [self] in
                    do {
                        let stream = try await connection.openStream([Identify.push])
                        stream.deadline = connection.loop.now + IdentifyLimits.timeout
                        do {
                            try await write(swarm, to: stream)
                            stream.finish()
                        } catch {
                            stream.reset()
                            throw error
                        }
                    } catch {
                        swarm.system.identifyLog(.debug, "push failed", [LogField("peer", peer.short), LogField("error", "\(error)")])
                    }
                }
            }
            await scope.drain()
        }
    }

    // MARK: Messages

    private func write(_ swarm: Swarm, to stream: Stream) async throws {
        let record = try await record(swarm, on: stream.connection.loop)
        var message = IdentifyMessage()
        message.publicKey = swarm.identity.key.publicKey.encoded
        message.protocolVersion = Identify.protocolVersion
        message.agentVersion = agentVersion
        message.protocols = swarm.supportedProtocols
        message.listenAddresses = swarm.announcedAddresses
        message.observedAddress = stream.connection.remoteAddress
        message.signedRecord = record
        for frame in message.frames { try await stream.writeMessage(frame) }
    }

    private func read(_ stream: Stream) async throws -> IdentifyMessage {
        var message = IdentifyMessage()
        var total = 0
        var frames = 0
        while let frame = try await stream.readMessage(limit: IdentifyLimits.frame) {
            frames += 1
            total += frame.count
            guard frames <= IdentifyLimits.frames, total <= IdentifyLimits.message.bytes else {
                throw StreamError.tooLong(limit: IdentifyLimits.message.bytes)
            }
            try message.merge(frame)
        }
        guard frames > 0 else { throw StreamError.truncated }
        return message
    }

    /// Takes what a peer told, if it speaks for itself. Fields that are absent keep what was known.
    @discardableResult
    private func learn(_ message: IdentifyMessage, from connection: Connection, _ swarm: Swarm) throws -> PeerInformation {
        let peer = connection.peer
        if let key = message.publicKey, key != connection.peerKey.encoded {
            swarm.reputation.report(peer, .forgedRecord)
            throw IdentifyError.foreignKey
        }
        let book = swarm.addressBook
        var information = PeerInformation(
            peer: peer, protocolVersion: message.protocolVersion ?? book.protocolVersion(of: peer) ?? "",
            agentVersion: message.agentVersion ?? book.agentVersion(of: peer) ?? "",
            protocols: message.protocols ?? book.protocols(of: peer), listenAddresses: message.listenAddresses ?? [],
            observedAddress: message.observedAddress)
        if let envelope = message.signedRecord {
            do throws(EnvelopeError) {
                let record = try PeerRecord(verifying: envelope)
                guard record.peer == peer else { throw .wrongPeer }
                information.listenAddresses = record.addresses
                information.signedRecord = envelope
                book.certify(record, envelope: envelope, from: connection.remoteAddress)
            } catch {
                // Who sends a record that is not its own does not get its addresses believed.
                information.listenAddresses = []
                if error == .forged || error == .wrongPeer { swarm.reputation.report(peer, .forgedRecord) }
                swarm.system.identifyLog(.warning, "record refused", [LogField("peer", peer.short), LogField("error", "\(error)")])
            }
        }
        swarm.identified(information, over: connection)
        return information
    }

    /// Our addresses in an envelope; made anew when they change, with a higher sequence number. On `loop`.
    ///
    /// Signing may take tens of milliseconds, so it is done once for all who ask at the same time, and by slow keys off the loop.
    private func record(_ swarm: Swarm, on loop: any EventLoop) async throws -> Bytes? {
        while true {
            let addresses = swarm.announcedAddresses
            let now = UInt64(clamping: swarm.system.wallTime.nanoseconds)
            let waiter = Waiter(on: loop)
            let step: RecordStep = state.withLock { state in
                if let record = state.record, record.addresses == addresses { return .have(record.envelope) }
                guard state.signing == nil else {
                    state.waiting.append((loop, waiter))
                    return .wait
                }
                // The time of day, so that it rises over restarts too.
                state.sequence = max(state.sequence + 1, now)
                state.signing = addresses
                return .sign(state.sequence)
            }
            switch step {
            case .have(let envelope): return envelope
            case .wait: try await waiter.wait()
            case .sign(let sequence):
                let key = swarm.identity.key, peer = swarm.localPeer
                let make: @Sendable () -> Bytes? = { Identify.record(of: peer, addresses, sequence, key) }
                var made: Bytes?
                do { made = key.isSlow ? try await swarm.system.offload(make) : make() } catch {
                    settle(nil)
                    throw error
                }
                settle(made.map { (addresses, sequence, $0) })
                return made
            }
        }
    }

    private enum RecordStep {
        case have(Bytes)
        case wait
        case sign(UInt64)
    }

    /// Takes a record that was signed, and lets those who wait look again.
    private func settle(_ record: (addresses: [Multiaddr], sequence: UInt64, envelope: Bytes)?) {
        let waiting = state.withLock { state in
            if let record { state.record = record }
            state.signing = nil
            defer { state.waiting = [] }
            return state.waiting
        }
        for (loop, waiter) in waiting { loop.execute { waiter.wake() } }
    }

    /// As many of the addresses as the frame of the record has room for, signed.
    static func record(of peer: PeerID, _ addresses: [Multiaddr], _ sequence: UInt64, _ key: IdentityKeyPair) -> Bytes? {
        let kind = key.publicKey.kind
        let limit = kind == .slhDSAShake128s ? IdentifyLimits.writtenLongRecord : IdentifyLimits.writtenRecord
        // Tags and lengths: of the envelope's four fields, of the record's first two with a sequence number of ten bytes, and of each address.
        var room = limit.bytes - key.publicKey.encoded.count - kind.maximumSignatureLength - peer.bytes.count - 48
        let fitting = addresses.prefix { address in
            room -= address.bytes.count + 6
            return room >= 0
        }
        return PeerRecord(peer: peer, sequence: sequence, addresses: Array(fitting)).signed(with: key)?.encoded
    }
}

/// Why an identify message is refused.
public enum IdentifyError: Error, Hashable, Sendable {
    /// The key in the message is not the one that the connection was secured with.
    case foreignKey
}

extension System {
    fileprivate var identifyLog: Log { Log("identify", to: log) }
}
