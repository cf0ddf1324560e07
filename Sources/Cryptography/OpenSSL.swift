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
func wipe(_ memory: UnsafeMutableRawBufferPointer) { OPENSSL_cleanse(memory.baseAddress, memory.count) }
