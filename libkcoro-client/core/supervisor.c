/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The limit and the backoff of restarts. Both look at the same ring: as it holds as many restarts
 * as are allowed within the window, the limit is reached when all of them are within it; and how
 * often the delay has grown is how many of them are. So an actor that has run well for a whole
 * window begins with the first delay again.
 */
#include "libkcoro-client/core/supervisor.h"

#include "kcoro/error.h"
#include "libkcoro-client/core/detail.h"
#include "libkcoro-client/port/kcoro_port.h"

static int check(const struct kc_restart_options *o)
{
	if (o->size != sizeof(*o))
		return kci_fail(KC_EINVAL,
				"restart: size is %zu; struct kc_restart_options has "
				"%zu bytes",
				o->size, sizeof(*o));
	if (o->policy != KC_RESTART_NEVER && o->policy != KC_RESTART_ON_FAILURE &&
	    o->policy != KC_RESTART_ALWAYS)
		return kci_fail(KC_EINVAL, "restart: there is no policy %d", (int)o->policy);
	if (o->policy != KC_RESTART_NEVER &&
	    (o->max_restarts < 1 || o->max_restarts > KC_RESTARTS_MAX))
		return kci_fail(KC_EINVAL, "restart: max_restarts is %u; it must be 1 to %u",
				o->max_restarts, KC_RESTARTS_MAX);
	if (o->window_ms < 0 || o->backoff_ms < 0 || o->backoff_max_ms < 0)
		return kci_fail(KC_EINVAL, "restart: a time is negative");
	if (o->backoff_factor > KC_BACKOFF_FACTOR_MAX)
		return kci_fail(KC_EINVAL, "restart: backoff_factor is %u; at most %u",
				o->backoff_factor, KC_BACKOFF_FACTOR_MAX);
	if (o->backoff_max_ms > 0 && o->backoff_max_ms < o->backoff_ms)
		return kci_fail(KC_EINVAL, "restart: backoff_max_ms is %ld, less than backoff_ms",
				o->backoff_max_ms);
	return 0;
}

int kci_supervisor_init(struct kci_supervisor *s, const struct kc_restart_options *how)
{
	static const struct kc_restart_options never = KC_RESTART_OPTIONS_INIT;
	uint64_t *times = NULL;
	int r;

	if (!how)
		how = &never;
	r = check(how);
	if (r < 0)
		return r;
	if (how->policy != KC_RESTART_NEVER) {
		times = KC_CALLOC(how->max_restarts, sizeof(*times));
		if (!times)
			return KC_ENOMEM;
	}
	*s = (struct kci_supervisor){ .how = *how, .times = times };
	if (s->how.backoff_factor == 0)
		s->how.backoff_factor = 2;
	if (s->how.backoff_max_ms == 0)
		s->how.backoff_max_ms = how->backoff_ms > KC_BACKOFF_MAX_DEFAULT
						? how->backoff_ms
						: KC_BACKOFF_MAX_DEFAULT;
	return 0;
}

void kci_supervisor_done(struct kci_supervisor *s)
{
	KC_FREE(s->times);
}

static unsigned recent(const struct kci_supervisor *s, uint64_t now)
{
	unsigned n = 0;

	for (unsigned i = 0; i < s->n; i++)
		n += s->how.window_ms == 0 ||
		     (now - s->times[i]) / KC_NS_PER_MS < (uint64_t)s->how.window_ms;
	return n;
}

bool kci_supervisor_allows(const struct kci_supervisor *s, bool failed, uint64_t now,
			   long *ret_delay_ms)
{
	long delay = s->how.backoff_ms, most = s->how.backoff_max_ms;
	unsigned n;

	if (s->how.policy == KC_RESTART_NEVER ||
	    (s->how.policy == KC_RESTART_ON_FAILURE && !failed))
		return false;
	n = recent(s, now);
	if (n == s->how.max_restarts)
		return false;
	for (unsigned i = 0; i < n && delay < most; i++)
		delay = delay > most / (long)s->how.backoff_factor
				? most
				: delay * (long)s->how.backoff_factor;
	*ret_delay_ms = delay;
	return true;
}

void kci_supervisor_restarted(struct kci_supervisor *s, uint64_t now)
{
	s->times[s->next] = now;
	s->next = (s->next + 1) % s->how.max_restarts;
	if (s->n < s->how.max_restarts)
		s->n++;
}
