import WaggleBase

/// One machine of a world: it has addresses and a disk that outlives crashes, and while it is up, a system.
public final class Host: @unchecked Sendable {
    public let name: String
    /// The addresses of its interfaces that are up, without loopback.
    public var addresses: [IPAddress] { interfaces.filter { $0.isUp && !$0.isLoopback }.flatMap(\.addresses) }
    /// Loopback first, then "eth0" and what the world added.
    var interfaces: [HostInterface]
    /// What its disk holds and how it fails.
    public let disk: Disk
    /// How far the host's time of day is off.
    public var wallClockSkew: Duration = .zero
    /// What the system says of the process' memory.
    public var residentMemory = 32 << 20

    let number: Int
    let world: World.Access
    private(set) var incarnation: HostSystem?
    private var generation = 0

    init(name: String, number: Int, addresses: [IPAddress], world: World.Access) {
        self.name = name
        self.number = number
        interfaces = [.loopback, HostInterface(index: 2, name: "eth0", addresses: addresses, segment: "")]
        self.world = world
        disk = Disk(size: world.options.diskSize, wallTime: { [world] in world.wallTime })
        incarnation = HostSystem(host: self, generation: 0)
    }

    /// The system of the current start. After a crash the old one stays dead; take the new one after `restart`.
    public var system: any System {
        guard let incarnation else { preconditionFailure("host \(name) is used after its world") }
        return incarnation
    }

    /// Keeps the processor busy for `duration`: what code that runs now would cost on a real machine. Only where the world's options have
    /// a processor; inside the world.
    public func spend(_ duration: Duration) { incarnation?.loop.spend(duration) }

    /// How long the processor was busy since the host's start.
    public var processorTime: Duration { incarnation?.loop.processorTime ?? .zero }

    /// Whether the process runs.
    public var isUp: Bool { incarnation?.isDead == false }

    /// Whether the machine answers on the network; without a process it refuses connections.
    private(set) var hasPower = true

    /// The first IPv4 address, or else the first address, with a port.
    public func address(port: UInt16) -> SocketAddress {
        let v4 = addresses.first { if case .v4 = $0 { true } else { false } }
        return SocketAddress(ip: v4 ?? addresses.first ?? .loopback, port: port)
    }

    /// Cuts the power: tasks are cancelled, connections vanish without a word, and what was not synced is lost.
    public func crash() {
        guard isUp else { return }
        world.loop.note(.fault("\(name) crashes"))
        stop()
        hasPower = false
        world.fabric.vanish(self)
        disk.loseUnsynced()
    }

    /// Ends the process as `kill -9` does: tasks are cancelled and connections reset, but the disk keeps all that was written.
    public func kill() {
        guard isUp else { return }
        world.loop.note(.fault("\(name) is killed"))
        world.fabric.resetAll(self)
        stop()
        disk.releaseHandles()
    }

    /// Starts the host again with the files that it has.
    @discardableResult
    public func restart() -> any System {
        precondition(!isUp, "host \(name) is up")
        world.loop.note(.fault("\(name) starts"))
        generation += 1
        let system = HostSystem(host: self, generation: generation)
        incarnation = system
        hasPower = true
        world.fabric.returned(self)
        return system
    }

    /// Ends the process' tasks and handles.
    func stop() { incarnation?.die() }

    // Breaks the cycle at the world's end.
    func forget() { incarnation = nil }
}
