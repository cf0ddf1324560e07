import WaggleBase

@testable import WaggleRuntime

let runtimeTargets: [(name: String, run: @Sendable (Bytes) -> Void)] = [
    // An answer of a name server.
    ("dns-texts", { bytes in bytes.withUnsafeBytes { _ = TextReply.texts($0) } })
]
