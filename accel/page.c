/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page.c: the state page of a device: its memory, the model's side of the sequence word, and the
 * objects bound to it.
 *
 * Invariants: version and size in the head never change; every bound object has the layout of
 * the first one. Called by devices (begin/end, under their mutex) and by runtime.c.
 */
#include "accel/page.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/layout.h"
#include "accel/object.h"

#define DATA_ALIGN 64 /* of writable object data: no line shared with anything else */
#define SPINS_BEFORE_YIELD 1000

int accel_page_new(uint32_t version, uint32_t size, struct accel_page **out)
{
	size_t host = (size_t)sysconf(_SC_PAGESIZE);
	struct accel_page *page;

	*out = NULL;
	if (version == 0 || size < sizeof(struct hr_page) || size > ACCEL_PAGE_MAX_BYTES)
		return -EINVAL;
	page = calloc(1, sizeof(*page));
	if (!page)
		return -ENOMEM;
	page->map_fd = -1;
	page->version = version;
	page->size = size;
	page->mapped_bytes = (size + host - 1) / host * host;
	page->data = mmap(NULL, page->mapped_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (page->data == MAP_FAILED) {
		free(page);
		return -ENOMEM;
	}
	page->data->version = version;
	page->data->size = size;
	pthread_mutex_init(&page->lock, NULL);
	*out = page;
	return 0;
}

void accel_page_free(struct accel_page *page)
{
	if (!page)
		return;
	assert(!page->objects);
	free(page->layout);
	pthread_mutex_destroy(&page->lock);
	munmap(page->data, page->mapped_bytes);
	if (page->map_fd >= 0)
		close(page->map_fd);
	free(page);
}

struct hr_page *accel_page_data(const struct accel_page *page)
{
	return page->data;
}

/*
 * The holder that the model may have to wait for is a stateful program: a few hundred
 * instructions at most, unless its thread was preempted right there; hence the yield.
 */
void accel_page_begin(struct accel_page *page)
{
	uint32_t even;
	unsigned spins = 0;

	while (!page_seq_try_acquire(page->data, &even)) {
		if (++spins % SPINS_BEFORE_YIELD == 0)
			sched_yield();
		else
			cpu_relax();
	}
}

void accel_page_end(struct accel_page *page)
{
	/* Ours: nobody else stores to an odd word. */
	uint32_t odd = __atomic_load_n(&page->data->seq, __ATOMIC_RELAXED);

	assert(odd & 1);
	page_seq_release(page->data, odd + 1);
}

void *page_copy(const void *from, size_t bytes)
{
	void *to = aligned_alloc(DATA_ALIGN, (bytes + DATA_ALIGN) / DATA_ALIGN * DATA_ALIGN); /* also for no bytes */

	if (to)
		memcpy(to, from, bytes);
	return to;
}

/* The first line in which two layouts differ, from each; "" where one has ended. */
static void first_difference(const char *a, const char *b, char *line_a, char *line_b, size_t size)
{
	size_t start = 0;

	for (size_t i = 0; a[i] && a[i] == b[i]; i++) {
		if (a[i] == '\n')
			start = i + 1;
	}
	snprintf(line_a, size, "%.*s", (int)strcspn(a + start, "\n"), a + start);
	snprintf(line_b, size, "%.*s", (int)strcspn(b + start, "\n"), b + start);
}

static int refuse_layout(const struct accel_page *page, const struct accel_object *obj, struct accel_err *err)
{
	char ours[160], theirs[160];

	first_difference(page->layout, accel_object_layout(obj), ours, theirs, sizeof(ours));
	snprintf(err->text, sizeof(err->text),
		"%s: its state has another layout than the device's: offset, type and name are \"%s\" in the device "
		"and \"%s\" in the object; rebuild it with this hotreg's headers",
		accel_object_name(obj), ours[0] ? ours : "(end)", theirs[0] ? theirs : "(end)");
	return -EINVAL;
}

static int refuse_memory(const struct accel_object *obj, struct accel_err *err)
{
	snprintf(err->text, sizeof(err->text), "%s: out of memory", accel_object_name(obj));
	return -ENOMEM;
}

static int bind_locked(struct accel_page *page, const struct accel_object *obj, struct accel_err *err)
{
	const char *name = accel_object_name(obj);
	uint32_t version = accel_object_state_version(obj);
	uint32_t size = accel_object_state_size(obj);

	if (version != page->version) {
		snprintf(err->text, sizeof(err->text),
			"%s: its state page has version %u, the device's has version %u; rebuild it with this hotreg's "
			"headers",
			name, version, page->version);
		return -EINVAL;
	}
	if (size != page->size) {
		snprintf(err->text, sizeof(err->text),
			"%s: its state page has %u bytes, the device's has %u; rebuild it with this hotreg's headers",
			name, size, page->size);
		return -EINVAL;
	}
	if (page->layout)
		return strcmp(page->layout, accel_object_layout(obj)) == 0 ? 0 : refuse_layout(page, obj, err);
	page->layout = strdup(accel_object_layout(obj));
	return page->layout ? 0 : refuse_memory(obj, err);
}

int accel_page_bind(struct accel_page *page, const struct accel_object *obj, struct accel_err *err)
{
	int ret;

	pthread_mutex_lock(&page->lock);
	ret = bind_locked(page, obj, err);
	pthread_mutex_unlock(&page->lock);
	return ret;
}

bool accel_page_field(struct accel_page *page, uint32_t offset, struct accel_field *out)
{
	bool known;

	pthread_mutex_lock(&page->lock);
	known = page->layout && offset < page->size;
	if (known)
		layout_field(page->layout, page->size, offset, out);
	pthread_mutex_unlock(&page->lock);
	return known;
}

static void page_object_free(struct page_object *po)
{
	for (unsigned i = 0; i < accel_object_map_count(po->obj); i++) {
		if (prog_map_is_own(accel_object_map(po->obj, i)))
			free(po->map_base[i]);
	}
	accel_object_put(po->obj);
	free(po);
}

static struct page_object *page_object_new(struct accel_page *page, struct accel_object *obj)
{
	struct page_object *po = calloc(1, sizeof(*po));

	if (!po)
		return NULL;
	po->obj = accel_object_get(obj);
	po->refs = 1;
	for (unsigned i = 0; i < accel_object_map_count(obj); i++) {
		const struct prog_map *map = accel_object_map(obj, i);

		switch (map->role) {
		case MAP_STATE:
			po->map_base[i] = (uint8_t *)page->data;
			break;
		case MAP_RODATA:
			po->map_base[i] = map->initial;
			break;
		case MAP_BSS:
		case MAP_USER:
			po->map_base[i] = page_copy(map->initial, map->size);
			if (!po->map_base[i]) {
				page_object_free(po);
				return NULL;
			}
			break;
		}
	}
	return po;
}

int page_object_get(struct accel_page *page, struct accel_object *obj, struct page_object **out, struct accel_err *err)
{
	struct page_object *po;
	int ret;

	*out = NULL;
	pthread_mutex_lock(&page->lock);
	ret = bind_locked(page, obj, err);
	if (ret)
		goto unlock;
	for (po = page->objects; po; po = po->next) {
		if (po->obj == obj) {
			po->refs++;
			*out = po;
			goto unlock;
		}
	}
	po = page_object_new(page, obj);
	if (!po) {
		ret = refuse_memory(obj, err);
		goto unlock;
	}
	po->next = page->objects;
	page->objects = po;
	*out = po;
unlock:
	pthread_mutex_unlock(&page->lock);
	return ret;
}

void page_object_put(struct accel_page *page, struct page_object *po)
{
	struct page_object **link;
	bool is_last;

	pthread_mutex_lock(&page->lock);
	is_last = --po->refs == 0;
	if (is_last) {
		for (link = &page->objects; *link != po; link = &(*link)->next)
			;
		*link = po->next;
	}
	pthread_mutex_unlock(&page->lock);
	if (is_last)
		page_object_free(po);
}
