import WaggleBase

/// A simulated world: hosts, the network between them and a clock, all of which only move while `run` drives them.
///
/// One seed gives one course of events. Everything runs on the thread that calls `run`, one thing at a time, and time jumps
/// from event to event, so an hour of waiting costs nothing.
/// ```swift
/// let world = World(seed: 7)
/// let alice = world.host("alice"), bob = world.host("bob")
/// try world.run {
///     let listener = try await bob.system.network.listen(on: bob.address(port: 4001), admit: { _ in true }) { socket in … }
///     …
/// }
/// ```
/// Not for use from several threads at once; several worlds may run in parallel.
public final class World: @unchecked Sendable {
    public let seed: UInt64
    public let options: WorldOptions

    let loop: SimulatedLoop
    let fabric: Fabric
    /// The domain name system of all hosts.
    public let names = NameZone()
    private var hostsByName: [String: Host] = [:]
    private(set) var logLines: [String] = []

    public init(seed: UInt64, options: WorldOptions = WorldOptions()) {
        self.seed = seed
        self.options = options
        loop = SimulatedLoop(keepsTraceLines: options.keepsTraceLines)
        fabric = Fabric(loop: loop, options: options, random: SeededRandom(seed: seed, name: "network", generation: 0))
        control = HostLoop(base: loop)
    }

    deinit {
        // Lets the tasks that are left end, so that they free what they hold.
        control.die()
        for host in hosts where host.isUp { host.stop() }
        loop.end()
        fabric.clear()
        for host in hosts { host.forget() }
    }

    // MARK: Time

    private let control: HostLoop

    /// A loop of the test itself, for waiters and sleeps that belong to no host.
    public var mainLoop: any EventLoop { control }
    public var now: Instant { loop.now }
    /// Virtual time since the start.
    public var elapsed: Duration { loop.now - Instant(nanoseconds: 1_000_000_000) }
    public var wallTime: WallTime { options.wallTime + elapsed }

    /// What happened so far.
    public var trace: Trace { loop.trace }

    /// Writes a line of the test's own into the trace.
    public func note(_ text: String) { loop.note(.fault(text)) }

    /// Suspends for `duration` of virtual time. Only inside `run`.
    public func sleep(for duration: Duration) async throws(CancellationError) {
        try await control.sleep(until: loop.now + duration)
    }

    // MARK: Running

    /// Runs `body` as a task of this world and returns when it has ended; other tasks go on at the next run.
    ///
    /// Blocks the calling thread, which does all the work. Throws what the body throws, or a `WorldError` when the body cannot
    /// end: nothing is left to do, or `limit` of virtual time has passed. The body is cancelled then.
    public func run<R: Sendable>(
        limit: Duration = .seconds(24 * 3600), _ body: @escaping @Sendable () async throws -> R
    ) throws -> R {
        let box = ResultBox<R>()
        let task = loop.spawn {
            do { box.result = .success(try await body()) } catch { box.result = .failure(error) }
        }
        let stop = loop.drive(until: loop.now + limit) { box.result != nil }
        if let result = box.result { return try result.get() }
        let at = loop.now
        task.cancel()
        loop.drain()
        switch stop {
        case .late: throw WorldError.timeLimit(seed: seed, limit: limit)
        case .livelock: throw WorldError.livelock(seed: seed, at: at)
        case .idle, .done: throw WorldError.deadlock(seed: seed, at: at)
        }
    }

    /// Lets `duration` of virtual time pass.
    public func run(for duration: Duration) throws {
        let end = loop.now + duration
        switch loop.drive(until: end, isDone: { false }) {
        case .livelock: throw WorldError.livelock(seed: seed, at: loop.now)
        case .done, .late: return
        case .idle:
            // Nothing was left to do; time passes all the same.
            loop.schedule(after: end - loop.now) {}
            _ = loop.drive(until: end) { false }
        }
    }

    private final class ResultBox<R: Sendable>: @unchecked Sendable {
        var result: Result<R, any Error>?
    }

