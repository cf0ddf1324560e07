import Testing
import WaggleBase
import WaggleSimulation
import WaggleTestSupport

/// What datagram sockets do, in both worlds.
@Suite struct DatagramBehaviour {
    static let any4 = SocketAddress(ip: .v4(0), port: 0)
    static let any6 = SocketAddress(ip: .v6(high: 0, low: 0, zone: 0), port: 0)

    @Test(arguments: Stage.allCases) func datagramsGoThereAndBack(_ stage: Stage) async throws {
        try await stage.play { scene in
            let near = DatagramPort(try await scene.near.datagrams.bind(Self.any4, DatagramOptions(), on: scene.near.home))
            let far = DatagramPort(try await scene.far.datagrams.bind(Self.any4, DatagramOptions(), on: scene.far.home))
            #expect(near.socket.localAddress.port != 0)
            let target = SocketAddress(ip: scene.farAddress, port: far.socket.localAddress.port)
            #expect(near.send(pattern(1200), to: target, mark: 2) == .moved(1))
            let (entry, bytes) = try await far.receive()[0]
            #expect(bytes == pattern(1200))
            #expect(entry.destination == scene.farAddress && entry.interface != 0)
            #expect(entry.source.port == near.socket.localAddress.port)
            #expect(entry.congestionMark == 2 && !entry.isTruncated && entry.segmentSize == 0)
            #expect(far.send([7], to: entry.source, from: entry.destination) == .moved(1))
            let (answer, seven) = try await near.receive()[0]
            #expect(seven == [7])
            #expect(answer.source == target)
            near.socket.close()
            far.socket.close()
        }
    }

    @Test(arguments: Stage.allCases) func longDatagramsAreCutOffAndEmptyOnesArrive(_ stage: Stage) async throws {
        try await stage.play { scene in
            let far = DatagramPort(try await scene.far.datagrams.bind(Self.any4, DatagramOptions(), on: scene.far.home), datagramSize: 100)
            let near = DatagramPort(try await scene.near.datagrams.bind(Self.any4, DatagramOptions(), on: scene.near.home))
            let target = SocketAddress(ip: scene.farAddress, port: far.socket.localAddress.port)
            #expect(near.send(pattern(300), to: target) == .moved(1))
            let cut = try await far.receive()[0]
            #expect(cut.entry.isTruncated && cut.bytes == Array(pattern(300).prefix(100)))
            #expect(near.send([], to: target) == .moved(1))
            let empty = try await far.receive()[0]
            #expect(empty.bytes.isEmpty && !empty.entry.isTruncated)
            #expect(near.send(pattern(70_000), to: target) == .failed(errno: 90))
            near.socket.close()
            far.socket.close()
            #expect(near.send([1], to: target) == .failed(errno: 9))
        }
    }

    @Test(arguments: Stage.allCases) func batchesAndSegments(_ stage: Stage) async throws {
        try await stage.play { scene in
            let far = DatagramPort(try await scene.far.datagrams.bind(Self.any4, DatagramOptions(), on: scene.far.home), capacity: 64)
            let near = DatagramPort(try await scene.near.datagrams.bind(Self.any4, DatagramOptions(), on: scene.near.home))
            let target = SocketAddress(ip: scene.farAddress, port: far.socket.localAddress.port)
            let bytes = pattern(1000)
            let sent = bytes.withUnsafeBytes { bytes in
                near.socket.send((0..<20).map { OutgoingDatagram(to: target, UnsafeRawBufferPointer(rebasing: bytes[..<($0 + 1)])) })
            }
            #expect(sent == .moved(20))
            var sizes: Set<Int> = []
            while sizes.count < 20 { sizes.formUnion(try await far.receive().map(\.bytes.count)) }
            #expect(sizes == Set(1...20))
            // Several datagrams in one piece.
            #expect(near.send(bytes, to: target, segmentSize: 300) == .moved(1))
            var received: [[UInt8]] = []
            while received.count < 4 { received += try await far.receive().map(\.bytes) }
            #expect(received.map(\.count).sorted() == [100, 300, 300, 300])
            #expect(received.map { Array($0.prefix(3)) }.contains(Array(bytes[300..<303])))
            near.socket.close()
            far.socket.close()
        }
    }

    @Test(arguments: Stage.allCases) func portsAreTakenOrShared(_ stage: Stage) async throws {
        try await stage.play { scene in
            let network = scene.near.datagrams
            let first = try await network.bind(Self.any4, DatagramOptions(), on: scene.loop)
            let address = SocketAddress(ip: .v4(0), port: first.localAddress.port)
            await #expect(throws: NetworkError.addressInUse(address)) { _ = try await network.bind(address, DatagramOptions(), on: scene.loop) }
            first.close()
            var shared = DatagramOptions()
            shared.sharesAddress = true
            let one = try await network.bind(address, shared, on: scene.loop)
            let two = try await network.bind(address, shared, on: scene.loop)
            one.close()
            two.close()
        }
    }

    @Test(arguments: Stage.allCases) func interfacesHaveAddresses(_ stage: Stage) async throws {
        try await stage.play { scene in
            let interfaces = scene.near.datagrams.interfaces()
            #expect(interfaces.contains { $0.isLoopback && $0.addresses.contains(.loopback) && $0.index != 0 && !$0.name.isEmpty })
            #expect(Set(interfaces.map(\.index)).count == interfaces.count)
        }
    }

    /// Several members on one machine; the loopback interface carries multicast in both worlds where it is told the interface.
    @Test(arguments: Stage.allCases) func multicastReachesMembersOnly(_ stage: Stage) async throws {
        try await stage.play { scene in
            let group = IPAddress.v4(0xef12_3456)
            var options = DatagramOptions()
            options.sharesAddress = true
            let network = scene.near.datagrams
            let loopback = try #require(network.interfaces().first { $0.isLoopback })
            let probe = try await network.bind(Self.any4, DatagramOptions(), on: scene.loop)
            let port = probe.localAddress.port
            probe.close()
            let member = DatagramPort(try await network.bind(SocketAddress(ip: .v4(0), port: port), options, on: scene.loop))
            let other = DatagramPort(try await network.bind(SocketAddress(ip: .v4(0), port: port), options, on: scene.loop))
            let stranger = DatagramPort(try await network.bind(SocketAddress(ip: .v4(0), port: port), options, on: scene.loop))
            try member.socket.join(group, interface: loopback.index)
            try other.socket.join(group, interface: loopback.index)
            #expect(throws: NetworkError.self) { try member.socket.join(group, interface: loopback.index) }
            #expect(throws: NetworkError.self) { try stranger.socket.join(group, interface: 4_000_000) }
            #expect(member.send([1, 2, 3], to: SocketAddress(ip: group, port: port), interface: loopback.index) == .moved(1))
            for port in [member, other] {
                let (entry, bytes) = try await port.receive()[0]
                #expect(bytes == [1, 2, 3])
                #expect(entry.destination == group && entry.interface == loopback.index)
            }
            #expect(stranger.socket.receive(into: stranger.batch) == .wouldBlock)
            other.socket.leave(group, interface: loopback.index)
            #expect(member.send([4], to: SocketAddress(ip: group, port: port), interface: loopback.index) == .moved(1))
            #expect(try await member.receive()[0].bytes == [4])
            #expect(other.socket.receive(into: other.batch) == .wouldBlock)
            for port in [member, other, stranger] { port.socket.close() }
        }
    }
}
