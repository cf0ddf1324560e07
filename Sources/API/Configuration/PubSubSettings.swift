import WaggleAssembly
import WaggleBase
import WaggleFormats
import WaggleServices

extension NodeSettings {
    /// What `Pubsub` of the configuration says, as in Kubo; nil where it is not enabled, neither there nor by `--enable-pubsub-experiment`.
    package static func pubsub(_ configuration: Configuration, isForced: Bool? = nil) throws(CommandError) -> PubSubConfiguration? {
        let isEnabled = if case .bool(true)? = configuration["Pubsub.Enabled"] { true } else { false }
        guard isForced ?? isEnabled else { return nil }
        var settings = PubSubConfiguration()
        switch configuration["Pubsub.Router"]?.string ?? "" {
        case "", "gossipsub": break
        case "floodsub": settings.parameters.router = .floodsub
        case let other: throw CommandError("Pubsub.Router: unknown pubsub router \(other)")
        }
        if case .bool(true)? = configuration["Pubsub.DisableSigning"] { settings.policy = .authorOnly }
        if let text = configuration["Pubsub.SeenMessagesTTL"]?.string, !text.isEmpty {
            guard let lifetime = GoDuration.parse(text), lifetime > .zero else {
                throw CommandError("Pubsub.SeenMessagesTTL: \"\(text)\" is not a duration such as 2m")
            }
            settings.parameters.seenLifetime = lifetime
        }
        switch configuration["Pubsub.SeenMessagesStrategy"]?.string ?? "last-seen" {
        case "last-seen", "": settings.parameters.seenIsRefreshed = true
        case "first-seen": settings.parameters.seenIsRefreshed = false
        case let other: throw CommandError("unsupported Pubsub.SeenMessagesStrategy \"\(other)\"")
        }
        // As Kubo does: old messages do not go round for ever in a large network.
        settings.checksSequence = true
        return settings
    }
}
