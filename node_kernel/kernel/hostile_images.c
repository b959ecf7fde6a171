/* SPDX-License-Identifier: Apache-2.0 */
/* Attacks by images that are not what they seem. The kernel must refuse each, by the right rule. */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostile.h"

#define CODE_AT 0x40u /* somewhere in the code, which is all nops then */

struct image_attack {
    const char *name, *rule;
    void (*alter)(struct parts *parts);  /* sealed afterwards: hashes are right */
    void (*damage)(struct bytes *image); /* or not */
    uint8_t code[12];                    /* or this, between nops */
    uint8_t code_bytes;
};

static Elf64_Ehdr *header(struct parts *parts)
{
    return (Elf64_Ehdr *)(void *)parts->elf;
}

static Elf64_Phdr *segment(struct parts *parts, unsigned index)
{
    return (Elf64_Phdr *)(void *)(parts->elf + header(parts)->e_phoff) + index;
}

static struct nk_desc *desc(struct parts *parts)
{
    return (struct nk_desc *)(void *)(parts->elf + segment(parts, 0)->p_offset +
                                      (header(parts)->e_entry - segment(parts, 0)->p_vaddr));
}

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    assert_non_null(*text);
}

/* clang-format off */
/* --- bytes, with hashes as they were --- */
static void d_magic(struct bytes *i) { i->data[7] = 2; }
static void d_code_byte(struct bytes *i) { i->data[i->length - 5000] ^= 1; }
static void d_manifest_byte(struct bytes *i) { i->data[IMAGE_HEADER_BYTES + 20] ^= 0x20; }
static void d_hash(struct bytes *i) { i->data[40] ^= 0x80; }
static void d_cut(struct bytes *i) { i->length -= 4096; }
static void d_nothing(struct bytes *i) { i->length = 0; }
static void d_sizes(struct bytes *i) { memset(i->data + 24, 0xff, 8); }
static void d_manifest_size(struct bytes *i) { memset(i->data + 8, 0xff, 4); }

/* --- the manifest lies --- */
static void m_abi(struct parts *p) { p->manifest->abi_version = 99; }
static void m_name(struct parts *p) { set_text(&p->manifest->name, "../../etc/passwd"); }
static void m_class(struct parts *p) { set_text(&p->manifest->slot_class, "huge"); }
static void m_memory(struct parts *p) { p->manifest->memory_pages_max = NK_MODULE_PAGES_MAX + 1; }
static void m_pages(struct parts *p) { p->manifest->memory_pages_max += 1; }
static void m_cpu(struct parts *p) { p->manifest->cpu_percent = 4000000000u; }
static void m_hash(struct parts *p) { p->manifest->module_hash.len = 3; }
static void m_limits(struct parts *p) { p->manifest->violation_faults = 2; }
static void m_gate(struct parts *p) { p->manifest->base_address = NK_GATE_ADDRESS; }
static void m_slot(struct parts *p) { p->manifest->base_address = NK_SLOT_BASE; }
static void m_kernel(struct parts *p) { p->manifest->base_address = 0x400000; }
static void m_symbol(struct parts *p) { set_text(&p->manifest->symbols[0]->name, "a\033[2J"); }
static void m_port(struct parts *p) { set_text(&p->manifest->imports[0]->name, "a/../b"); }
static void m_same_ports(struct parts *p) { set_text(&p->manifest->exports[1]->name, "test"); }
static void m_port_id(struct parts *p) { p->manifest->imports[0]->contract_id.data[9] ^= 1; }
static void m_other_place(struct parts *p) { p->manifest->base_address += NK_IMAGE_STRIDE; }
static void m_taken(struct parts *p) { set_text(&p->manifest->name, "impostor"); }

/* --- contract tables lie --- */
static void c_table(struct parts *p) { p->manifest->contracts[0].data[4] ^= 0x10; }
static void c_cut(struct parts *p) { p->manifest->contracts[0].len /= 2; }
static void c_twice(struct parts *p)
{
    const ProtobufCBinaryData *table = &p->manifest->contracts[1];

    free(p->manifest->contracts[0].data);
    p->manifest->contracts[0] = *table;
    p->manifest->contracts[0].data = malloc(table->len);
    assert_non_null(p->manifest->contracts[0].data);
    memcpy(p->manifest->contracts[0].data, table->data, table->len);
}
static void c_gone(struct parts *p) { p->manifest->n_contracts = 0; }
static void c_id(struct parts *p)
{
    ProtobufCBinaryData *table = &p->manifest->contracts[0];

    table->data[table->len - 1] ^= 1;
}

