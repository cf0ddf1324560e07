import WaggleAssembly
import WaggleBase
import WaggleContent
import WaggleFormats
import WaggleNetwork

/// What the sections `Routing`, `Ipns` and `Provide` of the configuration mean.
package enum RoutingSettings {
    /// The routing of a node of this type.
    package static func make(_ configuration: Configuration, type: RoutingType, on system: any System) throws(CommandError) -> RoutingConfiguration {
        var settings = RoutingConfiguration()
        switch type {
        case .automatic, .automaticClient, .delegated:
            for router in try routers(strings(configuration, "Routing.DelegatedRouters"), "Routing.DelegatedRouters", configuration, system) {
                if router.subjects.contains(.providers) { settings.delegates.findProviders.append(router) }
                if router.subjects.contains(.peers) { settings.delegates.findPeers.append(router) }
                if router.subjects.contains(.ipns) { settings.delegates.getValues.append(router) }
            }
        case .custom: try CustomRouting.apply(configuration, to: &settings, on: system)
        case .dht, .dhtClient, .dhtServer, .none: break
        }
        if type != .none { settings.delegates.putValues += try publishers(configuration, on: system) }
        for text in strings(configuration, "Routing.IgnoreProviders") {
            guard let peer = PeerText.parse(text) else { throw CommandError("Routing.IgnoreProviders: \"\(text)\" is not a PeerID") }
            settings.ignoredProviders.insert(peer)
        }
        settings.namesOverPubSub = configuration["Ipns.UsePubsub"]?.bool ?? false
        settings.naming = try naming(configuration)
        settings.republishing = try republishing(configuration)
        settings.announcing = try announcing(configuration)
        return settings
    }

    /// Whether the hash tables are one router among others (Kubo: `Routing.Type` `auto`, `autoclient`), so that their failures are not the answer.
    package static func isAutomatic(_ configuration: Configuration) -> Bool {
        [RoutingType.automatic, .automaticClient].contains { $0.rawValue == configuration.routingType }
    }

    /// `Ipns.DelegatedPublishers`.
    package static func publishers(_ configuration: Configuration, on system: any System) throws(CommandError) -> [any ValueRouting] {
        try routers(strings(configuration, "Ipns.DelegatedPublishers"), "Ipns.DelegatedPublishers", configuration, system)
            .filter { $0.subjects.contains(.ipns) }
    }

    static func routers(_ texts: [String], _ key: String, _ configuration: Configuration, _ system: any System) throws(CommandError) -> [DelegatedRouter] {
        var routers: [DelegatedRouter] = []
        // "auto" stands for a list that Kubo fetches from a server of its makers; there is none here.
        for text in texts where text != "auto" {
            do { routers.append(try DelegatedRouter(text, agent: NodeSettings.agentVersion(configuration, suffix: nil), system: system)) } catch {
                throw CommandError("\(key): \(error)")
            }
        }
        return routers
    }

    static func strings(_ configuration: Configuration, _ path: String) -> [String] {
        switch configuration[path] {
        case .string(let value)?: [value]
        case .array(let values)?: values.compactMap(\.string)
        default: []
        }
    }

    private static func duration(_ configuration: Configuration, _ key: String) throws(CommandError) -> Duration? {
        guard let value = configuration[key], !value.isNull, value.string != "" else { return nil }
        guard let text = value.string, let duration = GoDuration.parse(text), duration >= .zero else {
            throw CommandError("\(key): \(value.text()) is not a duration such as \"22h\"")
        }
        return duration
    }

    private static func naming(_ configuration: Configuration) throws(CommandError) -> NameSystem.Options {
        var options = NameSystem.Options()
        if let size = configuration["Ipns.ResolveCacheSize"]?.integer {
            guard size >= 0 else { throw CommandError("cannot specify negative resolve cache size") }
            if size > 0 { options.cachedNames = Int(min(size, 1 << 20)) }
        }
        options.longestTimeToLive = try duration(configuration, "Ipns.MaxCacheTTL")
        return options
    }

    private static func republishing(_ configuration: Configuration) throws(CommandError) -> NameRepublisher.Options {
        var options = NameRepublisher.Options()
        if let interval = try duration(configuration, "Ipns.RepublishPeriod") {
            guard interval >= .seconds(60), interval <= .seconds(86_400) else {
                throw CommandError("config setting Ipns.RepublishPeriod is not between 1min and 1day: \(GoDuration.text(interval))")
            }
            options.interval = interval
        }
        if let lifetime = try duration(configuration, "Ipns.RecordLifetime") {
            guard lifetime >= options.interval else {
                throw CommandError("IPNS.RecordLifetime (\(GoDuration.text(lifetime))) must be >= IPNS.RepublishPeriod (\(GoDuration.text(options.interval)))")
            }
            options.lifetime = lifetime
        }
        return options
    }

    private static func interval(_ configuration: Configuration) throws(CommandError) -> Duration? {
        if let interval = try duration(configuration, "Provide.DHT.Interval") { return interval }
        return try duration(configuration, "Reprovider.Interval")
    }

    /// `Provide`, or the older `Reprovider`; nil where nothing is announced.
    private static func announcing(_ configuration: Configuration) throws(CommandError) -> Announcer.Options? {
        guard configuration["Provide.Enabled"]?.bool ?? true, configuration["Provider.Enabled"]?.bool ?? true else { return nil }
        var options = Announcer.Options()
        let strategy = configuration["Provide.Strategy"]?.string ?? configuration["Reprovider.Strategy"]?.string ?? ""
        do { options.strategy = try ProvideStrategy(parsing: strategy) } catch { throw CommandError("Provide.Strategy: \(error)") }
        if let interval = try interval(configuration) {
            guard interval == .zero || interval >= .seconds(60), interval <= .seconds(48 * 3600) else {
                throw CommandError("Provide.DHT.Interval: \(GoDuration.text(interval)) is neither 0 nor between 1 minute and 48 hours, after which records expire")
            }
            options.interval = interval == .zero ? nil : interval
        }
        options.resumes = configuration["Provide.DHT.ResumeEnabled"]?.bool ?? true
        return options
    }
}

