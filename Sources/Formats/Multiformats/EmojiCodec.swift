import WaggleBase

/// Base256Emoji: one emoji a byte.
///
/// Spec: multiformats/multibase, rfcs/Base256Emoji.md.
enum EmojiCodec {
    static let symbols: [Unicode.Scalar] = Array(
        ("🚀🪐☄🛰🌌🌑🌒🌓🌔🌕🌖🌗🌘🌍🌏🌎🐉☀💻🖥💾💿😂❤😍🤣😊🙏💕😭😘👍😅👏😁🔥🥰💔💖💙😢🤔😆🙄💪😉☺👌🤗💜😔😎😇🌹🤦🎉💞✌✨🤷😱😌🌸🙌"
            + "😋💗💚😏💛🙂💓🤩😄😀🖤😃💯🙈👇🎶😒🤭❣😜💋👀😪😑💥🙋😞😩😡🤪👊🥳😥🤤👉💃😳✋😚😝😴🌟😬🙃🍀🌷😻😓⭐✅🥺🌈😈🤘💦✔😣🏃💐☹🎊💘😠☝"
            + "😕🌺🎂🌻😐🖕💝🙊😹🗣💫💀👑🎵🤞😛🔴😤🌼😫⚽🤙☕🏆🤫👈😮🙆🍻🍃🐶💁😲🌿🧡🎁⚡🌞🎈❌✊👋😰🤨😶🤝🚶💰🍓💢🤟🙁🚨💨🤬✈🎀🍺🤓😙💟🌱😖👶"
            + "🥴▶➡❓💎💸⬇😨🌚🦋😷🕺⚠🙅😟😵👎🤲🤠🤧📌🔵💅🧐🐾🍒😗🤑🌊🤯🐷☎💧😯💆👆🎤🙇🍑❄🌴💣🐸💌📍🥀🤢👅💡💩👐📸👻🤐🤮🎼🥵🚩🍎🍊👼💍📣🥂")
            .unicodeScalars)

    private static let values: [Unicode.Scalar: UInt8] = .init(
        symbols.enumerated().map { ($1, UInt8(truncatingIfNeeded: $0)) }, uniquingKeysWith: { first, _ in first })

    static func encode(_ bytes: UnsafeRawBufferPointer) -> String {
        var scalars = String.UnicodeScalarView()
        for byte in bytes { scalars.append(symbols[Int(byte)]) }
        return String(scalars)
    }

    static func decode(_ scalars: Substring.UnicodeScalarView) throws(MultibaseError) -> Bytes {
        var writer = ByteWriter(capacity: scalars.count)
        var offset = 0
        for scalar in scalars {
            guard let value = values[scalar] else { throw .invalidCharacter(at: offset) }
            writer.write(value)
            offset += UTF8.width(scalar)
        }
        return writer.finish()
    }
}
