/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image.h - a .sip file: header, manifest, native code.
 *
 * Layout (little endian): 8 bytes magic "SIPIMG\0\1"; u32 manifest bytes; u32 signature bytes (0:
 * not signed, or 112); u64 ELF offset (multiple of 4096); u64 ELF bytes; 32 bytes BLAKE2b-256 of
 * manifest, padding and ELF, which follow the 64-byte header: the manifest (protobuf, image.proto),
 * zeros, the ELF; then the signature (trust.h), which signs the header and so all of it.
 * The digest of an image (its name everywhere in the system) is BLAKE2b-256 of the whole file.
 *
 * Untrusted: image_open checks sizes, hashes, names, contract tables and the ELF rules (below)
 * and answers with the rule that was broken. It never trips an assert. A signature must be right,
 * but it may be anyone's: who is trusted is decided by image_open_trusted.
 *
 * ELF rules: ET_EXEC x86-64, nothing but PT_LOADs (no interpreter, dynamic section, relocation,
 * section), inside [base, base + NK_IMAGE_STRIDE), page aligned, none writable: all that a SIP can
 * change is in its slot. Every instruction of the code segment is of an allow-list, every direct
 * branch hits one. Entry = a struct nk_desc in a read-only segment whose start lies in the code.
 * A native image has one segment more, outside its place: what is copied into each slot's memory;
 * and its descriptor is a struct nk_native_desc. docs/sips.md has all rules by name, and says what
 * the instruction check does not prove.
 *
 * Threads: an opened image is immutable. Ownership: image_open keeps pointers into `bytes`, which
 * must stay until image_close.
 */
#ifndef IMAGE_IMAGE_H
#define IMAGE_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "contracts/table.h"

#define IMAGE_MAGIC "SIPIMG\0\1"
#define IMAGE_HEADER_BYTES 64u
#define IMAGE_BYTES_MAX (64u << 20)
#define IMAGE_DIGEST_BYTES 32u
#define IMAGE_PORTS_MAX 64u
#define IMAGE_CONTRACTS_MAX 64u
#define IMAGE_NAME_BYTES_MAX 31u
#define IMAGE_KEY_BYTES 32u

struct Sf__Image__Manifest; /* protobuf-c type, image.pb-c.h */

/*
 * How an image was made of its source. A third, "process" (an address space of its own), may come:
 * what depends on the mode asks for it by switch.
 */
enum image_mode {
    IMAGE_WASM = 0, /* sealed: by way of WebAssembly, with checks */
    IMAGE_NATIVE,   /* the same C compiled straight; trusted, needs the operator's leave */
};
#define IMAGE_MODES "wasm (sealed, the default) or native (no checks, trusted images only)"
/* "" is wasm. NOTFOUND: no such mode. */
SF_MUST_CHECK sf_status image_mode_find(const char *name, uint8_t *out_mode);
const char *image_mode_name(uint8_t mode);

struct image_segment {
    uint64_t address;
    uint64_t memory_bytes; /* page multiple */
    const uint8_t *bytes;  /* file_bytes of content, rest zero */
    uint64_t file_bytes;
    int protection; /* PROT_READ [| PROT_WRITE | PROT_EXEC] */
};
#define IMAGE_SEGMENTS_MAX 8u

struct image {
    const struct Sf__Image__Manifest *manifest;
    uint8_t digest[IMAGE_DIGEST_BYTES];
    uint8_t content[IMAGE_DIGEST_BYTES]; /* hash of all but the signature: same image, same hash */
    bool is_signed;
    uint8_t signer[IMAGE_KEY_BYTES]; /* public key, if it is signed; the signature is right */
    struct ct_contract *contracts[IMAGE_CONTRACTS_MAX]; /* decoded, ids verified */
    uint32_t contract_count;
    struct image_segment segments[IMAGE_SEGMENTS_MAX];
    uint32_t segment_count;
    uint64_t desc_address;
    uint8_t mode; /* enum image_mode */
    /* NATIVE: what each slot's memory begins with (it is not among `segments`), and which words of
     * it are addresses: u32 offsets, little endian, checked to lie inside file_bytes. */
    struct image_segment data;
    const uint8_t *relocations;
    uint32_t relocation_count;
};

/*
 * Checks everything and opens. FORMAT, TRUST, LIMIT, NOMEM: `text` (of text_capacity bytes) gets
 * "rule: detail", e.g. "image-hash: content does not match the header".
 */
SF_MUST_CHECK sf_status image_open(const uint8_t *bytes, size_t length, struct image **out_image,
                                   char *text, size_t text_capacity);
void image_close(struct image *image); /* takes NULL */

/*
 * The writer (sipc): puts header, manifest and ELF together. Sets elf_hash in what is written;
 * *manifest is as before on return. *out_bytes is malloc'ed, the caller's. LIMIT, NOMEM. What comes
 * out is not checked: image_open does that.
 */
SF_MUST_CHECK sf_status image_seal(struct Sf__Image__Manifest *manifest, const uint8_t *elf,
                                   size_t elf_bytes, uint8_t **out_bytes, size_t *out_length);

/* BLAKE2b-256 of a whole file: what its digest is. */
void image_digest(const uint8_t *bytes, size_t length, uint8_t out_digest[IMAGE_DIGEST_BYTES]);

/* Contract by name among the image's; NULL if none. */
const struct ct_contract *image_contract(const struct image *image, const char *name);

/* Lower-case hex of a digest; buffer of 65 bytes. */
void image_digest_hex(const uint8_t digest[IMAGE_DIGEST_BYTES], char buffer[65]);

#endif
