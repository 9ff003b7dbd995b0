// SPDX-License-Identifier: BSD-2-Clause
/*
 * page_image.c: the memory, its cells, and who stores to them when. See page_image.h for the protocol.
 *
 * The range's own program runs in a slot of the image's, whose clock is virtual and is set to the instant of the
 * publication: one reading of the clock serves any number of cells, and model and publisher compute alike. Whoever
 * holds the word is the only one in that slot.
 */
#include "vmm/page_image.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "accel/tier.h"
#include "devices/device.h"
#include "vmm/text.h"

#define SPINS_BETWEEN_LOOKS 64
/* Steps that a publisher shows at a time, before the model can have the word again; and a model, which gives the page up instead. */
#define PUBLISHER_STEPS 64
#define MODEL_STEPS 4096
/* Further instants at which parts are compared with wholes: a day and a bit, a year and a bit. */
#define LATER_NS 86400123456789ull
#define MUCH_LATER_NS 31557600987654321ull

struct page_image {
	/* constant after page_image_new() */
	struct page_image_config config;
	struct device *dev;
	uint64_t gpa, bytes;
	uint32_t at; /* of the range in the page */
	uint8_t *memory, *guest;
	int pagemap; /* -1: not to be had */
	struct accel_slot *slot;
	uint8_t cell_bytes;
	uint32_t timed_count, static_count;
	uint32_t *timed, *fixed; /* offsets in the range; what flows is the first */
	const struct device_steps *steps;
	/* the word: 1 while held */
	_Alignas(64) _Atomic uint32_t word;
	_Atomic uint32_t waiters; /* models that want it */
	/* who holds the word; last_ns is read without */
	struct accel_clock time;
	_Atomic uint64_t last_ns;
	uint64_t step_ns; /* the next one; of a range with steps */
	/* dev->lock */
	struct page_image *next; /* of the same device */
	uint64_t now_ns;	 /* of the model's change that is under way */
	bool has_changed;	 /* it may not be shown any more, since that change */
	bool froze;		 /* page_begin() has set dev->is_frozen */
	bool is_checked;	 /* between page_image_check_before() and _after() */
	/* atomics */
	_Atomic bool may_show, is_gone;
};

/* ---- cells ----------------------------------------------------------------------------------- */

/* One run of the program for a read. The word is held, or nobody else has the image yet. */
static bool run_at(struct page_image *image, uint32_t offset, uint8_t size, uint64_t now_ns, uint64_t *value)
{
	struct hr_io io = {.offset = offset, .size = size};

	accel_clock_set_virtual(&image->time, now_ns);
	if (!accel_run(image->slot, &io))
		return false;
	*value = io.result;
	return true;
}

static void store(const struct page_image *image, uint32_t offset, uint64_t value)
{
	uint8_t *to = image->memory + image->at + offset;

	switch (image->cell_bytes) {
	case 8:
		__atomic_store_n((uint64_t *)to, value, __ATOMIC_RELEASE);
		break;
	case 4:
		__atomic_store_n((uint32_t *)to, (uint32_t)value, __ATOMIC_RELEASE);
		break;
	case 2:
		__atomic_store_n((uint16_t *)to, (uint16_t)value, __ATOMIC_RELEASE);
		break;
	default:
		__atomic_store_n(to, (uint8_t)value, __ATOMIC_RELEASE);
		break;
	}
}

/* False: a program did not answer, so the page does not tell the truth any more. */
static bool publish(struct page_image *image, const uint32_t *cells, uint32_t count, uint64_t now_ns)
{
	struct hr_io io = {.size = image->cell_bytes};

	accel_clock_set_virtual(&image->time, now_ns);
	for (uint32_t i = 0; i < count; i++) {
		io.offset = cells[i];
		if (!accel_run(image->slot, &io))
			return false;
		store(image, cells[i], io.result);
	}
	return true;
}

/* ---- the word -------------------------------------------------------------------------------- */

static bool word_try(struct page_image *image)
{
	return !atomic_load_explicit(&image->word, memory_order_relaxed) &&
	       !atomic_exchange_explicit(&image->word, 1, memory_order_acquire);
}

static void word_release(struct page_image *image)
{
	atomic_store_explicit(&image->word, 0, memory_order_release);
}

