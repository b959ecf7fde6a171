/* SPDX-License-Identifier: Apache-2.0 */
/*
 * image_test.c - what image_open accepts and refuses: real images, every byte tampered, every
 * length cut, every rule broken behind correct hashes, random damage. Built with sanitizers.
 */
#include <elf.h>
#include <setjmp.h>
#include <sodium.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "abi/nk_abi.h"
#include "image.pb-c.h"
#include "image/image.h"
#include "image/lines.h"
#include "image/trust.h"
#include "test_file.h"

/* The unpacked parts of an image, free to be changed and sealed again. */
struct parts {
    Sf__Image__Manifest *manifest;
    uint8_t *elf;
    size_t elf_bytes;
};

static struct file web;  /* signed */
static struct file bare; /* the same without its signature */
static struct file native_web;

static uint64_t field(const struct file *file, size_t offset)
{
    uint64_t value;

    memcpy(&value, file->bytes + offset, sizeof(value));
    return value;
}

static struct parts parts_of(const struct file *file)
{
    struct parts parts;

    parts.manifest = sf__image__manifest__unpack(NULL, (uint32_t)field(file, 8), file->bytes + 64);
    assert_non_null(parts.manifest);
    parts.elf_bytes = field(file, 24);
    parts.elf = malloc(parts.elf_bytes);
    assert_non_null(parts.elf);
    memcpy(parts.elf, file->bytes + field(file, 16), parts.elf_bytes);
    return parts;
}

static void parts_free(struct parts *parts)
{
    sf__image__manifest__free_unpacked(parts->manifest, NULL);
    free(parts->elf);
}

/* Seals with correct hashes and opens: the status, with the rule in text. */
static sf_status seal_and_open(struct parts *parts, char text[256])
{
    struct image *image = NULL;
    uint8_t *bytes = NULL;
    size_t length = 0;
    sf_status st = image_seal(parts->manifest, parts->elf, parts->elf_bytes, &bytes, &length);

    assert_int_equal(st, SF_OK);
    text[0] = '\0';
    st = image_open(bytes, length, &image, text, 256);
    image_close(image);
    free(bytes);
    return st;
}

static void expect_rule(struct parts *parts, const char *rule)
{
    char text[256];
    const sf_status st = seal_and_open(parts, text);

    assert_int_not_equal(st, SF_OK);
    if (strncmp(text, rule, strlen(rule)) != 0 || text[strlen(rule)] != ':') {
        fail_msg("expected rule %s, got %s", rule, text);
    }
}

static void real_images_open(void **state)
{
    static const char *const names[] = {"hello.sip", "hello-client.sip", "web.sip"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct file file = file_load(names[i]);
        struct image *image = NULL;
        uint8_t digest[IMAGE_DIGEST_BYTES];
        char text[256] = "";
        if (image_open(file.bytes, file.length, &image, text, sizeof(text)) != SF_OK) {
            fail_msg("%s: %s", names[i], text);
        }
        (void)crypto_generichash(digest, sizeof(digest), file.bytes, file.length, NULL, 0);
        assert_memory_equal(digest, image->digest, sizeof(digest));
        assert_true(image->contract_count >= 1);
        assert_int_equal(image->segment_count, 2);
        assert_null(image_contract(image, "NoSuchContract"));
        image_close(image);
        free(file.bytes);
    }
}

/* bare was sealed from the parts of web; the build's key is where web was signed. */
static void sealing_and_signing_again_gives_the_same_bytes(void **state)
{
    struct file key = file_load("dev.key");
    struct image_secret secret;
    uint8_t *bytes = NULL;
    size_t length = 0;

    (void)state;
    assert_int_equal(image_secret_read((const char *)key.bytes, key.length, &secret, NULL, 0),
                     SF_OK);
    assert_int_equal(image_sign(bare.bytes, bare.length, &secret, &bytes, &length), SF_OK);
    assert_int_equal(length, web.length);
    assert_memory_equal(bytes, web.bytes, length);
    free(bytes);
    free(key.bytes);
}

