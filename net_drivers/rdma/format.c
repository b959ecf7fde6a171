/* SPDX-License-Identifier: Apache-2.0 */
#include "format.h"

#include <assert.h>
#include <string.h>

#include <infiniband/verbs.h>

#define MAGIC 0x5246u
#define VERSION 3u
#define FLAG_BY_GID 1u
#define FLAG_BY_CM 2u
#define FLAGS (FLAG_BY_GID | FLAG_BY_CM)
#define ASKING_MAGIC 0x41434653u
#define BITS_24 0xffffffu

_Static_assert(RDMA_ENDPOINT_BYTES <= LINK_ENDPOINT_BYTES_MAX, "fits");

static uint8_t *put(uint8_t *at, uint64_t value, uint32_t bytes)
{
    for (uint32_t i = 0; i < bytes; i++) {
        *at++ = (uint8_t)(value >> (8 * i));
    }
    return at;
}

static uint64_t take(const uint8_t **at, uint32_t bytes)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < bytes; i++) {
        value |= (uint64_t) * (*at)++ << (8 * i);
    }
    return value;
}

void rdma__endpoint_encode(const struct rdma_endpoint *endpoint, struct link_endpoint *out_bytes)
{
    uint8_t *at = out_bytes->bytes;

    memset(out_bytes, 0, sizeof(*out_bytes));
    at = put(at, MAGIC, 2);
    at = put(at, VERSION, 1);
    at = put(at, endpoint->path_mtu, 1);
    at = put(at, endpoint->lid, 2);
    at = put(at, (endpoint->by_gid ? FLAG_BY_GID : 0u) | (endpoint->by_cm ? FLAG_BY_CM : 0u), 1);
    at = put(at, 0, 1);
    at = put(at, endpoint->qp_number, 4);
    at = put(at, endpoint->psn, 4);
    at = put(at, endpoint->frame_bytes_max, 4);
    at = put(at, endpoint->token, 8);
    at = put(at, endpoint->mate, 8);
    memcpy(at, endpoint->gid, sizeof(endpoint->gid));
    at += sizeof(endpoint->gid);
    at = put(at, endpoint->read_key, 4);
    at = put(at, endpoint->cm_ipv4, 4);
    at = put(at, endpoint->cm_port, 2);
    assert(at == out_bytes->bytes + RDMA_ENDPOINT_BYTES);
    out_bytes->length = RDMA_ENDPOINT_BYTES;
}

sf_status rdma__endpoint_decode(const struct link_endpoint *bytes,
                                struct rdma_endpoint *out_endpoint)
{
    struct rdma_endpoint e = {0};
    const uint8_t *at = bytes->bytes;
    uint64_t flags, reserved;

    if (bytes->length != RDMA_ENDPOINT_BYTES || take(&at, 2) != MAGIC || take(&at, 1) != VERSION) {
        return SF_FORMAT;
    }
    e.path_mtu = (uint8_t)take(&at, 1);
    e.lid = (uint16_t)take(&at, 2);
    flags = take(&at, 1);
    reserved = take(&at, 1);
    e.qp_number = (uint32_t)take(&at, 4);
    e.psn = (uint32_t)take(&at, 4);
    e.frame_bytes_max = (uint32_t)take(&at, 4);
    e.token = take(&at, 8);
    e.mate = take(&at, 8);
    memcpy(e.gid, at, sizeof(e.gid));
    at += sizeof(e.gid);
    e.read_key = (uint32_t)take(&at, 4);
    e.cm_ipv4 = (uint32_t)take(&at, 4);
    e.cm_port = (uint16_t)take(&at, 2);
    e.by_gid = (flags & FLAG_BY_GID) != 0;
    e.by_cm = (flags & FLAG_BY_CM) != 0;
    if (e.path_mtu < IBV_MTU_256 || e.path_mtu > IBV_MTU_4096 || (flags & ~FLAGS) != 0 ||
        e.by_cm != (e.cm_ipv4 != 0) || e.by_cm != (e.cm_port != 0) || reserved != 0 ||
        e.qp_number > BITS_24 || e.psn > BITS_24 || e.token == 0) {
        return SF_FORMAT;
    }
    *out_endpoint = e;
    return SF_OK;
}

void rdma__asking_encode(const struct rdma_asking *asking, uint8_t out_bytes[RDMA_ASKING_BYTES])
{
    uint8_t *at = put(out_bytes, ASKING_MAGIC, 4);

    at = put(at, asking->token, 8);
    at = put(at, asking->mate, 8);
    assert(at == out_bytes + RDMA_ASKING_BYTES);
}

sf_status rdma__asking_decode(const void *bytes, size_t length, struct rdma_asking *out_asking)
{
    const uint8_t *at = bytes;

    if (bytes == NULL || length < RDMA_ASKING_BYTES || take(&at, 4) != ASKING_MAGIC) {
        return SF_FORMAT;
    }
    out_asking->token = take(&at, 8);
    out_asking->mate = take(&at, 8);
    return out_asking->token != 0 && out_asking->mate != 0 ? SF_OK : SF_FORMAT;
}