static uint64_t host_now(void)
{
	return accel_clock_now(&(struct accel_clock){.is_virtual = false});
}

/*
 * For a model, which waits no longer than PAGE_STUCK_NS: a round of the publisher is far shorter. But the model's thread may have been
 * given the very processor on which the publisher had the word in its hand, so it lends it back; the publisher
 * sees that somebody waits, and returns it (page_image_leave()).
 */
static bool word_wait(struct page_image *image)
{
	const uint64_t start_ns = host_now();
	bool is_ours = false;

	atomic_fetch_add(&image->waiters, 1);
	for (unsigned spins = 1; !is_ours; spins++) {
		page_pause();
		if (spins % SPINS_BETWEEN_LOOKS == 0)
			sched_yield();
		is_ours = word_try(image);
		if (!is_ours && spins % SPINS_BETWEEN_LOOKS == 0 && host_now() - start_ns > PAGE_STUCK_NS)
			break;
	}
	atomic_fetch_sub(&image->waiters, 1);
	return is_ours;
}

static bool word_take(struct page_image *image)
{
	return word_try(image) || word_wait(image);
}

/* The instant of who has just taken the word: the clock, which never falls behind what has been published. */
static uint64_t instant(const struct page_image *image, uint64_t now_ns)
{
	uint64_t last_ns = atomic_load_explicit(&image->last_ns, memory_order_relaxed);

	return now_ns > last_ns ? now_ns : last_ns;
}

static void unlink_image(struct page_image *image)
{
	struct page_image **at = &image->dev->image;

	while (*at && *at != image)
		at = &(*at)->next;
	if (*at)
		*at = image->next;
}

/* Word and memory are of no use any more; what the list's next is stays good. dev->lock held. */
static void give_up(struct page_image *image)
{
	unlink_image(image);
	atomic_store(&image->may_show, false);
	atomic_store(&image->is_gone, true);
	image->config.gone(image->config.opaque, image);
}

/* ---- the model's side ------------------------------------------------------------------------ */

static bool device_may_show(struct device *dev)
{
	return !dev->ops->may_show || dev->ops->may_show(dev);
}

/* Every cell, after a change. False: a program did not answer. The word is held. */
static bool publish_all(struct page_image *image, uint64_t now_ns)
{
	bool is_true = publish(image, image->fixed, image->static_count, now_ns) &&
		       publish(image, image->timed, image->timed_count, now_ns);

	atomic_store_explicit(&image->last_ns, now_ns, memory_order_release);
	if (image->steps)
		image->step_ns = image->steps->next_ns(image->dev, now_ns);
	return is_true;
}

/*
 * Lets time pass on the page, without a change of the state since it was published last. False: not up to now_ns, since a
 * program did not answer or there are more steps than `most`. The word is held.
 */
static bool pass_time(struct page_image *image, uint64_t now_ns, unsigned most)
{
	const struct device_steps *steps = image->steps;
	uint32_t count = image->timed_count;

	for (; steps && image->step_ns <= now_ns; most--) {
		if (!most || !publish(image, image->timed, count, image->step_ns))
			return false;
		atomic_store_explicit(&image->last_ns, image->step_ns, memory_order_release);
		image->step_ns = steps->next_ns(image->dev, image->step_ns);
	}
	if (!publish(image, image->timed, steps ? 1 : count, now_ns))
		return false;
	atomic_store_explicit(&image->last_ns, now_ns, memory_order_release);
	return true;
}

static const struct device_image_ops image_ops = {
	page_image_begin, page_image_end, page_image_check_before, page_image_check_after};

bool page_image_show(struct device *dev, struct page_image *image)
{
	bool is_true;

	if (!word_take(image)) {
		atomic_store(&image->is_gone, true);
		return false;
	}
	is_true = publish_all(image, instant(image, clock_now(dev->clock)));
	atomic_store(&image->may_show, is_true && device_may_show(dev));
	word_release(image);
	image->next = dev->image;
	dev->image = image;
	dev->image_ops = &image_ops;
	return true;
}

void page_image_hide(struct page_image *image)
{
	atomic_store(&image->may_show, false);
	unlink_image(image);
}

/*
 * Takes the words of all that the device shows, but for one that is stuck, which is given up. Returns the instant for all of
 * them: the clock, which is read after the last word was taken.
 */
