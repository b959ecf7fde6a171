/* SPDX-License-Identifier: Apache-2.0 */
#include "native.h"

#include <elf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "work.h"

#define PAGE 4096u
#define LOADS_MAX 4u
#define RELOCATIONS_MAX (1u << 20)

/* The ELF comes from our own linker run; bounds are checked all the same, a tool may be broken. */
struct elf {
    const uint8_t *bytes;
    size_t length;
    Elf64_Ehdr header;
    enum image_mode mode;
};

static bool take(const struct elf *elf, uint64_t offset, void *out, size_t bytes)
{
    if (offset > elf->length || bytes > elf->length - offset) {
        return false;
    }
    memcpy(out, elf->bytes + offset, bytes);
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct native_symbol *x = a, *y = b;

    if (x->address != y->address) {
        return x->address < y->address ? -1 : 1;
    }
    return strcmp(x->name, y->name);
}

static sf_status take_symbol(const struct elf *elf, const Elf64_Shdr *strings,
                             const Elf64_Sym *symbol, struct native *native)
{
    const char *name;
    const unsigned type = ELF64_ST_TYPE(symbol->st_info);

    if (symbol->st_name >= strings->sh_size || strings->sh_offset > elf->length ||
        strings->sh_size > elf->length - strings->sh_offset ||
        elf->bytes[strings->sh_offset + strings->sh_size - 1] != 0) {
        return sipc_fail(SF_FORMAT, "the linker wrote a symbol without a name");
    }
    name = (const char *)elf->bytes + strings->sh_offset + symbol->st_name;
    if (symbol->st_shndx == SHN_UNDEF && name[0] != '\0') {
        return sipc_fail(SF_TRUST, "rule elf-undefined: the image needs %s from outside", name);
    }
    if (type == STT_FUNC && symbol->st_size > 0 && symbol->st_size < UINT32_MAX) {
        native->symbols[native->symbol_count++] = (struct native_symbol){
            .address = symbol->st_value,
            .bytes = (uint32_t)symbol->st_size,
            .name = name,
        };
    }
    return SF_OK;
}

