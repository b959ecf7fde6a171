/* SPDX-License-Identifier: Apache-2.0 */
#include "choose.h"

#include <stdio.h>
#include <string.h>

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
 * 0: none can be; else bits in common and 1. Two ends with one address cannot talk, nor can RDMA
 * with any other driver; all others understand each other.
 */
static unsigned fitness(const struct world_link *one, const struct world_link *two)
{
    return usable(one) && usable(two) && one->ipv4 != two->ipv4 && rdma(one) == rdma(two)
               ? bits_in_common(one->ipv4, two->ipv4) + 1
               : 0;
}

/* What is asked of a pair of links, but that they fit. */
enum kind { KIND_RDMA_ALLOWED, KIND_RDMA, KIND_OTHER };

static bool of_kind(enum kind kind, const struct world_node *first, const struct world_link *one,
                    const struct world_node *second, const struct world_link *two,
                    const struct link_rules *rules)
{
    struct orch_allow_end ends[] = {{first->name, one->ipv4}, {second->name, two->ipv4}};

    if (rdma(one) != (kind != KIND_OTHER)) {
        return false;
    }
    return kind != KIND_RDMA_ALLOWED || orch_allow_link(rules->rdma, ends[0], ends[1]);
}

/* The best of that kind; false: there is none. */
static bool choose_own(enum kind kind, const struct world_node *first,
                       const struct world_node *second, const struct link_rules *rules,
                       uint32_t out_link[2])
{
    unsigned best = 0;
    uint32_t one;
    uint32_t two;

    for (one = 0; one < first->own_link_count; one++) {
        for (two = 0; two < second->own_link_count; two++) {
            const struct world_link *at_first = &first->own_links[one];
            const struct world_link *at_second = &second->own_links[two];
            unsigned fit = fitness(at_first, at_second);
            if (fit > best && of_kind(kind, first, at_first, second, at_second, rules)) {
                best = fit;
                out_link[0] = one + 1;
                out_link[1] = two + 1;
            }
        }
    }
    return best > 0;
}

static bool any_rdma(const struct world_node *node)
{
    uint32_t index;

    for (index = 0; index < node->own_link_count; index++) {
        if (usable(&node->own_links[index]) && rdma(&node->own_links[index])) {
            return true;
        }
    }
    return false;
}

/* Why it is not RDMA. */
static void say_other(const struct world_node *first, const struct world_node *second,
                      bool rdma_forbidden, char *text, size_t text_capacity)
{
    if (rdma_forbidden) {
        snprintf(text, text_capacity, "RDMA is not allowed on this link (--allow-rdma %s:%s)",
                 first->name, second->name);
    } else if (any_rdma(first) != any_rdma(second)) {
        snprintf(text, text_capacity, "%s has no RDMA",
                 any_rdma(first) ? second->name : first->name);
    } else {
        snprintf(text, text_capacity, "of the links that both have, their addresses are nearest");
    }
}

static void say_none(const struct world_node *first, const struct world_node *second,
                     const struct link_rules *rules, char *text, size_t text_capacity)
{
    uint32_t rdma_link[2];
    const struct world_node *without = any_usable(first) ? second : first;
    const char *memif = "";

    if (choose_own(KIND_RDMA, first, second, rules, rdma_link)) {
        snprintf(
            text, text_capacity,
            "RDMA, which is all they have, does not encrypt what it carries and is not allowed "
            "on this link; where its network can be trusted: fabricd --allow-rdma %s:%s (or "
            "NETWORK/BITS, or all); else give both another link",
            first->name, second->name);
        return;
    }
    if (any_usable(first) && any_usable(second) && any_rdma(first) != any_rdma(second)) {
        snprintf(text, text_capacity,
                 "they have no link in common: RDMA talks to RDMA only, and %s has none",
                 any_rdma(first) ? second->name : first->name);
        return;
    }
    if (any_usable(first) && any_usable(second)) {
        snprintf(text, text_capacity,
                 "their links have the same address; each node needs one of its own");
        return;
    }
    if (hosted(first) != hosted(second)) {
        memif = "one is hosted, the other booted, and ";
    } else if (hosted(first) && !one_machine(first, second)) {
        memif = "they run on different machines, and ";
    } else if (hosted(first) && rules->no_memif) {
        memif = "there is no memif (--no-memif), and ";
    }
    snprintf(text, text_capacity, "%s%s brought no link: %s", memif, without->name,
             hosted(without) ? "start it with sipnode --link"
                             : "it needs a second nic, or fabric.link on its command line");
}

bool choose_link(const struct world_node *first, const struct world_node *second,
                 const struct link_rules *rules, struct link_choice *out_choice, char *text,
                 size_t text_capacity)
{
    uint32_t found[2];
    bool other;

    memset(out_choice, 0, sizeof(*out_choice));
    if (!rules->no_memif && hosted(first) && hosted(second) && one_machine(first, second)) {
        out_choice->memif = true;
        snprintf(text, text_capacity, "both are processes of one machine");
        return true;
    }
    other = choose_own(KIND_OTHER, first, second, rules, out_choice->link);
    if (choose_own(KIND_RDMA_ALLOWED, first, second, rules, found)) {
        if (other) {
            memcpy(out_choice->spare, out_choice->link, sizeof(out_choice->spare));
        }
        memcpy(out_choice->link, found, sizeof(out_choice->link));
        snprintf(text, text_capacity, "RDMA comes first%s%s%s", other ? "; if it fails: " : "",
                 other ? first->own_links[out_choice->spare[0] - 1].driver : "",
                 other ? "" : ", and is all they have in common");
        return true;
    }
    if (other) {
        say_other(first, second, choose_own(KIND_RDMA, first, second, rules, found), text,
                  text_capacity);
        return true;
    }
    say_none(first, second, rules, text, text_capacity);
    return false;
}
