/* SPDX-License-Identifier: Apache-2.0 */
#include "services/services.h"

#include <string.h>

static const struct nk_service_ops *const services[] = {
    &nk_tcp_ops,
};

const struct nk_service_ops *nk_service_find(const char *name)
{
    for (size_t i = 0; i < sizeof(services) / sizeof(services[0]); i++) {
        if (strcmp(services[i]->name, name) == 0) {
            return services[i];
        }
    }
    return NULL;
}
