import Synchronization
import WaggleBase
import WaggleCryptography
import WaggleNetwork

/// The way of a message between its arrival and its acceptance: signature, sequence number, validators.
extension PubSub {
    // MARK: Signatures

    /// One of a few workers: verifies signatures off the loops, some at a time, until none waits.
    func verify(_ swarm: Swarm) async {
        while true {
            let (batch, number) = state.withLock { state -> ([Unverified], Int) in
                var batch: [Unverified] = []
                while batch.count < PubSubLimits.verificationsPerJob, let next = state.unverified.popFirst() { batch.append(next) }
                if batch.isEmpty { state.verifiers -= 1 }
                return (batch, batch.isEmpty ? 0 : state.verified.begin())
            }
            guard !batch.isEmpty else { return }
            do {
                let results = try await swarm.system.offload { [keys] in batch.map { keys.isGenuine($0.message.message) } }
                state.withLock { $0.verified.end(number, zip(batch, results).map { ($0, $1) }) }
            } catch {
                // The node is closing.
                return state.withLock { state in
                    state.verified.end(number, [])
                    state.verifiers -= 1
                }
            }
            settle(swarm)
        }
    }

    /// Goes on with what is verified, in the order in which it came: the later of two messages must not make the earlier one old. On the home loop.
    private func settle(_ swarm: Swarm) {
        while let batch = state.withLock({ $0.verified.next() }) {
            var genuine: ContiguousArray<(ticket: GossipMachine.Ticket, message: PubSubMessage, validator: Validator?)> = []
            var forged: [GossipMachine.Ticket] = []
            state.withLock { state in
                for (item, isGenuine) in batch {
                    if isGenuine {
                        genuine.append((item.ticket, item.message, state.validators[item.message.topic]))
                    } else {
                        forged.append(item.ticket)
                    }
                }
            }
            if !forged.isEmpty {
                step { machine, now in for ticket in forged { machine.handle(.forged(ticket), at: now) } }
            }
            validate(genuine, swarm)
        }
    }

    // MARK: Validators

    /// Runs what decides at once, and begins what takes its time.
    func validate(_ messages: ContiguousArray<(ticket: GossipMachine.Ticket, message: PubSubMessage, validator: Validator?)>, _ swarm: Swarm) {
        // Without authors there are no numbers.
        let sequences = configuration.checksSequence && configuration.policy != .strictNoSign ? state.withLock { $0.sequences } : nil
        var verdicts: ContiguousArray<(GossipMachine.Ticket, Validation)> = []
        verdicts.reserveCapacity(messages.count)
        for (ticket, message, validator) in messages {
            var verdict = Validation.accept
            if let sequences, !sequences.admits(message) { verdict = .ignore }
            var slow: [Validator] = []
            for validator in [configuration.validator, validator] {
                guard verdict == .accept, let validator else { continue }
                switch validator.kind {
                case .sync(let body): verdict = body(message)
                case .async: slow.append(validator)
                }
            }
            if verdict == .accept, !slow.isEmpty {
                // Too many at once: dropped, as if it had not come.
                if !begin(slow, ticket, message, swarm) { verdicts.append((ticket, .ignore)) }
            } else {
                verdicts.append((ticket, verdict))
            }
        }
        guard !verdicts.isEmpty else { return }
        step { machine, now in for (ticket, verdict) in verdicts { machine.handle(.verdict(ticket, verdict), at: now) } }
    }

    private func begin(_ validators: [Validator], _ ticket: GossipMachine.Ticket, _ message: PubSubMessage, _ swarm: Swarm) -> Bool {
        let limit = validators.map { if case .async(_, let limit) = $0.kind { limit } else { Int.max } }.min() ?? .max
        let topic = message.topic
        let isAllowed = state.withLock { state in
            let running = state.validations[topic, default: 0]
            guard running < limit, state.validations.values.reduce(0, +) < PubSubLimits.validations else { return false }
            state.validations[topic] = running + 1
            return true
        }
        guard isAllowed else { return false }
        return scope.spawn(on: swarm.system.home) { [self] in
            let verdict = await Patience.decide(within: PubSubLimits.validationTime, on: swarm.system.home) {
                for validator in validators {
                    guard case .async(let body, _) = validator.kind else { continue }
                    let verdict = await body(message)
                    guard verdict == .accept else { return verdict }
                }
                return .accept
            }
            state.withLock { state in
                let left = (state.validations[topic] ?? 1) - 1
                state.validations[topic] = left > 0 ? left : nil
            }
            step { $0.handle(.verdict(ticket, verdict), at: $1) }
        }
    }