static void every_tampered_byte_is_seen(void **state)
{
    (void)state;
    for (size_t at = 0; at < web.length; at++) {
        struct image *image = NULL;
        char text[256] = "";
        sf_status st;
        web.bytes[at] ^= (uint8_t)(1u << (at % 8));
        st = image_open(web.bytes, web.length, &image, text, sizeof(text));
        web.bytes[at] ^= (uint8_t)(1u << (at % 8));
        if ((st != SF_TRUST && st != SF_FORMAT) || strstr(text, ": ") == NULL) {
            fail_msg("byte %zu: status %d, %s", at, st, text);
        }
    }
}

static void every_cut_is_seen(void **state)
{
    (void)state;
    for (size_t length = 0; length < web.length; length += length < 8192 ? 1 : 61) {
        struct image *image = NULL;
        char text[256] = "";
        uint8_t *cut = malloc(length + 1);
        sf_status st;
        assert_non_null(cut);
        cut = realloc(cut, length > 0 ? length : 1);
        memcpy(cut, web.bytes, length);
        st = image_open(cut, length, &image, text, sizeof(text));
        free(cut);
        assert_true(st == SF_FORMAT || st == SF_TRUST);
        assert_non_null(strstr(text, ": "));
    }
}

static void a_tail_is_seen(void **state)
{
    struct image *image = NULL;
    uint8_t *longer = calloc(1, web.length + 1);

    (void)state;
    assert_non_null(longer);
    memcpy(longer, web.bytes, web.length);
    assert_int_equal(image_open(longer, web.length + 1, &image, NULL, 0), SF_FORMAT);
    free(longer);
}

/* --- manifest rules ------------------------------------------------------------------------------
 */

static void set_text(char **text, const char *value)
{
    free(*text);
    *text = strdup(value);
    assert_non_null(*text);
}

static void manifest_rules(void **state)
{
    static const char *const names[] = {"",     "Web", "1web",
                                        "we b", "w\n", "a2345678901234567890123456789012"};
    struct parts parts = parts_of(&web);
    Sf__Image__Manifest *m = parts.manifest;

    (void)state;
    m->abi_version++;
    expect_rule(&parts, "manifest-abi");
    m->abi_version--;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        set_text(&m->name, names[i]);
        expect_rule(&parts, "manifest-name");
    }
    set_text(&m->name, "web");
    set_text(&m->slot_class, "huge");
    expect_rule(&parts, "manifest-slot-class");
    set_text(&m->slot_class, "large");
    m->memory_pages_max = NK_LARGE_PAGES_MAX + 1;
    expect_rule(&parts, "manifest-memory");
    set_text(&m->slot_class, "small");
    m->memory_pages_max = NK_MODULE_PAGES_MAX + 1;
    expect_rule(&parts, "manifest-memory");
    m->memory_pages_max = m->memory_pages - 1;
    expect_rule(&parts, "manifest-memory");
    m->memory_pages_max = 32;
    m->cpu_percent = 101;
    expect_rule(&parts, "manifest-cpu");
    m->cpu_percent = 100;
    m->module_hash.len--;
    expect_rule(&parts, "manifest-module-hash");
    m->module_hash.len++;
    m->base_address += 4096;
    expect_rule(&parts, "manifest-place");
    m->base_address = NK_IMAGE_BASE + NK_IMAGE_PLACES * NK_IMAGE_STRIDE;
    expect_rule(&parts, "manifest-place");
    m->base_address = NK_SLOT_BASE;
    expect_rule(&parts, "manifest-place");
    parts_free(&parts);
}

