import Synchronization
import WaggleBase
import WaggleFormats

/// All attempts to reach peers. Concurrent calls for one peer share an attempt; all dials together keep within the limits.
///
/// Belongs to the home loop, except for `close`.
final class Dialer: @unchecked Sendable {
    private let loop: any EventLoop
    private let settings: SwarmConfiguration.Dialing
    private let limits: SwarmLimits
    private var attempts: [DialTarget: DialAttempt] = [:]
    private var addressBackOff: DialBackOff<Multiaddr>
    private var peerBackOff: DialBackOff<PeerID>
    /// Dials that wait for a free place.
    private var queue = Deque<(dial: AddressDial, attempt: DialAttempt)>()
    /// Dials under way, with the attempts that they belong to.
    private var running: [ObjectIdentifier: (dial: AddressDial, attempt: DialAttempt)] = [:]
    private var nextNumber: UInt64 = 0
    private var isOver = false

    init(on loop: any EventLoop, _ configuration: SwarmConfiguration) {
        self.loop = loop
        settings = configuration.dialing
        limits = configuration.limits
        addressBackOff = DialBackOff(base: settings.backOff, longest: settings.longestBackOff, capacity: settings.backOffRows)
        peerBackOff = DialBackOff(base: settings.backOff, longest: settings.longestBackOff, capacity: settings.backOffRows)
    }

    // MARK: For the swarm

    /// Attempts under way. On the loop.
    var attemptCount: Int { attempts.count }
    /// Dials that wait for a free place. On the loop.
    var queueCount: Int { queue.count }

    /// Reaches `target` at `addresses`, or joins the attempt that runs already. `force` dials what failed lately, too; `continuing` only a peer that did,
    /// for an attempt that goes on with more addresses.
    func connect(
        to target: DialTarget, at addresses: [Multiaddr], force: Bool, continuing: Bool = false, in swarm: Swarm
    ) async throws(SwarmError) -> Connection {
        guard !isOver else { throw .closed }
        if let peer = target.peer, let connection = swarm.connections(to: peer).first { return connection }
        let attempt: DialAttempt
        if let running = attempts[target] {
            attempt = running
            advance(attempt, .add(AddressRanking.rank(usable(addresses, force: force, swarm).addresses)), in: swarm)
        } else {
            attempt = try begin(target, addresses, force, continuing, swarm)
        }
        attempt.interested += 1
        defer {
            attempt.interested -= 1
            if attempt.interested == 0, attempt.outcome == nil { finish(attempt, .failure(.cancelled), in: swarm) }
        }
        while true {
            if let outcome = attempt.outcome { return try outcome.get() }
            do { try await attempt.finished.wait() } catch { throw .cancelled }
        }
    }

    /// Whether `peer` failed lately and is left alone.
    func leavesAlone(_ peer: PeerID) -> Bool { peerBackOff.pause(of: peer, at: loop.now) != nil }

    /// The peer came to us while we dial it. The side with the greater PeerID then leaves the dialing to the other, so that both keep the same
    /// connection; the other side goes on, and uses this connection if its own dial fails.
    func arrived(_ connection: Connection, in swarm: Swarm) {
        guard let attempt = attempts[.peer(connection.peer)], swarm.localPeer > connection.peer, !connection.isClosed else { return }
        finish(attempt, .success(connection), in: swarm)
    }

    /// Ends all attempts and returns when nothing is under way.
    func close() async {
        await loop.run { [self] in
            isOver = true
            for attempt in attempts.values.sorted(by: { $0.number < $1.number }) { settle(attempt, .failure(.closed)) }
            attempts = [:]
            queue.removeAll()
            for entry in running.values { await entry.dial.scope.close() }
        }
    }

    // MARK: Attempts

    private func begin(
        _ target: DialTarget, _ addresses: [Multiaddr], _ force: Bool, _ continuing: Bool, _ swarm: Swarm
    ) throws(SwarmError) -> DialAttempt {
        let now = loop.now
        let (addresses, skipped) = usable(addresses, force: force, swarm)
        if addresses.isEmpty {
            if !skipped.isEmpty { throw .dialFailed(skipped) }
            switch target {
            case .peer(let peer): throw .noAddresses(peer)
            case .address(let address): throw .unsupportedAddress(address)
            }
        }
        if !force, !continuing, let peer = target.peer, let until = peerBackOff.pause(of: peer, at: now) {
            throw .dialFailed(addresses.map { DialFailure(address: $0, cause: .backOff(until: until)) })
        }
        let machine = DialMachine(
            concurrency: limits.dialsPerPeer, addressLimit: limits.addressesPerDial, end: now + settings.attemptTimeout)
        nextNumber += 1
        let attempt = DialAttempt(target, number: nextNumber, machine, skipped: skipped, on: loop)
        attempt.alarm = Alarm(on: loop) { [self, weak attempt, weak swarm] in
            if let attempt, let swarm { advance(attempt, .tick, in: swarm) }
        }
        attempts[target] = attempt
        advance(attempt, .add(AddressRanking.rank(addresses)), in: swarm)
        return attempt
    }

    /// What may be dialed of `addresses`, and what failed too recently.
    private func usable(_ addresses: [Multiaddr], force: Bool, _ swarm: Swarm) -> (addresses: [Multiaddr], skipped: [DialFailure]) {
        let now = loop.now
        var usable: [Multiaddr] = []
        var skipped: [DialFailure] = []
        for address in addresses.prefix(limits.addressesPerDial) {
            if let refusal = swarm.gate.refusal(of: address.ip) {
                skipped.append(DialFailure(address: address, cause: .refused(refusal)))
            } else if !swarm.transports.contains(where: { $0.canDial(address) }) {
                continue
            } else if !force, let until = addressBackOff.pause(of: address, at: now) {
                skipped.append(DialFailure(address: address, cause: .backOff(until: until)))
            } else {
                usable.append(address)
            }
        }
        return (usable, skipped)
    }

