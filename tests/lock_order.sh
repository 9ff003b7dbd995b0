#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# lock_order.sh: builds hotreg and its tests with threads so that they check the order of locks (make LOCKDEBUG=1), and runs them, the
# datasheet traces and, where there is KVM, guests. A lock taken against the order ends the process. In the end the pairs that were seen
# must have those among them that the order is about.
set -u
build=${BUILD:-build}
lock=$build/lock
tests="test_vm_threads test_timer_threads test_qmp_live test_control test_pause test_i16550 test_page_tier"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
failed=0

fail() {
	echo "lock_order: $1"
	tail -n 20 "$dir/out.txt"
	failed=1
}

targets=("$lock/hotreg")
for t in $tests; do targets+=("$lock/tests/unit/$t"); done
make -j2 BUILD="$lock" LOCKDEBUG=1 "${targets[@]}" >"$dir/out.txt" 2>&1 || { fail "the build"; exit 1; }

for t in $tests; do
	HOTREG_LOCKS=$dir/$t.pairs "$lock/tests/unit/$t" >"$dir/out.txt" 2>&1 || fail "$t"
done
for t in tests/dev/*.trace; do
	HOTREG_LOCKS=$dir/${t##*/}.pairs "$lock/hotreg" run --cpu "script=$t,nocheck" --quiet --serial none >"$dir/out.txt" 2>&1 || fail "$t"
done
runs=("seabios soft on")
[ -r /dev/kvm ] && [ -w /dev/kvm ] && runs+=("fabric kvm on" "fabric kvm check" "smp kvm on" "resets kvm on")
for run in "${runs[@]}"; do
	# shellcheck disable=SC2086 # words
	HOTREG_LOCKS="$dir/${run// /-}.pairs" HOTREG=$lock/hotreg tests/guest/guests.sh $run >"$dir/out.txt" 2>&1
	case $? in 0 | 77) ;; *) fail "$run" ;; esac
done

sort -u "$dir"/*.pairs >"$dir/all"
for pair in "hpet -> clock" "i8254 -> hpet lines" "hpet lines -> interrupt router" "interrupt router -> i8259" "interrupt router -> ioapic" \
	"page tier -> hpet" "hpet -> page slot" "pci -> bus" "pci -> memory" "pci -> interrupt router"; do
	grep -qxF "$pair" "$dir/all" || fail "nobody has seen $pair"
done
echo "lock_order: $(wc -l <"$dir/all") pairs of locks, none against the order"
exit $failed
