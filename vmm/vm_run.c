// SPDX-License-Identifier: BSD-2-Clause
/*
 * vm_run.c: the threads of a VM: one for each vCPU, and the event thread, which is the caller.
 *
 * What needs the vCPUs to stand still, resets and jobs, is vm_park.c. The event thread goes on all
 * the time and ends when no vCPU thread is left; then come the reports.
 */
#include "vmm/vm.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "devices/machine.h"
#include "vmm/chardev.h"
#include "vmm/control.h"
#include "vmm/event.h"
#include "vmm/options.h"
#include "vmm/page_tier.h"
#include "vmm/screen.h"
#include "vmm/text.h"
#include "vmm/trace.h"
#include "vmm/vm_park.h"
#include "vmm/vm_stats.h"

#define INPUT_MAX_BYTES (1u << 20) /* of a standard input that is a file: taken at once */

/* ---- vCPU threads --------------------------------------------------------------------------- */

static void *cpu_thread(void *opaque)
{
	struct cpu *cpu = opaque;
	struct vm *vm = cpu->vm;
	struct accel_err err = {.text = ""};

	atomic_store(&cpu->tid, gettid());
	if (cpu->index == 0)
		atomic_store(&vm->first_insn_ns, accel_clock_now(&(struct accel_clock){.is_virtual = false}));
	while (!vm_should_stop(vm)) {
		int rc = cpu->ops->run(cpu, &err);

		if (rc) {
			vm_cpu_failed(vm, &err);
			break;
		}
		vm_park(cpu);
	}
	pthread_mutex_lock(&vm->park_lock);
	vm->running--;
	pthread_mutex_unlock(&vm->park_lock);
	vm_wake(vm);
	return NULL;
}

/* ---- the event thread ------------------------------------------------------------------------ */

struct event_thread {
	struct vm *vm;
	struct event_loop loop;
	int signal_fd;
	uint64_t end_ns; /* of --timeout; UINT64_MAX: never */
};

static uint64_t host_now(void)
{
	return accel_clock_now(&(struct accel_clock){.is_virtual = false});
}

static void on_timer(void *opaque)
{
	clock_fire_due(&((struct event_thread *)opaque)->vm->clock);
}

static void on_wake(void *opaque)
{
	struct event_thread *et = opaque;
	uint64_t count;

	if (read(et->vm->wake_fd, &count, sizeof(count)) < 0)
		return; /* somebody read it before: nothing is lost, the loop looks at all flags */
}

