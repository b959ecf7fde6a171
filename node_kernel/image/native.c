/* SPDX-License-Identifier: Apache-2.0 */
/*
 * native.c - what a native image has beyond a sealed one: one writable segment, from which each
 * slot gets its data, and the list of words in it that are addresses.
 *
 * Its code passes the same instruction check (code.c). That keeps system calls and the like out; it
 * does not keep the code's own loads and stores inside the slot: nothing does. Such an image is as
 * trusted as the node kernel, which is why a node takes it only with the operator's leave.
 */
#include <string.h>

#include "abi/nk_abi.h"
#include "check.h"
#include "image.pb-c.h"

static const char *const mode_names[] = {[IMAGE_WASM] = "wasm", [IMAGE_NATIVE] = "native"};

sf_status image_mode_find(const char *name, uint8_t *out_mode)
{
    if (name[0] == '\0') {
        *out_mode = IMAGE_WASM;
        return SF_OK;
    }
    for (uint8_t i = 0; i < sizeof(mode_names) / sizeof(mode_names[0]); i++) {
        if (strcmp(name, mode_names[i]) == 0) {
            *out_mode = i;
            return SF_OK;
        }
    }
    return SF_NOTFOUND;
}

const char *image_mode_name(uint8_t mode)
{
    return mode < sizeof(mode_names) / sizeof(mode_names[0]) ? mode_names[mode] : "?";
}

sf_status image__check_data(struct image *image, const uint8_t *elf, const Elf64_Phdr *load,
                            struct image_report *report)
{
    const Sf__Image__Manifest *manifest = image->manifest;
    const uint64_t memory = (uint64_t)manifest->memory_pages << 16;
    const uint64_t below = NK_NATIVE_DATA - NK_MEMORY; /* of the memory, that is not data */

    if (image->data.memory_bytes != 0) {
        return image__broken(report, SF_TRUST, "elf-data", "a second writable segment");
    }
    if (load->p_flags != (PF_R | PF_W)) {
        return image__broken(report, SF_TRUST, "elf-data", "protection %u, must be rw-",
                             load->p_flags);
    }
    if (load->p_vaddr != NK_NATIVE_DATA_LINKED(manifest->base_address)) {
        return image__broken(report, SF_TRUST, "elf-data",
                             "linked at 0x%llx, must be 0x%llx: a fixed distance below the code",
                             (unsigned long long)load->p_vaddr,
                             (unsigned long long)NK_NATIVE_DATA_LINKED(manifest->base_address));
    }
    if (memory < below || load->p_memsz > memory - below) {
        return image__broken(report, SF_LIMIT, "elf-data",
                             "%llu bytes do not fit the manifest's memory of %u KiB",
                             (unsigned long long)load->p_memsz, manifest->memory_pages * 64);
    }
    image->data = (struct image_segment){
        .address = load->p_vaddr,
        .memory_bytes = load->p_memsz,
        .bytes = elf + load->p_offset,
        .file_bytes = load->p_filesz,
        .protection = IMAGE__READ_WRITE,
    };
    return SF_OK;
}

/* The list behind the descriptor, which lies `left` bytes before the end of its segment. */
sf_status image__check_relocations(struct image *image, const uint8_t *desc, uint64_t left,
                                   struct image_report *report)
{
    const Sf__Image__Manifest *manifest = image->manifest;
    uint32_t count;

    if (image->data.memory_bytes == 0) {
        return image__broken(report, SF_TRUST, "elf-data", "a native image without data");
    }
    if (left < sizeof(struct nk_native_desc)) {
        return image__broken(report, SF_TRUST, "elf-entry", "not a native descriptor");
    }
    memcpy(&count, desc + offsetof(struct nk_native_desc, relocation_count), sizeof(count));
    if (count > (left - offsetof(struct nk_native_desc, relocations)) / sizeof(uint32_t)) {
        return image__broken(report, SF_TRUST, "elf-relocations", "the list is cut");
    }
    image->relocations = desc + offsetof(struct nk_native_desc, relocations);
    image->relocation_count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t word;
        uint32_t at;
        memcpy(&at, image->relocations + i * sizeof(at), sizeof(at));
        if (image->data.file_bytes < 8 || at > image->data.file_bytes - 8) {
            return image__broken(report, SF_TRUST, "elf-relocations",
                                 "number %u lies outside the data", i);
        }
        memcpy(&word, image->data.bytes + at, sizeof(word));
        if (word - image->data.address > image->data.memory_bytes &&
            word - manifest->base_address > NK_IMAGE_STRIDE) {
            return image__broken(report, SF_TRUST, "elf-relocations",
                                 "number %u is no address of this image", i);
        }
    }
    return SF_OK;
}
