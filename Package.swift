// swift-tools-version: 6.2
import PackageDescription

// The package reads like ARCHITECTURE.md: one line per module, dependencies pointing down.

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableExperimentalFeature("Lifetimes"),
]

/// A module `Waggle<folder>` in `Sources/<folder>`.
func module(_ folder: String, _ dependencies: [Target.Dependency] = []) -> Target {
    .target(name: "Waggle\(folder)", dependencies: dependencies, path: "Sources/\(folder)", swiftSettings: settings)
}

/// Tests of one folder in `Tests/<folder>Tests`.
func tests(_ folder: String, _ dependencies: [Target.Dependency]) -> Target {
    .testTarget(name: "\(folder)Tests", dependencies: dependencies, path: "Tests/\(folder)Tests", swiftSettings: settings)
}

/// A program in `Examples/<folder>`, called `<folder>-example` in small letters.
func example(_ folder: String) -> Target {
    .executableTarget(
        name: "\(folder.lowercased())-example", dependencies: ["WaggleAssembly", "WaggleRuntime"], path: "Examples/\(folder)",
        swiftSettings: settings)
}

/// A Debian library, found through pkg-config.
func system(_ name: String, _ pkgConfig: String, _ package: String) -> Target {
    .systemLibrary(name: name, path: "Sources/\(name)", pkgConfig: pkgConfig, providers: [.apt([package])])
}

/// The fuzz targets need the compiler's fuzzer, so they are there only when `scripts/fuzz` asks for them.
let fuzzing: [Target] = Context.environment["WAGGLE_FUZZ"] == nil ? [] : [
    .executableTarget(
        name: "waggle-fuzz", dependencies: ["WaggleAPI", "WaggleRuntime", "WaggleSimulation"], path: "Fuzz/Sources",
        swiftSettings: settings + [.unsafeFlags(["-parse-as-library"])], linkerSettings: [.unsafeFlags(["-sanitize=fuzzer"])])
]

let package = Package(
    name: "waggle",
    products: [
        .library(name: "Waggle", targets: ["WaggleAssembly", "WaggleRuntime", "WaggleSimulation"]),
        .executable(name: "waggle", targets: ["waggle"]),
    ],
    targets: [
        // Debian libraries and small C targets.
        system("COpenSSL", "libcrypto", "libssl-dev"),
        system("CLMDB", "lmdb", "liblmdb-dev"),
        system("CMicrohttpd", "libmicrohttpd", "libmicrohttpd-dev"),
        system("CCurl", "libcurl", "libcurl4-openssl-dev"),
        system("CCares", "libcares", "libc-ares-dev"),
        system("CZlib", "zlib", "zlib1g-dev"),
        .target(name: "CKernels", path: "Sources/CKernels", cSettings: [.unsafeFlags(["-O3"])]),
        .target(name: "CBaseline", path: "Sources/CBaseline", cSettings: [.define("_GNU_SOURCE"), .unsafeFlags(["-O2"])]),
        .target(name: "CLinux", dependencies: ["CCares"], path: "Sources/CLinux", cSettings: [.define("_GNU_SOURCE")]),

        // The stack, bottom up.
        module("Base"),
        module("Formats", ["WaggleBase"]),
        module("Cryptography", ["WaggleBase", "COpenSSL", "CKernels"]),
        module("Network", ["WaggleBase", "WaggleFormats", "WaggleCryptography"]),
        module("Stack", ["WaggleNetwork"]),
        module("Services", ["WaggleNetwork"]),
        module("Content", ["WaggleNetwork"]),
        module("Assembly", ["WaggleNetwork", "WaggleStack", "WaggleServices", "WaggleContent"]),
        module("API", ["WaggleAssembly", "CMicrohttpd", "CCurl", "CZlib"]),

        // The two worlds.
        module("Runtime", ["WaggleBase", "CLinux", "CLMDB"]),
        module("Simulation", ["WaggleBase"]),

        .executableTarget(
            name: "waggle", dependencies: ["WaggleAPI", "WaggleRuntime"], path: "Sources/waggle", swiftSettings: settings),
        .executableTarget(
            name: "waggle-bench", dependencies: ["WaggleAssembly", "WaggleRuntime", "WaggleCryptography", "COpenSSL", "CBaseline", "CKernels"],
            path: "Sources/Benchmarks", swiftSettings: settings),

        .executableTarget(
            name: "waggle-constant-time", dependencies: ["WaggleCryptography", "CKernels"], path: "Tests/ConstantTime",
            swiftSettings: settings),

        .executableTarget(
            name: "waggle-scenarios", dependencies: ["WaggleAssembly", "WaggleSimulation", "WaggleTestSupport"], path: "Tests/Scenarios",
            swiftSettings: settings),

        example("Echo"),
        example("Chat"),
        example("Providers"),

        tests("Base", ["WaggleBase"]),
        tests("Formats", ["WaggleFormats"]),
        tests("Cryptography", ["WaggleCryptography", "WaggleFormats", "COpenSSL", "CKernels"]),
        .target(name: "WaggleTestSupport", dependencies: ["WaggleBase", "WaggleNetwork"], path: "Tests/Support", swiftSettings: settings),
        tests("Simulation", ["WaggleSimulation", "WaggleTestSupport"]),
        tests("Runtime", ["WaggleRuntime", "WaggleSimulation", "WaggleStack", "WaggleTestSupport"]),
        tests("Network", ["WaggleNetwork", "WaggleStack", "WaggleSimulation"]),
        tests("Security", ["WaggleAssembly", "WaggleSimulation"]),
        tests("Animica", ["WaggleAssembly", "WaggleSimulation", "WaggleTestSupport"]),
        tests("Services", ["WaggleAssembly", "WaggleSimulation"]),
        tests("Kademlia", ["WaggleAssembly", "WaggleSimulation", "WaggleTestSupport"]),
        tests("PubSub", ["WaggleAssembly", "WaggleSimulation", "WaggleTestSupport"]),
        tests("Content", ["WaggleContent", "WaggleAssembly", "WaggleSimulation"]),
        tests("Routing", ["WaggleContent", "WaggleAssembly", "WaggleSimulation", "WaggleTestSupport"]),
        tests("API", ["WaggleAPI", "WaggleSimulation"]),
    ] + fuzzing
)