static void port_and_symbol_rules(void **state)
{
    struct parts parts = parts_of(&web);
    Sf__Image__Manifest *m = parts.manifest;
    const size_t symbol_count = m->n_symbols;

    (void)state;
    m->imports[0]->contract_id.data[3] ^= 1;
    expect_rule(&parts, "manifest-ports");
    m->imports[0]->contract_id.data[3] ^= 1;
    set_text(&m->imports[0]->name, "Tcp");
    expect_rule(&parts, "manifest-ports");
    set_text(&m->imports[0]->name, "tcp");
    set_text(&m->imports[0]->contract, "HelloContract");
    expect_rule(&parts, "manifest-ports");
    set_text(&m->imports[0]->contract, "TcpContract");
    m->symbols[1]->offset = m->symbols[0]->offset;
    expect_rule(&parts, "manifest-symbols");
    m->symbols[1]->offset = UINT64_MAX - 1;
    expect_rule(&parts, "manifest-symbols");
    m->n_symbols = 1;
    set_text(&m->symbols[0]->name, "a\033[2J");
    expect_rule(&parts, "manifest-symbols");
    m->n_symbols = symbol_count;
    parts_free(&parts);
}

static void line_rules(void **state)
{
    struct parts parts = parts_of(&web);
    Sf__Image__Manifest *m = parts.manifest;
    Sf__Image__Lines *l = m->lines;

    (void)state;
    m->violation_faults = 2;
    expect_rule(&parts, "manifest-limits");
    m->violation_faults = 0;
    assert_true(l != NULL && l->n_row_bytes > 100 && l->n_frame_function > 100);
    l->n_row_frame--;
    expect_rule(&parts, "manifest-lines");
    l->n_row_frame++;
    l->row_frame[7] = (uint32_t)l->n_frame_function + 1;
    expect_rule(&parts, "manifest-lines");
    l->row_frame[7] = 0;
    l->row_bytes[7] = UINT32_MAX;
    expect_rule(&parts, "manifest-lines");
    l->row_bytes[7] = 1;
    l->n_frame_line--;
    expect_rule(&parts, "manifest-lines");
    l->n_frame_line++;
    l->frame_function[3] = (uint32_t)l->n_functions;
    expect_rule(&parts, "manifest-lines");
    l->frame_function[3] = 0;
    l->frame_file[3] = (uint32_t)l->n_files + 1;
    expect_rule(&parts, "manifest-lines");
    l->frame_file[3] = 0;
    l->frame_parent[3] = 4; /* itself */
    expect_rule(&parts, "manifest-lines");
    l->frame_parent[3] = 0;
    set_text(&l->functions[0], "a\033[2J");
    expect_rule(&parts, "manifest-lines");
    set_text(&l->functions[0], "a");
    set_text(&l->files[0], "");
    expect_rule(&parts, "manifest-lines");
    parts_free(&parts);
}

/* Frames that are each other's parents, one more than a lookup follows, in two rows. */
static void lines_are_found_by_offset(void **state)
{
    enum { COUNT = IMAGE_LINES_DEPTH_MAX + 1 };
    uint32_t zeros[COUNT] = {0}, lines[COUNT], parents[COUNT];
    uint32_t row_bytes[] = {4096, 16, 8}, row_frame[] = {1, COUNT, 0};
    char *files[] = {(char[]){"a.c"}}, *functions[] = {(char[]){"f"}};
    Sf__Image__Lines table = SF__IMAGE__LINES__INIT;
    Sf__Image__Manifest manifest = SF__IMAGE__MANIFEST__INIT;
    struct image image = {.manifest = &manifest};
    struct image_frame frames[IMAGE_LINES_DEPTH_MAX];

    (void)state;
    assert_int_equal(image_lines_find(&image, 4096, frames), 0); /* no table */
    for (uint32_t i = 0; i < COUNT; i++) {
        lines[i] = 10 + i;
        parents[i] = i;
    }
    table.n_files = table.n_functions = 1;
    table.files = files;
    table.functions = functions;
    table.n_frame_function = table.n_frame_file = table.n_frame_line = table.n_frame_parent = COUNT;
    table.frame_function = table.frame_file = zeros;
    table.frame_line = lines;
    table.frame_parent = parents;
    table.n_row_bytes = table.n_row_frame = 3;
    table.row_bytes = row_bytes;
    table.row_frame = row_frame;
    manifest.lines = &table;
    assert_int_equal(image_lines_find(&image, 4095, frames), 0);
    assert_int_equal(image_lines_find(&image, 4096, frames), 1);
    assert_int_equal(frames[0].line, 10);
    assert_null(frames[0].file);
    assert_string_equal(frames[0].function, "f");
    assert_int_equal(image_lines_find(&image, 4111, frames), 1);
    assert_int_equal(image_lines_find(&image, 4112, frames), IMAGE_LINES_DEPTH_MAX);
    assert_int_equal(frames[0].line, 10 + COUNT - 1);
    assert_int_equal(frames[1].line, 10 + COUNT - 2);
    assert_int_equal(image_lines_find(&image, 4119, frames), IMAGE_LINES_DEPTH_MAX);
    assert_int_equal(image_lines_find(&image, 4120, frames), 0);
    assert_int_equal(image_lines_find(&image, UINT64_MAX, frames), 0);
}

