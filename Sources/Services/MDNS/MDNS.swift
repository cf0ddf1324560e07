import Synchronization
import WaggleBase
import WaggleFormats
import WaggleNetwork

/// Finds peers in the local network by multicast DNS, and connects to them; tells them of us.
///
/// On all interfaces, IPv4 and IPv6, loopback included, so that nodes on one machine find each other without a network. Spec: libp2p specs,
/// discovery/mdns; RFC 6762. Folder: `MDNSMachine` what is said when, `MDNSNames` the names and records, `DNSMessage` and `DNSName` the wire form,
/// `MDNSSocket` a socket and its interfaces, `MDNSLimits` the bounds.
public final class MDNS: Service, MetricSource {
    private struct Counts {
        var found: UInt64 = 0
        var received: UInt64 = 0
        var sent: UInt64 = 0
        var interfaces = 0
    }

    private let counts = Mutex(Counts())

    public init() {}

    public var protocols: [ProtocolID] { [] }

    public func serve(_ stream: Stream, from peer: PeerID) async throws {}

    public func run(on swarm: Swarm) async throws {
        let shell = MDNSShell(swarm, self)
        do { try await shell.run() } catch {}  // Only the end of the node.
        await shell.close()
    }

    public func report(to report: inout MetricReport) {
        let counts = counts.withLock { $0 }
        report.counter("waggle_mdns_peers_found_total", "Peers that multicast DNS told of, each at most once a minute.", counts.found)
        report.counter("waggle_mdns_messages_total", "Messages of multicast DNS.", counts.received, ["dir": "in"])
        report.counter("waggle_mdns_messages_total", "Messages of multicast DNS.", counts.sent, ["dir": "out"])
        report.gauge("waggle_mdns_interfaces", "Interfaces on which multicast DNS works.", counts.interfaces)
    }

    fileprivate func received() { counts.withLock { $0.received &+= 1 } }
    fileprivate func sent() { counts.withLock { $0.sent &+= 1 } }
    fileprivate func found() { counts.withLock { $0.found &+= 1 } }
    fileprivate func serves(_ interfaces: Int) { counts.withLock { $0.interfaces = interfaces } }
}

/// Drives the machine: sockets, interfaces, time, and dials to what was found. Belongs to the home loop.
private final class MDNSShell: @unchecked Sendable {
    private let swarm: Swarm
    private let service: MDNS
    private let names: MDNSNames
    private let log: Log
    private let loop: any EventLoop
    private let scope = TaskScope()
    private var machine: MDNSMachine
    private var sockets: [MDNSSocket] = []
    private var interfaces: [NetworkInterface] = []
    /// Interfaces on which this node said that it is there.
    private var told: Set<UInt32> = []
    private var alarm: Alarm?
    private var waiting = Deque<(peer: PeerID, addresses: [Multiaddr])>()
    private var dials = 0
    /// Peers that wait or are being dialed.
    private var pending: Set<PeerID> = []
    private var observation: SwarmObservation?

    init(_ swarm: Swarm, _ service: MDNS) {
        self.swarm = swarm
        self.service = service
        loop = swarm.system.home
        log = Log("mdns", to: swarm.system.log)
        let letters = Array("abcdefghijklmnopqrstuvwxyz0123456789")
        names = MDNSNames(label: String(swarm.system.randomBytes(40).map { letters[Int($0) % letters.count] }))
        machine = MDNSMachine(swarm.localPeer, names, random: swarm.system.random())
    }

    func run() async throws {
        alarm = Alarm(on: loop) { [weak self] in self?.handle(.tick) }
        observation = swarm.observe(on: loop) { [weak self] event in
            switch event {
            case .addressesChanged: self?.handle(.refresh())
            case .peerDisconnected(let peer): self?.handle(.lost(peer))
            default: break
            }
        }
        var nextTry = loop.now
        while !Task.isCancelled {
            if sockets.count < 2, loop.now >= nextTry {
                nextTry = loop.now + MDNSLimits.retryInterval
                await openSockets()
            }
            look()
            try await loop.sleep(until: loop.now + MDNSLimits.interfaceInterval)
        }
    }

    func close() async {
        observation?.cancel()
        alarm?.stop()
        await scope.close()
        for socket in sockets {
            for interface in socket.joined.sorted() where told.contains(interface) { socket.send(names.goodbye(), on: interface) }
            socket.close()
        }
        sockets = []
    }

    private func openSockets() async {
        for isVersion6 in [false, true] where !sockets.contains(where: { $0.isVersion6 == isVersion6 }) {
            do throws(NetworkError) {
                let socket = try await MDNSSocket.open(swarm.system, isVersion6: isVersion6, log) { [weak self] message, origin, link in
                    self?.service.received()
                    self?.handle(.packet(message, from: origin, on: link))
                }
                if Task.isCancelled { return socket.close() }
                sockets.append(socket)
            } catch {
                log(.debug, "port not open", [LogField("version", isVersion6 ? 6 : 4), LogField("error", "\(error)")])
            }
        }
    }

