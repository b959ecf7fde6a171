/* SPDX-License-Identifier: Apache-2.0 */
#include "choose.h"

#include <stdio.h>
#include <string.h>

#define RDMA_FIRST 33u /* more than any number of bits in common */

static bool hosted(const struct world_node *node)
{
    return strcmp(node->mode, "hosted") == 0;
}

/* A node that does not tell its machine is taken to be on the other's. */
static bool one_machine(const struct world_node *first, const struct world_node *second)
{
    return first->machine[0] == '\0' || second->machine[0] == '\0' ||
           strcmp(first->machine, second->machine) == 0;
}

static bool usable(const struct world_link *link)
{
    return link->peer_node == 0 && link->ipv4 != 0;
}

static bool any_usable(const struct world_node *node)
{
    uint32_t index;

    for (index = 0; index < node->own_link_count; index++) {
        if (usable(&node->own_links[index])) {
            return true;
        }
    }
    return false;
}

/* Leading bits that two addresses have in common. */
static unsigned bits_in_common(uint32_t one, uint32_t two)
{
    return one == two ? 32 : (unsigned)__builtin_clz(one ^ two);
}

static bool rdma(const struct world_link *link)
{
    return strcmp(link->driver, "rdma") == 0;
}

/*
 * 0: none can be; else bits in common and 1, more for RDMA, which comes first. Two ends with one
 * address cannot talk, nor can RDMA with any other driver; all others understand each other.
 */
static unsigned fitness(const struct world_link *one, const struct world_link *two)
{
    return usable(one) && usable(two) && one->ipv4 != two->ipv4 && rdma(one) == rdma(two)
               ? bits_in_common(one->ipv4, two->ipv4) + 1 + (rdma(one) ? RDMA_FIRST : 0)
               : 0;
}

static bool choose_own(const struct world_node *first, const struct world_node *second,
                       struct link_choice *out_choice)
{
    unsigned best = 0;
    uint32_t one;
    uint32_t two;

    for (one = 0; one < first->own_link_count; one++) {
        for (two = 0; two < second->own_link_count; two++) {
            unsigned fit = fitness(&first->own_links[one], &second->own_links[two]);
            if (fit > best) {
                best = fit;
                out_choice->link[0] = one + 1;
                out_choice->link[1] = two + 1;
            }
        }
    }
    return best > 0;
}

static void say_why(const struct world_node *first, const struct world_node *second, bool no_memif,
                    char *text, size_t text_capacity)
{
    const struct world_node *without = any_usable(first) ? second : first;
    const char *memif = "";

    if (any_usable(first) && any_usable(second)) {
        snprintf(text, text_capacity,
                 "their links have the same address; each node needs one of its own");
        return;
    }
    if (hosted(first) != hosted(second)) {
        memif = "one is hosted, the other booted, and ";
    } else if (hosted(first) && !one_machine(first, second)) {
        memif = "they run on different machines, and ";
    } else if (hosted(first) && no_memif) {
        memif = "there is no memif (--no-memif), and ";
    }
    snprintf(text, text_capacity, "%s%s brought no link: %s", memif, without->name,
             hosted(without) ? "start it with sipnode --link"
                             : "it needs a second nic, or fabric.link on its command line");
}

bool choose_link(const struct world_node *first, const struct world_node *second, bool no_memif,
                 struct link_choice *out_choice, char *text, size_t text_capacity)
{
    memset(out_choice, 0, sizeof(*out_choice));
    out_choice->memif = !no_memif && hosted(first) && hosted(second) && one_machine(first, second);
    if (out_choice->memif || choose_own(first, second, out_choice)) {
        return true;
    }
    say_why(first, second, no_memif, text, text_capacity);
    return false;
}
