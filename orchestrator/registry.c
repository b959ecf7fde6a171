/* SPDX-License-Identifier: Apache-2.0 */
#include "registry.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "TcpContract_monitor.h"
#include "contracts/table.h"
#include "image.pb-c.h"
#include "image/image.h"

#define PAGE_BYTES 65536u
#define SLOT_OVERHEAD_BYTES (2u << 20) /* stack, header, instance, page tables */

static const struct {
    const char *name;
    const char *export_name;
    const uint8_t *blob;
    const size_t *blob_bytes;
} services[] = {
    {"tcp", "tcp", ct_blob_TcpContract, &ct_blob_TcpContract_bytes},
};

sf_status registry_services(struct world *world)
{
    size_t index;

    _Static_assert(sizeof(services) / sizeof(services[0]) <= WORLD_SERVICES_MAX, "room");
    for (index = 0; index < sizeof(services) / sizeof(services[0]); index++) {
        struct world_service *service = &world->services[world->service_count];
        struct world_port *port = &service->ports.exports[0];
        struct ct_contract *contract = NULL;
        sf_status status =
            ct_decode(services[index].blob, *services[index].blob_bytes, &contract, NULL);

        if (status != SF_OK) {
            return status;
        }
        snprintf(service->name, sizeof(service->name), "%s", services[index].name);
        snprintf(port->name, sizeof(port->name), "%s", services[index].export_name);
        snprintf(port->contract, sizeof(port->contract), "%s", contract->name);
        memcpy(port->contract_id, contract->id, sizeof(port->contract_id));
        service->ports.export_count = 1;
        world->service_count += 1;
        ct_destroy(contract);
    }
    return SF_OK;
}

/* image_open has checked names, counts and the lengths of ids. */
static uint32_t copy_ports(struct world_port *to, Sf__Image__Port *const *from, size_t count)
{
    uint32_t copied;

    for (copied = 0; copied < count && copied < WORLD_PORTS_MAX; copied++) {
        snprintf(to[copied].name, sizeof(to[copied].name), "%.32s", from[copied]->name);
        snprintf(to[copied].contract, sizeof(to[copied].contract), "%.63s", from[copied]->contract);
        if (from[copied]->contract_id.len == sizeof(to[copied].contract_id)) {
            memcpy(to[copied].contract_id, from[copied]->contract_id.data,
                   sizeof(to[copied].contract_id));
        }
    }
    return copied;
}

static void read_ports(const struct image *image, struct world_ports *ports)
{
    const Sf__Image__Manifest *manifest = image->manifest;

    memset(ports, 0, sizeof(*ports));
    snprintf(ports->image_name, sizeof(ports->image_name), "%.32s", manifest->name);
    ports->import_count = copy_ports(ports->imports, manifest->imports, manifest->n_imports);
    ports->export_count = copy_ports(ports->exports, manifest->exports, manifest->n_exports);
    ports->mode = image->mode;
    ports->memory_bytes = (uint64_t)manifest->memory_pages_max * PAGE_BYTES + SLOT_OVERHEAD_BYTES;
}

static void read_signer(const struct image *image, const struct image_trust *trust, char *out_text,
                        size_t capacity)
{
    const struct image_key *key;
    char id[IMAGE_KEY_ID_CHARS + 1];

    if (!image->is_signed) {
        snprintf(out_text, capacity, "unsigned");
        return;
    }
    key = image_trust_find(trust, image->signer);
    image_key_id(image->signer, id);
    snprintf(out_text, capacity, "%s %s", id, key != NULL ? key->name : "(not trusted)");
}

/* What can be said without looking inside. */
static sf_status check_put(const Sf__Control__ImagePut *put, char *text, size_t text_capacity)
{
    uint8_t found[WORLD_DIGEST_BYTES];

    if (put->digest.len != WORLD_DIGEST_BYTES || put->name[0] == '\0') {
        snprintf(text, text_capacity, "a digest of %u bytes and a name were expected",
                 WORLD_DIGEST_BYTES);
        return SF_BADARG;
    }
    if (put->content.len > IMAGE_BYTES_MAX) {
        snprintf(text, text_capacity, "size: an image has at most %u MiB", IMAGE_BYTES_MAX >> 20);
        return SF_LIMIT;
    }
    image_digest(put->content.data, put->content.len, found);
    if (memcmp(found, put->digest.data, sizeof(found)) != 0) {
        snprintf(text, text_capacity, "digest: the bytes that came are not those it names");
        return SF_TRUST;
    }
    return SF_OK;
}

sf_status registry_image_put(struct world *world, const struct image_trust *trust,
                             const Sf__Control__ImagePut *put, char *text, size_t text_capacity)
{
    const size_t length = put->content.len;
    struct world_ports *ports;
    struct image *image = NULL;
    uint8_t *copy;
    sf_status status = check_put(put, text, text_capacity);

    if (status != SF_OK) {
        return status;
    }
    if (world_image_find(world, put->digest.data) != NULL) {
        return SF_OK; /* whether it has the name that a graph wants is for the plan to say */
    }
    copy = malloc(length > 0 ? length : 1);
    ports = calloc(1, sizeof(*ports));
    if (copy == NULL || ports == NULL) {
        snprintf(text, text_capacity, "no memory left");
        status = SF_NOMEM;
        goto free_copy;
    }
    if (length > 0) {
        memcpy(copy, put->content.data, length);
    }
    status = image_open_trusted(copy, length, trust, put->name, &image, text, text_capacity);
    if (status != SF_OK) {
        goto free_copy;
    }
    read_ports(image, ports);
    read_signer(image, trust, ports->signer, sizeof(ports->signer));
    image_close(image);
    status = world_image_add(world, put->digest.data, copy, length, ports);
    if (status == SF_OK) {
        copy = NULL;
        world_images_trim(world, WORLD_IMAGE_BYTES_MAX);
    }

free_copy:
    free(ports);
    free(copy);
    return status;
}