static sf_status take_symbols(const struct elf *elf, const Elf64_Shdr *table, struct native *native)
{
    const uint64_t count = table->sh_size / sizeof(Elf64_Sym);
    Elf64_Shdr strings;

    if (table->sh_offset > elf->length || table->sh_size > elf->length - table->sh_offset ||
        !take(elf, elf->header.e_shoff + (uint64_t)table->sh_link * sizeof(strings), &strings,
              sizeof(strings)) ||
        strings.sh_size == 0) {
        return sipc_fail(SF_FORMAT, "the linker wrote a symbol table that is cut");
    }
    free(native->symbols);
    native->symbol_count = 0;
    native->symbols = calloc(count + 1, sizeof(*native->symbols));
    if (native->symbols == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    for (uint64_t i = 1; i < count; i++) {
        Elf64_Sym symbol;
        sf_status st;
        (void)take(elf, table->sh_offset + i * sizeof(symbol), &symbol, sizeof(symbol));
        st = take_symbol(elf, &strings, &symbol, native);
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

/* --- relocations of a native image ---------------------------------------------------------------
 */

/* One word of the data is an address; the linker has filled in where it is linked. */
static sf_status keep_relocation(struct native *native, uint64_t offset)
{
    if (native->relocation_count == RELOCATIONS_MAX) {
        return sipc_fail(SF_LIMIT, "more than %u addresses in initialised data", RELOCATIONS_MAX);
    }
    if ((native->relocation_count & (native->relocation_count - 1)) == 0) { /* at powers of two */
        const size_t count = native->relocation_count == 0 ? 1 : native->relocation_count * 2;
        uint32_t *list = realloc(native->relocations, count * sizeof(*list));
        if (list == NULL) {
            return sipc_fail(SF_NOMEM, "no memory left");
        }
        native->relocations = list;
    }
    native->relocations[native->relocation_count++] = (uint32_t)offset;
    return SF_OK;
}

/* The segment an address is linked into; {0} if none. */
static Elf64_Phdr segment_of(const struct elf *elf, uint64_t address)
{
    Elf64_Phdr load;

    for (unsigned i = 0; i < elf->header.e_phnum; i++) {
        if (take(elf, elf->header.e_phoff + i * sizeof(load), &load, sizeof(load)) &&
            load.p_type == PT_LOAD && address - load.p_vaddr < load.p_memsz) {
            return load;
        }
    }
    return (Elf64_Phdr){0};
}

/* Distances need nothing: code and data move together. */
static sf_status take_relocation(const struct elf *elf, const Elf64_Rela *relocation,
                                 struct native *native)
{
    Elf64_Phdr segment;

    switch (ELF64_R_TYPE(relocation->r_info)) {
    case R_X86_64_NONE:
    case R_X86_64_PC32:
    case R_X86_64_PLT32:
    case R_X86_64_PC64:
        return SF_OK;
    case R_X86_64_64:
        segment = segment_of(elf, relocation->r_offset);
        if ((segment.p_flags & PF_W) != 0) {
            return keep_relocation(native, relocation->r_offset - segment.p_vaddr);
        }
        if (segment.p_flags == PF_R) {
            return SF_OK; /* the descriptor: as linked is what the kernel expects */
        }
        break;
    default:
        break;
    }
    return sipc_fail(
        SF_TRUST, "rule elf-relocations: type %u at 0x%llx cannot be moved with a slot",
        (unsigned)ELF64_R_TYPE(relocation->r_info), (unsigned long long)relocation->r_offset);
}

static sf_status take_relocations(const struct elf *elf, const Elf64_Shdr *section,
                                  struct native *native)
{
    Elf64_Shdr target;

    if (!take(elf, elf->header.e_shoff + (uint64_t)section->sh_info * sizeof(target), &target,
              sizeof(target))) {
        return sipc_fail(SF_FORMAT, "the linker wrote relocations of no section");
    }
    if ((target.sh_flags & SHF_ALLOC) == 0) {
        return SF_OK;
    }
    for (uint64_t at = 0; at + sizeof(Elf64_Rela) <= section->sh_size; at += sizeof(Elf64_Rela)) {
        Elf64_Rela relocation;
        sf_status st;
        if (!take(elf, section->sh_offset + at, &relocation, sizeof(relocation))) {
            return sipc_fail(SF_FORMAT, "the linker wrote relocations that are cut");
        }
        st = take_relocation(elf, &relocation, native);
        if (st != SF_OK) {
            return st;
        }
    }
    return SF_OK;
}

static sf_status check_sections(const struct elf *elf, struct native *native)
{
    for (unsigned i = 0; i < elf->header.e_shnum; i++) {
        Elf64_Shdr section;
        sf_status st;
        if (!take(elf, elf->header.e_shoff + i * sizeof(section), &section, sizeof(section))) {
            return sipc_fail(SF_FORMAT, "the linker wrote a section table that is cut");
        }
        if (section.sh_size == 0) {
            continue;
        }
        if (section.sh_type == SHT_RELA && elf->mode == IMAGE_NATIVE) {
            st = take_relocations(elf, &section, native);
            if (st != SF_OK) {
                return st;
            }
            continue;
        }
        if (section.sh_type == SHT_RELA || section.sh_type == SHT_REL ||
            section.sh_type == SHT_DYNAMIC || section.sh_type == SHT_INIT_ARRAY) {
            return sipc_fail(SF_TRUST,
                             "rule elf-relocations: something is left to do at load time");
        }
        if (section.sh_type == SHT_SYMTAB) {
            st = take_symbols(elf, &section, native);
            if (st != SF_OK) {
                return st;
            }
        }
    }
    return SF_OK;
}

/* Symbols in order; one that begins inside another (an alias) is dropped. */
static void order_symbols(struct native *native)
{
    size_t kept = 0;

    if (native->symbol_count > 0) {
        qsort(native->symbols, native->symbol_count, sizeof(*native->symbols), by_address);
    }
    for (size_t i = 0; i < native->symbol_count; i++) {
        const struct native_symbol *last = kept > 0 ? &native->symbols[kept - 1] : NULL;
        if (last == NULL || native->symbols[i].address >= last->address + last->bytes) {
            native->symbols[kept++] = native->symbols[i];
        }
    }
    native->symbol_count = kept;
}

/* The loaded segments again, each on its own pages, behind a header of one page. */
static sf_status write_elf(const struct elf *elf, struct native *native)
{
    Elf64_Phdr loads[LOADS_MAX] = {0};
    Elf64_Ehdr header = elf->header;
    size_t count = 0, end = PAGE, desc = 0;
    uint64_t from[LOADS_MAX];

    for (unsigned i = 0; i < elf->header.e_phnum; i++) {
        Elf64_Phdr load;
        if (!take(elf, elf->header.e_phoff + i * sizeof(load), &load, sizeof(load)) ||
            load.p_offset > elf->length || load.p_filesz > elf->length - load.p_offset) {
            return sipc_fail(SF_FORMAT, "the linker wrote a segment that is cut");
        }
        if (load.p_type != PT_LOAD || load.p_memsz == 0) {
            continue;
        }
        if (count == LOADS_MAX) {
            return sipc_fail(SF_LIMIT, "more than %u segments", LOADS_MAX);
        }
        from[count] = load.p_offset;
        load.p_offset = end;
        load.p_paddr = load.p_vaddr;
        load.p_align = PAGE;
        if (elf->mode == IMAGE_NATIVE && load.p_flags == PF_R) { /* the descriptor and its list */
            desc = end;
            load.p_filesz = load.p_memsz =
                sizeof(struct nk_native_desc) + native->relocation_count * sizeof(uint32_t);
        }
        end = (end + load.p_filesz + PAGE - 1) & ~(size_t)(PAGE - 1);
        loads[count++] = load;
    }
    if (count > 0) { /* the file ends with the last byte of the last segment */
        end = loads[count - 1].p_offset + loads[count - 1].p_filesz;
    }
    native->elf = calloc(1, end);
    if (native->elf == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    header.e_phoff = sizeof(header);
    header.e_phnum = (Elf64_Half)count;
    header.e_shoff = 0;
    header.e_shnum = 0;
    header.e_shentsize = 0;
    header.e_shstrndx = SHN_UNDEF;
    memcpy(native->elf, &header, sizeof(header));
    memcpy(native->elf + sizeof(header), loads, count * sizeof(loads[0]));
    for (size_t i = 0; i < count; i++) {
        const bool is_desc = desc != 0 && loads[i].p_offset == desc;
        memcpy(native->elf + loads[i].p_offset, elf->bytes + from[i],
               is_desc ? sizeof(struct nk_native_desc) : loads[i].p_filesz);
    }
    if (desc != 0) {
        const uint32_t relocation_count = (uint32_t)native->relocation_count;
        memcpy(native->elf + desc + offsetof(struct nk_native_desc, relocation_count),
               &relocation_count, sizeof(relocation_count));
        memcpy(native->elf + desc + offsetof(struct nk_native_desc, relocations),
               native->relocations, native->relocation_count * sizeof(uint32_t));
    }
    native->elf_bytes = end;
    return SF_OK;
}

sf_status native_read(const uint8_t *bytes, size_t length, enum image_mode mode,
                      struct native *out_native)
{
    struct elf elf = {.bytes = bytes, .length = length, .mode = mode};
    struct native native = {0};
    sf_status st;

    if (!take(&elf, 0, &elf.header, sizeof(elf.header)) ||
        memcmp(elf.header.e_ident, ELFMAG, SELFMAG) != 0) {
        return sipc_fail(SF_FORMAT, "the linker did not write an ELF file");
    }
    st = check_sections(&elf, &native);
    if (st == SF_OK) {
        order_symbols(&native);
        st = write_elf(&elf, &native);
    }
    if (st != SF_OK) {
        native_fini(&native);
        return st;
    }
    *out_native = native;
    return SF_OK;
}

void native_fini(struct native *native)
{
    free(native->elf);
    free(native->relocations);
    free(native->symbols);
    *native = (struct native){0};
}
