/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sip_list.h - a doubly linked list whose links lie in the things that are listed.
 *
 * Model: a ring with the list itself as one element; an element is in one list or in none (then it
 * points at itself). Nothing allocates and nothing can fail. Ownership: the list owns nothing.
 * A list and its elements may not move while they are linked.
 */
#ifndef SIP_LIST_H
#define SIP_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sip_list {
    struct sip_list *next, *prev;
};

/* The thing in which `member` lies. */
#define SIP_CONTAINER(pointer, type, member)                                                       \
    ((type *)(void *)((char *)(uintptr_t)(pointer)-offsetof(type, member)))

/* A list without elements, or an element in no list. */
static inline void sip_list_init(struct sip_list *list)
{
    list->next = list;
    list->prev = list;
}

/* No elements; for an element: it is in no list. */
static inline bool sip_list_empty(const struct sip_list *list)
{
    return list->next == list;
}

/* `item` must be in no list. Behind `before`: with the list itself, as the first. */
static inline void sip_list_insert(struct sip_list *before, struct sip_list *item)
{
    item->prev = before;
    item->next = before->next;
    before->next->prev = item;
    before->next = item;
}

/* As the last one. */
static inline void sip_list_push(struct sip_list *list, struct sip_list *item)
{
    sip_list_insert(list->prev, item);
}

/* Out of its list, if it is in one; it is then in none. */
static inline void sip_list_remove(struct sip_list *item)
{
    item->next->prev = item->prev;
    item->prev->next = item->next;
    sip_list_init(item);
}

/* Takes the first one out; NULL: there is none. */
static inline struct sip_list *sip_list_pop(struct sip_list *list)
{
    struct sip_list *item = list->next;

    if (item == list) {
        return NULL;
    }
    sip_list_remove(item);
    return item;
}

/* `at` may be removed (and freed) in the body; `after` (the one that comes next) may not. */
#define SIP_LIST_EACH(at, after, list)                                                             \
    for (struct sip_list *at = (list)->next, *after = at->next; at != (list);                      \
         at = after, after = at->next)

#endif
