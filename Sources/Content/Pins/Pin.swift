import WaggleBase
import WaggleFormats

/// A promise that a block, or all of a graph, stays in the store.
///
/// Stored in the table `pins` under the binary CID: one byte version (1), one byte mode (0 recursive, 1 direct), the name in UTF-8.
public struct Pin: Hashable, Sendable {
    public enum Mode: UInt8, Hashable, Sendable, CaseIterable {
        /// The block and everything it links to, however deep.
        case recursive = 0
        /// The block alone.
        case direct = 1
    }

    public let cid: CID
    public let mode: Mode
    /// What the user calls it; may be empty.
    public let name: String

    public init(_ cid: CID, _ mode: Mode, name: String = "") {
        self.cid = cid
        self.mode = mode
        self.name = name
    }

    private static let version: UInt8 = 1

    func encode() -> Bytes {
        var writer = ByteWriter(capacity: 2 + name.utf8.count)
        writer.write(Pin.version)
        writer.write(mode.rawValue)
        writer.write(utf8: name)
        return writer.finish()
    }

    init(cid: CID, value: UnsafeRawBufferPointer) throws(PinError) {
        guard value.count >= 2, value[0] == Pin.version, let mode = Mode(rawValue: value[1]),
            let name = String(validating: UnsafeRawBufferPointer(rebasing: value[2...]), as: UTF8.self)
        else { throw .damagedRecord(cid) }
        self.init(cid, mode, name: name)
    }
}

/// Bounds of pins.
public enum PinLimits {
    /// Longest name in UTF-8 bytes, as in Kubo.
    public static let nameBytes = 255
}

/// Why pins cannot be changed or read.
public enum PinError: Error, Hashable, Sendable {
    /// A direct pin was asked for, but the CID is pinned recursively.
    case alreadyPinnedRecursively(CID)
    /// Nothing, or only an ancestor, pins the CID.
    case notPinned(CID)
    /// The CID is pinned in another mode than the one that was named.
    case pinnedAs(CID, Pin.Mode)
    /// More than `PinLimits.nameBytes`.
    case nameTooLong(bytes: Int)
    /// The record was written by a newer version or is damaged.
    case damagedRecord(CID)
    /// A block below the pin cannot be had.
    case incomplete(pin: CID, missing: CID)
}

extension PinError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .alreadyPinnedRecursively(let cid): "\(cid) already pinned recursively"
        case .notPinned: "not pinned or pinned indirectly"
        case .pinnedAs(let cid, let mode): "\(cid) is pinned \(mode == .recursive ? "recursively" : "directly")"
        case .nameTooLong(let bytes): "the pin's name has \(bytes) bytes, more than \(PinLimits.nameBytes)"
        case .damagedRecord(let cid): "the record of pin \(cid) cannot be read"
        case .incomplete(let pin, let missing): "pin \(pin) misses block \(missing)"
        }
    }
}
