/* SPDX-License-Identifier: Apache-2.0 */
#include "inspect.h"

#include <cjson/cJSON.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "image.pb-c.h"
#include "image/image.h"
#include "keys.h"
#include "work.h"

static const char *protection_text(int protection)
{
    return (protection & PROT_EXEC) != 0 ? "r-x" : (protection & PROT_WRITE) != 0 ? "rw-" : "r--";
}

static const char *hex(const ProtobufCBinaryData *data, char buffer[65])
{
    buffer[0] = '\0';
    if (data->len == IMAGE_DIGEST_BYTES) {
        image_digest_hex(data->data, buffer);
    }
    return buffer;
}

static void add_ports(cJSON *object, const char *key, Sf__Image__Port *const ports[], size_t count)
{
    cJSON *list = cJSON_AddArrayToObject(object, key);
    char buffer[65];

    for (size_t i = 0; i < count; i++) {
        cJSON *port = cJSON_CreateObject();
        (void)cJSON_AddStringToObject(port, "name", ports[i]->name);
        (void)cJSON_AddStringToObject(port, "contract", ports[i]->contract);
        (void)cJSON_AddStringToObject(port, "contract_id", hex(&ports[i]->contract_id, buffer));
        (void)cJSON_AddItemToArray(list, port);
    }
}

static void add_contracts(cJSON *object, const struct image *image)
{
    cJSON *list = cJSON_AddArrayToObject(object, "contracts");
    char buffer[65];

    for (uint32_t i = 0; i < image->contract_count; i++) {
        const struct ct_contract *contract = image->contracts[i];
        cJSON *item = cJSON_CreateObject();
        image_digest_hex(contract->id, buffer);
        (void)cJSON_AddStringToObject(item, "name", contract->name);
        (void)cJSON_AddStringToObject(item, "id", buffer);
        (void)cJSON_AddNumberToObject(item, "messages", contract->message_count);
        (void)cJSON_AddNumberToObject(item, "states", contract->state_count);
        (void)cJSON_AddItemToArray(list, item);
    }
}

/* The segments, and behind them the data of a native image. NULL: no more. */
static const struct image_segment *segment_at(const struct image *image, uint32_t index)
{
    if (index < image->segment_count) {
        return &image->segments[index];
    }
    return index == image->segment_count && image->mode == IMAGE_NATIVE ? &image->data : NULL;
}

static void add_segments(cJSON *object, const struct image *image)
{
    cJSON *list = cJSON_AddArrayToObject(object, "segments");
    const struct image_segment *segment;
    char address[32];

    for (uint32_t i = 0; (segment = segment_at(image, i)) != NULL; i++) {
        cJSON *item = cJSON_CreateObject();
        (void)snprintf(address, sizeof(address), "0x%llx", (unsigned long long)segment->address);
        (void)cJSON_AddStringToObject(item, "address", address);
        (void)cJSON_AddStringToObject(item, "protection", protection_text(segment->protection));
        (void)cJSON_AddNumberToObject(item, "bytes", (double)segment->file_bytes);
        (void)cJSON_AddItemToArray(list, item);
    }
}

/* state: "unsigned"; "signed" (by a key nobody vouches for here); "trusted". */
static void add_signature(cJSON *object, const struct image *image, const struct image_trust *trust)
{
    cJSON *signature = cJSON_AddObjectToObject(object, "signature");
    const struct image_key *key =
        image->is_signed && trust != NULL ? image_trust_find(trust, image->signer) : NULL;
    char id[IMAGE_KEY_ID_CHARS + 1];

    (void)cJSON_AddStringToObject(signature, "state",
                                  !image->is_signed ? "unsigned"
                                  : key != NULL     ? "trusted"
                                                    : "signed");
    if (image->is_signed) {
        image_key_id(image->signer, id);
        (void)cJSON_AddStringToObject(signature, "key_id", id);
    }
    if (key != NULL) {
        (void)cJSON_AddStringToObject(signature, "key_name", key->name);
    }
}