static uint64_t take_all(struct device *dev)
{
	uint64_t now_ns;

	for (struct page_image *image = dev->image; image; image = image->next) {
		if (!word_take(image))
			give_up(image);
	}
	now_ns = device_now(dev);
	for (struct page_image *image = dev->image; image; image = image->next)
		now_ns = instant(image, now_ns);
	return now_ns;
}

/* Lets time pass on all of them. */
static void pass_all(struct device *dev, uint64_t now_ns)
{
	for (struct page_image *image = dev->image; image; image = image->next) {
		image->now_ns = now_ns;
		if (!pass_time(image, now_ns, MODEL_STEPS)) {
			give_up(image);
			word_release(image);
		}
	}
}

void page_image_begin(struct device *dev)
{
	uint64_t now_ns;

	if (dev->image->is_checked)
		return;
	now_ns = take_all(dev);
	pass_all(dev, now_ns);
	for (struct page_image *image = dev->image; image; image = image->next)
		image->froze = !dev->is_frozen;
	if (!dev->image)
		return;
	dev->is_frozen = true;
	dev->frozen_ns = now_ns;
}

void page_image_end(struct device *dev)
{
	const bool is_checked = dev->image->is_checked;

	if (!is_checked && dev->image->froze)
		dev->is_frozen = false;
	for (struct page_image *image = dev->image; image; image = image->next) {
		bool could = atomic_load_explicit(&image->may_show, memory_order_relaxed);
		bool can = publish_all(image, image->now_ns);

		if (can) {
			can = device_may_show(dev);
			atomic_store_explicit(&image->may_show, can, memory_order_release);
			image->has_changed = could && !can;
		} else {
			give_up(image);
			word_release(image);
		}
	}
	for (struct page_image *image = dev->image; image && !is_checked; image = image->next) {
		word_release(image);
		if (image->has_changed)
			image->config.changed(image->config.opaque, image);
	}
}

bool page_image_may_show(const struct page_image *image)
{
	return atomic_load_explicit(&image->may_show, memory_order_acquire);
}

bool page_image_is_gone(const struct page_image *image)
{
	return atomic_load_explicit(&image->is_gone, memory_order_acquire);
}

/* ---- the publisher's side -------------------------------------------------------------------- */

bool page_image_try(struct page_image *image)
{
	if (!page_image_may_show(image) || !word_try(image))
		return false;
	if (page_image_may_show(image)) /* still */
		return true;
	word_release(image);
	return false;
}

void page_image_publish(struct page_image *image, uint64_t now_ns)
{
	/* A program that passes leaves its cell as it was, and the next page_end() finds out. */
	(void)pass_time(image, instant(image, now_ns), PUBLISHER_STEPS);
}

void page_image_leave(struct page_image *image)
{
	word_release(image);
	if (atomic_load_explicit(&image->waiters, memory_order_relaxed))
		sched_yield();
}

uint64_t page_image_last_ns(const struct page_image *image)
{
	return atomic_load_explicit(&image->last_ns, memory_order_acquire);
}

/* ---- readers --------------------------------------------------------------------------------- */

/* [proc] pagemap: 64 bits a page, bit 63: it is present in the mapping. */
int page_image_sample(struct page_image *image)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	uint64_t entry;
	bool was_read = false;

	if (image->pagemap < 0)
		return -ENOTSUP;
	for (size_t at = 0; at < image->bytes; at += page) {
		off_t where = (off_t)(((uintptr_t)image->guest + at) / page * sizeof(entry));

		if (pread(image->pagemap, &entry, sizeof(entry), where) != sizeof(entry))
			return -EIO;
		was_read |= entry >> 63;
	}
	if (madvise(image->guest, image->bytes, MADV_DONTNEED))
		return -errno;
	return was_read;
}

/* ---- check mode ------------------------------------------------------------------------------ */

/* Whether what stands in the memory is `value`. Writes and other ranges are not looked at. */
static bool shows(const struct page_image *image, const struct range *range, const struct hr_io *io, uint64_t value)
{
	uint64_t there = 0;

	if (io->is_write || range != image->config.range)
		return true;
	memcpy(&there, image->memory + image->at + io->offset, io->size);
	return there == hr_mask(value, io->size);
}