    /// Whether our own validators let a message of ours out.
    func isAcceptable(_ message: PubSubMessage) async -> Bool {
        let own = state.withLock { $0.validators[message.topic] }
        for validator in [configuration.validator, own] {
            switch validator?.kind {
            case .sync(let body): if body(message) != .accept { return false }
            case .async(let body, _): if await body(message) != .accept { return false }
            case nil: continue
            }
        }
        return true
    }
}

/// A decision that is not waited for longer than agreed. The task that was too slow is cancelled.
private enum Patience {
    static func decide(within limit: Duration, on loop: any EventLoop, _ body: @escaping @Sendable () async -> Validation) async -> Validation {
        let result = Mutex<Validation?>(nil)
        let box = Box(result: result, done: Waiter(on: loop))
        let scope = TaskScope()
        scope.spawn(on: loop) {
            let verdict = await body()
            box.result.withLock { $0 = $0 ?? verdict }
            box.done.wake()
        }
        let timer = loop.schedule(at: loop.now + limit) {
            box.result.withLock { $0 = $0 ?? .ignore }
            box.done.wake()
        }
        defer { loop.cancel(timer) }
        while true {
            if let verdict = box.result.withLock({ $0 }) {
                scope.cancelAll()
                return verdict
            }
            do { try await box.done.wait() } catch {
                scope.cancelAll()
                return .ignore
            }
        }
    }

    private final class Box: Sendable {
        let result: Mutex<Validation?>
        let done: Waiter

        init(result: consuming Mutex<Validation?>, done: Waiter) {
            self.result = result
            self.done = done
        }
    }
}

/// The keys of authors, kept ready for verification. Safe from any thread.
final class AuthorKeys: Sendable {
    private let known = Mutex<[Bytes: PublicKey]>([:])

    /// Whether the message was signed by its author. Spec: libp2p pubsub, section "Message Signing".
    func isGenuine(_ message: GossipMessage) -> Bool {
        let author = message.from
        guard let key = key(of: author, attached: message.keyPart.count > 0 ? message.key : nil) else { return false }
        return key.verify(message.signature, of: message.signedBytes)
    }

    private func key(of author: Bytes, attached: Bytes?) -> PublicKey? {
        if let key = known.withLock({ $0[author] }) {
            // A key that comes along has to be the author's all the same.
            return attached.map { $0 == key.encoded } ?? true ? key : nil
        }
        do {
            let peer = try PeerID(bytes: Bytes(author.span))
            let key: PublicKey
            if let inlined = peer.publicKey {
                guard attached.map({ $0 == inlined.encoded }) ?? true else { return nil }
                key = inlined
            } else {
                guard let attached else { return nil }
                key = try PublicKey(decoding: attached)
                guard peer.matches(key) else { return nil }
            }
            known.withLock { known in
                if known.count >= PubSubLimits.authorKeys { known = [:] }
                known[peer.bytes] = key
            }
            return key
        } catch { return nil }
    }
}

/// Results of work that is begun in one order and may end in another.
struct InOrder<Result> {
    private var begun = 0
    private var taken = 0
    private var results: [Int: Result] = [:]

    /// The number of the next work.
    mutating func begin() -> Int {
        defer { begun += 1 }
        return begun
    }

    mutating func end(_ number: Int, _ result: Result) { results[number] = result }

    /// The next result in the order of beginning; nil when it is not there yet.
    mutating func next() -> Result? {
        guard let result = results.removeValue(forKey: taken) else { return nil }
        taken += 1
        return result
    }
}
