/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * page_image.h: memory that shows what reads of a range would answer, and the publication word that guards it. The
 * core of the page tier: no threads, no KVM, no policy (those are page_tier.h).
 *
 * A range with HR_PAGE_OK is cut into cells of its width. Cells whose program may reach helper 5 are *timed*: a
 * publisher keeps them true. The others are *static*: the model publishes them. Each is one aligned store.
 *
 * The publication word. Every store to the memory is made by who holds it, and clock and state are read after it was
 * taken: no late store can undo a newer one. A model holds it from page_begin() to the end of page_end(). The first lets time pass
 * on the page up to the instant at which the model looks at the clock, as the state still is; the second publishes every cell as
 * of that instant: static ones first, then timed ones, so that a counter that is stopped has its last value before it is
 * seen to be stopped, and one that is started still has its first when it is seen to run. A publisher only tries to take it, and
 * lets time pass. Whoever finds it taken for PAGE_STUCK_NS by a publisher that does not move gives up word and memory
 * together (`gone` below), and goes on without.
 *
 * Time passes in steps (struct device_steps): the counter is stored as of the step, then what changes with it, cell by cell,
 * and only then does the counter go on. So the cells show one state of the chip after the other, each of which differs
 * from the one before in one register: what two loads one after the other give, the chip could have given. Of a range
 * without steps all timed cells are stored one after the other.
 *
 * Lock order: device -> publication word -> the state page's sequence word. Times are CLOCK_MONOTONIC nanoseconds of
 * the VM's clock. Errors are 0 or -errno with a line in err.
 */
#ifndef VMM_PAGE_IMAGE_H
#define VMM_PAGE_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "accel/accel.h"

static inline void page_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

struct clock;
struct device;
struct range;
struct page_image;

#define PAGE_IMAGE_PAGE 4096u
#define PAGE_STUCK_NS 100000u
#define PAGE_MAX_BYTES 65536u

struct page_image_config {
	const struct range *range;
	struct accel_object *obj; /* lives as long as the image, as do range and clock */
	const char *prog;
	const struct clock *clock;
	/* Word and memory are given up: the guest must not see them on return. dev->lock held; the image stays, and so do others. */
	void (*gone)(void *opaque, struct page_image *image);
	/* What page_image_may_show() says has become false. dev->lock held, the word is free. */
	void (*changed)(void *opaque, struct page_image *image);
	void *opaque;
};

/*
 * Takes dev->lock. -EINVAL: the range cannot be shown, and err says which register it is and why: its program does
 * not answer each read, or a part of it not with the bytes of the whole.
 */
int page_image_new(const struct page_image_config *config, struct page_image **out, struct accel_err *err);
void page_image_free(struct page_image *image); /* hidden, and no publisher uses it; NULL is fine */

const struct page_image_config *page_image_config(const struct page_image *image);
uint64_t page_image_gpa(const struct page_image *image);
uint64_t page_image_bytes(const struct page_image *image);
void *page_image_guest(const struct page_image *image);		  /* mapping of its own, for the guest */
const uint8_t *page_image_memory(const struct page_image *image); /* the same bytes */
unsigned page_image_timed_count(const struct page_image *image);
bool page_image_cell_is_timed(const struct page_image *image, uint32_t offset);

/* ---- the model's side, dev->lock held ---- */

/* Everything is published, then every page_end() of the device publishes. False: the word is stuck. A device may have several. */
bool page_image_show(struct device *dev, struct page_image *image);
void page_image_hide(struct page_image *image); /* nobody need see it any more; nothing when it was given up */

/*
 * By page_begin() and page_end() of a device that has images, through dev->image_ops: what is done is done to all of them, as of
 * one instant. begin may find a word stuck and take that image away.
 */
void page_image_begin(struct device *dev);
void page_image_end(struct device *dev);

/* What the device's may_show() said at the last page_end(), and whether each program answered. Any thread. */
bool page_image_may_show(const struct page_image *image);
bool page_image_is_gone(const struct page_image *image);

/* ---- a publisher's side; one publisher thread for an image ---- */

bool page_image_try(struct page_image *image); /* takes the word; false: a model has it, or there is nothing to do */
void page_image_publish(struct page_image *image, uint64_t now_ns); /* the timed cells, now_ns read after try */
void page_image_leave(struct page_image *image);
/* The instant of the last publication, by whomever. Any thread. */
uint64_t page_image_last_ns(const struct page_image *image);

/* ---- readers ---- */

/*
 * Whether the guest has touched the page through page_image_guest() since the last call, without a change of any
 * slot: the mapping's page is taken away, and found again where somebody has read it. -errno when the host does not say.
 */
int page_image_sample(struct page_image *image);

/* ---- check mode, dev->lock held ---- */

/*
 * Before the access: takes the word and compares the bytes that a reader would see now with the program's answer as
 * of the last publication. Between the two calls page_begin() and page_end() keep the word. now_ns: the instant for both.
 */
bool page_image_check_before(struct device *dev, const struct range *range, const struct hr_io *io, uint64_t *now_ns);
/* After it: the bytes must be the model's answer. Lets the word go. */
bool page_image_check_after(struct device *dev, const struct range *range, const struct hr_io *io);

#endif
