import WaggleBase
import WaggleNetwork

/// Connects to the providers that one search finds: a few at once, of those that wait the one that has served us best.
///
/// Only on the home loop.
final class ProviderSearch: @unchecked Sendable {
    private let swarm: Swarm
    private let providers: ProviderStatistics?
    private let scope: TaskScope
    private let home: any EventLoop
    private var waiting: [ContentProvider] = []
    private var dialing = 0
    private var connected = 0
    private let changed: Waiter

    init(on swarm: Swarm, _ providers: ProviderStatistics?, in scope: TaskScope) {
        self.swarm = swarm
        self.providers = providers
        self.scope = scope
        home = swarm.system.home
        changed = Waiter(on: home)
    }

    private var isSatisfied: Bool { connected >= BitswapLimits.providersPerSearch }

    /// Says whether more providers are wanted.
    func found(_ provider: ContentProvider) -> Bool {
        guard provider.peer != swarm.localPeer, !swarm.isConnected(provider.peer) else { return !isSatisfied }
        if waiting.count < BitswapLimits.providersWaiting { waiting.append(provider) }
        pump()
        return !isSatisfied
    }

    private func pump() {
        while dialing < BitswapLimits.dialsPerSearch, dialing + connected < BitswapLimits.providersPerSearch, let provider = takeBest() {
            dialing += 1
            let started = scope.spawn(on: home) { [self] in
                await dial(provider)
                dialing -= 1
                pump()
                changed.wake()
            }
            guard started else {
                dialing -= 1
                waiting = []
                return
            }
        }
    }

    private func takeBest() -> ContentProvider? {
        guard !waiting.isEmpty else { return nil }
        let best = providers?.ordered(waiting).first ?? waiting[0]
        waiting.removeAll { $0.peer == best.peer }
        return best
    }

    private func dial(_ provider: ContentProvider) async {
        do {
            _ = try await swarm.connect(to: provider.peer, addresses: provider.addresses)
            connected += 1
        } catch {
            // Not its fault when we are being stopped.
            if !Task.isCancelled { providers?.update(provider.peer, success: false) }
        }
    }

    /// Returns when nobody is left to dial.
    func drain() async {
        do { while dialing > 0 { try await changed.wait() } } catch {}
        waiting = []
    }
}
