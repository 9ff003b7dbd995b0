/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* watch.bpf.c: one program for each register of the stopwatch. What they do not answer, embed.c does. */
#include "watch.h"

struct watch_page watch_state HR_STATE = {.head = {.version = WATCH_VERSION, .size = sizeof(struct watch_page)}};

/* Pure: any number of vCPUs run it at once. */
HR_PROG int read_ms(struct hr_io *io)
{
	if (io->is_write || io->size != 4)
		return HR_PUNT;
	io->result = watch_ms(&watch_state, bpf_ktime_get_ns());
	return HR_ANSWER;
}

/* Stateful: alone on the page while it runs. The bell is the model's work. */
HR_PROG int count_lap(struct hr_io *io)
{
	uint32_t lap = HR_LOAD(watch_state.laps);

	if (io->is_write || io->size != 4)
		return HR_PUNT;
	if (watch_rings(lap))
		return HR_PUNT_WHY(1);
	HR_STORE(watch_state.laps, lap + 1);
	io->result = lap;
	return HR_ANSWER;
}

HR_LICENSE;
