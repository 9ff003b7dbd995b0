#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# memtest.sh x64|ia32 ACCEL CPUS SECONDS [pass]: memtest86+ in hotreg on 32 MiB for so many seconds of the bed's time: its
# first test must have begun on all CPUs without an error; with `pass`, a whole pass must be done. What it shows is read from
# the VGA's text, which hotreg prints at its end. Called in the nested bed (tests/nested/list.txt, memtest.txt).
set -u
image=memtest86+$1.bin accel=$2 cpus=$3 seconds=$4 want=${5:-begun}
[ -e "$image" ] || { echo "needs Debian's package memtest86+, which apt-get cannot download here"; exit 77; }
screen=$(mktemp)
build/hotreg run --cpu kvm --accel "$accel" --cpus "$cpus" --mem 32M --kernel "$image" --vga std --serial none \
	--timeout "$seconds" --quiet >"$screen" 2>&1 </dev/null
status=$?
die() {
	echo "memtest: $image, $accel, $cpus cpus: $*"
	cat "$screen"
	exit 1
}
[ $status = 124 ] || die "status $status instead of 124"
grep -q "Memtest86+ v" "$screen" || die "it is not on the screen"
grep -qE "Test #[0-9]+ +\[" "$screen" || die "no test has begun"
grep -qE "Testing: +[0-9]+[KM]B - [0-9]+MB" "$screen" || die "it tests no memory"
grep -qE "Errors: 0" "$screen" || die "it found errors"
if [ "$cpus" != 1 ]; then
	grep -qE "CPU: $cpus Cores $cpus Threads " "$screen" || die "it does not see $cpus CPUs"
	! grep -qF "SMP: Disabled" "$screen" || die "it uses one CPU"
fi
[ "$want" = begun ] || grep -qE "Pass: +[1-9]" "$screen" || die "no pass is done"
grep -E "Pass |Test #|CPU:|Errors" "$screen" | sed 's/^[^│]*│ *//'
