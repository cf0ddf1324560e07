import CKernels
import WaggleBase

/// SLH-DSA, the stateless hash-based signature scheme of FIPS 205: slow and large, and as safe as its hash function.
///
/// Randomness comes in as arguments, so every operation is a function. Nothing but the parameters and what a signature shows
/// decides how long signing takes; secrets are wiped when their owner goes.
///
/// ```swift
/// let key = SLHDSA.PrivateKey(seed: random48, .shake128s)
/// let signature = key?.sign(message, context: purpose, randomness: random16)
/// let isGenuine = key?.publicKey.verify(signature, of: message, context: purpose)
/// ```
///
/// The folder: `SLHDSA+Parameters` has the twelve sets, `SLHDSA+Keys` the keys, `SLHDSA+Signing` the two operations, `SLHDSA+Digest` what
/// is made of a message. The trees of hashes are in C (`CKernels/slhdsa.c`).
public enum SLHDSA {
    /// The memory one operation works in, wiped at its end.
    struct Workspace: ~Copyable {
        let context: UnsafeMutablePointer<ck_slh>
        private let memory: UnsafeMutableRawBufferPointer

        /// Room for the nodes of one tree is needed to sign only.
        init(_ parameters: Parameters, publicSeed: UnsafePointer<UInt8>, secret: UnsafePointer<UInt8>?) {
            let height = secret == nil ? 0 : max(parameters.treeHeight, parameters.fewTimeHeight)
            let contextLength = MemoryLayout<ck_slh>.stride
            memory = .allocate(byteCount: contextLength + parameters.hashLength << height, alignment: 64)
            memory.initializeMemory(as: UInt8.self, repeating: 0)
            context = memory.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: ck_slh.self)
            context.pointee.n = parameters.hashLength
            context.pointee.tree_height = UInt32(parameters.treeHeight)
            context.pointee.fors_height = UInt32(parameters.fewTimeHeight)
            context.pointee.fors_trees = UInt32(parameters.fewTimeTrees)
            context.pointee.is_shake = parameters.family == .shake
            ck_slh_start(context, publicSeed, secret)
        }

        deinit {
            wipe(memory)
            memory.deallocate()
        }

        var nodes: UnsafeMutablePointer<UInt8> {
            (memory.baseAddress.unsafelyUnwrapped + MemoryLayout<ck_slh>.stride).octets
        }
    }
}