    /// Handle, drain, arm.
    private func advance(_ attempt: DialAttempt, _ input: DialMachine.Input, in swarm: Swarm) {
        guard attempt.outcome == nil else { return }
        attempt.machine.handle(input, at: loop.now)
        while let output = attempt.machine.next() {
            switch output {
            case .dial(let address):
                let dial = AddressDial(address)
                attempt.dials.append(dial)
                enqueue(dial, attempt, in: swarm)
            case .exhausted(let failures), .timedOut(let failures):
                if let peer = attempt.target.peer, let connection = swarm.connections(to: peer).first {
                    finish(attempt, .success(connection), in: swarm)
                } else {
                    finish(attempt, .failure(.dialFailed(attempt.skipped + failures)), in: swarm)
                }
            }
        }
        if attempt.outcome == nil { attempt.alarm?.set(attempt.machine.deadline) }
    }

    private func finish(_ attempt: DialAttempt, _ outcome: Result<Connection, SwarmError>, in swarm: Swarm) {
        guard attempt.outcome == nil else { return }
        attempts[attempt.target] = nil
        settle(attempt, outcome)
        switch outcome {
        case .success(let connection): peerBackOff.succeeded(connection.peer)
        case .failure(.cancelled), .failure(.closed): break
        case .failure(let error):
            if let peer = attempt.target.peer { peerBackOff.failed(peer, at: loop.now) }
            swarm.hub.emit(.dialFailed(attempt.target.peer, error))
        }
    }

    private func settle(_ attempt: DialAttempt, _ outcome: Result<Connection, SwarmError>) {
        attempt.outcome = outcome
        attempt.alarm?.stop()
        attempt.machine.handle(.connected, at: loop.now)
        for dial in attempt.dials {
            dial.isAbandoned = true
            dial.scope.cancelAll()
        }
        attempt.dials = []
        attempt.finished.wake()
    }

    // MARK: Dials

    private func enqueue(_ dial: AddressDial, _ attempt: DialAttempt, in swarm: Swarm) {
        guard queue.count < settings.queue else {
            return loop.execute { [self] in advance(attempt, .failed(dial.address, .refused(.pendingOutbound)), in: swarm) }
        }
        queue.append((dial, attempt))
        startWaiting(in: swarm)
    }

    /// Starts dials for as long as there are places.
    private func startWaiting(in swarm: Swarm) {
        while let (dial, attempt) = queue.first {
            if !dial.isAbandoned {
                let refusal: Refusal? = swarm.table.withLock { table in
                    do throws(Refusal) { try table.ledger.begin(.outbound, from: dial.address.ip) } catch { return error }
                    return nil
                }
                if refusal == .pendingOutbound, !running.isEmpty { return }
                if let refusal {
                    // On the next turn: the machine may be in the middle of handing out dials.
                    loop.execute { [self] in advance(attempt, .failed(dial.address, .refused(refusal)), in: swarm) }
                } else {
                    start(dial, attempt, in: swarm)
                }
            }
            queue.popFirst()
        }
    }

    private func start(_ dial: AddressDial, _ attempt: DialAttempt, in swarm: Swarm) {
        running[ObjectIdentifier(dial)] = (dial, attempt)
        dial.startedAt = loop.now
        dial.timer = loop.schedule(at: loop.now + settings.addressTimeout) { [dial] in
            dial.timer = nil
            dial.hasTimedOut = true
            dial.scope.cancelAll()
        }
        let target = swarm.nextLoop()
        let home = loop
        let address = dial.address
        let peer = attempt.target.peer
        dial.scope.spawn(on: target) { [self] in
            let result = await swarm.dial(address, expecting: peer, on: target)
            home.execute { [self] in ended(dial, attempt, result, in: swarm) }
        }
    }

    private func ended(_ dial: AddressDial, _ attempt: DialAttempt, _ result: Result<Connection, TransportError>, in swarm: Swarm) {
        running[ObjectIdentifier(dial)] = nil
        if let timer = dial.timer { loop.cancel(timer) }
        dial.timer = nil
        attempt.dials.removeAll { $0 === dial }
        swarm.counting.dialed(dial.address, dial.hasTimedOut ? .failure(.timedOut) : result, in: loop.now - dial.startedAt)
        switch result {
        case .success(let connection):
            addressBackOff.succeeded(dial.address)
            swarm.addressBook.add([dial.address], of: connection.peer, source: .connected)
            if attempt.outcome == nil {
                finish(attempt, .success(connection), in: swarm)
            } else if swarm.connections(to: connection.peer).count > 1 {
                connection.close(.supplanted)
            }
        case .failure(let error):
            let cause = dial.hasTimedOut ? .timedOut : error
            remember(cause, of: dial.address, attempt.target, in: swarm)
            advance(attempt, .failed(dial.address, cause), in: swarm)
        }
        startWaiting(in: swarm)
    }

    private func remember(_ cause: TransportError, of address: Multiaddr, _ target: DialTarget, in swarm: Swarm) {
        switch cause {
        case .cancelled, .refused, .backOff, .unresolved: return
        case .wrongPeer(let actual):
            if let expected = target.peer { swarm.addressBook.remove(address, of: expected) }
            swarm.addressBook.add([address], of: actual, source: .hint)
        case .network, .handshake, .timedOut, .unsupportedAddress: break
        }
        addressBackOff.failed(address, at: loop.now)
    }
}
