import WaggleBase
import WaggleCryptography

/// Drives one `UpgradeMachine` over a socket, on the socket's loop.
final class UpgradeSession: SocketHandler, @unchecked Sendable {
    /// What is read at once at first: every handshake message of today fits.
    private static let initialBuffer = 4 << 10
    /// The longest single thing that must be presented whole: a record of 65,535 bytes and its length.
    private static let largestBuffer = 66 << 10

    private let socket: any ByteSocket
    private let system: any System
    private let slowWork: SlowWork?
    private let rareIdentity: KeyKind?
    private let pacer: HandshakePacer?
    /// The time that the pacer gave us for what is there to read.
    private var turn: Instant?
    private var machine: UpgradeMachine
    private let changed: Waiter
    private var isReadable = true
    private var isWritable = true
    private var input = ByteStorage(capacity: initialBuffer)
    private var filled = 0
    private var output = Bytes()

    /// `slowWork` bounds what this upgrade may have done off the loop, `pacer` when it may compute on it; nil for no bound. `rareIdentity` is the
    /// kind of this node's identity if many peers do not know it.
    init(
        _ socket: any ByteSocket, _ machine: UpgradeMachine, on system: any System, _ slowWork: SlowWork?, _ pacer: HandshakePacer?,
        rareIdentity: KeyKind?
    ) {
        self.rareIdentity = rareIdentity
        self.pacer = pacer
        self.socket = socket
        self.machine = machine
        self.system = system
        self.slowWork = slowWork
        changed = Waiter(on: socket.loop)
    }

    func socketReadable() {
        isReadable = true
        changed.wake()
    }

    func socketWritable() {
        isWritable = true
        changed.wake()
    }

    /// Returns the upgraded connection and the raw bytes that came behind it; the socket has no handler then. Throws without closing it.
    func run() async throws(TransportError) -> (upgraded: Upgraded, rest: Bytes) {
        let alarm = Alarm(on: socket.loop) { [self] in changed.wake() }
        alarm.set(machine.deadline)
        socket.handler = self
        defer {
            alarm.stop()
            socket.handler = nil
        }
        var done: Upgraded?
        while true {
            try flush()
            if let work = machine.takeWork() {
                try await complete(work)
                continue
            }
            if done == nil { done = machine.finish() }
            if let done, output.isEmpty { return (done, rest) }
            if done == nil, isOurTurn, try takeTurn() { continue }
            do { try machine.tick(at: socket.loop.now) } catch { throw .handshake(error) }
            // Bytes may have become writable while we read.
            if !output.isEmpty, isWritable { continue }
            alarm.set(min(turn ?? machine.deadline, machine.deadline))
            do { try await changed.wait() } catch { throw .cancelled }
        }
    }

    /// Whether there may be something to read and the pacer lets us.
    private var isOurTurn: Bool {
        guard isReadable else { return false }
        guard let pacer else { return true }
        let turn = turn ?? pacer.reserve(at: socket.loop.now)
        self.turn = turn
        return turn <= socket.loop.now
    }

    /// Reads once and feeds the machine; says whether anything came.
    private func takeTurn() throws(TransportError) -> Bool {
        turn = nil
        let steps = machine.handshakeSteps
        let moved = try fill()
        if machine.handshakeSteps == steps { pacer?.giveBack() }
        return moved
    }

    /// Has work done off the loop, if there is room for it.
    private func complete(_ work: @escaping HandshakeWork) async throws(TransportError) {
        var result: Bytes?
        if slowWork?.begin() ?? true {
            defer { slowWork?.end() }
            do { result = try await system.offload { work() } } catch { throw .cancelled }
        }
        do throws(UpgradeError) {
            try machine.complete(result)
        } catch {
            lastWords()
            throw .handshake(error)
        }
    }

    /// What a machine that threw still has to say, as far as the socket takes it.
    private func lastWords() {
        do { try flush() } catch {}
    }

    private var rest: Bytes { Bytes(UnsafeRawBufferPointer(start: input.base, count: filled).bytes) }

    /// Sends what the machine has to say, as far as the socket takes it.
    private func flush() throws(TransportError) {
        while isWritable {
            if output.isEmpty { output = machine.next() ?? Bytes() }
            guard !output.isEmpty else { return }
            let outcome = output.withUnsafeBytes { piece in
                withUnsafePointer(to: piece) { socket.write(UnsafeBufferPointer(start: $0, count: 1)) }
            }
            switch outcome {
            case .moved(let count): output = output.dropFirst(count)
            case .wouldBlock: isWritable = false
            case .ended: throw .handshake(machine.end())
            case .failed(let errno): throw .network(.other(errno: errno))
            }
        }
        if output.isEmpty { output = machine.next() ?? Bytes() }
    }

    private func fill() throws(TransportError) -> Bool {
        guard isReadable else { return false }
        if filled == input.capacity { try grow() }
        let room = UnsafeMutableRawBufferPointer(start: input.base + filled, count: input.capacity - filled)
        switch socket.read(into: room) {
        case .moved(let count):
            if count < room.count { isReadable = false }
            filled += count
            let used: Int
            do throws(UpgradeError) {
                used = try machine.receive(UnsafeRawBufferPointer(start: input.base, count: filled).bytes)
            } catch {
                lastWords()
                throw .handshake(error)
            }
            if used > 0 {
                input.base.copyMemory(from: input.base + used, byteCount: filled - used)
                filled -= used
            }
            return true
        case .wouldBlock:
            isReadable = false
            return false
        case .ended: throw turnedAway ?? .handshake(machine.end())
        case .failed(let errno): throw turnedAway ?? .network(.other(errno: errno))
        }
    }

    /// A peer that does not know our kind of identity just goes: that deserves a name.
    private var turnedAway: TransportError? {
        guard let rareIdentity, machine.isBeingJudged else { return nil }
        return .handshake(.turnedAway(rareIdentity))
    }

    private func grow() throws(TransportError) {
        guard input.capacity < UpgradeSession.largestBuffer else { throw .handshake(.negotiation(.tooLong(bytes: UInt64(filled)))) }
        let larger = ByteStorage(capacity: min(input.capacity * 4, UpgradeSession.largestBuffer))
        larger.base.copyMemory(from: input.base, byteCount: filled)
        input = larger
    }
}
