import WaggleBase

/// Which blocks are announced (Kubo: `Provide.Strategy`).
public struct ProvideStrategy: Hashable, Sendable {
    public enum Scope: String, Hashable, Sendable {
        /// Every block in the store.
        case all
        /// Every block below a pin.
        case pinned
        /// What pins name, not what is below.
        case roots
    }

    public var scope: Scope

    public init(_ scope: Scope) { self.scope = scope }

    /// Reads `all`, `pinned`, `roots`, `pinned+mfs` and the like; empty means all. `unique` changes nothing, as no block is announced twice.
    public init(parsing text: String) throws(ProvideStrategyError) {
        var scopes: Set<Scope> = []
        for part in text.isEmpty ? ["all"] : text.split(separator: "+", omittingEmptySubsequences: false) {
            switch part {
            case "all", "flat": scopes.insert(.all)
            case "pinned": scopes.insert(.pinned)
            case "roots": scopes.insert(.roots)
            case "unique", "mfs": break
            case "entities": throw .unsupported(String(part))
            default: throw .unknown(text)
            }
        }
        if scopes.contains(.all), text.contains("+") { throw .combined(text) }
        guard let widest = [Scope.all, .pinned, .roots].first(where: scopes.contains) else { throw .unsupported(text) }
        scope = widest
    }
}

public enum ProvideStrategyError: Error, Hashable, Sendable, CustomStringConvertible {
    case unknown(String)
    /// Known to Kubo, but not here.
    case unsupported(String)
    /// `all` leaves nothing to add.
    case combined(String)

    public var description: String {
        switch self {
        case .unknown(let text): "unknown provide strategy: \(quoted(text)); known are all, pinned, roots"
        case .unsupported(let text): "the provide strategy \(quoted(text)) is not supported; use all, pinned or roots"
        case .combined(let text): "the provide strategy \"all\" cannot be combined with others: \(quoted(text))"
        }
    }
}
