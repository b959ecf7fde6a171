/* SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "abi/nk_abi.h"
#include "check.h"
#include "image.pb-c.h"

#define SYMBOLS_MAX 65536u
#define SYMBOL_NAME_BYTES_MAX 255u

bool image__name_ok(const char *name)
{
    size_t length;

    if (name == NULL || name[0] < 'a' || name[0] > 'z') {
        return false;
    }
    length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-");
    return name[length] == '\0' && length <= IMAGE_NAME_BYTES_MAX;
}

static sf_status check_place(const Sf__Image__Manifest *manifest, struct image_report *report)
{
    const uint64_t base = manifest->base_address;

    if (base < NK_IMAGE_BASE || (base - NK_IMAGE_BASE) % NK_IMAGE_STRIDE != 0 ||
        (base - NK_IMAGE_BASE) / NK_IMAGE_STRIDE >= NK_IMAGE_PLACES) {
        return image__broken(report, SF_TRUST, "manifest-place", "0x%llx is no place for images",
                             (unsigned long long)base);
    }
    return SF_OK;
}

static sf_status check_scalars(struct image *image, struct image_report *report)
{
    const Sf__Image__Manifest *manifest = image->manifest;
    uint32_t pages_max;
    bool large;

    if (manifest->abi_version != NK_ABI_VERSION) {
        return image__broken(report, SF_TRUST, "manifest-abi", "version %u, this kernel has %u",
                             manifest->abi_version, NK_ABI_VERSION);
    }
    if (!image__name_ok(manifest->name)) {
        return image__broken(report, SF_FORMAT, "manifest-name",
                             "the name is not [a-z][a-z0-9_-]{0,30}");
    }
    large = strcmp(manifest->slot_class, "large") == 0;
    if (!large && strcmp(manifest->slot_class, "small") != 0) {
        return image__broken(report, SF_TRUST, "manifest-slot-class",
                             "neither \"small\" nor \"large\"");
    }
    if (image_mode_find(manifest->mode, &image->mode) != SF_OK) {
        return image__broken(report, SF_UNSUPPORTED, "manifest-mode",
                             "this kernel has no such mode: it must be " IMAGE_MODES);
    }
    if (image->mode == IMAGE_NATIVE && large) {
        return image__broken(report, SF_UNSUPPORTED, "manifest-slot-class",
                             "native images are of the small class");
    }
    if (image->mode == IMAGE_NATIVE && manifest->memory_pages != manifest->memory_pages_max) {
        return image__broken(report, SF_FORMAT, "manifest-memory",
                             "a native image has all its memory from the start");
    }
    pages_max = large ? NK_LARGE_PAGES_MAX : NK_MODULE_PAGES_MAX;
    if (manifest->memory_pages > manifest->memory_pages_max ||
        manifest->memory_pages_max > pages_max) {
        return image__broken(report, SF_LIMIT, "manifest-memory",
                             "%u to %u pages, at most %u in the %s class", manifest->memory_pages,
                             manifest->memory_pages_max, pages_max, manifest->slot_class);
    }
    if (manifest->cpu_percent > 100) {
        return image__broken(report, SF_LIMIT, "manifest-cpu", "%u percent of a core, at most 100",
                             manifest->cpu_percent);
    }
    if (manifest->module_hash.len != IMAGE_DIGEST_BYTES) {
        return image__broken(report, SF_FORMAT, "manifest-module-hash", "%zu bytes, must be %u",
                             manifest->module_hash.len, IMAGE_DIGEST_BYTES);
    }
    if (manifest->violation_faults > 1) {
        return image__broken(report, SF_FORMAT, "manifest-limits", "violation_faults is %u",
                             manifest->violation_faults);
    }
    return check_place(manifest, report);
}

static sf_status check_symbols(const Sf__Image__Manifest *manifest, struct image_report *report)
{
    uint64_t end = 0;

    if (manifest->n_symbols > SYMBOLS_MAX) {
        return image__broken(report, SF_LIMIT, "manifest-symbols", "%zu, at most %u",
                             manifest->n_symbols, SYMBOLS_MAX);
    }
    for (size_t i = 0; i < manifest->n_symbols; i++) {
        const Sf__Image__Symbol *symbol = manifest->symbols[i];
        const size_t length = strlen(symbol->name);
        if (length == 0 || length > SYMBOL_NAME_BYTES_MAX || symbol->offset < end ||
            symbol->offset + symbol->bytes > NK_IMAGE_STRIDE || symbol->offset > NK_IMAGE_STRIDE) {
            return image__broken(report, SF_FORMAT, "manifest-symbols",
                                 "symbol %zu is out of order or range", i);
        }
        for (size_t k = 0; k < length; k++) {
            if (symbol->name[k] < 0x21 || symbol->name[k] > 0x7e) {
                return image__broken(report, SF_FORMAT, "manifest-symbols",
                                     "symbol %zu is not printable", i);
            }
        }
        end = symbol->offset + symbol->bytes;
    }
    return SF_OK;
}

static sf_status check_ports(struct image *image, Sf__Image__Port *const ports[], size_t count,
                             const char *kind, struct image_report *report)
{
    if (count > IMAGE_PORTS_MAX) {
        return image__broken(report, SF_LIMIT, "manifest-ports", "%zu %ss, at most %u", count, kind,
                             IMAGE_PORTS_MAX);
    }
    for (size_t i = 0; i < count; i++) {
        const Sf__Image__Port *port = ports[i];
        const struct ct_contract *contract;
        if (!image__name_ok(port->name)) {
            return image__broken(report, SF_FORMAT, "manifest-ports",
                                 "the name of %s %zu is not [a-z][a-z0-9_-]{0,30}", kind, i);
        }
        for (size_t k = 0; k < i; k++) {
            if (strcmp(ports[k]->name, port->name) == 0) {
                return image__broken(report, SF_FORMAT, "manifest-ports", "%s %s is there twice",
                                     kind, port->name);
            }
        }
        contract = image_contract(image, port->contract);
        if (contract == NULL || port->contract_id.len != CT_ID_BYTES ||
            memcmp(port->contract_id.data, contract->id, CT_ID_BYTES) != 0) {
            return image__broken(report, SF_TRUST, "manifest-ports",
                                 "%s %s: its contract is not among the image's", kind, port->name);
        }
    }
    return SF_OK;
}

static sf_status check_contracts(struct image *image, struct image_report *report)
{
    const Sf__Image__Manifest *manifest = image->manifest;
    const uint8_t *blobs[IMAGE_CONTRACTS_MAX];
    size_t blob_bytes[IMAGE_CONTRACTS_MAX];
    const char *text = "malformed";
    sf_status st;

    if (manifest->n_contracts > IMAGE_CONTRACTS_MAX) {
        return image__broken(report, SF_LIMIT, "contracts", "%zu, at most %u",
                             manifest->n_contracts, IMAGE_CONTRACTS_MAX);
    }
    for (size_t i = 0; i < manifest->n_contracts; i++) {
        blobs[i] = manifest->contracts[i].data;
        blob_bytes[i] = manifest->contracts[i].len;
        st = ct_decode(blobs[i], blob_bytes[i], &image->contracts[i], &text);
        if (st != SF_OK) {
            return image__broken(report, st, "contracts", "table %zu: %s", i, text);
        }
        image->contract_count++;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(image->contracts[k]->name, image->contracts[i]->name) == 0) {
                return image__broken(report, SF_FORMAT, "contracts", "%s is there twice",
                                     image->contracts[i]->name);
            }
        }
    }
    if (manifest->n_contracts == 0) {
        return SF_OK;
    }
    st = ct_verify_ids(blobs, blob_bytes, image->contracts, manifest->n_contracts, &text);
    if (st != SF_OK) {
        return image__broken(report, st, "contract-ids", "%s", text);
    }
    return SF_OK;
}

sf_status image__check_manifest(struct image *image, struct image_report *report)
{
    const Sf__Image__Manifest *manifest = image->manifest;
    sf_status st = check_scalars(image, report);

    if (st == SF_OK) {
        st = check_symbols(manifest, report);
    }
    if (st == SF_OK) {
        st = image__check_lines(image, report);
    }
    if (st == SF_OK) {
        st = check_contracts(image, report);
    }
    if (st == SF_OK) {
        st = check_ports(image, manifest->imports, manifest->n_imports, "import", report);
    }
    if (st == SF_OK) {
        st = check_ports(image, manifest->exports, manifest->n_exports, "export", report);
    }
    return st;
}