static void on_signal(void *opaque)
{
	struct event_thread *et = opaque;
	struct signalfd_siginfo info;
	char reason[64];

	if (read(et->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	snprintf(reason, sizeof(reason), "ended by %s",
		info.ssi_signo == SIGINT    ? "Ctrl-C"
		: info.ssi_signo == SIGTERM ? "SIGTERM"
					    : "SIGHUP");
	vm_request_stop(et->vm, EXIT_GUEST_SHUTDOWN, reason);
}

static void on_input(void *opaque)
{
	struct event_thread *et = opaque;
	int fd = chardev_input_fd(et->vm->serial);

	vm_drain(et->vm);
	if (chardev_input(et->vm->serial))
		vm_request_stop(et->vm, EXIT_GUEST_SHUTDOWN, "ended by Ctrl-A X");
	if (chardev_input_fd(et->vm->serial) < 0)
		event_remove(&et->loop, fd); /* its end was reached */
}

/* Standard input, as far as there is one. A file is always readable, so epoll refuses it: it is taken at once. */
static int add_input(struct event_thread *et)
{
	struct chardev *serial = et->vm->serial;
	int rc;

	if (chardev_input_fd(serial) < 0)
		return 0;
	rc = event_add(&et->loop, chardev_input_fd(serial), on_input, et);
	if (rc != -EPERM)
		return rc == -EBADF ? 0 : rc; /* closed: no input */
	for (unsigned bytes = 0; bytes < INPUT_MAX_BYTES && chardev_input_fd(serial) >= 0; bytes += 256)
		chardev_input(serial);
	return 0;
}

static int event_thread_init(struct event_thread *et, struct vm *vm, const sigset_t *signals)
{
	int rc = event_init(&et->loop);

	et->vm = vm;
	et->end_ns = vm->opt->timeout_s ? host_now() + vm->opt->timeout_s * HR_NSEC_PER_SEC : UINT64_MAX;
	et->signal_fd = signalfd(-1, signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (!rc && et->signal_fd < 0)
		rc = -errno;
	if (!rc)
		rc = event_add(&et->loop, et->signal_fd, on_signal, et);
	if (!rc)
		rc = event_add(&et->loop, vm->wake_fd, on_wake, et);
	if (!rc && vm->clock.timerfd >= 0)
		rc = event_add(&et->loop, vm->clock.timerfd, on_timer, et);
	if (!rc)
		rc = add_input(et);
	return rc;
}

static void event_thread_destroy(struct event_thread *et)
{
	if (et->signal_fd >= 0)
		close(et->signal_fd);
	event_destroy(&et->loop);
}

/* Milliseconds until --timeout, rounded up; -1 when there is none or the VM ends anyway. */
static int timeout_ms(const struct event_thread *et)
{
	uint64_t now = host_now();

	if (et->end_ns == UINT64_MAX || vm_should_stop(et->vm))
		return -1;
	if (now >= et->end_ns)
		return 0;
	if (et->end_ns - now > 3600 * HR_NSEC_PER_SEC)
		return 3600 * 1000;
	return (int)((et->end_ns - now + 999999) / 1000000);
}

static bool cpus_left(struct vm *vm)
{
	unsigned running;

	pthread_mutex_lock(&vm->park_lock);
	running = vm->running;
	pthread_mutex_unlock(&vm->park_lock);
	return running > 0;
}

static void run_events(struct event_thread *et)
{
	while (cpus_left(et->vm)) {
		if (event_wait(&et->loop, timeout_ms(et)) < 0)
			vm_request_stop(et->vm, EXIT_CPU_FAILED, "the event loop failed");
		vm_run_job(et->vm);
		if (host_now() >= et->end_ns)
			vm_request_stop(et->vm, EXIT_TIMEOUT, "--timeout is over");
	}
}

/* ---- the end --------------------------------------------------------------------------------- */

/* The screen belongs on a terminal, and where the serial line does not already fill standard output. */
static bool wants_screen(const struct vm *vm)
{
	return vm->opt->cpu != OPT_CPU_SCRIPT && (strcmp(vm->opt->serial, "stdio") != 0 || isatty(STDOUT_FILENO));
}

static void print_screen(const struct vm *vm)
{
	struct screen_text text;

	if (!machine_text(vm->machine, &text))
		screen_from_ram(&vm->mem, &text);
	screen_print(&text, stdout);
}

/* Reports, with no guest code running any more; returns the exit status. */
static int finish(struct vm *vm, uint64_t end_ns, struct accel_err *err)
{
	int status = atomic_load(&vm->exit_status);
	uint64_t divergences;
	int rc;

	vm_drain(vm);
	divergences = bus_check_divergences(&vm->bus);
	if (divergences) {
		fprintf(stderr, "hotreg: check: %" PRIu64 " accesses on which program and model do not agree\n",
			divergences);
		status = EXIT_DIVERGENCE;
	}
	if (!vm->opt->quiet)
		fprintf(stderr, "hotreg: %s\n", vm->stop_reason);
	if (wants_screen(vm))
		print_screen(vm);
	rc = trace_close(vm->trace, err);
	vm->trace = NULL;
	bus_set_watchers(&vm->bus, NULL, vm->bus.stats);
	if (vm->opt->stats && vm_stats_report(vm, status, end_ns, err))
		rc = -EIO;
	return rc && status == EXIT_GUEST_SHUTDOWN ? EXIT_USAGE : status;
}

/* Starts the vCPU threads; those that could be started are counted in vm->running and *started. */
static int start_cpus(struct vm *vm, pthread_t *threads, unsigned *started)
{
	*started = 0;
	vm->running = vm->cpu_count; /* no thread is there yet */
	for (unsigned i = 0; i < vm->cpu_count; i++) {
		int rc = pthread_create(&threads[i], NULL, cpu_thread, vm->cpus[i]);

		if (rc) {
			pthread_mutex_lock(&vm->park_lock);
			vm->running -= vm->cpu_count - i;
			pthread_mutex_unlock(&vm->park_lock);
			return -rc;
		}
		++*started;
	}
	return 0;
}

int vm_run(struct vm *vm, struct accel_err *err)
{
	struct event_thread events = {.signal_fd = -1};
	pthread_t threads[VM_MAX_CPUS];
	sigset_t signals, old_signals;
	unsigned started = 0;
	uint64_t end_ns;
	int status;
	int rc;

	/* blocked here and so in every thread: they arrive through the signalfd */
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &signals, &old_signals);
	vm->run_err = err;
	rc = event_thread_init(&events, vm, &signals);
	if (!rc)
		rc = page_tier_start(vm->page_tier);
	if (!rc)
		rc = start_cpus(vm, threads, &started);
	if (!rc)
		rc = control_start(vm->control, vm);
	if (rc) {
		err_set(err, "cannot start the VM's threads: %s", strerror(-rc));
		vm_request_stop(vm, EXIT_USAGE, "not started");
	}
	run_events(&events);
	for (unsigned i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	end_ns = host_now();
	control_stop(vm->control);
	page_tier_stop(vm->page_tier);
	event_thread_destroy(&events);
	pthread_sigmask(SIG_SETMASK, &old_signals, NULL);
	vm->run_err = NULL;
	status = finish(vm, end_ns, err);
	return status;
}