static void contract_rules(void **state)
{
    struct parts parts = parts_of(&web);
    Sf__Image__Manifest *m = parts.manifest;
    const ProtobufCBinaryData first = m->contracts[0];
    char text[256];

    (void)state;
    /* The port's own contract is gone. */
    m->n_contracts = 1;
    assert_int_not_equal(seal_and_open(&parts, text), SF_OK);
    m->n_contracts = 2;
    m->contracts[0] = m->contracts[1];
    expect_rule(&parts, "contracts");
    m->contracts[0] = first;
    for (size_t at = 0; at < first.len; at++) {
        first.data[at] ^= 0x10;
        if (seal_and_open(&parts, text) == SF_OK) {
            fail_msg("contract byte %zu changed and nobody saw", at);
        }
        assert_memory_equal(text, "contract", 8);
        first.data[at] ^= 0x10;
    }
    parts_free(&parts);
}

/* --- ELF rules -----------------------------------------------------------------------------------
 */

static Elf64_Ehdr *elf_header(struct parts *parts)
{
    return (Elf64_Ehdr *)(void *)parts->elf;
}

static Elf64_Phdr *segment(struct parts *parts, unsigned index)
{
    return (Elf64_Phdr *)(void *)(parts->elf + elf_header(parts)->e_phoff) + index;
}

static struct nk_desc *desc(struct parts *parts)
{
    return (struct nk_desc *)(void *)(parts->elf + segment(parts, 0)->p_offset +
                                      (elf_header(parts)->e_entry - segment(parts, 0)->p_vaddr));
}

#define BREAK(parts, place, value, rule)                                                           \
    do {                                                                                           \
        __typeof__(place) kept_ = (place);                                                         \
        (place) = (value);                                                                         \
        expect_rule((parts), (rule));                                                              \
        (place) = kept_;                                                                           \
    } while (0)

static void elf_header_rules(void **state)
{
    struct parts p = parts_of(&web);
    char text[256];

    (void)state;
    BREAK(&p, elf_header(&p)->e_ident[0], 'F', "elf-header");
    BREAK(&p, elf_header(&p)->e_machine, EM_AARCH64, "elf-header");
    BREAK(&p, elf_header(&p)->e_phoff, UINT64_MAX - 8, "elf-header");
    BREAK(&p, elf_header(&p)->e_phnum, 9, "elf-header");
    BREAK(&p, elf_header(&p)->e_type, ET_DYN, "elf-type");
    BREAK(&p, elf_header(&p)->e_shnum, 1, "elf-sections");
    BREAK(&p, segment(&p, 0)->p_type, PT_INTERP, "elf-program-headers");
    BREAK(&p, segment(&p, 0)->p_type, PT_DYNAMIC, "elf-program-headers");
    BREAK(&p, segment(&p, 0)->p_type, PT_TLS, "elf-program-headers");
    BREAK(&p, elf_header(&p)->e_entry, elf_header(&p)->e_entry + 4, "elf-entry");
    BREAK(&p, elf_header(&p)->e_entry, segment(&p, 1)->p_vaddr, "elf-entry");
    BREAK(&p, elf_header(&p)->e_entry, 0, "elf-entry");
    assert_int_equal(seal_and_open(&p, text), SF_OK); /* all put back */
    parts_free(&p);
}

