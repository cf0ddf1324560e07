import WaggleBase
import WaggleFormats

/// Turns addresses with host names (`/dns`, `/dns4`, `/dns6`, `/dnsaddr`) into addresses that can be dialed.
///
/// Answers are remembered for as long as they allow; questions that are under way are shared. Everything is bounded by `NameLimits`.
public final class AddressResolver: MetricSource, @unchecked Sendable {
    private enum Answer: Sendable {
        case addresses([IPAddress])
        case texts([String])
    }

    private struct Row {
        let outcome: Result<Answer, ResolveError>
        let until: Instant
    }

    private final class Lookup: @unchecked Sendable {
        var outcome: Result<Answer, ResolveError>?
        let finished: Waiter
        init(on loop: any EventLoop) { finished = Waiter(on: loop) }
    }

    private let loop: any EventLoop
    private let names: any NameResolver
    private let scope = TaskScope()
    // On the loop.
    private var cache: [NameStep.Question: Row] = [:]
    private var running: [NameStep.Question: Lookup] = [:]
    private let counters = NameCounters()

    public init(system: any System) {
        loop = system.home
        names = system.resolver
    }

    /// The addresses without names that `address` stands for; itself when it has none. Throws when there are none at all.
    public func resolve(_ address: Multiaddr) async throws(ResolveError) -> [Multiaddr] {
        guard address.hasName else { return [address] }
        return try await loop.run { [self] () async throws(ResolveError) -> [Multiaddr] in try await follow(address) }
    }

    /// Ends what is under way.
    func close() async { await scope.close() }

    // MARK: Steps

    /// One level of names after the other, the questions of a level at once.
    private func follow(_ address: Multiaddr) async throws(ResolveError) -> [Multiaddr] {
        var level = [address]
        var seen: Set<Multiaddr> = [address]
        var found: [Multiaddr] = []
        var lookups = 0
        var failure: ResolveError?
        for _ in 0..<NameLimits.depth where !level.isEmpty {
            let steps = level.prefix(NameLimits.lookups - lookups).compactMap { NameStep($0) }
            lookups += steps.count
            level = []
            for (step, outcome) in zip(steps, await answers(to: steps)) {
                let addresses: [Multiaddr]
                switch outcome {
                case .success(.addresses(let ips)): addresses = step.addresses(for: ips)
                case .success(.texts(let texts)): addresses = step.addresses(for: texts)
                case .failure(let error):
                    if failure == nil || failure == .notFound { failure = error }
                    continue
                }
                for address in addresses where seen.insert(address).inserted {
                    if address.hasName { level.append(address) } else if found.count < NameLimits.addresses { found.append(address) }
                }
            }
            if Task.isCancelled { throw .cancelled }
        }
        if found.isEmpty { throw level.isEmpty ? failure ?? .notFound : .other(detail: "too many steps from name to name") }
        return found
    }

    private func answers(to steps: [NameStep]) async -> [Result<Answer, ResolveError>] {
        if steps.count == 1 { return [await answer(to: steps[0].question)] }
        return await withTaskGroup(of: (Int, Result<Answer, ResolveError>).self) { group in
            for (index, step) in steps.enumerated() { group.addTask { (index, await self.answer(to: step.question)) } }
            var all = [Result<Answer, ResolveError>](repeating: .failure(.cancelled), count: steps.count)
            for await (index, answer) in group { all[index] = answer }
            return all
        }
    }

    // MARK: Questions

    private func answer(to question: NameStep.Question) async -> Result<Answer, ResolveError> {
        if let row = cache[question] {
            if row.until > loop.now {
                counters.count(.remembered)
                return row.outcome
            }
            cache[question] = nil
        }
        let lookup: Lookup
        if let other = running[question] {
            lookup = other
        } else {
            guard running.count < NameLimits.running else { return .failure(.busy) }
            lookup = Lookup(on: loop)
            running[question] = lookup
            let started = scope.spawn(on: loop) { [self] in await ask(question, lookup) }
            guard started else {
                running[question] = nil
                return .failure(.cancelled)
            }
        }
        while true {
            if let outcome = lookup.outcome { return outcome }
            do { try await lookup.finished.wait() } catch { return .failure(.cancelled) }
        }
    }

    /// Asks for all who want to know; goes on when one of them gives up.
    private func ask(_ question: NameStep.Question, _ lookup: Lookup) async {
        var time = NameLimits.longestTime
        let outcome: Result<Answer, ResolveError>
        do throws(ResolveError) {
            switch question {
            case .addresses(let name, let family):
                let records = try await names.addresses(of: name, family)
                time = records.map(\.timeToLive).min() ?? time
                outcome = .success(.addresses(records.map(\.value)))
            case .texts(let name):
                let records = try await names.texts(of: name)
                time = records.map(\.timeToLive).min() ?? time
                outcome = .success(.texts(records.map(\.value)))
            }
            counters.count(.found)
        } catch {
            time = error == .notFound || error == .invalidName ? NameLimits.missingTime : NameLimits.failureTime
            outcome = .failure(error)
            counters.count(error == .notFound ? .missing : .failed)
        }
        running[question] = nil
        if case .failure(.cancelled) = outcome {} else {
            remember(question, Row(outcome: outcome, until: loop.now + min(max(time, NameLimits.shortestTime), NameLimits.longestTime)))
        }
        lookup.outcome = outcome
        lookup.finished.wake()
    }

    private func remember(_ question: NameStep.Question, _ row: Row) {
        if cache.count >= NameLimits.cache {
            let now = loop.now
            cache = cache.filter { $0.value.until > now }
            if cache.count >= NameLimits.cache, let soonest = cache.min(by: { $0.value.until < $1.value.until }) { cache[soonest.key] = nil }
        }
        cache[question] = row
    }

    // MARK: Numbers

    public func report(to report: inout MetricReport) { counters.report(to: &report) }
}