    // MARK: Hosts

    /// All hosts, in order of creation.
    public var hosts: [Host] { hostsByName.values.sorted { $0.number < $1.number } }

    /// The host of that name; made when it is not there. A new one has an IPv4 address (10.0.0.1 and up) and an IPv6 address
    /// (fd00::1 and up), unless `addresses` names others.
    public func host(_ name: String, addresses: [IPAddress]? = nil) -> Host {
        if let host = hostsByName[name] { return host }
        let number = hostsByName.count + 1
        let host = Host(
            name: name, number: number,
            addresses: addresses ?? [
                .v4(0x0a00_0000 + UInt32(number)), .v6(high: 0xfd00 << 48, low: UInt64(number), zone: 0),
            ], world: Access(self))
        hostsByName[name] = host
        fabric.add(host)
        return host
    }

    /// The running system of `host`.
    public func system(for host: Host) -> any System { host.system }

    // MARK: Interfaces

    /// Gives a host one more interface. Interfaces of one `segment` reach each other by multicast; the first of each host is "eth0" in segment "".
    public func addInterface(_ name: String, to host: Host, addresses: [IPAddress], segment: String = "") {
        let index = (host.interfaces.map(\.index).max() ?? 0) + 1
        for address in addresses { fabric.add(address, to: host) }
        host.interfaces.append(HostInterface(index: index, name: name, addresses: addresses, segment: segment))
        note("\(host.name) has the interface \(name)")
    }

    /// Moves an interface to another segment.
    public func setSegment(_ segment: String, of name: String = "eth0", on host: Host) { change(name, host) { $0.segment = segment } }

    /// Takes an interface down, or brings it up again: its addresses are not listed, and nothing is multicast on it.
    public func setInterface(_ name: String, of host: Host, isUp: Bool) {
        note("\(name) of \(host.name) is \(isUp ? "up" : "down")")
        change(name, host) { $0.isUp = isUp }
    }

    /// Lets an interface refuse multicast, as those of containers often do.
    public func refuseMulticast(on name: String, of host: Host) { change(name, host) { $0.refusesMulticast = true } }

    private func change(_ name: String, _ host: Host, _ body: (inout HostInterface) -> Void) {
        for index in host.interfaces.indices where host.interfaces[index].name == name { body(&host.interfaces[index]) }
    }

    // MARK: Network faults

    /// Gives two hosts a link of their own, both ways.
    public func link(_ a: Host, _ b: Host, _ link: LinkOptions) { fabric.setLink(a, b, link) }

    /// Loses everything between two hosts from now on. Connections stay up and go on after `heal`, unless a time-out ends them.
    public func partition(_ a: Host, _ b: Host) { fabric.cut(a, b) }

    /// Cuts every host of one side off from every host of the other.
    public func partition(_ left: [Host], from right: [Host]) {
        for a in left { for b in right { fabric.cut(a, b) } }
    }

    /// Ends the partition between two hosts.
    public func heal(_ a: Host, _ b: Host) { fabric.heal(a, b) }

    /// Ends all partitions.
    public func healAll() { fabric.healAll() }

    /// Resets all connections between two hosts, as a middle box would.
    public func resetConnections(between a: Host, and b: Host) { fabric.resetConnections(a, b) }

    // MARK: Log

    /// Records of all hosts at the options' level and above.
    public var records: [String] { logLines }

    func log(_ line: String) { logLines.append(line) }

    /// What hosts know of their world without keeping it alive.
    final class Access: @unchecked Sendable {
        weak var world: World?
        let loop: SimulatedLoop
        let fabric: Fabric
        let options: WorldOptions
        let seed: UInt64
        let names: NameZone

        init(_ world: World) {
            self.world = world
            loop = world.loop
            fabric = world.fabric
            options = world.options
            seed = world.seed
            names = world.names
        }

        var wallTime: WallTime { options.wallTime + (loop.now - Instant(nanoseconds: 1_000_000_000)) }
    }
}
