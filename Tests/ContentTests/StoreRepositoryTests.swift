import Testing
import WaggleBase
import WaggleSimulation

@testable import WaggleContent

@Suite struct StoreRepositoryTests {
    private let world = World(seed: 1)
    private var host: Host { world.host("node") }

    @Test func initializesOnceAndKeepsTheConfiguration() throws {
        let system = host.system
        #expect(throws: RepositoryError.notInitialized(path: "/r")) { try Repository.open("/r", on: system) }
        try Repository.initialize(at: "/r", configuration: "{\"a\":1}", on: system)
        #expect(throws: RepositoryError.alreadyInitialized(path: "/r")) {
            try Repository.initialize(at: "/r", configuration: "{}", on: system)
        }
        let world = world
        try world.run {
            let repository = try Repository.open("/r", on: system)
            #expect(try repository.configuration() == "{\"a\":1}")
            try repository.save(configuration: "{\"a\":2}")
            await repository.close()
            let again = try Repository.open("/r", on: system)
            #expect(try again.configuration() == "{\"a\":2}")
            await again.close()
        }
    }

    @Test func secondProcessIsRefused() throws {
        let system = host.system
        let world = world
        try world.run {
            try Repository.initialize(at: "/r", configuration: "{}", on: system)
            let repository = try Repository.open("/r", on: system)
            #expect(throws: RepositoryError.inUse(path: "/r")) { try Repository.open("/r", on: system) }
            await repository.close()
            let again = try Repository.open("/r", on: system)
            await again.close()
        }
    }

    @Test func foreignDirectoriesAreLeftAlone() throws {
        let files = host.system.files
        try files.makeDirectory("/kubo", mode: 0o700)
        try files.replace("/kubo/datastore_spec", with: "{}", mode: 0o600)
        #expect(throws: RepositoryError.foreign(path: "/kubo", detail: "Kubo made it")) {
            try Repository.initialize(at: "/kubo", configuration: "{}", on: host.system)
        }
        try files.makeDirectory("/new", mode: 0o700)
        try files.replace("/new/version", with: "waggle-99\n", mode: 0o600)
        #expect(throws: RepositoryError.foreign(path: "/new", detail: "its version is waggle-99, this program knows waggle-1")) {
            try Repository.open("/new", on: host.system)
        }
        try files.replace("/new/version", with: Bytes([0xff, 0xfe]), mode: 0o600)
        #expect(throws: RepositoryError.damaged(path: "/new", detail: "the file version cannot be read")) {
            try Repository.open("/new", on: host.system)
        }
    }

    @Test func readOnlyDiskIsOneSentence() throws {
        try Repository.initialize(at: "/r", configuration: "{}", on: host.system)
        host.disk.isReadOnly = true
        #expect(throws: RepositoryError.readOnly(path: "/r")) { try Repository.open("/r", on: host.system) }
        #expect(RepositoryError.readOnly(path: "/r").description.contains("cannot be written"))
    }
}
