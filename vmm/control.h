/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * control.h: --qmp: the control socket and the thread that serves it, so that neither a vCPU nor the
 * event thread ever waits for a client. The protocol itself is qmp.h.
 *
 * Several clients at once, up to CONTROL_MAX_CLIENTS; one more is told so and let go. A client that
 * does not read is not read from either, and let go when CONTROL's limits for it are full.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include "accel/accel.h"
#include "vmm/vm.h"

#define CONTROL_MAX_CLIENTS 8

struct control;

/*
 * Listens at "unix:PATH", with mode 0600. A socket file that nobody listens at any more is replaced; a
 * live one, or a file of another kind, is an error. 0 or -errno with err.
 */
int control_new(const char *spec, struct control **out, struct accel_err *err);
/* Starts the thread. 0 or -errno; NULL is fine, and nothing happens. */
int control_start(struct control *control, struct vm *vm);
/* No vCPU runs any more: tells the clients what is left to tell, ends the thread. NULL is fine. */
void control_stop(struct control *control);
/* Removes the socket file if it is still ours. NULL is fine. */
void control_free(struct control *control);
/* Something happened. Any thread, any lock held, never waits; NULL is fine. */
void control_post(struct control *control, enum vm_event event);

#endif