/// `Routing.Type` `custom`: routers by name, and which of them each method uses.
///
/// Routers of type `dht` stand for the node's hash tables, `http` for a server at `Parameters.Endpoint`; `parallel` and `sequential` for lists of
/// others, all of which are asked at once.
private enum CustomRouting {
    private static let methods = ["provide", "find-providers", "find-peers", "get-ipns", "put-ipns"]
    /// Routers that stand for others, one inside the other.
    private static let depth = 16

    static func apply(_ configuration: Configuration, to settings: inout RoutingConfiguration, on system: any System) throws(CommandError) {
        let chosen = configuration["Routing.Methods"]?.object ?? OrderedMap()
        for method in methods where chosen[method] == nil { throw CommandError("method name \"\(method)\" is missing from Routing.Methods config param") }
        for (method, _) in chosen.entries where !methods.contains(method) {
            throw CommandError("method name \"\(method)\" is not a supported method on Routing.Methods config param")
        }
        for method in methods {
            guard let name = chosen[method]?["RouterName"]?.string else { throw CommandError("Routing.Methods: \"\(method)\" has no RouterName") }
            var (usesTables, endpoints) = (false, [String]())
            try collect(name, configuration, depth, &usesTables, &endpoints)
            let routers = try RoutingSettings.routers(endpoints, "Routing.Routers", configuration, system)
            switch method {
            case "provide": settings.usesHashTables.provide = usesTables
            case "find-providers": (settings.usesHashTables.findProviders, settings.delegates.findProviders) = (usesTables, routers)
            case "find-peers": (settings.usesHashTables.findPeers, settings.delegates.findPeers) = (usesTables, routers)
            case "get-ipns": (settings.usesHashTables.getValues, settings.delegates.getValues) = (usesTables, routers)
            default: (settings.usesHashTables.putValues, settings.delegates.putValues) = (usesTables, routers)
            }
        }
    }

    private static func collect(
        _ name: String, _ configuration: Configuration, _ depth: Int, _ usesTables: inout Bool, _ endpoints: inout [String]
    ) throws(CommandError) {
        guard depth > 0 else { throw CommandError("Routing.Routers: the router \"\(name)\" contains itself") }
        guard let router = configuration["Routing.Routers"]?[name] else { throw CommandError("Routing.Routers: there is no router named \"\(name)\"") }
        switch router["Type"]?.string {
        case "dht": usesTables = true
        case "http":
            guard let endpoint = router["Parameters"]?["Endpoint"]?.string else { throw CommandError("Routing.Routers: the router \"\(name)\" has no Endpoint") }
            if !endpoints.contains(endpoint) { endpoints.append(endpoint) }
        case "parallel", "sequential":
            for inner in router["Parameters"]?["Routers"]?.array ?? [] {
                guard let inner = inner["RouterName"]?.string else { throw CommandError("Routing.Routers: a member of \"\(name)\" has no RouterName") }
                try collect(inner, configuration, depth - 1, &usesTables, &endpoints)
            }
        default: throw CommandError("Routing.Routers: the router \"\(name)\" is of none of the types http, dht, sequential, parallel")
        }
    }
}