    /// Notices what interfaces there are.
    private func look() {
        let all = swarm.system.datagrams.interfaces().filter { ($0.carriesMulticast || $0.isLoopback) && !$0.addresses.isEmpty }
        let now = Array(all.prefix(MDNSLimits.interfaces))
        // Where an interface got or lost an address, the others there should hear of it.
        let changed = now.filter { interface in interfaces.contains { $0.index == interface.index && $0.addresses != interface.addresses } }
        interfaces = now
        var links: Set<MDNSMachine.Link> = []
        for socket in sockets {
            socket.update(now.filter { interface in interface.addresses.contains { $0.isVersion6 == socket.isVersion6 } })
            for interface in socket.joined { links.insert(.init(interface: interface, isVersion6: socket.isVersion6)) }
        }
        service.serves(Set(links.map(\.interface)).count)
        handle(.links(links))
        if !changed.isEmpty { handle(.refresh(Set(changed.map(\.index)))) }
    }

    /// Handle, drain, arm.
    private func handle(_ input: MDNSMachine.Input) {
        machine.handle(input, at: loop.now)
        while let output = machine.next() {
            switch output {
            case .ask(let link): send(names.question(), on: link)
            case .answer(let link):
                let addresses = announced(on: link.interface)
                guard !addresses.isEmpty else { continue }
                told.insert(link.interface)
                send(names.answer(addresses), on: link)
            case .reply(let link, let target, let id, let question):
                let addresses = announced(on: link.interface)
                guard !addresses.isEmpty else { continue }
                var message = question == nil ? names.answer(addresses) : names.answer(addresses, seconds: MDNSLimits.legacySeconds, isLegacy: true)
                message.id = id
                if let question { message.questions = [question] }
                send(message, to: target, on: link)
            case .found(let peer, let addresses): found(peer, addresses)
            }
        }
        alarm?.set(machine.deadline)
    }

    private func send(_ message: DNSMessage, to target: SocketAddress? = nil, on link: MDNSMachine.Link) {
        guard let socket = sockets.first(where: { $0.isVersion6 == link.isVersion6 }) else { return }
        service.sent()
        socket.send(message, to: target, on: link.interface)
    }

    /// What is told on an interface: private addresses, those of loopback only to this machine. Public ones, and those of a single link, only where
    /// they belong: on the interface that has them, if it has no private one of their family.
    private func announced(on interface: UInt32) -> [Multiaddr] {
        guard let interface = interfaces.first(where: { $0.index == interface }) else { return [] }
        let hidden = swarm.configuration.noAnnounce
        let shared = interface.addresses.filter { $0.isPrivate && !$0.isLinkLocal }
        let usable = swarm.listenAddresses.filter { address in
            guard let ip = address.ip, !ip.isUnspecified, !address.contains(.p2pCircuit), !hidden.contains(where: { $0.contains(ip) }) else { return false }
            if ip.isLoopback { return interface.isLoopback }
            if ip.isPrivate, !ip.isLinkLocal { return true }
            if ip.isLinkLocal, ip.isVersion6 { return false }
            return interface.addresses.contains(ip) && !shared.contains { $0.isVersion6 == ip.isVersion6 }
        }
        // Those of the interface itself first: they are the likeliest to work.
        let own = usable.filter { $0.ip.map(interface.addresses.contains) ?? false }
        return (own + usable.filter { !own.contains($0) }).map { $0.with(peer: swarm.localPeer) }
    }

    // MARK: What was found

    private func found(_ peer: PeerID, _ addresses: [Multiaddr]) {
        service.found()
        log(.debug, "peer found", [LogField("peer", peer.short), LogField("addresses", addresses.count)])
        swarm.addressBook.add(addresses, of: peer, source: .hint)
        guard !swarm.isConnected(peer), waiting.count < MDNSLimits.waitingDials, pending.insert(peer).inserted else { return }
        waiting.append((peer, addresses))
        dialNext()
    }

    private func dialNext() {
        while dials < MDNSLimits.dials, let (peer, addresses) = waiting.popFirst() {
            guard !swarm.isConnected(peer) else {
                pending.remove(peer)
                continue
            }
            dials += 1
            let started = scope.spawn(on: loop) { [self] in
                await connect(peer, addresses)
                pending.remove(peer)
                dials -= 1
                dialNext()
            }
            if !started { dials -= 1 }
        }
    }

    private func connect(_ peer: PeerID, _ addresses: [Multiaddr]) async {
        do {
            try await withThrowingTaskGroup(of: Void.self) { [self] group in
                group.addTask { _ = try await self.swarm.connectDirectly(to: peer, addresses: addresses) }
                group.addTask { try await self.loop.sleep(until: self.loop.now + MDNSLimits.dialTimeout) }
                defer { group.cancelAll() }
                try await group.next()
            }
        } catch {
            log(.debug, "found peer not reached", [LogField("peer", peer.short), LogField("error", "\(error)")])
        }
    }
}

extension IPAddress {
    fileprivate var isVersion6: Bool { if case .v6 = self { true } else { false } }
}
