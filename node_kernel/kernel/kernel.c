/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The core in its first, empty form: every function of nk.h exists and answers UNSUPPORTED, so
 * that agent and services can be linked against it.
 */
#include "nk.h"

#include <stdio.h>

struct nk_kernel {
    int unused;
};

sf_status nk_kernel_create(const struct nk_options *options, struct nk_kernel **out_kernel,
                           char *text, size_t text_capacity)
{
    (void)options;
    (void)out_kernel;
    if (text != NULL) {
        (void)snprintf(text, text_capacity, "the kernel core is not there yet");
    }
    return SF_UNSUPPORTED;
}

void nk_kernel_destroy(struct nk_kernel *kernel)
{
    (void)kernel;
}

struct xh_heap *nk_kernel_heap(struct nk_kernel *kernel)
{
    (void)kernel;
    return NULL;
}

struct fab_node *nk_kernel_fabric(struct nk_kernel *kernel)
{
    (void)kernel;
    return NULL;
}

const char *nk_kernel_node_name(const struct nk_kernel *kernel)
{
    (void)kernel;
    return "";
}

sf_status nk_image_add(struct nk_kernel *kernel, const uint8_t *bytes, size_t length,
                       uint8_t out_digest[IMAGE_DIGEST_BYTES], char *text, size_t text_capacity)
{
    (void)kernel;
    (void)bytes;
    (void)length;
    (void)out_digest;
    (void)text;
    (void)text_capacity;
    return SF_UNSUPPORTED;
}

sf_status nk_sip_create(struct nk_kernel *kernel, const struct nk_sip_options *options, char *text,
                        size_t text_capacity)
{
    (void)kernel;
    (void)options;
    (void)text;
    (void)text_capacity;
    return SF_UNSUPPORTED;
}

sf_status nk_sip_wire(struct nk_kernel *kernel, uint64_t sip, const char *import,
                      uint16_t exporter_node, const char *export_name, char *text,
                      size_t text_capacity)
{
    (void)kernel;
    (void)sip;
    (void)import;
    (void)exporter_node;
    (void)export_name;
    (void)text;
    (void)text_capacity;
    return SF_UNSUPPORTED;
}

sf_status nk_sip_start(struct nk_kernel *kernel, uint64_t sip)
{
    (void)kernel;
    (void)sip;
    return SF_UNSUPPORTED;
}

sf_status nk_sip_stop(struct nk_kernel *kernel, uint64_t sip, struct sf_cause cause)
{
    (void)kernel;
    (void)sip;
    (void)cause;
    return SF_UNSUPPORTED;
}

bool nk_run(struct nk_kernel *kernel, uint32_t budget, uint64_t now_ns)
{
    (void)kernel;
    (void)budget;
    (void)now_ns;
    return false;
}

uint64_t nk_next_deadline(const struct nk_kernel *kernel)
{
    (void)kernel;
    return UINT64_MAX;
}

void nk_query(const struct nk_kernel *kernel, struct nk_stats *out_stats)
{
    (void)kernel;
    *out_stats = (struct nk_stats){0};
}

uint64_t nk_ep_sip(const struct nk_kernel *kernel, const struct fab_ep *ep, const char **out_port)
{
    (void)kernel;
    (void)ep;
    if (out_port != NULL) {
        *out_port = "";
    }
    return 0;
}

sf_status nk_service_create(struct nk_kernel *kernel, const struct nk_service_ops *ops,
                            uint64_t number, const char *name, void *loop,
                            const struct nk_config *config, uint32_t config_count, char *text,
                            size_t text_capacity)
{
    (void)kernel;
    (void)ops;
    (void)number;
    (void)name;
    (void)loop;
    (void)config;
    (void)config_count;
    (void)text;
    (void)text_capacity;
    return SF_UNSUPPORTED;
}

sf_status nk_service_destroy(struct nk_kernel *kernel, uint64_t number)
{
    (void)kernel;
    (void)number;
    return SF_UNSUPPORTED;
}

struct nk_kernel *nk_service_kernel(struct nk_service *service)
{
    (void)service;
    return NULL;
}

uint64_t nk_service_owner(const struct nk_service *service)
{
    (void)service;
    return 0;
}

sf_status nk_service_hold(struct nk_service *service, struct fab_ep *ep, void *user)
{
    (void)service;
    (void)ep;
    (void)user;
    return SF_UNSUPPORTED;
}

void nk_service_log(struct nk_service *service, const char *format, ...)
{
    (void)service;
    (void)format;
}
