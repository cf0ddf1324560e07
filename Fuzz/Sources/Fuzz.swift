import Foundation
import WaggleBase

/// The fuzz targets: everything that bytes from outside reach. `scripts/fuzz` builds and runs them.
///
/// A target takes any bytes; it fails by trapping: by a bug in what it calls, or by an invariant of its own (what was read is written again
/// the same, a machine gives the same however its input is cut).
let targets: [(name: String, run: @Sendable (Bytes) -> Void)] = formatTargets + keyTargets + networkTargets + pubsubTargets + contentTargets + apiTargets
    + runtimeTargets

nonisolated(unsafe) private var chosen: ((Bytes) -> Void)?

@_cdecl("LLVMFuzzerInitialize")
public func initialize(_ count: UnsafeMutableRawPointer?, _ words: UnsafeMutableRawPointer?) -> CInt {
    let name = ProcessInfo.processInfo.environment["WAGGLE_FUZZ_TARGET"] ?? ""
    if name == "list" {
        for target in targets { print(target.name) }
        exit(0)
    }
    guard let target = targets.first(where: { $0.name == name }) else {
        print("WAGGLE_FUZZ_TARGET must be one of \(targets.map(\.name).joined(separator: ", ")), or list")
        exit(2)
    }
    chosen = target.run
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    chosen?(Bytes(copying: UnsafeRawBufferPointer(start: start, count: count)))
    return 0
}

/// libFuzzer's own main function, under a name that the package manager lets be.
@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>, _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

/// Where the program begins: the package manager makes `main` this symbol.
@_cdecl("waggle_fuzz_main")
public func begin(_ count: CInt, _ words: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) -> CInt {
    var count = count
    var words = words
    return runDriver(&count, &words, testOneInput)
}

/// The value, or nil where it is refused, which is how most input ends.
func attempt<T>(_ body: () throws -> T) -> T? {
    do { return try body() } catch { return nil }
}

/// Cuts input in pieces whose lengths the input itself says, so that the fuzzer can put borders anywhere.
struct Cutter {
    private var rest: Bytes

    init(_ bytes: Bytes) { rest = bytes }

    mutating func next() -> Bytes? {
        guard let length = rest.first else { return nil }
        let piece = rest.dropFirst().prefix(Int(length) + 1)
        rest = rest.dropFirst(1 + piece.count)
        return piece
    }
}
