import Testing
import WaggleBase
import WaggleFormats

@testable import WaggleContent

/// CIDs that Kubo 0.42 gives for the same content and flags; see Tests/Vectors/unixfs/SOURCES.md.
@Suite struct UnixFSKuboTests {
    private func cid(_ content: Bytes, _ change: (inout ImportFlags) -> Void = { _ in }) throws -> String {
        var flags = ImportFlags()
        change(&flags)
        return try TestUnixFS.add(content, try flags.resolve(), metadata: try flags.metadata(own: .none)).cid.description
    }

    private func cid(_ text: String, _ change: (inout ImportFlags) -> Void = { _ in }) throws -> String {
        try cid(Bytes(utf8: text), change)
    }

    @Test func smallFiles() throws {
        #expect(try cid("") == "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        #expect(try cid("") { $0.cidVersion = 1 } == "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku")
        #expect(try cid("hello world") == "Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD")
        #expect(try cid("hello world") { $0.cidVersion = 1 } == "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e")
        #expect(
            try cid("hello world") {
                $0.cidVersion = 1
                $0.rawLeaves = false
            } == "bafybeihykld7uyxzogax6vgyvag42y7464eywpf55gxi5qpoisibh3c5wa")
        #expect(
            try cid("hello world") { $0.hash = "sha2-512" }
                == "bafkrgqbqt3gerhas23vuzrapkdeqf4vu2dwxp3srdj6hvg6nhsug2tgyn6mj3u23yx7utftq3i2ckw2fwdh5qmhid5qf3t35yvkc5e5ottlw6")
        #expect(try cid("Hello Neptune!\nHello Pluton!") == "QmZDhWpi8NvKrekaYYhxKCdNVGWsFFe1CREnAjP1QbPaB3")
        #expect(try cid("base32 test\n") == CID("bafybeibyosqxljd2eptb4ebbtvk7pb4aoxzqa6ttdsflty6rsslz5y6i34")!.v0!.description)
    }

    @Test(arguments: ["rabin", "size-64", "rabin-36-512-1024", "buzhash", nil]) func oneChunk(_ chunker: String?) throws {
        #expect(try cid("Hello Worlds!\n") { $0.chunker = chunker } == "QmVr26fY1tKyspEJBniVhqxQeEjhF78XerGiqWAwraVLQH")
    }

    @Test func trickle() throws {
        #expect(try cid("Hello Worlds!\n") { $0.trickle = true } == "QmUkUQgxXeggyaD5Ckv8ZqfW8wHBX6cYyeiyqvVZYzq5Bi")
        #expect(try cid("") { $0.trickle = true } == "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
    }

    @Test func chunkThresholds() throws {
        let content = TestContent.chacha("chunk-v0-seed", size: 262_145)
        #expect(try cid(content.prefix(262_144)) == "QmWmRj3dFDZdb6ABvbmKhEL6TmPbAfBZ1t5BxsEyJrcZhE")
        #expect(try cid(content) == "QmYyLxtzZyW22zpoVAtKANLRHpDjZtNeDjQdJrcQNWoRkJ")
        let modern = TestContent.chacha("chunk-v1-seed", size: 1_048_577)
        func flags(_ flags: inout ImportFlags) {
            flags.cidVersion = 1
            flags.chunker = "size-1048576"
            flags.maxFileLinks = 1024
        }
        #expect(try cid(modern.prefix(1_048_576), flags) == "bafkreiacndfy443ter6qr2tmbbdhadvxxheowwf75s6zehscklu6ezxmta")
        #expect(try cid(modern, flags) == "bafybeigmix7t42i6jacydtquhet7srwvgpizfg7gjbq7627d35mjomtu64")
    }

    @Test func linkThresholds() throws {
        let size = 174 * 262_144
        let content = TestContent.chacha("v0-seed", size: size + 1)
        #expect(try cid(content.prefix(size)) == "QmUbBALi174SnogsUzLpYbD4xPiBSFANF4iztWCsHbMKh2")
        #expect(try cid(content) == "QmV81WL765sC8DXsRhE5fJv2rwhS4icHRaf3J9Zk5FdRnW")
    }

    // MARK: Directories

    private struct Add {
        var flags = ImportFlags()
        var tree: TreeImporter

        init(_ change: (inout ImportFlags) -> Void, root: UnixFSMetadata = .none, on system: any System) throws {
            change(&flags)
            tree = try TreeImporter(try flags.resolve(), metadata: try flags.metadata(own: root), on: system, into: nil)
        }

        @discardableResult
        func file(_ path: String, _ content: String, own: UnixFSMetadata = .none) async throws -> String {
            var rest: Bytes? = Bytes(utf8: content)
            let parts = path.split(separator: "/").map(String.init)
            return try await tree.addFile(parts, metadata: try flags.metadata(own: own)) {
                defer { rest = nil }
                return rest
            }.cid.description
        }

        @discardableResult
        func link(_ path: String, _ target: String, own: UnixFSMetadata = .none) async throws -> String {
            let parts = path.split(separator: "/").map(String.init)
            return try await tree.addSymlink(parts, target: target, metadata: try flags.metadata(own: own)).cid.description
        }

        func directory(_ path: String, own: UnixFSMetadata = .none) throws {
            try tree.addDirectory(path.split(separator: "/").map(String.init), metadata: try flags.metadata(own: own))
        }

        func root() async throws -> String { try await tree.finish().last!.node.cid.description }
    }

    private func tree(
        root: UnixFSMetadata = .none, _ change: @escaping @Sendable (inout ImportFlags) -> Void = { _ in },
        _ body: @escaping @Sendable (Add) async throws -> Void
    ) throws -> String {
        try TestUnixFS.simulate { system in
            let add = try Add(change, root: root, on: system)
            try await body(add)
            return try await add.root()
        }
    }

    @Test func planets() throws {
        let cases: [(@Sendable (inout ImportFlags) -> Void, String, String, String)] = [
            ({ _ in }, "QmWSgS32xQEcXMeqd3YPJLrNBLSdsfYCep2U7CFkyrjXwY", "QmPrrHqJzto9m7SyiRzarwkqPcCSsKR2EB1AyqJfe8L8tN",
                "QmU5kp3BH3B8tnWUU2Pikdb2maksBNkb92FHRr56hyghh4"),
            ({ $0.rawLeaves = true }, "QmfWfQfKCY5Ukv9peBbxM5vqWM9BzmqUSXvdCgjT2wsiBT",
                "bafkreibmlvvgdyihetgocpof6xk64kjjzdeq2e4c7hqs3krdheosk4tgj4", "bafkreihfsphazrk2ilejpekyltjeh5k4yvwgjuwg26ueafohqioeo3sdca"),
            ({ $0.cidVersion = 1 }, "bafybeih7e5dmkyk25up5vxug4q3hrg2fxbzf23dfrac2fns5h7z4aa7ioi",
                "bafkreibmlvvgdyihetgocpof6xk64kjjzdeq2e4c7hqs3krdheosk4tgj4", "bafkreihfsphazrk2ilejpekyltjeh5k4yvwgjuwg26ueafohqioeo3sdca"),
            ({ $0.cidVersion = 1; $0.rawLeaves = false }, "bafybeif5tuep5ap2d7zyhbktucey75aoacxufgt6i3v4gebmixyipnyp7y",
                "bafybeiawta2ntdmsy24aro35w3homzl4ak7svr3si7l7gesvq4erglyye4", "bafybeicvkvhs2fr75ynebtdjqpgm4g2fc63abqbmysupwpmcjl4gx7mzrm"),
            ({ $0.hash = "blake2b-256" }, "bafykbzaceaptbcs7ik5mdfpot3b4ackvxlwh7loc5jcrtkayf64ukl7zyk46e",
                "bafk2bzaceaqcxw46uzkyd2jmczoogof6pnkqt4dpiv3pwkunsv4g5rkkmecie",
                "bafk2bzacebxnke2fb5mgzxyjuuavvcfht4fd3gvn4klkujz6k72wboynhuvfw"),
        ]
        for (flags, planets, mars, venus) in cases {
            let root = try tree(flags) { add in
                let files = [try await add.file("mars.txt", "Hello Mars!\n"), try await add.file("venus.txt", "Hello Venus!\n")]
                #expect(files == [mars, venus])
            }
            #expect(root == planets)
        }
    }

    @Test func nestedDirectories() throws {
        let moons = try TestUnixFS.simulate { system in
            let add = try Add({ _ in }, on: system)
            try await add.file("jupiter/europa.txt", "Hello Europa!\n")
            try await add.file("mercury.txt", "hey you are no moon!\n")
            try await add.file("saturn/titan.txt", "Hello Titan!\n")
            return try await add.tree.finish()
        }
        #expect(moons.map { $0.path.joined(separator: "/") } == ["jupiter", "saturn", ""])
        #expect(moons.map(\.node.cid.description) == [
            "QmS5mZddhFPLWFX3w6FzAy9QxyYkaxvUpsWCtZ3r7jub9J", "QmaMagZT4rTE7Nonw8KGSK4oe1bh533yhZrCo1HihSG8FK",
            "QmbGoaQZm8kjYfCiN1aBsgwhqfUBGDYTrDb91Mz7Dvq81B",
        ])
        let current = try tree { add in
            try await add.file("hey", "Hey\n")
            try await add.file("hello/world", "World\n")
        }
        #expect(current == "QmZQWnfcqJ6hNkkPvrY9Q5X39GP3jUnUbAV4AbmbbR3Cb1")
        #expect(try tree { _ in } == "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
    }

    @Test func symlinks() throws {
        @Sendable func fill(_ add: Add) async throws {
            try await add.file("foo/baz", "some text\n")
            let good = try await add.link("bar/baz", "files/foo/baz")
            let bad = try await add.link("bad", "files/does/not/exist")
            guard add.flags.cidVersion == nil else { return }
            #expect(good == "QmdocmZeF7qwPT9Z8SiVhMSyKA2KKoA2J7jToW6z6WBmxR")
            #expect(bad == "QmWYN8SEXCgNT2PSjB6BnxAx6NJQtazWoBkTRH9GRfPFFQ")
        }
        #expect(try tree({ _ in }, fill) == "QmWdiHKoeSW8G1u7ATCgpx4yMoUhYaJBQGkyPLkS9goYZ8")
        #expect(try tree({ $0.cidVersion = 1 }, fill) == "bafybeibyhlx64cklod6isy3h7tsmr4qvam3ae3b74n3hfes5bythjrwyua")
    }

    // MARK: Metadata

    @Test func fileMetadata() throws {
        let own = UnixFSMetadata(mode: 0o640, modified: UnixFSTime(seconds: 1_604_320_482))
        func empty(_ change: (inout ImportFlags) -> Void) throws -> String {
            var flags = ImportFlags()
            change(&flags)
            return try TestUnixFS.add(Bytes(), try flags.resolve(), metadata: try flags.metadata(own: own)).cid.description
        }
        #expect(try empty { _ in } == "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH")
        #expect(try empty { $0.preserveMode = true } == "QmQLgxypSNGNFTuUPGCecq6dDEjb6hNB5xSyVmP3cEuNtq")
        #expect(try empty { $0.preserveModified = true } == "QmQ6kErEW8kztQFV8vbwNU8E4dmtGsYpRiboiLxUEwibvj")
        #expect(
            try empty {
                $0.preserveMode = true
                $0.preserveModified = true
            } == "QmYkvboLsvLFcSYmqVJRxvBdYRQLroLv9kELf3LRiCqBri")
        #expect(try empty { $0.mode = 0o764 } == "QmchD3BN8TQ3RW6jPLxSaNkqvfuj7syKhzTRmL4EpyY1Nz")
        #expect(try empty { $0.modifiedSeconds = 1_603_539_720 } == "QmT3aY4avDcYXCWpU8CJzqUkW7YEuEsx36S8cTNoLcuK1B")
        #expect(
            try empty {
                $0.modifiedSeconds = 1_603_539_720
                $0.modifiedNanoseconds = 54321
            } == "QmaKH8H5rXBUBCX4vdxi7ktGQEL7wejV7L9rX2qpZjwncz")
        #expect(
            try empty {
                $0.mode = 0o764
                $0.modifiedSeconds = 1_603_539_720
                $0.modifiedNanoseconds = 54321
            } == "QmUkxrtBA8tPjwCYz1HrsoRfDz6NgKut3asVeHVQNH4C8L")
        #expect(throws: ImportOptionError.self) {
            try empty {
                $0.rawLeaves = true
                $0.mode = 0o764
            }
        }
        #expect(throws: ImportOptionError.self) { try empty { $0.modifiedNanoseconds = 1 } }
    }

    @Test func linkAndDirectoryMetadata() throws {
        let own = UnixFSMetadata(mode: 0o755, modified: UnixFSTime(seconds: 1_655_158_722))
        let link = UnixFSMetadata(mode: 0o777, modified: UnixFSTime(seconds: 1_604_320_482))
        @Sendable func fill(_ add: Add) async throws {}
        #expect(try tree(root: own, { $0.preserveMode = true }, fill) == "QmRviohgafvCsbkiTgfQFipbuXJ6k1YtoiaQW4quttJPKu")
        #expect(try tree(root: own, { $0.preserveModified = true }, fill) == "QmYMy7CZGb498QFSQBF5ZFwv1FYbrAtYZMe4VxhDXxAcvf")
        #expect(try tree({ $0.mode = 0o713 }, fill) == "QmQ1ABnw2iip7sj23EzzBZ9T77KyyfESP6SUboiXPyzNQe")
        #expect(try tree({ $0.modifiedSeconds = 1_603_539_720 }, fill) == "QmfWitW6F13WHFXLbJzXRYmwrS1p4gaAJAfucUSMytRPn3")
        #expect(
            try tree({ $0.modifiedSeconds = 1_603_539_720; $0.modifiedNanoseconds = 54321 }, fill)
                == "QmZFdCLJay31hT3Tx1LygJ7XfiLEs3qLCXtbeBfhf38aZg")
        _ = try tree({ $0.preserveModified = true }) { add in
            let link = try await add.link("x", "nothing", own: link)
            #expect(link == "QmbJwotgtr84JxcnjpwJ86uZiyMoxbZuNH4YrdJMypkYaB")
        }
        _ = try tree({ $0.modifiedSeconds = 1_603_539_720; $0.mode = 0o764 }) { add in
            let link = try await add.link("x", "nothing")
            #expect(link == "QmV1Uot2gy4bhY9yvYiZxhhchhyYC6MKKoGV1XtWNmpCLe")
        }
    }

    @Test func treeMetadata() throws {
        @Sendable func own(_ mode: UInt32, _ seconds: Int64) -> UnixFSMetadata {
            UnixFSMetadata(mode: mode, modified: UnixFSTime(seconds: 1_655_158_632 + seconds))
        }
        @Sendable func fill(_ add: Add) async throws {
            try add.directory("dir1", own: own(0o755, 90))
            try add.directory("dir2", own: own(0o755, 50))
            try add.directory("dir2/sub1", own: own(0o755, 40))
            try await add.link("dir2/sub1/link1", "../sub2/file3", own: own(0o777, 20))
            try add.directory("dir2/sub1/sub2", own: own(0o755, 30))
            try await add.file("dir2/sub1/sub2/file3", "", own: own(0o644, 10))
            try add.directory("dir3", own: own(0o755, 70))
            try await add.file("dir3/file2", "", own: own(0o644, 60))
            try await add.file("file1", "", own: own(0o644, 80))
        }
        #expect(
            try tree(root: own(0o700, 0), { $0.preserveMode = true; $0.preserveModified = true }, fill)
                == "QmSioyvQuXetxg7uo8FswGn9XKKEsisDq1HTMzGyWbw2R6")
        let modes = [
            "QmNZ5cyx3f6maXkczwhh3ufjDCh9f3k9zrDhX218ZZGvoV", "QmRqtFVLkXfWJuqWtYiCPthgomo3gouno8uvMeGAyCVaWS",
            "QmZNAZXB6JyJ1cK9h1uJEK4XDo1CKsSuHMPGUUMrzDXCQz", "QmbSz6GyS8MNR4M9xtCteuGVJQRYkCXLbW174Fdy8jtaoZ",
            "QmccnAQQeJGtmtgZoi3hpEmgdxbuX1ao2hQmrKmmwQnCn9", "QmeTZoiAiduFY2hXaNQP4ehiE71BrQFEnrqduBZ5ZjHuFy",
            "Qmf13KNurvAHUfMBhMWvZuftmUikhhGY7ohWVaBDDndFMz",
        ]
        #expect(modes.contains(try tree({ $0.mode = 0o753 }, fill)))
    }

    // MARK: Shards

    private func numbered(_ change: @escaping @Sendable (inout ImportFlags) -> Void) throws -> String {
        try tree(change) { add in
            for index in 1...2000 { try await add.file("file\(index)", "\(index)\n") }
        }
    }

    @Test func shardedDirectories() throws {
        #expect(try numbered { $0.shardThreshold = 1 << 30 } == "QmavrTrQG4VhoJmantURAYuw3bowq3E2WcvP36NRQDAC1N")
        #expect(try numbered { $0.shardThreshold = 1 } == "QmSCJD1KYLhVVHqBK3YyXuoEqHt7vggyJhzoFYbT8v1XYL")
        #expect(
            try numbered { $0.shardThreshold = 1; $0.cidVersion = 1 } == "bafybeibiemewfzzdyhq2l74wrd6qj2oz42usjlktgnlqv4yfawgouaqn4u")
    }

    private func profile(
        _ seed: String, files: Int, name: Int, last: Int, _ change: @escaping @Sendable (inout ImportFlags) -> Void
    ) throws -> String {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz01234567890-_".unicodeScalars)
        let random = TestContent.chacha(seed, size: 1 << 20)
        return try tree(change) { add in
            var offset = 0
            for index in 0..<files {
                let length = index == files - 1 ? last : name
                var text = ""
                for byte in random[offset..<offset + length] { text.unicodeScalars.append(alphabet[Int(byte) % alphabet.count]) }
                offset += length
                try await add.file(text, "x")
            }
        }
    }

    @Test func shardThresholds() throws {
        let old = "hamt-unixfs-v0-2015"
        #expect(try profile(old, files: 4096, name: 30, last: 30) { _ in } == "QmX5GtRk3TSSEHtdrykgqm4eqMEn3n2XhfkFAis5fjyZmN")
        #expect(try profile(old, files: 4033, name: 31, last: 31) { _ in } == "QmeMiJzmhpJAUgynAcxTQYek5PPKgdv3qEvFsdV3XpVnvP")
        @Sendable func modern(_ flags: inout ImportFlags) {
            flags.cidVersion = 1
            flags.sizeEstimation = .block
        }
        let new = "hamt-unixfs-v1-2025"
        #expect(try profile(new, files: 4766, name: 11, last: 21, modern) == "bafybeic3h7rwruealwxkacabdy45jivq2crwz6bufb5ljwupn36gicplx4")
        #expect(try profile(new, files: 4766, name: 11, last: 22, modern) == "bafybeiegvuterwurhdtkikfhbxcldohmxp566vpjdofhzmnhv6o4freidu")
    }
}
