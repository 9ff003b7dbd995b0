#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# doctor.sh: `hotreg doctor` on this host, and as a user who may do nothing: every line is there, what
# fails comes with a remedy, and the status is 0 since the software CPU works everywhere.
set -u
hotreg=${HOTREG:-${BUILD:-build}/hotreg}
out=$(mktemp)
copy=$(mktemp)
trap 'rm -f "$out" "$copy"' EXIT

die() {
	echo "doctor: $*"
	cat "$out"
	exit 1
}

# Lines that every run has; those that say no end with what to do after a semicolon.
check() {
	[ "$1" = 0 ] || die "status $1 instead of 0"
	for line in "KVM" "software CPU *works" "SeaBIOS" "VGA BIOS" "bpf(2)" "kernel tier" "--cpu auto *picks" "--accel auto *picks"; do
		grep -q -e "^$line" "$out" || die "no line '$line'"
	done
	! grep " no: " "$out" | grep -v -e "; " -e "--cpu soft" || die "a line says no without a remedy"
}

"$hotreg" doctor >"$out" 2>&1
check $?
if grep -q "^KVM *API 12" "$out"; then
	for line in "split irqchip" "deferred writes" "real mode" "32-bit flat" "INT n, protected" "32-bit paging" "long mode" "CPUID as set"; do
		grep -q "^  $line *\(works\|no: .*; \)" "$out" || die "no verdict on '$line'"
	done
	grep -q "^  page tier *\(works: [0-9]* loads\|no: .*; \)" "$out" || die "no verdict on the page tier"
	grep -q "^  speed *one exit [0-9.]* us, one instruction [0-9.]* ns" "$out" || die "no timings"
fi

if [ "$(id -u)" != 0 ] || ! command -v setpriv >/dev/null; then
	echo "skipped as another user: needs root and setpriv"
	exit 0
fi
cp "$hotreg" "$copy"
chmod 755 "$copy"
setpriv --reuid 65534 --regid 65534 --clear-groups "$copy" doctor >"$out" 2>&1
check $?
if [ -e /dev/kvm ] && ! setpriv --reuid 65534 --regid 65534 --clear-groups test -w /dev/kvm; then
	grep -q "^KVM *no: no permission for /dev/kvm.*usermod" "$out" || die "no word about permission"
	grep -q "^--cpu auto *picks soft, since /dev/kvm does not open (Permission denied)" "$out" || die "picks wrongly"
fi
