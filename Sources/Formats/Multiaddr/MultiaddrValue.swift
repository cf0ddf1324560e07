import WaggleBase

/// How the value of each protocol is checked, written as text and read from text.
enum MultiaddrValue {
    /// Whether every value of the right size is valid.
    static func isAlwaysValid(_ kind: MultiaddrProtocol) -> Bool {
        switch kind.size {
        case .none: true
        case .fixed: kind != .onion && kind != .onion3
        case .prefixed: false
        }
    }

    /// Checks the wire form of a value; its size has been checked already where it is fixed.
    static func isValid(_ value: Bytes, of kind: MultiaddrProtocol) -> Bool {
        switch kind {
        case .p2p: peer(value) != nil
        case .certhash: multihash(value) != nil
        case .dns, .dns4, .dns6, .dnsaddr, .sni, .ip6zone: !value.isEmpty && !value.contains(UInt8(ascii: "/")) && value.utf8 != nil
        case .unix: value.count > 1 && value.first == UInt8(ascii: "/") && value.last != UInt8(ascii: "/") && value.utf8 != nil
        case .httpPath, .thread, .shs, .silverpine: !value.isEmpty
        case .onion, .onion3: value[value.count - 2] != 0 || value[value.count - 1] != 0
        case .garlic64: value.count >= 386
        case .garlic32: value.count == 32 || value.count >= 35
        default: true
        }
    }

    /// The canonical text of a valid value, without the slash in front of it.
    static func text(_ value: Bytes, of kind: MultiaddrProtocol) -> String {
        switch kind {
        case .ip4: IPAddress(v4: value)?.text ?? ""
        case .ip6: IPAddress(v6: value)?.text ?? ""
        case .tcp, .udp, .dccp, .sctp, .ipcidr, .memory: String(number(value))
        case .p2p: Multibase.base58btc.encode(value, prefixed: false)
        case .certhash: Multibase.base64url.encode(value)
        case .onion, .onion3:
            Multibase.base32.encode(value.prefix(value.count - 2), prefixed: false) + ":" + String(number(value.dropFirst(value.count - 2)))
        case .garlic64: value.withUnsafeBytes { BitCodec.garlic64.encode($0, prefix: nil) }
        case .garlic32: Multibase.base32.encode(value, prefixed: false)
        case .thread, .shs, .silverpine: Multibase.base32.encode(value)
        case .httpPath: PercentCoding.encode(value)
        case .scion: scion(value)
        // The slash that begins the path is the one between name and value.
        case .unix: value.dropFirst().utf8 ?? ""
        default: value.utf8 ?? ""
        }
    }

    /// The wire form of a value written as `text`; nil when it is not valid.
    static func parse(_ text: String, of kind: MultiaddrProtocol) -> Bytes? {
        let value: Bytes? =
            switch kind {
            case .ip4: IPAddress(v4Text: text)?.bytes
            case .ip6: IPAddress(v6Text: text)?.bytes
            case .tcp, .udp, .dccp, .sctp: number(text, UInt16.self)
            case .ipcidr: number(text, UInt8.self)
            case .memory: number(text, UInt64.self)
            case .p2p: peer(text)
            case .certhash: decoded { () throws(MultibaseError) in try Multibase.decode(text).bytes }
            case .onion: onion(text, hostBytes: 10)
            case .onion3: onion(text, hostBytes: 35)
            case .garlic64: garlic64(text)
            case .garlic32: decoded { () throws(MultibaseError) in try Multibase.base32.decode(unprefixed: text) }
            case .thread, .shs, .silverpine: decoded { () throws(MultibaseError) in try Multibase.decode(text).bytes }
            case .httpPath: PercentCoding.decode(text)
            case .scion: scion(text)
            case .unix: Bytes(utf8: "/" + text)
            default: Bytes(utf8: text)
            }
        guard let value, isValid(value, of: kind) else { return nil }
        return value
    }

    private static func decoded(_ body: () throws(MultibaseError) -> Bytes) -> Bytes? {
        do { return try body() } catch { return nil }
    }

    // MARK: Numbers

    private static func number(_ value: Bytes) -> UInt64 { value.reduce(0) { $0 << 8 | UInt64($1) } }

    /// Decimal digits only, no more of them than the type can need.
    private static func number<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(_ text: String, _: T.Type) -> Bytes? {
        guard text.utf8.count <= String(T.max).utf8.count, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let value = T(text) else {
            return nil
        }
        var writer = ByteWriter(capacity: 8)
        writer.write(integer: value)
        return writer.finish()
    }

    // MARK: Hashes

    private static func multihash(_ value: Bytes) -> Multihash? {
        do { return try Multihash(bytes: value) } catch { return nil }
    }

    /// PeerIDs are SHA2-256 or identity multihashes (libp2p specs, peer-ids, "Peer IDs").
    static func peer(_ value: Bytes) -> Multihash? {
        guard let hash = multihash(value) else { return nil }
        switch hash.code {
        case .sha2_256: return hash.digestCount == 32 ? hash : nil
        case .identity: return hash
        default: return nil
        }
    }

    /// A base58 multihash, or a CID of a key.
    private static func peer(_ text: String) -> Bytes? {
        if text.hasPrefix("Qm") || text.hasPrefix("1") {
            return decoded { () throws(MultibaseError) in try Multibase.base58btc.decode(unprefixed: text) }
        }
        guard let cid = CID(text), cid.codec == .libp2pKey else { return nil }
        return cid.multihash.bytes
    }

    // MARK: Overlay networks

    /// `host:port`, the host in base32.
    private static func onion(_ text: String, hostBytes: Int) -> Bytes? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, let port = number(String(parts[1]), UInt16.self),
            let host = decoded({ () throws(MultibaseError) in try Multibase.base32.decode(unprefixed: String(parts[0])) }),
            host.count == hostBytes
        else { return nil }
        return Bytes(host.array + port.array)
    }

    private static func garlic64(_ text: String) -> Bytes? {
        let bytes = Bytes(utf8: text)
        return decoded { () throws(MultibaseError) in
            try bytes.withUnsafeBytes { bytes throws(MultibaseError) in try BitCodec.garlic64.decode(bytes) }
        }
    }

    /// `ISD-AS`: 16 bits in decimal, 48 bits in decimal where they fit 32, else as three hexadecimal groups.
    /// Spec: docs.scion.org, "ISD and AS numbering".
    private static func scion(_ value: Bytes) -> String {
        let number = number(value)
        let autonomousSystem = number & 0xffff_ffff_ffff
        let text =
            autonomousSystem >> 32 == 0
            ? String(autonomousSystem)
            : [32, 16, 0].map { String(autonomousSystem >> $0 & 0xffff, radix: 16) }.joined(separator: ":")
        return "\(number >> 48)-\(text)"
    }

    private static func scion(_ text: String) -> Bytes? {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let domain = number(parts[0], UInt16.self) else { return nil }
        if let decimal = number(parts[1], UInt32.self) { return Bytes(domain.array + [0, 0] + decimal.array) }
        let groups = parts[1].split(separator: ":", omittingEmptySubsequences: false)
        guard groups.count == 3 else { return nil }
        var bytes = domain.array
        for group in groups {
            guard (1...4).contains(group.utf8.count), group.utf8.allSatisfy({ IPAddress.hexValue($0) != nil }),
                let value = UInt16(group, radix: 16)
            else { return nil }
            bytes += [UInt8(value >> 8), UInt8(value & 0xff)]
        }
        return Bytes(bytes)
    }
}

extension BitCodec {
    /// I2P's base64.
    static let garlic64 = BitCodec("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-~", bits: 6, group: 4)
}