static void elf_segment_rules(void **state)
{
    struct parts p = parts_of(&web);
    char text[256];

    (void)state;
    BREAK(&p, segment(&p, 0)->p_flags, PF_R | PF_W, "elf-writable");
    BREAK(&p, segment(&p, 1)->p_flags, PF_R | PF_W | PF_X, "elf-writable");
    BREAK(&p, segment(&p, 1)->p_flags, PF_X, "elf-segments");
    BREAK(&p, segment(&p, 0)->p_filesz, UINT64_MAX, "elf-segments");
    BREAK(&p, segment(&p, 0)->p_offset, 64, "elf-segments");
    BREAK(&p, segment(&p, 0)->p_memsz, 0, "elf-segments");
    BREAK(&p, segment(&p, 0)->p_vaddr, segment(&p, 0)->p_vaddr + 8, "elf-segments");
    BREAK(&p, segment(&p, 1)->p_memsz, segment(&p, 1)->p_filesz + 1, "elf-segments");
    BREAK(&p, segment(&p, 0)->p_vaddr, NK_GATE_ADDRESS, "elf-place");
    BREAK(&p, segment(&p, 1)->p_vaddr, segment(&p, 0)->p_vaddr, "elf-place");
    BREAK(&p, segment(&p, 0)->p_vaddr, segment(&p, 0)->p_vaddr - NK_IMAGE_STRIDE, "elf-place");
    BREAK(&p, segment(&p, 1)->p_vaddr, segment(&p, 0)->p_vaddr + NK_IMAGE_STRIDE, "elf-place");
    BREAK(&p, desc(&p)->magic, 0, "elf-entry");
    BREAK(&p, desc(&p)->abi_version, NK_ABI_VERSION + 1, "elf-entry");
    BREAK(&p, desc(&p)->instance_bytes, NK_INSTANCE_BYTES_MAX + 1, "elf-entry");
    BREAK(&p, desc(&p)->memory_pages, 0, "elf-entry");
    BREAK(&p, desc(&p)->start, (int32_t(*)(void *))(uintptr_t)elf_header(&p)->e_entry, "elf-entry");
    assert_int_equal(seal_and_open(&p, text), SF_OK);
    parts_free(&p);
}

/* Segments: data, code, descriptor. */
static void native_rules(void **state)
{
    struct parts p = parts_of(&native_web);
    Elf64_Phdr *data = segment(&p, 0);
    struct nk_native_desc *entry =
        (struct nk_native_desc *)(void *)(p.elf + segment(&p, 2)->p_offset);
    char text[256];

    (void)state;
    assert_true(entry->relocation_count > 0);
    BREAK(&p, p.manifest->mode, (char *)"process", "manifest-mode");
    BREAK(&p, p.manifest->mode, (char *)"wasm", "elf-place"); /* data lies elsewhere */
    BREAK(&p, p.manifest->memory_pages, 1, "manifest-memory");
    BREAK(&p, data->p_flags, PF_R | PF_W | PF_X, "elf-data");
    BREAK(&p, data->p_flags, PF_W, "elf-data");
    BREAK(&p, data->p_flags, PF_R, "elf-place");
    BREAK(&p, data->p_vaddr, data->p_vaddr + 4096, "elf-data");
    BREAK(&p, data->p_memsz, p.manifest->memory_pages * 65536ull, "elf-data");
    BREAK(&p, data->p_filesz, data->p_memsz + 1, "elf-segments");
    BREAK(&p, segment(&p, 1)->p_flags, PF_R | PF_W | PF_X, "elf-data");
    BREAK(&p, segment(&p, 2)->p_flags, PF_R | PF_W, "elf-data"); /* a second one */
    BREAK(&p, entry->relocation_count, entry->relocation_count + 1, "elf-relocations");
    BREAK(&p, entry->relocation_count, UINT32_MAX, "elf-relocations");
    BREAK(&p, entry->relocations[0], (uint32_t)data->p_filesz - 7, "elf-relocations");
    BREAK(&p, entry->relocations[0], UINT32_MAX, "elf-relocations");
    BREAK(&p, entry->relocations[0], entry->relocations[0] + 4, "elf-relocations");
    BREAK(&p, entry->desc.memory_pages, 1, "elf-entry");
    BREAK(&p, entry->desc.start, (int32_t(*)(void *))(uintptr_t)data->p_vaddr, "elf-entry");
    assert_int_equal(seal_and_open(&p, text), SF_OK);
    parts_free(&p);
    p = parts_of(&web);
    BREAK(&p, p.manifest->mode, (char *)"native", "manifest-memory");
    p.manifest->memory_pages = p.manifest->memory_pages_max;
    desc(&p)->memory_pages = p.manifest->memory_pages;
    BREAK(&p, p.manifest->mode, (char *)"native", "elf-data"); /* it has none */
    parts_free(&p);
}

