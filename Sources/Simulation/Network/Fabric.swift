import WaggleBase

/// The network between the hosts: who has which address, which links are cut, which connections are up.
final class Fabric: @unchecked Sendable {
    struct Pair: Hashable {
        let low: Int
        let high: Int
        init(_ a: Host, _ b: Host) {
            low = min(a.number, b.number)
            high = max(a.number, b.number)
        }
    }

    let loop: SimulatedLoop
    let options: WorldOptions
    var random: SeededRandom
    private var hosts: [IPAddress: Host] = [:]
    private var links: [Pair: LinkOptions] = [:]
    private var cuts: Set<Pair> = []
    private var stacks: [Int: NetworkStack] = [:]

    init(loop: SimulatedLoop, options: WorldOptions, random: SeededRandom) {
        self.loop = loop
        self.options = options
        self.random = random
    }

    func add(_ host: Host) {
        for address in host.addresses {
            precondition(hosts[address] == nil, "two hosts of a world have the address \(address)")
            hosts[address] = host
        }
    }

    /// Gives a host one more address.
    func add(_ address: IPAddress, to host: Host) {
        precondition(hosts[address] == nil, "two hosts of a world have the address \(address)")
        hosts[address] = host
    }

    func remove(_ address: IPAddress) { hosts[address] = nil }

    /// All hosts that have an address, in order.
    var allHosts: [Host] {
        var byNumber: [Int: Host] = [:]
        for host in hosts.values { byNumber[host.number] = host }
        return byNumber.sorted { $0.key < $1.key }.map(\.value)
    }

    func clear() {
        for stack in stacks.values { stack.forget() }
        stacks = [:]
        hosts = [:]
    }

    func stack(of host: Host) -> NetworkStack {
        if let stack = stacks[host.number] { return stack }
        let stack = NetworkStack()
        stacks[host.number] = stack
        return stack
    }

    /// Who answers at `address`, as seen from `host`.
    func host(at address: IPAddress, from host: Host) -> Host? { address.isLoopback ? host : hosts[address] }

    // MARK: Links

    func link(_ a: Host, _ b: Host) -> LinkOptions {
        a === b ? options.loopback : links[Pair(a, b)] ?? options.link
    }

    func setLink(_ a: Host, _ b: Host, _ link: LinkOptions) { links[Pair(a, b)] = link }

    /// Whether something that `a` has sent reaches `b` now.
    func isReachable(_ a: Host, _ b: Host) -> Bool { b.hasPower && (a === b || !cuts.contains(Pair(a, b))) }

    func delay(_ a: Host, _ b: Host) -> Duration {
        let link = link(a, b)
        return link.latency + random.duration(upTo: link.jitter)
    }

    func cut(_ a: Host, _ b: Host) {
        guard a !== b, cuts.insert(Pair(a, b)).inserted else { return }
        loop.note(.fault("\(a.name) and \(b.name) are cut off"))
    }

    func heal(_ a: Host, _ b: Host) {
        guard cuts.remove(Pair(a, b)) != nil else { return }
        loop.note(.fault("\(a.name) and \(b.name) reach each other again"))
        sendAgain { Pair($0.host, $0.remoteHost) == Pair(a, b) }
    }

    func healAll() {
        guard !cuts.isEmpty else { return }
        cuts = []
        loop.note(.fault("all partitions end"))
        sendAgain { _ in true }
    }

    private func sendAgain(where matches: (SimulatedSocket) -> Bool) {
        for socket in allSockets() where matches(socket) { socket.sendAgain() }
    }

    private func allSockets() -> [SimulatedSocket] {
        stacks.sorted { $0.key < $1.key }.flatMap { $0.value.orderedSockets }
    }

    // MARK: Ends of hosts

    func resetConnections(_ a: Host, _ b: Host) {
        loop.note(.fault("connections between \(a.name) and \(b.name) are reset"))
        for socket in allSockets() where Pair(socket.host, socket.remoteHost) == Pair(a, b) {
            socket.fail(Errno.connectionReset)
        }
    }

    func resetAll(_ host: Host) {
        let stack = stack(of: host)
        for listener in stack.orderedListeners { listener.close() }
        for socket in stack.orderedSockets { socket.orphan() }
        stack.closeDatagramSockets()
        stack.abandonAttempts()
    }