/* --- the code is not where or what it should be --- */
static void e_not_elf(struct parts *p) { header(p)->e_ident[0] = 'F'; }
static void e_machine(struct parts *p) { header(p)->e_machine = EM_AARCH64; }
static void e_dynamic(struct parts *p) { header(p)->e_type = ET_DYN; }
static void e_sections(struct parts *p) { header(p)->e_shnum = 3; }
static void e_many(struct parts *p) { header(p)->e_phnum = 60000; }
static void e_interpreter(struct parts *p) { segment(p, 0)->p_type = PT_INTERP; }
static void e_writable_code(struct parts *p) { segment(p, 1)->p_flags = PF_R | PF_W | PF_X; }
static void e_writable_data(struct parts *p) { segment(p, 0)->p_flags = PF_R | PF_W; }
static void e_code_and_data(struct parts *p) { segment(p, 0)->p_flags = PF_R | PF_X; }
static void e_at_the_gate(struct parts *p) { segment(p, 1)->p_vaddr = NK_GATE_ADDRESS; }
static void e_past_the_end(struct parts *p) { segment(p, 1)->p_filesz = UINT64_MAX - 4096; }
static void e_huge(struct parts *p) { segment(p, 0)->p_memsz = UINT64_MAX - 4096; }
static void e_on_another(struct parts *p) { segment(p, 1)->p_vaddr = segment(p, 0)->p_vaddr; }
static void e_not_in_file(struct parts *p) { segment(p, 1)->p_memsz += 4096; }
static void e_entry(struct parts *p) { header(p)->e_entry = NK_SLOT_BASE; }
static void e_entry_in_code(struct parts *p) { header(p)->e_entry = segment(p, 1)->p_vaddr; }
static void e_magic(struct parts *p) { desc(p)->magic ^= 1; }
static void e_instance(struct parts *p) { desc(p)->instance_bytes = 1u << 30; }
static void e_desc_pages(struct parts *p) { desc(p)->memory_pages_max = 65536; }
static void e_start(struct parts *p)
{
    desc(p)->start = (int32_t(*)(void *))(uintptr_t)NK_GATE_ADDRESS;
}
/* clang-format on */