/* --- instructions --------------------------------------------------------------------------------
 */

struct code {
    const char *what;
    uint8_t bytes[12];
    uint8_t length;
};

static void forbidden_instructions(void **state)
{
    static const struct code codes[] = {
        {"syscall", {0x0f, 0x05}, 2},
        {"sysenter", {0x0f, 0x34}, 2},
        {"int 0x80", {0xcd, 0x80}, 2},
        {"int3", {0xcc}, 1},
        {"hlt", {0xf4}, 1},
        {"wrpkru", {0x0f, 0x01, 0xef}, 3},
        {"xsetbv", {0x0f, 0x01, 0xd1}, 3},
        {"wrgsbase", {0xf3, 0x48, 0x0f, 0xae, 0xd8}, 5},
        {"wrfsbase", {0xf3, 0x0f, 0xae, 0xd0}, 4},
        {"xrstor", {0x0f, 0xae, 0x28}, 3},
        {"ldmxcsr", {0x0f, 0xae, 0x10}, 3},
        {"in", {0xec}, 1},
        {"out", {0xe6, 0x10}, 2},
        {"mov to fs", {0x8e, 0xe0}, 2},
        {"pop gs", {0x0f, 0xa9}, 2},
        {"fs load", {0x64, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 0}, 9},
        {"far jump", {0xff, 0x28}, 2},
        {"far ret", {0xcb}, 1},
        {"iret", {0x48, 0xcf}, 2},
        {"std", {0xfd}, 1},
        {"popf", {0x9d}, 1},
        {"rdtsc", {0x0f, 0x31}, 2},
        {"xbegin", {0xc7, 0xf8, 0, 0, 0, 0}, 6},
        {"lock", {0xf0, 0x48, 0x83, 0x00, 0x01}, 5},
        {"movq mm0", {0x0f, 0x6f, 0x00}, 3},
        {"fld", {0xd9, 0x00}, 2},
        {"cvtpi2pd mm0", {0x66, 0x0f, 0x2a, 0xc0}, 4},
        {"cvttpd2pi mm0", {0x66, 0x0f, 0x2c, 0xc0}, 4},
        {"movq2dq mm0", {0xf3, 0x0f, 0xd6, 0xc0}, 4},
        {"movdq2q mm0", {0xf2, 0x0f, 0xd6, 0xc0}, 4},
        {"movntdq", {0x66, 0x0f, 0xe7, 0x00}, 4},
        {"xchg with memory", {0x48, 0x87, 0x00}, 3},
        {"a return of 16 bit", {0x66, 0xc3}, 2},
        {"a jump of 16 bit", {0x66, 0xff, 0xe0}, 3},
        {"a jump with a segment", {0x2e, 0xff, 0xe0}, 3},
        {"lzcnt", {0xf3, 0x0f, 0xbd, 0xc0}, 4},
        {"an undefined shift", {0x66, 0x0f, 0x73, 0xc0, 0x01}, 5},
        {"lea of a register", {0x48, 0x8d, 0xc0}, 3},
        {"vzeroupper", {0xc5, 0xf8, 0x77}, 3},
        {"evex", {0x62, 0xf1, 0x7c, 0x48, 0x28, 0x00}, 6},
        {"jump into an instruction", {0xeb, 0x01, 0xb8, 0, 0, 0, 0}, 7},
    };
    struct parts p = parts_of(&web);
    uint8_t *code = p.elf + segment(&p, 1)->p_offset;
    const size_t length = segment(&p, 1)->p_filesz;
    uint8_t *kept = malloc(length);

    (void)state;
    assert_non_null(kept);
    memcpy(kept, code, length);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        memset(code, 0x90, length); /* nops around it: no other rule is in play */
        memcpy(code + length / 2, codes[i].bytes, codes[i].length);
        expect_rule(&p, codes[i].bytes[0] == 0xeb ? "code-branches" : "code-instructions");
    }
    memset(code, 0x90, length);
    code[length - 1] = 0xe8; /* a call whose distance is cut off */
    expect_rule(&p, "code-instructions");
    memset(code, 0x90, length);
    memcpy(code, (uint8_t[]){0xe9, 0, 0, 0, 0x7f}, 5); /* far out of the segment */
    expect_rule(&p, "code-branches");
    memcpy(code, kept, length);
    free(kept);
    parts_free(&p);
}

