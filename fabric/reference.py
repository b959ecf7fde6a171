#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second implementation of docs/encryption.md, to check the first one against.

Written from the specifications (Noise revision 34, RFC 7748, RFC 8439, FIPS 197, SP 800-38D), slow
and plain, with nothing but Python's own library. Writes a C table of examples, always the same:

    reference.py OUT.h
"""
import hashlib
import hmac
import random
import sys

# --- X25519 (RFC 7748, section 5) ---------------------------------------------------------------

P = 2**255 - 19
BASE = (9).to_bytes(32, "little")


def x25519(scalar, point):
    k = int.from_bytes(scalar, "little") & ~7 & (2**255 - 1) | 2**254
    x1 = int.from_bytes(point, "little") & (2**255 - 1)
    x2, z2, x3, z3, swap = 1, 0, x1, 1, 0
    for t in reversed(range(255)):
        bit = k >> t & 1
        if swap ^ bit:
            x2, x3, z2, z3 = x3, x2, z3, z2
        swap = bit
        a, b, c, d = x2 + z2, x2 - z2, x3 + z3, x3 - z3
        da, cb, e = d * a % P, c * b % P, a * a % P - b * b % P
        x3, z3 = (da + cb) ** 2 % P, x1 * (da - cb) ** 2 % P
        x2, z2 = a * a * b * b % P, e * (a * a + 121665 * e) % P
    if swap:
        x2, z2 = x3, z3
    return (x2 * pow(z2, P - 2, P) % P).to_bytes(32, "little")


# --- ChaCha20-Poly1305 (RFC 8439, section 2) ----------------------------------------------------


def chacha_block(key, counter, nonce):
    words = [int.from_bytes(part, "little") for part in fours(b"expand 32-byte k" + key)]
    words += [counter] + [int.from_bytes(part, "little") for part in fours(nonce)]
    state = list(words)

    def mix(target, other, turn, left):
        state[target] = (state[target] + state[other]) & 0xFFFFFFFF
        value = state[turn] ^ state[target]
        state[turn] = (value << left | value >> (32 - left)) & 0xFFFFFFFF

    columns = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
    diagonals = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]
    for a, b, c, d in (columns + diagonals) * 10:
        mix(a, b, d, 16)
        mix(c, d, b, 12)
        mix(a, b, d, 8)
        mix(c, d, b, 7)
    return b"".join(
        ((x + y) & 0xFFFFFFFF).to_bytes(4, "little") for x, y in zip(state, words)
    )


def fours(data):
    return [data[i : i + 4] for i in range(0, len(data), 4)]


def pad16(data):
    return data + bytes(-len(data) % 16)


def chacha_seal(key, number, header, plain):
    nonce = bytes(4) + number.to_bytes(8, "little")
    stream = b"".join(chacha_block(key, 1 + i, nonce) for i in range((len(plain) + 63) // 64))
    sealed = bytes(x ^ y for x, y in zip(plain, stream))
    one_time = chacha_block(key, 0, nonce)
    r = int.from_bytes(one_time[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    text = pad16(header) + pad16(sealed)
    text += len(header).to_bytes(8, "little") + len(sealed).to_bytes(8, "little")
    tag = 0
    for i in range(0, len(text), 16):
        tag = (tag + int.from_bytes(text[i : i + 16] + b"\1", "little")) * r % (2**130 - 5)
    tag = (tag + int.from_bytes(one_time[16:32], "little")) % 2**128
    return sealed + tag.to_bytes(16, "little")


# --- AES-256-GCM (FIPS 197, SP 800-38D) ---------------------------------------------------------


def double(value):
    return value << 1 ^ (0x11B if value & 0x80 else 0)


def multiply(a, b):
    product = 0
    while b:
        product ^= a if b & 1 else 0
        a, b = double(a), b >> 1
    return product


def substitute(value):
    inverse = next((x for x in range(256) if multiply(value, x) == 1), 0)
    turned = inverse * 0x101
    return inverse ^ 0x63 ^ (turned >> 4 ^ turned >> 5 ^ turned >> 6 ^ turned >> 7) & 0xFF


SBOX = [substitute(value) for value in range(256)]


def aes_expand(key):
    words, constant = fours(key), 1
    for i in range(8, 60):
        word = words[-1]
        if i % 8 == 0:
            word = bytes(SBOX[b] for b in word[1:] + word[:1])
            word, constant = bytes([word[0] ^ constant]) + word[1:], double(constant)
        elif i % 8 == 4:
            word = bytes(SBOX[b] for b in word)
        words.append(bytes(x ^ y for x, y in zip(words[i - 8], word)))
    return [b"".join(words[i : i + 4]) for i in range(0, 60, 4)]


def aes_block(rounds, block):
    state = bytes(x ^ y for x, y in zip(block, rounds[0]))
    for turn in range(1, 15):
        state = [SBOX[state[(i + 4 * (i % 4)) % 16]] for i in range(16)]
        if turn < 14:
            mixed = []
            for c in range(0, 16, 4):
                a = state[c : c + 4]
                mixed += [
                    double(a[i]) ^ double(a[(i + 1) % 4]) ^ a[(i + 1) % 4]
                    ^ a[(i + 2) % 4] ^ a[(i + 3) % 4]
                    for i in range(4)
                ]
            state = mixed
        state = bytes(x ^ y for x, y in zip(state, rounds[turn]))
    return state


def ghash(secret, text):
    h, y = int.from_bytes(secret, "big"), 0
    for i in range(0, len(text), 16):
        x, v, y = y ^ int.from_bytes(text[i : i + 16], "big"), h, 0
        for bit in reversed(range(128)):
            y ^= v if x >> bit & 1 else 0
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
    return y


def aes_gcm_seal(key, number, header, plain):
    rounds = aes_expand(key)
    nonce = bytes(4) + number.to_bytes(8, "big")
    stream = b"".join(
        aes_block(rounds, nonce + (2 + i).to_bytes(4, "big")) for i in range((len(plain) + 15) // 16)
    )
    sealed = bytes(x ^ y for x, y in zip(plain, stream))
    text = pad16(header) + pad16(sealed)
    text += (8 * len(header)).to_bytes(8, "big") + (8 * len(sealed)).to_bytes(8, "big")
    mask = int.from_bytes(aes_block(rounds, nonce + (1).to_bytes(4, "big")), "big")
    return sealed + (ghash(aes_block(rounds, bytes(16)), text) ^ mask).to_bytes(16, "big")


# --- Noise_KK_25519_ChaChaPoly_BLAKE2b ----------------------------------------------------------


def blake2b(data):
    return hashlib.blake2b(data).digest()


def hkdf(key, data):
    temporary = hmac.new(key, data, hashlib.blake2b).digest()
    first = hmac.new(temporary, b"\1", hashlib.blake2b).digest()
    return first, hmac.new(temporary, first + b"\2", hashlib.blake2b).digest()


def handshake(statics, ephemerals, headers):
    """Both messages and both keys, seen from above: it has all secrets."""
    public = [x25519(secret, BASE) for secret in statics]
    chain = pad(b"Noise_KK_25519_ChaChaPoly_BLAKE2b")
    digest, messages = chain, []
    for data in (headers[0], public[0], public[1]):
        digest = blake2b(digest + data)
    for turn, secrets in enumerate((
        (ephemerals[0], statics[0]),  # es, ss: with the responder's static key
        (ephemerals[0], statics[0]),  # ee, se: with the responder's ephemeral key
    )):
        if turn == 1 and headers[1]:
            digest = blake2b(digest + headers[1])
        message = x25519(ephemerals[turn], BASE)
        digest = blake2b(digest + message)
        for secret in secrets:
            chain, key = hkdf(chain, x25519(secret, public[1] if turn == 0 else message))
        tag = chacha_seal(key[:32], 0, digest, b"")
        digest = blake2b(digest + tag)
        messages.append(message + tag)
    return messages, [key[:32] for key in hkdf(chain, b"")]


def pad(name):
    return name + bytes(64 - len(name))


# --- frames -------------------------------------------------------------------------------------

SEALS = {1: aes_gcm_seal, 2: chacha_seal}


def frame_seal(secret, cipher, number, header, plain):
    for _ in range((number >> 24) + 1):
        secret, key = (x[:32] for x in hkdf(secret, b"sipfabric frames" + bytes([cipher])))
    return SEALS[cipher](key, number, header, plain)


# --- the table ----------------------------------------------------------------------------------


def quote(data):
    return '"' + data.hex() + '"'


def main(path):
    chance = random.Random(5)
    lines = ["/* Made by reference.py. */", "", "static const struct example examples[] = {"]
    for _ in range(6):
        statics, ephemerals = ([chance.randbytes(32) for _ in range(2)] for _ in range(2))
        headers = [chance.randbytes(24) for _ in range(2)]
        messages, keys = handshake(statics, ephemerals, headers)
        lines.append("    {")
        for name, pair in (
            ("secrets", statics), ("ephemerals", ephemerals), ("headers", headers),
            ("messages", messages), ("keys", keys),
        ):
            lines.append(f"        .{name} = {{{', '.join(quote(x) for x in pair)}}},")
        lines.append("        .frames = {")
        for cipher in SEALS:
            numbers = [1, chance.randrange(2, 2**24), 2**24 - 1, 2**24, 2**25 + 5, 7 * 2**24 + 9]
            for number in numbers:
                header = chance.randbytes(24 + 8 * chance.randrange(5))
                plain = chance.randbytes(chance.choice([0, 1, 15, 16, 17, 64, 129, 257]))
                sealed = frame_seal(keys[0], cipher, number, header, plain)
                lines.append(
                    f"            {{{cipher}, {number}u, {quote(header)}, {quote(plain)}, "
                    f"{quote(sealed)}}},"
                )
        lines += ["        },", "    },"]
    lines.append("};")
    with open(path, "w", encoding="ascii") as out:
        out.write("\n".join(lines) + "\n")


main(sys.argv[1])
