import COpenSSL
import WaggleBase

/// A secret of some bytes: wiped when its last owner goes, compared in constant time, never printed.
public struct SecureBytes: Sendable {
    private final class Storage: @unchecked Sendable {
        let buffer: UnsafeMutableRawBufferPointer

        init(count: Int) {
            buffer = .allocate(byteCount: Swift.max(count, 1), alignment: 16)
        }

        deinit {
            OPENSSL_cleanse(buffer.baseAddress, buffer.count)
            buffer.deallocate()
        }
    }

    private let storage: Storage
    /// Size of the secret in bytes.
    public let count: Int

    /// `count` bytes, zeroed, then written by `body`.
    public init<E: Error>(count: Int, filling body: (UnsafeMutableRawBufferPointer) throws(E) -> Void) throws(E) {
        storage = Storage(count: count)
        self.count = count
        storage.buffer.initializeMemory(as: UInt8.self, repeating: 0)
        try body(UnsafeMutableRawBufferPointer(rebasing: storage.buffer[0..<count]))
    }

    /// A copy of `source`; wiping the source stays with its owner.
    public init(copying source: UnsafeRawBufferPointer) {
        self.init(count: source.count) { $0.copyMemory(from: source) }
    }

    public init(_ span: RawSpan) { self = span.withUnsafeBytes { SecureBytes(copying: $0) } }
    public init(_ bytes: Bytes) { self = bytes.withUnsafeBytes { SecureBytes(copying: $0) } }
    public init(_ array: [UInt8]) { self = array.withUnsafeBytes { SecureBytes(copying: $0) } }

    /// Calls `body` with the secret; the pointer must not escape.
    public func withUnsafeBytes<R, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> R) throws(E) -> R {
        try body(UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(storage.buffer)[0..<count]))
    }

    /// The secret, for reading without a copy.
    public var span: RawSpan {
        @_lifetime(borrow self) get {
            let start = UnsafeRawPointer(storage.buffer.baseAddress.unsafelyUnwrapped)
            return _overrideLifetime(RawSpan(_unsafeStart: start, byteCount: count), borrowing: self)
        }
    }
}

extension SecureBytes: Equatable {
    /// Compares in time that depends on the lengths only.
    public static func == (left: SecureBytes, right: SecureBytes) -> Bool {
        left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in ConstantTime.equal(left, right) }
        }
    }
}

extension SecureBytes: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    public var description: String { "SecureBytes(\(count) bytes)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// Comparisons whose time does not depend on the content.
public enum ConstantTime {
    /// Whether both hold the same bytes; different lengths say no at once.
    public static func equal(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        guard let a = left.baseAddress, let b = right.baseAddress else { return true }
        return CRYPTO_memcmp(a, b, left.count) == 0
    }
}