/* --- damage --------------------------------------------------------------------------------------
 */

static uint64_t random_state = 20240731;

static uint64_t random_next(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Hashes are made right again, so that the damage reaches what is behind them. */
static void random_damage_never_crashes(void **state)
{
    uint32_t accepted = 0;

    (void)state;
    for (unsigned round = 0; round < 4000; round++) {
        struct image *image = NULL;
        uint8_t *bytes = malloc(bare.length);
        const uint32_t flips = 1 + (uint32_t)(random_next() % 4);
        assert_non_null(bytes);
        memcpy(bytes, bare.bytes, bare.length);
        for (uint32_t i = 0; i < flips; i++) {
            bytes[64 + random_next() % (bare.length - 64)] ^= (uint8_t)(1u << random_next() % 8);
        }
        (void)crypto_generichash(bytes + 32, 32, bytes + 64, bare.length - 64, NULL, 0);
        accepted += image_open(bytes, bare.length, &image, NULL, 0) == SF_OK;
        image_close(image);
        free(bytes);
    }
    assert_true(accepted < 400); /* texts of symbols and the like may change */
    for (unsigned round = 0; round < 4000; round++) {
        struct parts p = parts_of(round % 2 == 0 ? &web : &native_web);
        char text[256];
        p.elf[random_next() % p.elf_bytes] ^= (uint8_t)(1u << random_next() % 8);
        (void)seal_and_open(&p, text);
        parts_free(&p);
    }
}

static int load_web(void **state)
{
    struct parts parts;
    sf_status st;

    (void)state;
    web = file_load("web.sip");
    native_web = file_load("bench/tax/tax-web-native.sip");
    parts = parts_of(&web);
    st = image_seal(parts.manifest, parts.elf, parts.elf_bytes, &bare.bytes, &bare.length);
    parts_free(&parts);
    return st == SF_OK && sodium_init() >= 0 ? 0 : -1;
}

static int unload_web(void **state)
{
    (void)state;
    free(web.bytes);
    free(bare.bytes);
    free(native_web.bytes);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(real_images_open),
        cmocka_unit_test(sealing_and_signing_again_gives_the_same_bytes),
        cmocka_unit_test(every_tampered_byte_is_seen),
        cmocka_unit_test(every_cut_is_seen),
        cmocka_unit_test(a_tail_is_seen),
        cmocka_unit_test(manifest_rules),
        cmocka_unit_test(line_rules),
        cmocka_unit_test(lines_are_found_by_offset),
        cmocka_unit_test(port_and_symbol_rules),
        cmocka_unit_test(contract_rules),
        cmocka_unit_test(elf_header_rules),
        cmocka_unit_test(elf_segment_rules),
        cmocka_unit_test(native_rules),
        cmocka_unit_test(forbidden_instructions),
        cmocka_unit_test(random_damage_never_crashes),
    };

    return cmocka_run_group_tests_name("image", tests, load_web, unload_web);
}
