import WaggleBase
import WaggleFormats

/// What an upgraded socket becomes a connection with.
package struct ConnectionParameters {
    /// The socket, whose handler the connection becomes.
    package var socket: any ByteSocket
    package var direction: Direction
    package var upgraded: Upgraded
    package var muxer: any Muxer
    package var localAddress: Multiaddr
    package var remoteAddress: Multiaddr
    /// What was read from the socket and not used by the upgrade.
    package var unread: Bytes
    package var limits: ConnectionLimits
    package var router: any StreamRouter
    /// The pool of the socket's loop.
    package var pool: ChunkPool
    /// What all streams of the node may hold; nil for no bound but the connection's own.
    package var memory: MemoryBudget?

    package init(
        socket: any ByteSocket, direction: Direction, upgraded: Upgraded, muxer: any Muxer, localAddress: Multiaddr,
        remoteAddress: Multiaddr, unread: Bytes = Bytes(), limits: ConnectionLimits = ConnectionLimits(), router: any StreamRouter,
        pool: ChunkPool, memory: MemoryBudget? = nil
    ) {
        self.socket = socket
        self.direction = direction
        self.upgraded = upgraded
        self.muxer = muxer
        self.localAddress = localAddress
        self.remoteAddress = remoteAddress
        self.unread = unread
        self.limits = limits
        self.router = router
        self.pool = pool
        self.memory = memory
    }
}