bool page_image_check_before(struct device *dev, const struct range *range, const struct hr_io *io, uint64_t *now_ns)
{
	uint64_t value = 0;
	bool agrees = true;

	*now_ns = take_all(dev);
	for (struct page_image *image = dev->image; image; image = image->next) {
		image->is_checked = true;
		if (!io->is_write && range == image->config.range &&
			run_at(image, io->offset, io->size, page_image_last_ns(image), &value))
			agrees = shows(image, range, io, value);
	}
	pass_all(dev, *now_ns);
	return agrees;
}

bool page_image_check_after(struct device *dev, const struct range *range, const struct hr_io *io)
{
	bool agrees = true;

	for (struct page_image *image = dev->image; image && image->is_checked; image = image->next) {
		agrees &= shows(image, range, io, io->result);
		image->is_checked = false;
		word_release(image);
	}
	return agrees;
}

/* ---- building -------------------------------------------------------------------------------- */

static int refuse(const struct page_image *image, uint32_t offset, struct accel_err *err, const char *why)
{
	const struct range *range = image->config.range;
	const char *name = NULL;

	for (const struct reg_name *reg = range->regs; reg && reg->name && !name; reg++) {
		if (offset >= reg->offset && offset - reg->offset < reg->len)
			name = reg->name;
	}
	return err_fail(err, -EINVAL, "%s: no page can show it: register at 0x%x (%s) %s", range->name, offset,
		name ? name : "without a name", why);
}

/* Each part of a cell must be the bytes of the whole, at one instant. dev->lock held. */
static int check_cell(struct page_image *image, uint32_t cell, uint64_t now_ns, struct accel_err *err)
{
	uint64_t whole, part;

	if (!run_at(image, cell, image->cell_bytes, now_ns, &whole))
		return refuse(image, cell, err, "is not always answered by its program");
	for (uint8_t size = 1; size < image->cell_bytes; size *= 2) {
		for (uint32_t at = 0; at < image->cell_bytes; at += size) {
			if (!run_at(image, cell + at, size, now_ns, &part))
				return refuse(image, cell + at, err, "is not always answered by its program");
			if (part != hr_mask(whole >> (8 * at), size))
				return refuse(image, cell + at, err, "reads otherwise in parts than as a whole");
		}
	}
	return 0;
}

/* Sorts the cells into timed and static, by what the verifier says of each. */
static int sort_cells(struct page_image *image, struct accel_err *err)
{
	const uint32_t count = image->config.range->len / image->cell_bytes;
	int timed;

	image->timed = calloc(count, sizeof(*image->timed));
	image->fixed = calloc(count, sizeof(*image->fixed));
	if (!image->timed || !image->fixed)
		return err_fail(err, -ENOMEM, "out of memory for a page");
	for (uint32_t cell = 0; cell < image->config.range->len; cell += image->cell_bytes) {
		timed = accel_object_read_is_timed(image->config.obj, image->config.prog, cell, image->cell_bytes, err);
		if (timed < 0)
			return timed;
		if (timed)
			image->timed[image->timed_count++] = cell;
		else
			image->fixed[image->static_count++] = cell;
	}
	return 0;
}

/* What flows becomes the first of the timed cells. */
static int find_flow(struct page_image *image, struct accel_err *err)
{
	const uint32_t flow = image->steps ? image->steps->flow : 0;
	uint32_t at = 0;

	while (image->steps && at < image->timed_count && image->timed[at] != flow)
		at++;
	if (image->steps && at == image->timed_count)
		return refuse(image, flow, err, "does not depend on the time");
	for (; at > 0; at--)
		image->timed[at] = image->timed[at - 1];
	if (image->steps)
		image->timed[0] = flow;
	return 0;
}

