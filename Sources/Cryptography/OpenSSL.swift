import CKernels
import COpenSSL

/// What libcrypto gives for an allocation or a fetch; nil there means that memory has run out or the library is broken, which no
/// input can cause and no caller can mend.
@inline(__always)
func available<T>(_ value: T?, _ what: StaticString = #function) -> T {
    guard let value else { fatalError("libcrypto cannot provide \(what)") }
    return value
}

/// The type libcrypto's functions take for byte pointers.
extension UnsafeRawBufferPointer {
    var octets: UnsafePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeRawPointer {
    var octets: UnsafePointer<UInt8> { assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeMutableRawPointer {
    var octets: UnsafeMutablePointer<UInt8> { assumingMemoryBound(to: UInt8.self) }
}

extension UnsafeMutableRawBufferPointer {
    var octets: UnsafeMutablePointer<UInt8>? { baseAddress?.assumingMemoryBound(to: UInt8.self) }
}

/// Overwrites a value that held secret state, in a way the optimiser keeps.
@inline(__always)
func wipe<T: BitwiseCopyable>(_ value: inout T) {
    withUnsafeMutableBytes(of: &value) { OPENSSL_cleanse($0.baseAddress, $0.count) }
}

/// Overwrites memory that held a secret.
package func wipe(_ memory: UnsafeMutableRawBufferPointer) { OPENSSL_cleanse(memory.baseAddress, memory.count) }

/// Runs an operation on secrets, then overwrites the stack that it used, where copies of them are left by whoever returned.
@inline(__always)
func wipingStack<R>(_ operation: () -> R) -> R {
    defer { ck_wipe_stack() }
    return onFrameBelow(operation)
}

/// Has the operation's own variables lie below the caller's.
@inline(never)
private func onFrameBelow<R>(_ operation: () -> R) -> R { operation() }
