import CLinux
import Glibc
import WaggleBase

/// Remembers, outside of the database file, which of its states is completely on the device, and goes back to it after a crash of
/// the operating system.
///
/// LMDB itself survives such a crash only if it flushes at every commit, which is what a fast `add` cannot afford. Without flushes
/// the kernel writes pages back in any order, so after a power cut the newest meta page may point at pages that never
/// arrived. Three things make it safe again:
/// 1. A durable commit flushes the file, and then writes the meta page of that state here, with a checksum, flushed too.
/// 2. A read transaction stays open on that state until the next one is durable, so LMDB does not reuse its pages: whatever later
///    commits write, the state stays whole on the device.
/// 3. When the store is opened and the machine has been started anew since (the kernel's boot id differs), both meta pages are
///    set back to the state kept here. A process that merely died needs nothing: the kernel still has all its pages.
///
/// The file has two slots, used in turn, so that a torn write leaves the older one. A slot: magic, sequence number, boot id,
/// transaction, page size, the start of the meta page, checksum; integers are little-endian.
struct DurableMark {
    private static let magic: UInt64 = 0x4b52_414d_4c57_0001
    private static let slotStride = 4096
    /// The part of a meta page that LMDB uses, and more.
    static let metaLength = 512
    /// Of the transaction number in a meta page: page header 16, magic and version 8, address and map size 16, two tables of 48,
    /// last page 8.
    static let transactionOffset = 144
    private static let headerLength = 8 + 8 + 40 + 8 + 8
    private static let slotLength = headerLength + metaLength + 8

    private struct Slot {
        var sequence: UInt64
        var boot: [UInt8]
        var transaction: UInt64
        var pageSize: Int
        var meta: [UInt8]
    }

    private let file: LinuxFile
    private let boot: [UInt8]
    private var newest: Slot?

    /// Opens the file in the store's directory. `boot` names this start of the machine.
    init(directory: String, boot: String) throws(FileError) {
        file = try LinuxFile(directory + "/durable", O_RDWR | O_CREAT, mode: 0o600)
        self.boot = Array((boot + String(repeating: " ", count: 40)).utf8.prefix(40))
        do throws(FileError) {
            newest = try Self.newest(in: file)
        } catch {
            file.close()
            throw error
        }
    }

    private static func newest(in file: LinuxFile) throws(FileError) -> Slot? {
        // Room for both slots from the start, so that a full device cannot stop a later record.
        let end = try file.size()
        if end < Int64(2 * slotStride) {
            let room = Bytes([UInt8](repeating: 0, count: 2 * slotStride - Int(end)))
            try room.withUnsafeBytes { room throws(FileError) in try file.write(room, at: end) }
        }
        let slots = [try slot(file, 0), try slot(file, 1)].compactMap { $0 }
        return slots.max { $0.sequence < $1.sequence }
    }

    /// The kernel's name for this start of the machine.
    static func currentBoot() -> String {
        do {
            return try LinuxFiles().read("/proc/sys/kernel/random/boot_id", limit: 256).utf8 ?? ""
        } catch {
            // Without it every opening counts as one after a restart, which costs only what no durable commit has followed.
            return ""
        }
    }

    func close() { file.close() }

    /// Goes back to the durable state if the machine was started anew. To be called before LMDB opens the file.
    func recover(_ database: String) throws(FileError) {
        guard let newest, newest.boot != boot || boot.allSatisfy({ $0 == 0x20 }) else { return }
        let data: LinuxFile
        do throws(FileError) {
            data = try LinuxFile(database, O_RDWR, mode: 0)
        } catch .notFound {
            return
        }
        defer { data.close() }
        // A file that is older than the mark was put there by somebody: it is left alone.
        let found = [0, 1].map { transaction(in: data, page: $0, pageSize: newest.pageSize) }
        guard found.contains(where: { $0 >= newest.transaction }) else { return }
        for page in 0..<2 {
            var meta = newest.meta
            // Every page carries its own number in front.
            meta.replaceSubrange(0..<8, with: [UInt8(page), 0, 0, 0, 0, 0, 0, 0])
            try Bytes(meta).withUnsafeBytes { bytes throws(FileError) in try data.write(bytes, at: Int64(page * newest.pageSize)) }
        }
        try data.synchronize()
    }

    private func transaction(in data: LinuxFile, page: Int, pageSize: Int) -> UInt64 {
        var meta = [UInt8](repeating: 0, count: Self.metaLength)
        do {
            _ = try meta.withUnsafeMutableBytes { try data.read(into: $0, at: Int64(page * pageSize)) }
        } catch {
            return 0
        }
        return Self.transaction(ofMeta: meta)
    }

    static func transaction(ofMeta meta: [UInt8]) -> UInt64 {
        meta.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: transactionOffset, as: UInt64.self)) }
    }

    /// Records that `transaction`, whose meta page starts with `meta`, is on the device with all its pages.
    mutating func record(_ transaction: UInt64, meta: [UInt8], pageSize: Int) throws(FileError) {
        if let newest, newest.transaction == transaction, newest.boot == boot { return }
        let slot = Slot(sequence: (newest?.sequence ?? 0) + 1, boot: boot, transaction: transaction, pageSize: pageSize, meta: meta)
        let bytes = Bytes(Self.encode(slot))
        let offset = Int64(slot.sequence % 2) * Int64(Self.slotStride)
        try bytes.withUnsafeBytes { bytes throws(FileError) in try file.write(bytes, at: offset) }
        if fdatasync(file.descriptor) != 0 { throw FileError(errno: errno, "durable") }
        newest = slot
    }

    private static func encode(_ slot: Slot) -> [UInt8] {
        var bytes: [UInt8] = []
        func put(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }
        put(magic)
        put(slot.sequence)
        bytes += slot.boot
        put(slot.transaction)
        put(UInt64(slot.pageSize))
        bytes += slot.meta
        put(checksum(bytes[...]))
        return bytes
    }

    private static func slot(_ file: LinuxFile, _ index: Int) throws(FileError) -> Slot? {
        var bytes = [UInt8](repeating: 0, count: slotLength)
        let result = bytes.withUnsafeMutableBytes { buffer in
            Result { () throws(FileError) in try file.read(into: buffer, at: Int64(index * slotStride)) }
        }
        guard try result.get() == slotLength else { return nil }
        func integer(_ offset: Int) -> UInt64 {
            bytes.withUnsafeBytes { UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) }
        }
        guard integer(0) == magic, integer(slotLength - 8) == checksum(bytes[..<(slotLength - 8)]) else { return nil }
        return Slot(
            sequence: integer(8), boot: Array(bytes[16..<56]), transaction: integer(56), pageSize: Int(clamping: integer(64)),
            meta: Array(bytes[headerLength..<headerLength + metaLength]))
    }

    /// FNV-1a, 64 bits.
    private static func checksum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        bytes.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }
}