    func vanish(_ host: Host) {
        let stack = stack(of: host)
        for listener in stack.orderedListeners { listener.close() }
        for socket in stack.orderedSockets { socket.vanish() }
        stack.closeDatagramSockets()
        stack.abandonAttempts()
    }

    /// What others kept sending to the host now reaches it, and is answered by resets.
    func returned(_ host: Host) { sendAgain { $0.remoteHost === host } }
}

/// Linux's numbers, which the contract promises.
enum Errno {
    static let badDescriptor: Int32 = 9
    static let brokenPipe: Int32 = 32
    static let notPermitted: Int32 = 1
    static let noDevice: Int32 = 19
    static let messageTooLong: Int32 = 90
    static let addressNotAvailable: Int32 = 99
    static let networkUnreachable: Int32 = 101
    static let connectionReset: Int32 = 104
    static let timedOut: Int32 = 110
}

/// The ports and connections of one host.
final class NetworkStack {
    struct Tuple: Hashable {
        var local: SocketAddress
        var remote: SocketAddress
        var mirrored: Tuple { Tuple(local: remote, remote: local) }
    }

    private static let firstEphemeralPort: UInt16 = 49_152

    private(set) var sockets: [Tuple: SimulatedSocket] = [:]
    private(set) var listeners: [SocketAddress: SimulatedListener] = [:]
    private(set) var attempts: [Tuple: ConnectAttempt] = [:]
    /// In the order in which they were opened.
    var datagramSockets: [SimulatedDatagramSocket] = []
    private var nextPort = firstEphemeralPort
    private var nextNumber: UInt64 = 0

    var orderedSockets: [SimulatedSocket] { sockets.values.sorted { $0.number < $1.number } }
    var orderedListeners: [SimulatedListener] { listeners.values.sorted { $0.number < $1.number } }

    func number() -> UInt64 {
        nextNumber += 1
        return nextNumber
    }

    func isTaken(_ tuple: Tuple) -> Bool { sockets[tuple] != nil || attempts[tuple] != nil }

    func add(_ socket: SimulatedSocket, _ tuple: Tuple) { sockets[tuple] = socket }
    func remove(_ tuple: Tuple, _ socket: SimulatedSocket) { if sockets[tuple] === socket { sockets[tuple] = nil } }
    func add(_ attempt: ConnectAttempt, _ tuple: Tuple) { attempts[tuple] = attempt }
    func removeAttempt(_ tuple: Tuple) { attempts[tuple] = nil }

    func abandonAttempts() {
        for attempt in attempts.values.sorted(by: { $0.number < $1.number }) { attempt.end(.failure(.cancelled)) }
    }

    func add(_ listener: SimulatedListener) -> Bool {
        let address = listener.address
        let clash = listeners.keys.contains {
            $0.port == address.port && $0.ip.isVersion4 == address.ip.isVersion4
                && ($0.ip == address.ip || $0.ip.isUnspecified || address.ip.isUnspecified)
        }
        if clash { return false }
        listeners[address] = listener
        return true
    }

    func remove(_ listener: SimulatedListener) {
        if listeners[listener.address] === listener { listeners[listener.address] = nil }
    }

    func listener(for address: SocketAddress) -> SimulatedListener? {
        if let exact = listeners[address] { return exact }
        let any: IPAddress = address.ip.isVersion4 ? .v4(0) : .v6(high: 0, low: 0, zone: 0)
        return listeners[SocketAddress(ip: any, port: address.port)]
    }

    /// A port that nobody listens on and nobody has to `remote`.
    func freePort(_ ip: IPAddress, to remote: SocketAddress?) -> UInt16? {
        for _ in 0...(UInt16.max - Self.firstEphemeralPort) {
            let port = nextPort
            nextPort = nextPort == .max ? Self.firstEphemeralPort : nextPort + 1
            let local = SocketAddress(ip: ip, port: port)
            if listener(for: local) != nil { continue }
            if let remote, isTaken(Tuple(local: local, remote: remote)) { continue }
            return port
        }
        return nil
    }

    func forget() {
        for socket in sockets.values { socket.forget() }
        sockets = [:]
        listeners = [:]
        attempts = [:]
        datagramSockets = []
    }
}

extension IPAddress {
    var isVersion4: Bool { if case .v4 = self { true } else { false } }
}