static int check_cells(struct page_image *image, struct accel_err *err)
{
	const uint64_t later_ns[] = {0, 1, LATER_NS, MUCH_LATER_NS};
	struct device *dev = image->dev;
	uint64_t now_ns;
	int rc = 0;

	pthread_mutex_lock(&dev->lock);
	now_ns = clock_now(dev->clock);
	for (unsigned i = 0; i < sizeof(later_ns) / sizeof(later_ns[0]) && !rc; i++) {
		for (uint32_t cell = 0; cell < image->config.range->len && !rc; cell += image->cell_bytes)
			rc = check_cell(image, cell, now_ns + later_ns[i], err);
	}
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

/* Two mappings of one memfd: where it is stored, and what the guest is given. */
static int map_memory(struct page_image *image, struct accel_err *err)
{
	int fd = memfd_create("hotreg-page", MFD_CLOEXEC), rc = 0;
	void *memory = MAP_FAILED, *guest = MAP_FAILED;

	if (fd >= 0 && ftruncate(fd, (off_t)image->bytes) == 0) {
		memory = mmap(NULL, image->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		guest = mmap(NULL, image->bytes, PROT_READ, MAP_SHARED, fd, 0);
	}
	if (memory != MAP_FAILED)
		image->memory = memory;
	if (guest != MAP_FAILED)
		image->guest = guest;
	if (memory == MAP_FAILED || guest == MAP_FAILED)
		rc = err_fail(err, -errno, "no memory for a page: %s", strerror(errno));
	else
		memset(memory, 0xff, image->bytes);
	if (fd >= 0)
		close(fd);
	return rc;
}

static int check_shape(const struct range *range, struct accel_err *err)
{
	const char *why = NULL;

	if (!(range->flags & HR_PAGE_OK))
		why = "its device does not ask for one";
	else if (range->bus != IO_MMIO)
		why = "it is not in memory space";
	else if (range->flags & RANGE_FIFO)
		why = "it is a FIFO";
	else if (range->base % range->width || range->len % range->width)
		why = "its registers are not aligned";
	else if (range->base % PAGE_IMAGE_PAGE + range->len > PAGE_MAX_BYTES)
		why = "it is too large";
	return why ? err_fail(err, -EINVAL, "%s: no page can show it: %s", range->name, why) : 0;
}

int page_image_new(const struct page_image_config *config, struct page_image **out, struct accel_err *err)
{
	const struct range *range = config->range;
	struct page_image *image;
	int rc = check_shape(range, err);

	*out = NULL;
	if (rc)
		return rc;
	image = aligned_alloc(64, (sizeof(*image) + 63) / 64 * 64);
	if (!image)
		return err_fail(err, -ENOMEM, "out of memory for a page");
	*image = (struct page_image){
		.config = *config, .dev = range->dev, .steps = range->steps, .time.is_virtual = true};
	image->at = (uint32_t)(range->base % PAGE_IMAGE_PAGE);
	image->gpa = range->base - image->at;
	image->bytes = (image->at + range->len + PAGE_IMAGE_PAGE - 1) / PAGE_IMAGE_PAGE * PAGE_IMAGE_PAGE;
	image->cell_bytes = range->width;
	image->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	rc = map_memory(image, err);
	if (!rc) {
		rc = accel_slot_new(range->dev->page, &image->time, 1, ACCEL_PURE, &image->slot);
		if (rc)
			err_fail(err, rc, "out of memory for a page");
	}
	if (!rc)
		rc = accel_slot_attach(image->slot, config->obj, config->prog, err);
	if (!rc)
		rc = sort_cells(image, err);
	if (!rc)
		rc = check_cells(image, err);
	if (!rc)
		rc = find_flow(image, err);
	if (rc)
		page_image_free(image);
	else
		*out = image;
	return rc;
}

void page_image_free(struct page_image *image)
{
	if (!image)
		return;
	accel_slot_free(image->slot);
	free(image->timed);
	free(image->fixed);
	if (image->memory)
		munmap(image->memory, image->bytes);
	if (image->guest)
		munmap(image->guest, image->bytes);
	if (image->pagemap >= 0)
		close(image->pagemap);
	free(image);
}

const struct page_image_config *page_image_config(const struct page_image *image)
{
	return &image->config;
}

uint64_t page_image_gpa(const struct page_image *image)
{
	return image->gpa;
}

uint64_t page_image_bytes(const struct page_image *image)
{
	return image->bytes;
}

void *page_image_guest(const struct page_image *image)
{
	return image->guest;
}

const uint8_t *page_image_memory(const struct page_image *image)
{
	return image->memory;
}

unsigned page_image_timed_count(const struct page_image *image)
{
	return image->timed_count;
}

bool page_image_cell_is_timed(const struct page_image *image, uint32_t offset)
{
	for (uint32_t i = 0; i < image->timed_count; i++) {
		if (offset - image->timed[i] < image->cell_bytes)
			return true;
	}
	return false;
}
