import WaggleBase

/// An interface of a simulated host. Hosts whose interfaces are on one `segment` reach each other by multicast.
struct HostInterface {
    static let loopback = HostInterface(index: 1, name: "lo", addresses: [.loopback], segment: "")

    let index: UInt32
    let name: String
    var addresses: [IPAddress]
    var segment: String
    var isUp = true
    var refusesMulticast = false

    var isLoopback: Bool { index == 1 }

    var description: NetworkInterface {
        let lengths = addresses.map { ($0, $0.isVersion4 ? 24 : 64) }
        return NetworkInterface(
            index: index, name: name, addresses: addresses, prefixLengths: Dictionary(lengths) { first, _ in first }, isLoopback: isLoopback,
            carriesMulticast: true)
    }
}
