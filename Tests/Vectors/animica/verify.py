#!/usr/bin/env python3
"""A second implementation of /animica/1, written from docs/specs/animica-channel.md alone, that recomputes the vectors beside it.

Only the standard library: SHA-3 and SHAKE come from hashlib, HMAC from hmac, the rest is written out here, slowly and not in constant time.
Ends with 0 when every byte of every vector is the same and every ML-DSA signature is genuine."""
import hashlib, hmac, json, pathlib, struct, sys

H = lambda data: hashlib.sha3_256(data).digest()
shake128 = lambda data, n: hashlib.shake_128(data).digest(n)
shake256 = lambda data, n: hashlib.shake_256(data).digest(n)


# --- HKDF-SHA3-256 (RFC 5869) ---
def extract(salt, ikm): return hmac.new(salt, ikm, "sha3_256").digest()

def expand(prk, info, n):
    out, block, i = b"", b"", 1
    while len(out) < n:
        block = hmac.new(prk, block + info + bytes([i]), "sha3_256").digest()
        out, i = out + block, i + 1
    return out[:n]


# --- ML-KEM-768 (FIPS 203) ---
class MLKEM:
    Q, K = 3329, 3
    rev = lambda i: int(f"{i:07b}"[::-1], 2)
    ZETA = [pow(17, int(f"{i:07b}"[::-1], 2), 3329) for i in range(128)]

    @classmethod
    def ntt(c, f):
        f, i, n = f[:], 1, 128
        while n >= 2:
            for start in range(0, 256, 2 * n):
                z = c.ZETA[i]; i += 1
                for j in range(start, start + n):
                    t = z * f[j + n] % c.Q
                    f[j + n], f[j] = (f[j] - t) % c.Q, (f[j] + t) % c.Q
            n //= 2
        return f

    @classmethod
    def intt(c, f):
        f, i, n = f[:], 127, 2
        while n <= 128:
            for start in range(0, 256, 2 * n):
                z = c.ZETA[i]; i -= 1
                for j in range(start, start + n):
                    t = f[j]
                    f[j], f[j + n] = (t + f[j + n]) % c.Q, z * (f[j + n] - t) % c.Q
            n *= 2
        return [x * 3303 % c.Q for x in f]

    @classmethod
    def mul(c, f, g):
        h = [0] * 256
        for i in range(128):
            gamma = pow(17, 2 * int(f"{i:07b}"[::-1], 2) + 1, c.Q)
            a0, a1, b0, b1 = f[2 * i], f[2 * i + 1], g[2 * i], g[2 * i + 1]
            h[2 * i], h[2 * i + 1] = (a0 * b0 + a1 * b1 * gamma) % c.Q, (a0 * b1 + a1 * b0) % c.Q
        return h

    @staticmethod
    def add(f, g): return [(a + b) % 3329 for a, b in zip(f, g)]

    @classmethod
    def sample(c, seed):
        out, data, p = [], shake128(seed, 3 * 1024), 0
        while len(out) < 256:
            b0, b1, b2 = data[p:p + 3]; p += 3
            for d in (b0 + 256 * (b1 % 16), b1 // 16 + 16 * b2):
                if d < c.Q and len(out) < 256: out.append(d)
        return out

    @classmethod
    def noise(c, seed, n):
        data = shake256(seed + bytes([n]), 128)
        bits = [data[i // 8] >> (i % 8) & 1 for i in range(1024)]
        return [(bits[4 * i] + bits[4 * i + 1] - bits[4 * i + 2] - bits[4 * i + 3]) % c.Q for i in range(256)]

    @staticmethod
    def encode(f, d):
        value = sum(x << (d * i) for i, x in enumerate(f))
        return value.to_bytes(32 * d, "little")

    @staticmethod
    def decode(data, d):
        value = int.from_bytes(data, "little")
        return [value >> (d * i) & ((1 << d) - 1) for i in range(256)]

    @classmethod
    def compress(c, f, d): return [(x * (1 << d) * 2 + c.Q) // (2 * c.Q) % (1 << d) for x in f]
    @classmethod
    def decompress(c, f, d): return [(x * c.Q * 2 + (1 << d)) // (2 << d) for x in f]

    @classmethod
    def dot(c, a, b):
        total = [0] * 256
        for f, g in zip(a, b): total = c.add(total, c.mul(f, g))
        return total

    @classmethod
    def matrix(c, rho): return [[c.sample(rho + bytes([j, i])) for j in range(c.K)] for i in range(c.K)]

    @classmethod
    def keygen(c, d):
        g = hashlib.sha3_512(d + bytes([c.K])).digest()
        rho, sigma = g[:32], g[32:]
        a = c.matrix(rho)
        s = [c.ntt(c.noise(sigma, i)) for i in range(c.K)]
        e = [c.ntt(c.noise(sigma, c.K + i)) for i in range(c.K)]
        t = [c.add(c.dot(a[i], s), e[i]) for i in range(c.K)]
        return b"".join(c.encode(f, 12) for f in t) + rho, s

    @classmethod
    def encrypt(c, ek, m, r):
        t = [c.decode(ek[384 * i:384 * i + 384], 12) for i in range(c.K)]
        a = c.matrix(ek[1152:])
        y = [c.ntt(c.noise(r, i)) for i in range(c.K)]
        e1 = [c.noise(r, c.K + i) for i in range(c.K)]
        e2 = c.noise(r, 2 * c.K)
        u = [c.add(c.intt(c.dot([a[j][i] for j in range(c.K)], y)), e1[i]) for i in range(c.K)]
        v = c.add(c.add(c.intt(c.dot(t, y)), e2), c.decompress(c.decode(m, 1), 1))
        return b"".join(c.encode(c.compress(f, 10), 10) for f in u) + c.encode(c.compress(v, 4), 4)

    @classmethod
    def encaps(c, ek, m):
        g = hashlib.sha3_512(m + H(ek)).digest()
        return g[:32], c.encrypt(ek, m, g[32:])

    @classmethod
    def decaps(c, ek, s, z, ct):
        u = [c.decompress(c.decode(ct[320 * i:320 * i + 320], 10), 10) for i in range(c.K)]
        v = c.decompress(c.decode(ct[960:], 4), 4)
        w = [(a - b) % c.Q for a, b in zip(v, c.intt(c.dot(s, [c.ntt(f) for f in u])))]
        m = c.encode(c.compress(w, 1), 1)
        g = hashlib.sha3_512(m + H(ek)).digest()
        return g[:32] if c.encrypt(ek, m, g[32:]) == ct else shake256(z + ct, 32)


# --- ML-DSA-65 verification (FIPS 204) ---
class MLDSA:
    Q, K, L, D = 8380417, 6, 5, 13
    ZETA = [pow(1753, int(f"{i:08b}"[::-1], 2), 8380417) for i in range(256)]

    @classmethod
    def ntt(c, f):
        f, i, n = f[:], 0, 128
        while n >= 1:
            for start in range(0, 256, 2 * n):
                i += 1
                for j in range(start, start + n):
                    t = c.ZETA[i] * f[j + n] % c.Q
                    f[j + n], f[j] = (f[j] - t) % c.Q, (f[j] + t) % c.Q
            n //= 2
        return f

    @classmethod
    def intt(c, f):
        f, i, n = f[:], 256, 1
        while n < 256:
            for start in range(0, 256, 2 * n):
                i -= 1
                for j in range(start, start + n):
                    t = f[j]
                    f[j], f[j + n] = (t + f[j + n]) % c.Q, -c.ZETA[i] * (t - f[j + n]) % c.Q
            n *= 2
        return [x * 8347681 % c.Q for x in f]

    @classmethod
    def sample(c, seed):
        out, data, p = [], shake128(seed, 3 * 600), 0
        while len(out) < 256:
            x = int.from_bytes(data[p:p + 3], "little") & 0x7fffff; p += 3
            if x < c.Q: out.append(x)
        return out

    @classmethod
    def ball(c, seed):
        data, out = shake256(seed, 1024), [0] * 256
        signs, p = int.from_bytes(data[:8], "little"), 8
        for i in range(256 - 49, 256):
            while data[p] > i: p += 1
            j = data[p]; p += 1
            out[i], out[j] = out[j], -1 if signs & 1 else 1
            signs >>= 1
        return out

    @classmethod
    def verify(c, pk, message, sig):
        if len(pk) != 1952 or len(sig) != 3309: return False
        bits = lambda data, d: [int.from_bytes(data, "little") >> (d * i) & ((1 << d) - 1) for i in range(256)]
        t1 = [bits(pk[32 + 320 * i:352 + 320 * i], 10) for i in range(c.K)]
        z = [[(1 << 19) - x for x in bits(sig[48 + 640 * i:688 + 640 * i], 20)] for i in range(c.L)]
        if any(abs(x) >= (1 << 19) - 196 for f in z for x in f): return False
        packed, hints, index = sig[3248:], [[0] * 256 for _ in range(c.K)], 0
        for i in range(c.K):
            end = packed[55 + i]
            if not index <= end <= 55: return False
            if any(a >= b for a, b in zip(packed[index:end], packed[index + 1:end])): return False
            for p in packed[index:end]: hints[i][p] = 1
            index = end
        if any(packed[index:55]): return False
        mu = shake256(shake256(pk, 64) + b"\0\0" + message, 64)
        ch, zh = c.ntt([x % c.Q for x in c.ball(sig[:48])]), [c.ntt([x % c.Q for x in f]) for f in z]
        g2, out = (c.Q - 1) // 32, b""
        for i in range(c.K):
            total = [0] * 256
            for j in range(c.L):
                a = c.sample(pk[:32] + bytes([j, i]))
                total = [(x + p * q) % c.Q for x, p, q in zip(total, a, zh[j])]
            th = c.ntt([x << c.D for x in t1[i]])
            w = c.intt([(x - p * q) % c.Q for x, p, q in zip(total, ch, th)])
            w1 = []
            for x, h in zip(w, hints[i]):
                low = x % (2 * g2)
                if low > g2: low -= 2 * g2
                high, low = (0, low - 1) if x - low == c.Q - 1 else ((x - low) // (2 * g2), low)
                if h: high = (high + (1 if low > 0 else -1)) % 16
                w1.append(high)
            out += sum(x << (4 * n) for n, x in enumerate(w1)).to_bytes(128, "little")
        return sig[:48] == shake256(mu + out, 48)


# --- Ed25519 verification (RFC 8032) ---
class Ed25519:
    P = 2**255 - 19
    L = 2**252 + 27742317777372353535851937790883648493
    D = -121665 * pow(121666, -1, P) % P
    I = pow(2, (P - 1) // 4, P)

    @classmethod
    def add(c, a, b):
        (x1, y1), (x2, y2) = a, b
        t = c.D * x1 * x2 * y1 * y2
        return (x1 * y2 + x2 * y1) * pow(1 + t, -1, c.P) % c.P, (y1 * y2 + x1 * x2) * pow(1 - t, -1, c.P) % c.P

    @classmethod
    def times(c, n, point):
        total = (0, 1)
        while n:
            if n & 1: total = c.add(total, point)
            point, n = c.add(point, point), n >> 1
        return total

    @classmethod
    def point(c, data):
        y = int.from_bytes(data, "little") & (1 << 255) - 1
        square = (y * y - 1) * pow(c.D * y * y + 1, -1, c.P) % c.P
        x = pow(square, (c.P + 3) // 8, c.P)
        if x * x % c.P != square: x = x * c.I % c.P
        assert x * x % c.P == square, "no point of the curve"
        return (c.P - x if x & 1 != data[31] >> 7 else x), y

    @classmethod
    def verify(c, key, message, sig):
        s = int.from_bytes(sig[32:], "little")
        if len(sig) != 64 or s >= c.L: return False
        base = c.point((4 * pow(5, -1, c.P) % c.P).to_bytes(32, "little"))
        k = int.from_bytes(hashlib.sha512(sig[:32] + key + message).digest(), "little") % c.L
        return c.times(s, base) == c.add(c.point(sig[:32]), c.times(k, c.point(key)))


# --- ChaCha20-Poly1305 (RFC 8439) ---
def chacha_block(key, counter, nonce):
    state = list(struct.unpack("<16I", b"expand 32-byte k" + key + struct.pack("<I", counter) + nonce))
    x = state[:]
    def quarter(a, b, c, d):
        for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & 0xffffffff
            x[r] ^= x[p]
            x[r] = (x[r] << n | x[r] >> (32 - n)) & 0xffffffff
    for _ in range(10):
        for i in range(4): quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4): quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<16I", *((a + b) & 0xffffffff for a, b in zip(x, state)))

def chacha_seal(key, nonce, aad, text):
    stream = b"".join(chacha_block(key, 1 + i, nonce) for i in range((len(text) + 63) // 64))
    ct = bytes(a ^ b for a, b in zip(text, stream))
    poly = chacha_block(key, 0, nonce)[:32]
    r, s = int.from_bytes(poly[:16], "little") & 0x0ffffffc0ffffffc0ffffffc0fffffff, int.from_bytes(poly[16:], "little")
    pad = lambda data: data + bytes(-len(data) % 16)
    total = 0
    data = pad(aad) + pad(ct) + struct.pack("<QQ", len(aad), len(ct))
    for i in range(0, len(data), 16):
        total = (total + int.from_bytes(data[i:i + 16], "little") + (1 << 128)) * r % ((1 << 130) - 5)
    return ct + ((total + s) % (1 << 128)).to_bytes(16, "little")


# --- AES-256-GCM (FIPS 197, SP 800-38D) ---
def _sbox():
    box, p, q = [0] * 256, 1, 1
    while True:
        p = p ^ (p << 1) & 0xff ^ (0x1b if p & 0x80 else 0)
        q ^= q << 1; q ^= q << 2; q ^= q << 4; q &= 0xff
        if q & 0x80: q ^= 0x09
        rot = lambda n: (q << n | q >> (8 - n)) & 0xff
        box[p] = q ^ rot(1) ^ rot(2) ^ rot(3) ^ rot(4) ^ 0x63
        if p == 1: break
    box[0] = 0x63
    return box
SBOX = _sbox()

def aes256(key):
    words = [list(key[4 * i:4 * i + 4]) for i in range(8)]
    rcon = 1
    for i in range(8, 60):
        word = words[-1][:]
        if i % 8 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon <<= 1
        elif i % 8 == 4: word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(word, words[-8])])
    keys = [sum(words[4 * r:4 * r + 4], []) for r in range(15)]
    double = lambda b: (b << 1 ^ (0x1b if b & 0x80 else 0)) & 0xff
    def block(data):
        s = [a ^ b for a, b in zip(data, keys[0])]
        for r in range(1, 15):
            s = [SBOX[s[(i + 4 * (i % 4)) % 16]] for i in range(16)]
            if r < 14:
                out = []
                for i in range(0, 16, 4):
                    c = s[i:i + 4]
                    out += [double(c[j]) ^ double(c[(j + 1) % 4]) ^ c[(j + 1) % 4] ^ c[(j + 2) % 4] ^ c[(j + 3) % 4] for j in range(4)]
                s = out
            s = [a ^ b for a, b in zip(s, keys[r])]
        return bytes(s)
    return block

def gcm_seal(key, nonce, aad, text):
    block = aes256(key)
    h = int.from_bytes(block(bytes(16)), "big")
    def mul(x, y):
        z = 0
        for i in range(127, -1, -1):
            if x >> i & 1: z ^= y
            y = y >> 1 ^ (0xe1 << 120 if y & 1 else 0)
        return z
    stream = b"".join(block(nonce + struct.pack(">I", 2 + i)) for i in range((len(text) + 15) // 16))
    ct = bytes(a ^ b for a, b in zip(text, stream))
    pad = lambda data: data + bytes(-len(data) % 16)
    total = 0
    data = pad(aad) + pad(ct) + struct.pack(">QQ", 8 * len(aad), 8 * len(ct))
    for i in range(0, len(data), 16): total = mul(total ^ int.from_bytes(data[i:i + 16], "big"), h)
    tag = total ^ int.from_bytes(block(nonce + struct.pack(">I", 1)), "big")
    return ct + tag.to_bytes(16, "big")

SEAL = {29: chacha_seal, 2: gcm_seal}

def unseal(cipher, key, nonce, aad, sealed):
    """Both ciphers add a key stream, so sealing the ciphertext gives the plaintext; sealing that again must give the whole."""
    text = SEAL[cipher](key, nonce, aad, sealed[:-16])[:-16]
    assert SEAL[cipher](key, nonce, aad, text) == sealed, "a sealed message is not authentic"
    return text


# --- /animica/1 ---
def policy_root(algorithms):
    leaves = [H(struct.pack(">BBHB", 0, a["category"], a["id"], len(a["name"])) + a["name"].encode()) for a in algorithms]
    def root(part):
        if len(part) == 1: return part[0]
        split = 1
        while split * 2 < len(part): split *= 2
        return H(b"\1" + root(part[:split]) + root(part[split:]))
    return leaves, root(leaves)

def names(list): return bytes([len(list)]) + b"".join(bytes([len(n)]) + n.encode() for n in list)

class Schedule:
    def __init__(self): self.h = self.s = H(b"/animica/1 ML-KEM-768 HKDF-SHA3-256")
    def absorb(self, data): self.h = H(self.h + data)
    def expand(self, label, n): return expand(self.s, label.encode() + self.h, n)
    def mix(self, shared): self.s = extract(self.expand("animica/1 chain", 32), shared)

def fields(data):
    """The fields of a protobuf message: number, and integer or bytes."""
    result, p = {}, 0
    def varint():
        nonlocal p
        value = shift = 0
        while True:
            byte = data[p]; p += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128: return value
    while p < len(data):
        tag = varint()
        value = varint()
        if tag & 7 == 2: value, p = data[p:p + value], p + value
        result[tag >> 3] = value
    return result

def check_certificate(certificate, key):
    """Checks the certificate of a node with two identities (docs/specs/dual-identity.md); gives its Ed25519 key."""
    parts = fields(certificate)
    body, classical = fields(parts[1]), fields(parts[2])
    assert parts[3] == key and classical[1] == 1, "kinds of keys"
    # The name of a short key is the key itself as an identity multihash, of a long one its SHA2-256.
    assert body[1] == bytes([0, len(parts[2])]) + parts[2] and body[2] == b"\x12\x20" + hashlib.sha256(key).digest(), "names"
    signed = b"waggle-identity-certificate:" + parts[1]
    assert Ed25519.verify(classical[2], signed, parts[4]) and MLDSA.verify(key[-1952:], signed, parts[5]), "certificate"
    return classical[2]

def signature_of(role, schedule, party, text):
    """Checks the credentials at the start of `text` and the signature behind them."""
    key = bytes.fromhex(party["identity_key"])
    certificate = bytes.fromhex(party["certificate"])
    credentials = struct.pack(">H", len(key)) + key + names(party["transports"]) + names(party["muxers"]) + names(party["channels"])
    credentials += struct.pack(">H", len(certificate)) + certificate
    if certificate:
        first, signature = check_certificate(certificate, key), text[len(credentials):len(credentials) + 64]
        signed = f"animica/1 {role} second identity:".encode() + H(schedule.h + credentials)
        assert Ed25519.verify(first, signed, signature) and not Ed25519.verify(first, signed + b"x", signature), f"Ed25519 signature of the {role}"
        credentials += signature
    assert text.startswith(credentials), f"credentials of the {role}"
    signature = text[len(credentials):]
    signed = f"animica/1 {role} signature:".encode() + H(schedule.h + credentials)
    if key.startswith(bytes([0x08, 4])):  # libp2p RFC 0004: 08 04 12 varint(1953) 02 key
        assert MLDSA.verify(key[-1952:], signed, signature), f"signature of the {role}"
        assert not MLDSA.verify(key[-1952:], signed + b"x", signature)
    else:
        assert len(signature) == 7856, "SLH-DSA signatures have 7,856 bytes"

def records(secret, cipher, list, per_key):
    for number, record in enumerate(list):
        if number and number % per_key == 0: secret = expand(secret, b"animica/1 rekey", 32)
        key, base = expand(secret, b"animica/1 key", 32), expand(secret, b"animica/1 nonce", 12)
        counter = number % per_key
        nonce = base[:4] + (int.from_bytes(base[4:], "big") ^ counter).to_bytes(8, "big")
        text = bytes.fromhex(record["plaintext"])
        length = struct.pack(">I", len(text) + 16)
        assert length + SEAL[cipher](key, nonce, length, text) == bytes.fromhex(record["record"]), f"record {number}"

def handshake(v):
    get = lambda name: bytes.fromhex(v[name])
    step = lambda name: bytes.fromhex(v["intermediate"][name])
    i, r = v["initiator"], v["responder"]
    hello, answer, finish = get("hello"), get("answer"), get("finish")
    code = lambda party: 0x1211 if party["identity_key"].startswith("0804") else 0x1221
    ek_i, s_i = MLKEM.keygen(bytes.fromhex(i["kem_d"]))
    ek_r, s_r = MLKEM.keygen(bytes.fromhex(r["kem_d"]))
    ss1, ct_i = MLKEM.encaps(ek_i, bytes.fromhex(r["kem_m"]))
    ss2, ct_r = MLKEM.encaps(ek_r, bytes.fromhex(i["kem_m"]))
    assert MLKEM.decaps(ek_i, s_i, bytes.fromhex(i["kem_z"]), ct_i) == ss1 == step("shared_secret_1")
    assert MLKEM.decaps(ek_r, s_r, bytes.fromhex(r["kem_z"]), ct_r) == ss2 == step("shared_secret_2")

    ciphers = [c for c in (struct.unpack(">H", hello[50 + 2 * n:52 + 2 * n])[0] for n in range(hello[49]))]
    open_hello = lambda party, list: struct.pack(">HQ", 1, v["chain"]) + get("policy_root") + struct.pack(
        ">HHB", 0x120c, code(party), len(list)) + b"".join(struct.pack(">H", c) for c in list)
    content = open_hello(i, ciphers) + ek_i
    assert hello == struct.pack(">BH", 1, len(content)) + content, "HELLO"

    k = Schedule()
    assert k.h == step("h0")
    k.absorb(hello)
    assert k.h == step("h1")
    cipher = ciphers[0]
    content = open_hello(r, [cipher]) + ct_i + ek_r
    head = struct.pack(">BH", 2, len(answer) - 3) + content
    assert answer.startswith(head), "ANSWER, open part"
    k.absorb(head)
    k.mix(ss1)
    assert (k.h, k.s) == (step("h2"), step("s1"))
    material = k.expand("animica/1 responder credentials", 44)
    assert material == step("responder_sealing")
    signature_of("responder", k, r, unseal(cipher, material[:32], material[32:], k.h, answer[len(head):]))
    k.absorb(answer[len(head):])
    assert k.h == step("h3")

    head = struct.pack(">BH", 3, len(finish) - 3) + ct_r
    assert finish.startswith(head), "FINISH, open part"
    k.absorb(head)
    k.mix(ss2)
    assert (k.h, k.s) == (step("h4"), step("s2"))
    material = k.expand("animica/1 initiator credentials", 44)
    assert material == step("initiator_sealing")
    signature_of("initiator", k, i, unseal(cipher, material[:32], material[32:], k.h, finish[len(head):]))
    k.absorb(finish[len(head):])
    assert k.h == step("h5")

    for role in ("initiator", "responder"):
        secret = k.expand(f"animica/1 {role} traffic", 32)
        assert secret == step(f"{role}_traffic")
        records(secret, cipher, v[f"{role}_records"], v["records_per_key"])

def main():
    folder = pathlib.Path(__file__).parent
    for p in json.loads((folder / "policies.json").read_text())["policies"]:
        leaves, root = policy_root(p["algorithms"])
        assert [l.hex() for l in leaves] == p["leaves"] and root.hex() == p["root"], "policy"
    count = 0
    for file in sorted(folder.glob("handshake-*.json")):
        handshake(json.loads(file.read_text()))
        count += 1
    assert count >= 4
    print(f"policies and {count} handshakes agree")

if __name__ == "__main__":
    main()
