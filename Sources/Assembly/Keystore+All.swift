import WaggleCryptography

extension Keystore {
    /// All keys, the node's own first.
    func all() throws(KeystoreError) -> [IdentityKeyPair] {
        var keys: [IdentityKeyPair] = []
        if try contains(Keystore.ownName) { keys.append(try key(named: Keystore.ownName)) }
        for name in try list() { keys.append(try key(named: name)) }
        return keys
    }
}
