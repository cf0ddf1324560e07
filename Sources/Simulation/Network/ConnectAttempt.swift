import WaggleBase

/// One `connect` under way: SYNs are sent, with doubling pauses, until somebody answers.
final class ConnectAttempt: @unchecked Sendable {
    typealias Outcome = Result<any ByteSocket, NetworkError>

    private static let firstRetry = Duration.seconds(1)
    /// How long it takes to learn that no host has the address.
    private static let unreachableAfter = Duration.milliseconds(10)

    let number: UInt64
    private let host: Host
    private let loop: HostLoop
    private let tuple: NetworkStack.Tuple
    private let fabric: Fabric
    private var continuation: UnsafeContinuation<Outcome, Never>?
    private var isOver = false
    private var pause = firstRetry
    private var deadline = Instant.distantFuture

    init(host: Host, loop: HostLoop, tuple: NetworkStack.Tuple, number: UInt64) {
        self.host = host
        self.loop = loop
        self.tuple = tuple
        self.number = number
        fabric = host.world.fabric
    }

    func start(_ continuation: UnsafeContinuation<Outcome, Never>) {
        self.continuation = continuation
        if isOver || Task.isCancelled { return end(.failure(.cancelled)) }
        fabric.loop.note(.connecting(from: tuple.local, to: tuple.remote))
        fabric.stack(of: host).add(self, tuple)
        guard let target = fabric.host(at: tuple.remote.ip, from: host) else {
            return fabric.loop.schedule(after: Self.unreachableAfter) { [self] in end(.failure(.unreachable(tuple.remote))) }
        }
        deadline = fabric.loop.now + fabric.options.connectTimeout
        send(to: target)
    }

    /// Ends the attempt once, with a socket or an error.
    func end(_ outcome: Outcome) {
        isOver = true
        guard let continuation else { return }
        self.continuation = nil
        fabric.stack(of: host).removeAttempt(tuple)
        if case .failure = outcome { fabric.loop.note(.failed(from: tuple.local, to: tuple.remote)) }
        continuation.resume(returning: outcome)
    }

    private func send(to target: Host) {
        fabric.loop.schedule(after: fabric.delay(host, target)) { [self] in arrive(at: target) }
    }

    private func arrive(at target: Host) {
        guard !isOver else { return }
        guard fabric.isReachable(host, target) else { return lost(to: target) }
        let stack = fabric.stack(of: target)
        if let crossing = stack.attempts[tuple.mirrored], crossing !== self { return meet(crossing, at: target) }
        guard let listener = stack.listener(for: tuple.remote), !stack.isTaken(tuple.mirrored) else {
            return fabric.loop.schedule(after: fabric.delay(target, host)) { [self] in
                end(.failure(.connectionRefused(tuple.remote)))
            }
        }
        let (near, far) = SimulatedSocket.pair(fabric, host, loop, tuple, target, listener.loop)
        let answer = fabric.delay(target, host)
        let acknowledgement = fabric.delay(host, target)
        far.expectNothing(before: fabric.loop.now + answer + acknowledgement)
        near.expectNothing(before: fabric.loop.now + answer)
        fabric.loop.schedule(after: answer) { [self] in established(near) }
        fabric.loop.schedule(after: answer + acknowledgement) {
            // A host that crashed in the meantime has closed its sockets.
            if !far.isGone { listener.deliver(far) }
        }
    }

    private func established(_ socket: SimulatedSocket) {
        if isOver { return socket.close(abort: true) }
        fabric.loop.note(.connected(from: tuple.local, to: tuple.remote))
        end(.success(socket))
    }

    /// Both sides dialled each other from the ports that they dial to: TCP makes one connection of it, and both dials succeed.
    private func meet(_ other: ConnectAttempt, at target: Host) {
        let (near, far) = SimulatedSocket.pair(fabric, host, loop, tuple, target, other.loop)
        let answer = fabric.delay(target, host)
        near.expectNothing(before: fabric.loop.now + answer)
        far.expectNothing(before: fabric.loop.now + answer)
        other.established(far)
        fabric.loop.schedule(after: answer) { [self] in established(near) }
    }

    private func lost(to target: Host) {
        fabric.loop.note(.held(from: tuple.local, to: tuple.remote))
        let next = fabric.loop.now + pause
        pause += pause
        let again = min(next, deadline)
        fabric.loop.schedule(after: again - fabric.loop.now) { [self] in
            if isOver { return }
            if again == deadline { end(.failure(.timedOut(tuple.remote))) } else { send(to: target) }
        }
    }
}