static sf_status print_json(const struct image *image, const struct image_trust *trust)
{
    const Sf__Image__Manifest *m = image->manifest;
    cJSON *object = cJSON_CreateObject();
    char buffer[65];
    char *text;

    image_digest_hex(image->digest, buffer);
    (void)cJSON_AddStringToObject(object, "digest", buffer);
    (void)cJSON_AddStringToObject(object, "name", m->name);
    add_signature(object, image, trust);
    (void)cJSON_AddNumberToObject(object, "abi_version", m->abi_version);
    (void)snprintf(buffer, sizeof(buffer), "0x%llx", (unsigned long long)m->base_address);
    (void)cJSON_AddStringToObject(object, "base_address", buffer);
    (void)cJSON_AddStringToObject(object, "mode", image_mode_name(image->mode));
    (void)cJSON_AddStringToObject(object, "slot_class", m->slot_class);
    (void)cJSON_AddNumberToObject(object, "memory_pages", m->memory_pages);
    (void)cJSON_AddNumberToObject(object, "memory_pages_max", m->memory_pages_max);
    (void)cJSON_AddNumberToObject(object, "block_bytes_max", (double)m->block_bytes_max);
    (void)cJSON_AddBoolToObject(object, "strict_blocks", m->strict_blocks);
    (void)cJSON_AddNumberToObject(object, "cpu_percent", m->cpu_percent);
    (void)cJSON_AddNumberToObject(object, "cpu_ms_max", m->cpu_ms_max);
    (void)cJSON_AddNumberToObject(object, "slice_ms_max", m->slice_ms_max);
    (void)cJSON_AddStringToObject(object, "on_violation",
                                  m->violation_faults != 0 ? "fault" : "error");
    (void)cJSON_AddBoolToObject(object, "movable", !m->stays && image->mode != IMAGE_NATIVE);
    (void)cJSON_AddStringToObject(object, "module_hash", hex(&m->module_hash, buffer));
    (void)cJSON_AddStringToObject(object, "built_by", m->built_by);
    (void)cJSON_AddNumberToObject(object, "symbols", (double)m->n_symbols);
    (void)cJSON_AddNumberToObject(object, "lines",
                                  m->lines == NULL ? 0 : (double)m->lines->n_row_bytes);
    add_ports(object, "imports", m->imports, m->n_imports);
    add_ports(object, "exports", m->exports, m->n_exports);
    add_contracts(object, image);
    add_segments(object, image);
    text = cJSON_Print(object);
    cJSON_Delete(object);
    if (text == NULL) {
        return sipc_fail(SF_NOMEM, "no memory left");
    }
    (void)puts(text);
    cJSON_free(text);
    return SF_OK;
}

static void print_ports(const char *kind, Sf__Image__Port *const ports[], size_t count)
{
    for (size_t i = 0; i < count; i++) {
        (void)printf("%-10s %s: %s\n", kind, ports[i]->name, ports[i]->contract);
    }
}

static void print_text(const struct image *image, const struct image_trust *trust)
{
    const Sf__Image__Manifest *m = image->manifest;
    const struct image_segment *segment;
    char buffer[65], signer[KEYS_SIGNER_BYTES];

    (void)printf("name       %s\n", m->name);
    image_digest_hex(image->digest, buffer);
    (void)printf("digest     %s\n", buffer);
    (void)printf("signature  %s\n", keys_signer(image, trust, signer));
    (void)printf("module     %s\n", hex(&m->module_hash, buffer));
    (void)printf("built by   %s, abi %u\n", m->built_by, m->abi_version);
    (void)printf("mode       %s%s\n", image_mode_name(image->mode),
                 image->mode == IMAGE_NATIVE ? ": no checks at run time, as trusted as the node"
                                             : "");
    (void)printf("memory     %u KiB at start, %u KiB at most, class %s\n", m->memory_pages * 64,
                 m->memory_pages_max * 64, m->slot_class);
    (void)printf("place      0x%llx\n", (unsigned long long)m->base_address);
    for (uint32_t i = 0; (segment = segment_at(image, i)) != NULL; i++) {
        (void)printf("segment    0x%llx %s %llu bytes\n", (unsigned long long)segment->address,
                     protection_text(segment->protection), (unsigned long long)segment->file_bytes);
    }
    (void)printf("functions  %zu, %zu entries of source lines\n", m->n_symbols,
                 m->lines == NULL ? 0 : m->lines->n_row_bytes);
    if (m->cpu_ms_max != 0) {
        (void)printf("cpu        %u ms in all, then it ends\n", m->cpu_ms_max);
    }
    if (m->slice_ms_max != 0) {
        (void)printf("slice      %u ms without a kernel call, then it ends\n", m->slice_ms_max);
    }
    if (m->violation_faults != 0) {
        (void)printf("violation  of a contract ends it\n");
    }
    if (m->stays) {
        (void)printf("move       never, while it runs\n");
    }
    print_ports("import", m->imports, m->n_imports);
    print_ports("export", m->exports, m->n_exports);
    for (uint32_t i = 0; i < image->contract_count; i++) {
        const struct ct_contract *contract = image->contracts[i];
        image_digest_hex(contract->id, buffer);
        (void)printf("contract   %s: %u messages, %u states, %.16s...\n", contract->name,
                     contract->message_count, contract->state_count, buffer);
    }
}

sf_status inspect(const char *path, bool json, const struct image_trust *trust)
{
    struct image *image = NULL;
    char text[512];
    uint8_t *bytes;
    size_t length;
    sf_status st = file_read(path, IMAGE_BYTES_MAX, &bytes, &length);

    if (st != SF_OK) {
        return st;
    }
    st = image_open(bytes, length, &image, text, sizeof(text));
    if (st != SF_OK) {
        st = sipc_fail(st, "%s: rule %s", path, text);
    } else if (json) {
        st = print_json(image, trust);
    } else {
        print_text(image, trust);
    }
    image_close(image);
    free(bytes);
    return st;
}