static const struct image_attack attacks[] = {
    {"another magic", "header: not a SIP image", .damage = d_magic},
    {"a changed byte of code", "image-hash:", .damage = d_code_byte},
    {"a changed byte of the manifest", "image-hash:", .damage = d_manifest_byte},
    {"another hash", "image-hash:", .damage = d_hash},
    {"cut short", "header: sizes", .damage = d_cut},
    {"nothing", "not an image", .damage = d_nothing},
    {"sizes that wrap", "header: sizes", .damage = d_sizes},
    {"a manifest of 4 GiB", "header: sizes", .damage = d_manifest_size},

    {"another ABI", "manifest-abi:", m_abi},
    {"a path for a name", "manifest-name:", m_name},
    {"a slot class that is none", "manifest-slot-class:", m_class},
    {"more memory than there is", "manifest-memory:", m_memory},
    {"more memory than its code says", "elf-entry:", m_pages},
    {"more processor than there is", "manifest-cpu:", m_cpu},
    {"a hash of three bytes", "manifest-module-hash:", m_hash},
    {"a limit that is none", "manifest-limits:", m_limits},
    {"at the place of the gate", "manifest-place:", m_gate},
    {"at the place of slots", "manifest-place:", m_slot},
    {"at the place of the kernel", "manifest-place:", m_kernel},
    {"a place where its code is not", "elf-place:", m_other_place},
    {"at the place of another image", "taken by another image", m_taken},
    {"a symbol for terminals", "manifest-symbols:", m_symbol},
    {"a path for an import", "manifest-ports:", m_port},
    {"two exports of one name", "manifest-ports:", m_same_ports},
    {"an import of another contract", "manifest-ports:", m_port_id},

    {"a changed contract table", "contracts:", c_table},
    {"half a contract table", "contracts:", c_cut},
    {"a contract twice", "contracts:", c_twice},
    {"no contracts", "manifest-ports:", c_gone},
    {"a contract that is not what its identity says", "contract", c_id},

    {"not ELF", "elf-header:", e_not_elf},
    {"another processor", "elf-header:", e_machine},
    {"position independent", "elf-type:", e_dynamic},
    {"sections", "elf-sections:", e_sections},
    {"60000 segments", "elf-header:", e_many},
    {"an interpreter", "elf-program-headers:", e_interpreter},
    {"writable code", "elf-writable:", e_writable_code},
    {"writable data", "elf-writable:", e_writable_data},
    {"data as code", "code-", e_code_and_data},
    {"a segment on the gate", "elf-place:", e_at_the_gate},
    {"a segment past the file", "elf-segments:", e_past_the_end},
    {"a segment as large as the world", "elf-segments:", e_huge},
    {"a segment on another", "elf-place:", e_on_another},
    {"code that is not in the file", "elf-segments:", e_not_in_file},
    {"an entry in a slot", "elf-entry:", e_entry},
    {"an entry in code", "elf-entry:", e_entry_in_code},
    {"a descriptor that is none", "elf-entry:", e_magic},
    {"an instance of 1 GiB", "elf-entry:", e_instance},
    {"a descriptor of 4 GiB of memory", "elf-entry:", e_desc_pages},
    {"a start in the gate", "elf-entry:", e_start},

    {"syscall", "code-instructions:", .code = {0x0f, 0x05}, .code_bytes = 2},
    {"sysenter", "code-instructions:", .code = {0x0f, 0x34}, .code_bytes = 2},
    {"int 0x80", "code-instructions:", .code = {0xcd, 0x80}, .code_bytes = 2},
    {"wrpkru", "code-instructions:", .code = {0x0f, 0x01, 0xef}, .code_bytes = 3},
    {"wrfsbase", "code-instructions:", .code = {0xf3, 0x0f, 0xae, 0xd0}, .code_bytes = 4},
    {"a load by fs", "code-instructions:", .code = {0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0},
     .code_bytes = 9},
    {"a far return", "code-instructions:", .code = {0xcb}, .code_bytes = 1},
    {"popf", "code-instructions:", .code = {0x9d}, .code_bytes = 1},
    {"std", "code-instructions:", .code = {0xfd}, .code_bytes = 1},
    {"hlt", "code-instructions:", .code = {0xf4}, .code_bytes = 1},
    {"out", "code-instructions:", .code = {0xe6, 0x10}, .code_bytes = 2},
    {"ldmxcsr", "code-instructions:", .code = {0x0f, 0xae, 0x10}, .code_bytes = 3},
    {"a locked add", "code-instructions:", .code = {0xf0, 0x48, 0x83, 0, 1}, .code_bytes = 5},
    {"rdtsc", "code-instructions:", .code = {0x0f, 0x31}, .code_bytes = 2},
    /* jmp over the first byte of movabs $..., whose constant begins with syscall */
    {"a syscall in a constant", "code-branches:",
     .code = {0xeb, 0x02, 0x48, 0xb8, 0x0f, 0x05, 0, 0, 0, 0, 0, 0}, .code_bytes = 12},
    {"a call out of its code", "code-branches:", .code = {0xe8, 0, 0, 0, 0x7f}, .code_bytes = 5},
};

static void plant(struct parts *parts, const struct image_attack *attack)
{
    uint8_t *code = parts->elf + segment(parts, 1)->p_offset;

    memset(code, 0x90, segment(parts, 1)->p_filesz);
    memcpy(code + CODE_AT, attack->code, attack->code_bytes);
}

static void attack_run(void **state)
{
    const struct image_attack *attack = *state;
    const struct bytes *from = &hostile_images[HOSTILE_PLAIN];
    struct bytes image = {malloc(from->length), from->length};

    assert_non_null(image.data);
    memcpy(image.data, from->data, from->length);
    if (attack->damage != NULL) {
        attack->damage(&image);
    } else {
        struct parts parts = parts_open(&image);

        free(image.data);
        if (attack->alter == NULL) {
            plant(&parts, attack);
        } else {
            attack->alter(&parts);
        }
        image = parts_seal(&parts);
    }
    hostile_refused(&image, attack->rule);
    free(image.data);
}

uint32_t hostile_add_images(struct CMUnitTest *tests)
{
    const uint32_t count = sizeof(attacks) / sizeof(attacks[0]);

    for (uint32_t i = 0; i < count; i++) {
        char name[128];

        (void)snprintf(name, sizeof(name), "images: %s", attacks[i].name);
        tests[i] = (struct CMUnitTest){.name = strdup(name),
                                       .test_func = attack_run,
                                       .initial_state = (void *)(uintptr_t)&attacks[i]};
    }
    return count;
}
