/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An intrusive doubly linked list. It owns nothing; a node that is on no list
 * points at itself, so taking it off twice is harmless and "is it queued?" needs
 * no flag.
 */
#ifndef KCI_LIST_H
#define KCI_LIST_H

#include <stdbool.h>

#include "libkcoro-client/port/kcoro_port.h"

struct kci_list {
	struct kci_list *next;
	struct kci_list *prev;
};

static inline void kci_list_init(struct kci_list *list)
{
	list->next = list;
	list->prev = list;
}

static inline bool kci_list_empty(const struct kci_list *list)
{
	return list->next == list;
}

static inline void kci_list_append(struct kci_list *list, struct kci_list *node)
{
	node->next = list;
	node->prev = list->prev;
	list->prev->next = node;
	list->prev = node;
}

static inline void kci_list_remove(struct kci_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	kci_list_init(node);
}

/* The object of the first node, or NULL. */
#define KCI_LIST_FIRST(list, type, member)                                                         \
	(kci_list_empty(list) ? NULL : KC_CONTAINER_OF((list)->next, type, member))

#endif
