/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Native SIPs: the same contracts, calls and slots as sealed ones, but code without checks.
 *
 * Model: an image keeps its code in a sealed memory file. Each slot maps it read-execute at
 * NK_NATIVE_CODE and gets its own copy of the data at NK_NATIVE_DATA, in which the addresses are
 * moved by the distance between the image's place and the slot's mapping. So all instances share
 * the pages of code, nothing executable is ever writable, and one slot's data is no other's.
 *
 * What holds: kernel calls are checked as ever, faults that the MMU sees end the SIP, and it is
 * pre-empted. What does not: it can write wherever this process can. Hence the operator's leave.
 */
#include "internal.h"

#include "image.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- images -------------------------------------------------------------------------------------
 */

sf_status nk__native_allowed(const struct nk_kernel *kernel, const struct image *image, char *text,
                             size_t text_capacity)
{
    if (image->mode != IMAGE_NATIVE) {
        return SF_OK;
    }
    if (kernel->allow_native && !image_vouched_for(image, &kernel->trust)) {
        nk__say(
            text, text_capacity,
            "image %s: mode native has no checks at run time, so it must be signed by a trusted "
            "key, also where unsigned images are allowed: sipc sign, cluster create --trust",
            image->manifest->name);
        return SF_TRUST;
    }
    if (kernel->allow_native) {
        return SF_OK;
    }
    nk__say(text, text_capacity,
            "image %s: mode native has no checks at run time, and this node does not allow it. If "
            "you trust whoever built it, create the cluster with --allow-native; or build it with "
            "mode: wasm",
            image->manifest->name);
    return SF_TRUST;
}

static sf_status code_write(int file, const struct nk_image *known)
{
    const uint8_t *from = (const uint8_t *)known->code_first;
    size_t left = known->code_end - known->code_first;

    while (left > 0) {
        ssize_t written = write(file, from, left);

        if (written < 0 && errno != EINTR) {
            return errno == ENOSPC || errno == ENOMEM ? SF_NOMEM : SF_IO;
        }
        if (written > 0) {
            from += written;
            left -= (size_t)written;
        }
    }
    return fcntl(file, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0
               ? SF_OK
               : SF_IO;
}

sf_status nk__native_link(struct nk_image *known, char *text, size_t text_capacity)
{
    sf_status st;
    int file;

    known->native = known->image->mode == IMAGE_NATIVE;
    if (!known->native) {
        return SF_OK;
    }
    file = memfd_create("sip-code", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    st = file < 0 ? SF_IO : code_write(file, known);
    if (st != SF_OK) {
        nk__say(text, text_capacity, "image %s: no memory file for its code: %s",
                known->image->manifest->name, sf_status_text(st));
        if (file >= 0) {
            (void)close(file);
        }
        return st;
    }
    known->native_file = file;
    return SF_OK;
}

void nk__native_unlink(struct nk_image *known)
{
    if (known->native && known->native_file > 0) {
        (void)close(known->native_file);
        known->native_file = 0;
    }
}

/* --- slots --------------------------------------------------------------------------------------
 */

/* What to add to an address in the image's place to get the slot's. */
static uint64_t slide(const struct nk_sip *sip)
{
    return (uint64_t)sip->memory - NK_MEMORY + NK_NATIVE_CODE -
           sip->image->image->manifest->base_address;
}

static size_t code_bytes(const struct nk_image *image)
{
    return image->code_end - image->code_first;
}

/* In the node's log and in the SIP's. */
static void announce(const struct nk_sip *sip)
{
    const struct nk_kernel *kernel = sip->kernel;
    char line[128];
    int length =
        snprintf(line, sizeof(line), "sip %s: mode native, it runs without checks", sip->name);

    if (kernel->events.log != NULL && length > 0) {
        kernel->events.log(kernel->events_arg, 0, line, (uint32_t)length);
        kernel->events.log(kernel->events_arg, sip->number, line, (uint32_t)length);
    }
}

sf_status nk__native_attach(struct nk_sip *sip)
{
    const struct image *image = sip->image->image;
    uint8_t *data = sip->memory + (NK_NATIVE_DATA - NK_MEMORY);
    const uint64_t distance = slide(sip);
    void *code;

    if (!sip->image->native) {
        return SF_OK;
    }
    code = mmap((void *)(sip->image->code_first + distance), code_bytes(sip->image),
                PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, sip->image->native_file, 0);
    if (code == MAP_FAILED) {
        return SF_NOMEM;
    }
    memcpy(data, image->data.bytes, image->data.file_bytes);
    for (uint32_t i = 0; i < image->relocation_count; i++) {
        uint64_t word;
        uint32_t at;

        memcpy(&at, image->relocations + i * sizeof(at), sizeof(at));
        memcpy(&word, data + at, sizeof(word)); /* image_open has checked that it is inside */
        word += distance;
        memcpy(data + at, &word, sizeof(word));
    }
    announce(sip);
    return SF_OK;
}

void nk__native_detach(struct nk_sip *sip)
{
    if (!sip->image->native) {
        return;
    }
    (void)munmap((void *)(sip->image->code_first + slide(sip)), code_bytes(sip->image));
}

uint64_t nk__start_address(const struct nk_sip *sip)
{
    return (uint64_t)sip->image->desc->start + (sip->image->native ? slide(sip) : 0);
}

/* --- addresses ----------------------------------------------------------------------------------
 */

int nk__native_code_has(const struct nk_sip *sip, uint64_t address)
{
    return sip->image->native &&
           address - slide(sip) - sip->image->code_first < code_bytes(sip->image);
}

uint64_t nk__linked(const struct nk_sip *sip, uint64_t address)
{
    return nk__native_code_has(sip, address) ? address - slide(sip) : address;
}

uint8_t *nk__memory_slow(struct nk_sip *sip, uint32_t address, uint32_t bytes)
{
    const uint64_t below = 1ull << 32; /* addresses of the stack count down from here */

    if (nk__window_covers(sip, address, bytes) || nk__slot_extend(sip, (uint64_t)address + bytes)) {
        return sip->memory + address;
    }
    if (sip->image->native && address >= below - (NK_MEMORY - NK_STACK_LOW) &&
        (uint64_t)address + bytes <= below - (NK_MEMORY - NK_STACK_TOP)) {
        return sip->memory - (below - address);
    }
    return NULL;
}

uint8_t nk__native_kind(const struct nk_sip *sip, uint8_t kind, uint64_t rip, uint64_t address)
{
    const uint8_t *at = (const uint8_t *)rip;

    if (!sip->image->native) {
        return kind;
    }
    if (kind == SF_FAULT_BAD_INSTRUCTION && nk__native_code_has(sip, rip) && at[0] == 0x0f &&
        at[1] == 0x0b) {
        return SF_FAULT_UNREACHABLE; /* ud2, which is what __builtin_trap is there */
    }
    return kind == SF_FAULT_NONE && address == rip ? SF_FAULT_BAD_INDIRECT_CALL : kind;
}

void nk__code_range(const struct nk_sip *sip, uint64_t *out_first, uint64_t *out_end)
{
    const uint64_t distance = sip->image->native ? slide(sip) : 0;

    *out_first = sip->image->code_first + distance;
    *out_end = sip->image->code_end + distance;
}
