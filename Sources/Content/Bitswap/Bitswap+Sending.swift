import WaggleBase
import WaggleFormats
import WaggleNetwork

extension Bitswap {
    // MARK: Wants

    func send(_ entry: BitswapMessage.Entry, to peer: PeerID) {
        guard let link = links[peer] else { return }
        link.add(entry)
        link.wants.work.wake()
        startWants(link)
    }

    /// Opens the lane that the machine asked for.
    func open(_ peer: PeerID) {
        if let link = links[peer] { startWants(link) }
    }

    private func startWants(_ link: PeerLink) {
        guard !link.wants.isRunning else { return }
        link.wants.isRunning = scope.spawn(on: home) { [self, link = Confined(link)] in await pumpWants(link.value) }
    }

    /// The life of one stream of wants.
    private func pumpWants(_ link: PeerLink) async {
        defer { link.wants.isRunning = false }
        do {
            let (stream, version) = try await openStream(link)
            do {
                tell(client: .ready(link.peer, version))
                while isCurrent(link) {
                    guard link.hasChanges else {
                        let isIdle = try await !wait(link.wants.work, for: BitswapLimits.idleStream)
                        if isIdle, !link.hasChanges { break }
                        continue
                    }
                    var message = BitswapMessage()
                    message.entries = link.takeChanges()
                    statisticsSoFar.messagesSent += 1
                    stream.deadline = home.now + BitswapLimits.sendTimeout
                    try await stream.writeMessage(message.encode(version))
                    stream.deadline = nil
                    link.failures = 0
                }
                stream.finish()
            } catch {
                stream.reset()
                throw error
            }
        } catch {
            failed(link, error)
        }
    }

    /// What the peer knows of our wants is unclear now: begin anew, or leave it alone for a while.
    private func failed(_ link: PeerLink, _ error: any Error) {
        guard isCurrent(link), isRunning else { return }
        link.dropChanges()
        link.failures += 1
        let isUnsupported = error as? StreamError == .protocolNotSupported
        if isUnsupported {
            tell(client: .unreachable(link.peer, until: .distantFuture))
        } else if link.failures > BitswapLimits.failuresInARow {
            tell(client: .unreachable(link.peer, until: home.now + BitswapLimits.restAfterFailures))
        } else {
            // After this turn, when the lane counts as stopped.
            home.execute { [self, link = Confined(link)] in
                guard isCurrent(link.value) else { return }
                tell(client: .disconnected(link.value.peer))
                tell(client: .connected(link.value.peer))
            }
        }
    }

    // MARK: Blocks

    func send(_ envelope: LedgerMachine.Envelope, to peer: PeerID) {
        guard let link = links[peer] else { return }
        link.envelopes.append(envelope)
        link.blocks.work.wake()
        guard !link.blocks.isRunning else { return }
        link.blocks.isRunning = scope.spawn(on: home) { [self, link = Confined(link)] in await pumpBlocks(link.value) }
    }

    /// The life of one stream of blocks: while one message is written, the next one is loaded.
    private func pumpBlocks(_ link: PeerLink) async {
        defer { link.blocks.isRunning = false }
        do {
            let (stream, version) = try await openStream(link)
            do {
                while isCurrent(link) {
                    guard let envelope = link.envelopes.popFirst() else {
                        let isIdle = try await !wait(link.blocks.work, for: BitswapLimits.idleStream)
                        if isIdle, link.envelopes.isEmpty { break }
                        continue
                    }
                    try await sendRun(from: envelope, link, stream, version)
                }
                stream.finish()
            } catch {
                stream.reset()
                throw error
            }
        } catch {
            // Nothing of what is under way will arrive; the peer asks again if it still wants it.
            while let envelope = link.envelopes.popFirst() {
                tell(server: .left(link.peer, envelope: envelope.id, blocks: 0, bytes: 0))
            }
        }
    }

    /// Sends this envelope and those behind it until none is left.
    private func sendRun(
        from first: LedgerMachine.Envelope, _ link: PeerLink, _ stream: Stream, _ version: BitswapVersion
    ) async throws {
        var envelope = first
        do {
            var built = try await build(envelope, version)
            while true {
                guard let next = link.envelopes.popFirst() else {
                    try await write(built, envelope, link, stream)
                    return
                }
                do {
                    async let loading = build(next, version)
                    try await write(built, envelope, link, stream)
                    envelope = next
                    built = try await loading
                } catch {
                    tell(server: .left(link.peer, envelope: next.id, blocks: 0, bytes: 0))
                    throw error
                }
            }
        } catch {
            tell(server: .left(link.peer, envelope: envelope.id, blocks: 0, bytes: 0))
            throw error
        }
    }

    private func build(_ envelope: LedgerMachine.Envelope, _ version: BitswapVersion) async throws -> EnvelopeBuilder.Built {
        let builder = EnvelopeBuilder(store: store)
        return try await system.offload { try builder.build(envelope, version) }
    }

    private func write(
        _ built: EnvelopeBuilder.Built, _ envelope: LedgerMachine.Envelope, _ link: PeerLink, _ stream: Stream
    ) async throws {
        stream.deadline = home.now + BitswapLimits.sendTimeout
        try await stream.writeMessage(built.bytes)
        stream.deadline = nil
        statisticsSoFar.messagesSent += 1
        statisticsSoFar.blocksSent += built.blocks
        statisticsSoFar.bytesSent += built.blockBytes
        exchanged(built.blockBytes, with: link.peer)
        tell(server: .left(link.peer, envelope: envelope.id, blocks: built.blocks, bytes: built.blockBytes))
    }

    // MARK: Streams

    /// A stream on a connection that stands; peers are never dialed for this.
    private func openStream(_ link: PeerLink) async throws -> (Stream, BitswapVersion) {
        guard let connection = swarm?.connections(to: link.peer).first else { throw StreamError.connectionLost }
        let stream = try await connection.openStream(protocols)
        return (stream, BitswapVersion(stream.protocolID))
    }

    private func isCurrent(_ link: PeerLink) -> Bool { links[link.peer] === link }

    /// Waits for work; says false when none has come for so long.
    private func wait(_ waiter: Waiter, for duration: Duration) async throws -> Bool {
        let deadline = home.now + duration
        let timer = home.schedule(at: deadline) { waiter.wake() }
        defer { home.cancel(timer) }
        try await waiter.wait()
        return home.now < deadline
    }
}

/// Carries an object of the home loop into a task of the home loop.
struct Confined<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
}
