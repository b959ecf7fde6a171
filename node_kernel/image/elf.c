/* SPDX-License-Identifier: Apache-2.0 */
#include <elf.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/nk_abi.h"
#include "check.h"
#include "image.pb-c.h"

#define PAGE 4096u

static sf_status check_header(const uint8_t *elf, size_t length, Elf64_Ehdr *header,
                              struct image_report *report)
{
    if (length < sizeof(*header)) {
        return image__broken(report, SF_FORMAT, "elf-header", "cut");
    }
    memcpy(header, elf, sizeof(*header));
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_ident[EI_DATA] != ELFDATA2LSB || header->e_machine != EM_X86_64 ||
        header->e_phentsize != sizeof(Elf64_Phdr)) {
        return image__broken(report, SF_FORMAT, "elf-header", "not an x86-64 ELF file");
    }
    if (header->e_type != ET_EXEC) {
        return image__broken(report, SF_TRUST, "elf-type", "%u, must be EXEC: fixed address",
                             header->e_type);
    }
    if (header->e_shnum != 0 || header->e_shoff != 0) {
        return image__broken(report, SF_TRUST, "elf-sections",
                             "sections (symbols, relocations) are left");
    }
    if (header->e_phnum == 0 || header->e_phnum > IMAGE_SEGMENTS_MAX || header->e_phoff > length ||
        header->e_phnum * sizeof(Elf64_Phdr) > length - header->e_phoff) {
        return image__broken(report, SF_FORMAT, "elf-header", "%u program headers",
                             header->e_phnum);
    }
    return SF_OK;
}

static int protection_of(uint32_t flags)
{
    return ((flags & PF_R) != 0 ? PROT_READ : 0) | ((flags & PF_W) != 0 ? PROT_WRITE : 0) |
           ((flags & PF_X) != 0 ? PROT_EXEC : 0);
}

static sf_status check_segment(struct image *image, const uint8_t *elf, size_t length,
                               const Elf64_Phdr *load, struct image_report *report)
{
    const uint64_t base = image->manifest->base_address;
    struct image_segment *segment = &image->segments[image->segment_count];
    const uint64_t end_before =
        image->segment_count == 0 ? base : segment[-1].address + segment[-1].memory_bytes;

    if (load->p_offset > length || load->p_filesz > length - load->p_offset ||
        load->p_filesz > load->p_memsz || load->p_memsz == 0 || load->p_memsz > NK_IMAGE_STRIDE) {
        return image__broken(report, SF_FORMAT, "elf-segments", "a segment runs past the file");
    }
    if (load->p_vaddr % PAGE != 0 || load->p_offset % PAGE != 0) {
        return image__broken(report, SF_TRUST, "elf-segments", "a segment is not page aligned");
    }
    if ((load->p_flags & PF_W) != 0 && image->mode == IMAGE_NATIVE) {
        return image__check_data(image, elf, load, report);
    }
    if (load->p_vaddr < end_before || load->p_vaddr - base > NK_IMAGE_STRIDE - load->p_memsz) {
        return image__broken(report, SF_TRUST, "elf-place",
                             "a segment lies outside the image's place, or on another");
    }
    if ((load->p_flags & PF_W) != 0) {
        return image__broken(report, SF_TRUST, "elf-writable",
                             "a segment is writable; all state of a SIP is in its slot");
    }
    if (load->p_flags != PF_R && load->p_flags != (PF_R | PF_X)) {
        return image__broken(report, SF_TRUST, "elf-segments", "protection %u", load->p_flags);
    }
    segment->address = load->p_vaddr;
    segment->memory_bytes = (load->p_memsz + PAGE - 1) & ~(uint64_t)(PAGE - 1);
    segment->bytes = elf + load->p_offset;
    segment->file_bytes = load->p_filesz;
    segment->protection = protection_of(load->p_flags);
    image->segment_count++;
    if ((load->p_flags & PF_X) == 0) {
        return SF_OK;
    }
    if (load->p_filesz != load->p_memsz) {
        return image__broken(report, SF_TRUST, "elf-segments", "code that is not in the file");
    }
    return image__check_code(segment, report);
}

static sf_status check_program_headers(struct image *image, const uint8_t *elf, size_t length,
                                       const Elf64_Ehdr *header, struct image_report *report)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        Elf64_Phdr program;
        sf_status st;
        memcpy(&program, elf + header->e_phoff + i * sizeof(program), sizeof(program));
        if (program.p_type != PT_LOAD) {
            return image__broken(report, SF_TRUST, "elf-program-headers",
                                 "type 0x%x: only PT_LOAD is allowed (no interpreter, nothing "
                                 "dynamic, no thread-local data)",
                                 program.p_type);
        }
        st = check_segment(image, elf, length, &program, report);
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

static const struct image_segment *segment_of(const struct image *image, uint64_t address,
                                              uint64_t bytes, int protection)
{
    for (uint32_t i = 0; i < image->segment_count; i++) {
        const struct image_segment *segment = &image->segments[i];
        if (segment->protection == protection && address >= segment->address &&
            bytes <= segment->file_bytes &&
            address - segment->address <= segment->file_bytes - bytes) {
            return segment;
        }
    }
    return NULL;
}

static sf_status check_desc(struct image *image, uint64_t entry, struct image_report *report)
{
    const Sf__Image__Manifest *manifest = image->manifest;
    const struct image_segment *segment =
        segment_of(image, entry, sizeof(struct nk_desc), PROT_READ);
    struct nk_desc desc;

    if (segment == NULL || entry % 8 != 0) {
        return image__broken(report, SF_TRUST, "elf-entry", "no descriptor in read-only data");
    }
    memcpy(&desc, segment->bytes + (entry - segment->address), sizeof(desc));
    if (desc.magic != NK_DESC_MAGIC || desc.abi_version != NK_ABI_VERSION) {
        return image__broken(report, SF_TRUST, "elf-entry", "not a descriptor of this ABI");
    }
    if (desc.instance_bytes == 0 || desc.instance_bytes > NK_INSTANCE_BYTES_MAX ||
        desc.memory_pages != manifest->memory_pages ||
        desc.memory_pages_max != manifest->memory_pages_max) {
        return image__broken(report, SF_TRUST, "elf-entry",
                             "the descriptor's sizes differ from the manifest's or do not fit");
    }
    if (segment_of(image, (uintptr_t)desc.start, 1, PROT_READ | PROT_EXEC) == NULL) {
        return image__broken(report, SF_TRUST, "elf-entry", "the start function is not code");
    }
    image->desc_address = entry;
    if (image->mode == IMAGE_NATIVE) {
        const uint64_t at = entry - segment->address;
        return image__check_relocations(image, segment->bytes + at, segment->file_bytes - at,
                                        report);
    }
    return SF_OK;
}

sf_status image__check_elf(struct image *image, const uint8_t *elf, size_t length,
                           struct image_report *report)
{
    Elf64_Ehdr header;
    sf_status st = check_header(elf, length, &header, report);

    if (st == SF_OK) {
        st = check_program_headers(image, elf, length, &header, report);
    }
    if (st == SF_OK) {
        st = check_desc(image, header.e_entry, report);
    }
    return st;
}
