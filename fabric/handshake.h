/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshake.h - private to fabric: how two nodes agree on the keys of a session.
 *
 * Why: frames cross wires that others can read and write. Both nodes have an X25519 key pair, and
 * each was told the other's public key by the orchestrator; from that they make keys for one
 * session that nobody else can know, also not one who learns the nodes' keys later.
 *
 * Model: the Noise Protocol Framework, revision 34, Noise_KK_25519_ChaChaPoly_BLAKE2b:
 *     -> s            known before
 *     <- s            known before
 *     -> e, es, ss    message 1, from the initiator (the lower node id)
 *     <- e, ee, se    message 2, from the responder
 * Payloads are empty, so a message is an ephemeral public key and a tag: 48 bytes. The header of
 * the hello frame that carries message 1 is the prologue (section 6). The header of the other hello
 * is mixed into the handshake hash (MixHash) before message 2's first token, on both sides; the
 * framework has no word for that, and without it (header_bytes 0) every byte is as it says. So a
 * header of which one bit was changed on the way (node, epoch, session, MTU, cipher bits) makes the
 * message that it came with fail.
 *
 * What each side knows afterwards (section 7.7). The initiator, once message 2 is read: the peer
 * has its key, and saw message 1 with this very header. The responder, once message 1 is read: only
 * that the peer made it some time - it may be a replay - so it must not give up an older session
 * before the first frame of the new one opens.
 *
 * Randomness: write takes an ephemeral secret. It must be 32 fresh bytes of the system's generator,
 * never used before. A hello that has to be sent again is sent with the same bytes; with another
 * header it needs a new handshake with a new secret, because the key of the tag depends on the
 * secrets only, and one key must not authenticate two texts.
 *
 * Untrusted: the message and the header given to read. Nothing else.
 * Cost: begin, none. Message 1: one multiplication by the base and one other (write), one (read).
 * Message 2: one and two (write), two (read). A multiplication takes some 100,000 cycles, so the
 * caller bounds how often it lets a stranger ask for one.
 * Threads: none inside. Ownership: plain memory, no allocation; wipe before giving it up. Needs
 * sodium_init.
 */
#ifndef FABRIC_HANDSHAKE_H
#define FABRIC_HANDSHAKE_H

#include <stdbool.h>

#include "base/status.h"
#include "hkdf.h"

#define FAB__HANDSHAKE_BYTES 48u /* of a message: ephemeral public key, tag */

/* Two nodes that may talk: what all their handshakes have in common. */
struct fab__pair {
    uint8_t secret[FAB__KEY_BYTES]; /* this node's */
    uint8_t own[FAB__KEY_BYTES];    /* public keys */
    uint8_t peer[FAB__KEY_BYTES];
    uint8_t shared[FAB__KEY_BYTES]; /* DH(secret, peer), token ss */
};

/* TRUST: peer is no key that gives a secret (a point of low order); *pair holds nothing. */
SF_MUST_CHECK sf_status fab__pair_init(struct fab__pair *pair, const uint8_t secret[FAB__KEY_BYTES],
                                       const uint8_t peer[FAB__KEY_BYTES]);
void fab__pair_wipe(struct fab__pair *pair);

enum fab__handshake_stage {
    FAB__HANDSHAKE_FIRST = 0, /* message 1 is next */
    FAB__HANDSHAKE_SECOND,    /* message 2 is next */
    FAB__HANDSHAKE_DONE,      /* keys are there */
    FAB__HANDSHAKE_OVER,      /* keys were taken; all is wiped */
};

struct fab__handshake {
    const struct fab__pair *pair;
    bool initiator;
    uint8_t stage;                     /* enum fab__handshake_stage */
    uint8_t hash[FAB__HASH_BYTES];     /* h: all that was said */
    uint8_t chain[FAB__HASH_BYTES];    /* ck: all secrets so far */
    uint8_t key[FAB__KEY_BYTES];       /* k, used once: each message ends with a new one */
    uint8_t ephemeral[FAB__KEY_BYTES]; /* secret; the initiator's until message 2 is read */
    uint8_t peer_ephemeral[FAB__KEY_BYTES];
};

/* pair must outlive the handshake. */
void fab__handshake_begin(struct fab__handshake *handshake, const struct fab__pair *pair,
                          bool initiator);

/*
 * Writes this side's message. header: of the hello that will carry it, as it will be sent.
 * BADARG: the other side's message is next. TRUST: with the ephemeral key that was read there is no
 * secret. Nothing has changed then, and out_message is not to be sent.
 */
SF_MUST_CHECK sf_status fab__handshake_write(struct fab__handshake *handshake,
                                             const uint8_t *header, uint32_t header_bytes,
                                             const uint8_t ephemeral_secret[FAB__KEY_BYTES],
                                             uint8_t out_message[FAB__HANDSHAKE_BYTES]);

/*
 * Reads the other side's message; header is that of the hello it came with. TRUST: not made by the
 * peer for this handshake and header. BADARG: not its turn. Nothing has changed then: the right
 * message may still come.
 */
SF_MUST_CHECK sf_status fab__handshake_read(struct fab__handshake *handshake, const uint8_t *header,
                                            uint32_t header_bytes,
                                            const uint8_t message[FAB__HANDSHAKE_BYTES]);

/*
 * After both messages: the keys for what this side sends and receives (Split, section 5.2), once;
 * the handshake is wiped. BADARG: not both yet, or taken already.
 */
SF_MUST_CHECK sf_status fab__handshake_keys(struct fab__handshake *handshake,
                                            uint8_t out_tx[FAB__KEY_BYTES],
                                            uint8_t out_rx[FAB__KEY_BYTES]);

void fab__handshake_wipe(struct fab__handshake *handshake);

#endif
