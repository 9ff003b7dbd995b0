#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# kernel_log.sh [debug]: the kernel of the bed has complained about nothing so far. debug: it is the one of `make
# check-kernel-tier-debug`, whose KASAN, lockdep and kmemleak are there and still on, and nothing is left that nobody refers to.
set -u
pattern='WARNING|BUG[: ]|Oops|general protection|suspicious RCU|stall|KASAN:|INFO: (task|trying|rcu|possible)|sleeping function|scheduling while atomic|unreferenced object|new suspected memory leak|lock held when returning|bad unlock balance|held lock freed|corruption|debugging (disabled|off)|detector disabled'

die() {
	echo "kernel_log: $*"
	exit 1
}

# what each of them says is found
while IFS= read -r line; do
	grep -qE "$pattern" <<<"$line" || die "would not find '$line'"
done <<'EOT'
BUG: KASAN: slab-use-after-free in bpf_iodev_access+0x10/0x20 [kvm]
WARNING: possible circular locking dependency detected
WARNING: suspicious RCU usage
BUG: sleeping function called from invalid context at mm/slab.h:1
BUG: using smp_processor_id() in preemptible [00000000] code: hotreg/1
BUG: scheduling while atomic: hotreg/1/0x00000002
INFO: task hotreg:1 blocked for more than 120 seconds.
watchdog: BUG: soft lockup - CPU#0 stuck for 26s!
rcu: INFO: rcu_preempt detected stalls on CPUs/tasks
kmemleak: 1 new suspected memory leaks (see /sys/kernel/debug/kmemleak)
refcount_t: underflow; use-after-free. WARNING: CPU: 0
list_add corruption. next->prev should be prev
EOT

dmesg >/tmp/dmesg || die "there is no log"
grep -E -A 30 "$pattern" /tmp/dmesg && die "the kernel has complained"
[ "${1:-}" = debug ] || exit 0

grep -q 'KernelAddressSanitizer initialized' /tmp/dmesg || die "this kernel has no KASAN"
grep -q 'RCU lockdep checking is enabled' /tmp/dmesg || die "this kernel has no PROVE_RCU"
grep -q '^ debug_locks: *1$' /proc/lockdep_stats || die "lockdep has turned itself off"
mkdir -p /tmp/debugfs
mount -t debugfs none /tmp/debugfs || die "no debugfs"
# what is younger than 5 s is not looked at, and what has changed since the first scan only by the second
sleep 6
for _ in 1 2; do
	echo scan >/tmp/debugfs/kmemleak || die "kmemleak has turned itself off"
done
cat /tmp/debugfs/kmemleak >/tmp/leaks
umount /tmp/debugfs
[ ! -s /tmp/leaks ] || { head -n 40 /tmp/leaks; die "$(grep -c ^unreferenced /tmp/leaks) leaks"; }
echo "kernel_log: lockdep knows $(sed -n 's/^ lock-classes: *\([0-9]*\) .*/\1/p' /proc/lockdep_stats) classes and $(sed -n 's/^ direct dependencies: *\([0-9]*\) .*/\1/p' /proc/lockdep_stats) dependencies; no complaint, no leak"
