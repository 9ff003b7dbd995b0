#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# linux.sh ACCEL CPUS WORDS...: boots the bed's kernel in hotreg to its init, WORDS added to the kernel command line; with do=cycle it
# reads the time by each clock source, reboots, and is turned off by the power button (guest_init.sh). Only for
# a KVM with paging; called in the nested bed (tests/nested/list.txt), or beside it with LINUX and LINUX_INITRD from scripts/nested.sh.
set -u
build=${BUILD:-build}
kernel=${LINUX:-vmlinuz} initrd=${LINUX_INITRD:-guest.gz}
[ -e "$kernel" ] && [ -e "$initrd" ] || { echo "needs Debian's kernel, which is not there ($kernel, $initrd)"; exit 77; }
accel=$1 cpus=$2
shift 2
out=$(mktemp)
socket=$out.qmp
timeout 240 "$build/hotreg" run --cpu kvm --accel "$accel" --cpus "$cpus" --kernel "$kernel" --initrd "$initrd" --mem 384M --qmp "unix:$socket" \
	--append "console=ttyS0 panic=-1 nokaslr mitigations=off noxsave quiet $*" >"$out" 2>&1 </dev/null &
hotreg=$!

fail() {
	echo "linux: $accel, $cpus cpus, $*"
	tail -n 30 "$out"
	kill "$hotreg" 2>/dev/null
	exit 1
}
want() { # TEXT [HOW-OFTEN]
	[ "$(grep -acF -- "$1" "$out")" -ge "${2:-1}" ] || fail "no '$1' (${2:-1} times), status ${status:-?}"
}

case " $* " in
*" do=cycle "*)
	until grep -aq '^guest: waiting for the power button' "$out"; do
		kill -0 "$hotreg" 2>/dev/null || break
		sleep 0.2
	done
	"$build/hotreg" ctl "$socket" powerdown || fail "the power button cannot be pressed"
	want=0
	;;
*) want=1 ;;
esac
wait "$hotreg"
status=$?
grep -a '^guest: ' "$out" | tr -d '\r'
want "guest: init reached, $cpus cpus"
if [ $want = 0 ]; then
	want "guest: init reached, $cpus cpus" 2
	want "guest: ACPI: PM-Timer IO Port: 0x608"
	want "guest: ACPI: HPET id: 0x8086a201 base: 0xfed00000"
	want "guest: ACPI: PM: (supports S0 S5)"
	for clock in hpet acpi_pm tsc; do
		grep -aqE "^guest: $clock: [1-9][0-9]* calls in 500 ms, 0 steps back" "$out" || fail "the clock $clock went back"
	done
	grep -aqE "^guest: 500 ms of sleep took ([5-9][0-9][0-9]|1000)\b" "$out" || fail "timers are late after the reset"
	want "guest: power button"
	want "hotreg: the guest resets the machine: "
	want "hotreg: the guest turned the power off"
fi
[ $status = $want ] || fail "status $status instead of $want"
