/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "drivers.h"
#include "link/link.h"

static void ops_check(const struct link_ops *ops)
{
    assert(ops->name != NULL);
    assert(ops->open != NULL);
    assert(ops->peer_add != NULL);
    assert(ops->peer_remove != NULL);
    assert(ops->is_up != NULL);
    assert(ops->close != NULL);
    assert(ops->stop != NULL);
    assert(ops->fini != NULL);
    assert(ops->query != NULL);
    assert(ops->stats != NULL);
    assert(ops->frame_alloc != NULL);
    assert(ops->frame_free != NULL);
    assert(ops->tx_burst != NULL);
    assert(ops->rx_burst != NULL);
}

const struct link_ops *link_driver_find(const char *name)
{
    assert(name != NULL);

    for (size_t i = 0; link__drivers[i] != NULL; i++) {
        if (strcmp(link__drivers[i]->name, name) == 0) {
            return link__drivers[i];
        }
    }
    return NULL;
}

sf_status link_init(struct link *link, const char *driver_name)
{
    const struct link_ops *ops;

    assert(link != NULL);
    assert(driver_name != NULL);

    ops = link_driver_find(driver_name);
    if (ops == NULL) {
        return SF_NOTFOUND;
    }
    ops_check(ops);
    link->ops = ops;
    link->impl = NULL;
    return SF_OK;
}
