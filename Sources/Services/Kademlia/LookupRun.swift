import WaggleBase
import WaggleNetwork

/// One search under way: drives its machine, keeps its requests in a scope, and hands the answers to whoever started it. On the home loop.
final class LookupRun: @unchecked Sendable {
    private let core: KademliaCore
    private let swarm: Swarm
    private let message: Bytes
    private let observer: (@Sendable (KademliaEvent) -> Void)?
    private let scope = TaskScope()
    private let changed: Waiter
    private var alarm: Alarm?
    private var answers = Deque<(KademliaContact, KademliaMessage)>()
    private(set) var machine: LookupMachine

    init(_ machine: LookupMachine, asking message: Bytes, on swarm: Swarm, _ core: KademliaCore) {
        self.machine = machine
        self.message = message
        self.core = core
        self.swarm = swarm
        observer = KademliaTrace.observer
        changed = Waiter(on: core.home)
    }

    func begin(_ seeds: [LookupMachine.Candidate]) {
        alarm = Alarm(on: core.home) { [weak self] in self?.handle(.tick) }
        handle(.begin(seeds))
    }

    /// The next answer; nil when the search is over.
    func next() async throws(CancellationError) -> (KademliaContact, KademliaMessage)? {
        while true {
            if let answer = answers.popFirst() { return answer }
            if machine.isOver { return nil }
            do { try await changed.wait() } catch {
                stop()
                throw error
            }
        }
    }

    func stop() { handle(.stop) }

    /// Sees the requests to their end.
    func close() async {
        stop()
        alarm?.stop()
        await scope.close()
    }

    // Handle, drain, arm.
    private func handle(_ input: LookupMachine.Input) {
        machine.handle(input, at: core.home.now)
        while let output = machine.next() {
            switch output {
            case .ask(let number, let contact): ask(number, contact)
            case .finished:
                scope.cancelAll()
                observer?(.closest(machine.closest.map(\.contact)))
            }
        }
        alarm?.set(machine.deadline)
        changed.wake()
    }

    private func ask(_ number: Int, _ contact: KademliaContact) {
        observer?(.asking(contact.peer))
        let message = message
        let started = scope.spawn(on: core.home) { [weak self] in
            guard let self else { return }
            do {
                guard let answer = try await core.request(message, contact, swarm) else { throw KademliaError.badAnswer(contact.peer) }
                answered(number, contact, answer)
            } catch {
                guard !machine.isOver else { return }
                observer?(.failed(contact.peer, reason: "\(error)"))
                handle(.failed(number))
            }
        }
        if !started { core.home.execute { [weak self] in self?.handle(.failed(number)) } }
    }

    private func answered(_ number: Int, _ contact: KademliaContact, _ answer: KademliaMessage) {
        guard !machine.isOver else { return }
        observer?(.answered(contact.peer, closer: answer.contacts(providers: false)))
        answers.append((contact, answer))
        let group = IPGroup(swarm.connections(to: contact.peer).map(\.remoteAddress))
        handle(.answered(number, closer: machine.candidates(in: answer) { core.mayAsk($0) }, group: group))
    }
}
