/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Intrusive doubly linked lists. A list owns nothing: who puts an object on a
 * list keeps it alive until it is off again. A link that is on no list points to
 * itself, so removing twice is harmless.
 */
#ifndef KCD_LIST_H
#define KCD_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct kcd_list {
	struct kcd_list *next, *prev;
};

static inline void kcd_list_init(struct kcd_list *l)
{
	l->next = l->prev = l;
}

static inline bool kcd_list_empty(const struct kcd_list *l)
{
	return l->next == l;
}

/* Put `item` in front of `at` (at = head of the list: at its end). */
static inline void kcd_list_insert(struct kcd_list *at, struct kcd_list *item)
{
	item->prev = at->prev;
	item->next = at;
	at->prev->next = item;
	at->prev = item;
}

static inline void kcd_list_append(struct kcd_list *head, struct kcd_list *item)
{
	kcd_list_insert(head, item);
}

static inline void kcd_list_remove(struct kcd_list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	kcd_list_init(item);
}

#define KCD_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* First of a list that is not empty. */
#define KCD_LIST_FIRST(head, type, member) KCD_CONTAINER((head)->next, type, member)

/* Walk a list; `safe` holds the next one, so that the body may remove `it`. */
#define KCD_LIST_EACH(it, safe, head, type, member)                                                \
	for ((it) = KCD_CONTAINER((head)->next, type, member),                                     \
	    (safe) = KCD_CONTAINER((it)->member.next, type, member);                               \
	     &(it)->member != (head);                                                              \
	     (it) = (safe), (safe) = KCD_CONTAINER((it)->member.next, type, member))

#endif
