/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Deferred freeing. What has ended is put on the daemon's list and freed at the
 * end of the turn, in the order in which it ended, when nobody is in the middle of
 * using it any more.
 */
#ifndef KCD_REAP_H
#define KCD_REAP_H

#include "kcorod/list.h"

struct kcd_corpse {
	struct kcd_list link;
	void (*bury)(struct kcd_corpse *corpse); /* frees what contains it */
};

static inline void kcd_reap_later(struct kcd_list *graves, struct kcd_corpse *corpse,
				  void (*bury)(struct kcd_corpse *corpse))
{
	corpse->bury = bury;
	kcd_list_append(graves, &corpse->link);
}

static inline void kcd_reap(struct kcd_list *graves)
{
	while (!kcd_list_empty(graves)) {
		struct kcd_corpse *corpse = KCD_LIST_FIRST(graves, struct kcd_corpse, link);

		kcd_list_remove(&corpse->link);
		corpse->bury(corpse);
	}
}

#endif
