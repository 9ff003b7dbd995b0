#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# linux.sh ACCEL CPUS WORDS...: boots Linux in hotreg to its init (guest_init.sh), WORDS added to the kernel command line. With
# do=cycle it reads the time by each clock source, reboots, and is turned off by the power button; with do=shell it is spoken to by
# the serial line; with do=interrupts it shows what its interrupts come by. In the environment: GUEST, one of Debian's other kernels
# (scripts/nested-guests.sh); MODEL, of the CPU; OPTIONS, of hotreg; RESET, what the reboot must come by; SHOWS, what an interrupt
# must; SHADOW=1, the bed's KVM keeps shadow page tables (docs/testing.md). Only for a KVM with paging; called in the nested bed
# (tests/nested/list.txt), or beside it with LINUX and LINUX_INITRD from scripts/nested.sh.
set -u
. "${0%/*}/rflags.sh"
self=("$0" "$@")
build=${BUILD:-build}
guest=${GUEST:+-$GUEST}
kernel=${LINUX:-vmlinuz}$guest initrd=${LINUX_INITRD:-guest.gz}$guest why=$(dirname "${LINUX:-vmlinuz}")/why$guest
if [ -e "$why" ]; then
	cat "$why"
	exit 77
fi
[ -e "$kernel" ] && [ -e "$initrd" ] || { echo "needs Debian's kernel, which is not there ($kernel, $initrd)"; exit 77; }
accel=$1 cpus=$2
shift 2
if [ -n "${SHADOW:-}" ] && [ -e /modules/kvm-amd.ko ]; then
	trap 'rmmod kvm-amd; insmod /modules/kvm-amd.ko' EXIT
	rmmod kvm-amd && insmod /modules/kvm-amd.ko npt=0 || exit 1
fi
out=$(mktemp)
socket=$out.qmp
mkfifo "$out.in"
exec 3<>"$out.in"
start=$(date +%s)
timeout 240 "$build/hotreg" run --cpu kvm --accel "$accel" --cpus "$cpus" --kernel "$kernel" --initrd "$initrd" --mem 384M --cpu-model "${MODEL:-host}" ${OPTIONS:-} --qmp "unix:$socket" \
	--append "console=ttyS0 panic=-1 nokaslr mitigations=off noxsave quiet $*" >"$out" 2>&1 <"$out.in" 3>&- &
hotreg=$!

fail() {
	kill "$hotreg" 2>/dev/null && wait "$hotreg"
	again "$out" "${self[@]}"
	echo "linux: ${GUEST:-cloud}, $accel, $cpus cpus, $*"
	tail -n 30 "$out"
	exit 1
}
want() { # TEXT [HOW-OFTEN]
	[ "$(grep -acF -- "$1" "$out")" -ge "${2:-1}" ] || fail "no '$1' (${2:-1} times), status ${status:-?}"
}

until_says() { # TEXT
	until grep -aq "^$1" "$out"; do
		kill -0 "$hotreg" 2>/dev/null || break
		sleep 0.2
	done
}

case " $* " in
*" do=shell "*)
	until_says "guest: shell"
	# As a person would: a word that is taken back, then a long line, longer than any FIFO of a UART; and out when the answer
	# is there. The shell leads its session: when it ends, the line is hung up, and what Linux still had to send is dropped.
	printf 'echo oops\025x=%s; echo guest: counted ${#x} $((6 * 7))\n' "$(printf '%0300d' 0)" >&3
	until_says "guest: counted"
	printf 'exit\n' >&3
	want=1
	;;
*" do=cycle "*)
	until_says "guest: waiting for the power button"
	"$build/hotreg" ctl "$socket" powerdown || fail "the power button cannot be pressed"
	want=0
	;;
*) want=1 ;;
esac
wait "$hotreg"
status=$?
grep -a '^guest: ' "$out" | tr -d '\r'
want "guest: init reached, $cpus cpus"
if [[ ${OPTIONS:-} == *--no-pv* ]] && grep -aq "clocksource kvm-clock" "$out"; then fail "it knows that this is KVM"; fi
case " $* " in *" do=shell "*) want "guest: counted 300 42" ;; esac
case ${GUEST:-} in
686*) want "guest: Linux " && want "-$GUEST i686" ;;
*) want " x86_64" ;;
esac
date=$(sed -nE 's/^guest: date ([0-9]+).*/\1/p' "$out" | head -n 1)
[ "${date:-0}" -ge $((start - 2)) ] && [ "$date" -le $(($(date +%s) + 2)) ] || fail "the date was $date, at $start"
case " $* " in
*" do=interrupts "*)
	for text in ${SHOWS:-IO-APIC}; do
		grep -aqE "^guest: +[0-9]+: .*$text" "$out" || fail "no interrupt by $text"
	done
	;;
esac
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
	want "hotreg: the guest resets the machine: ${RESET:-}"
	want "hotreg: the guest turned the power off"
fi
[ $status = $want ] || fail "status $status instead of $want"
# panic=-1 makes a guest that panics boot again
resets=$(grep -acF "hotreg: the guest resets the machine" "$out")
[ "$resets" = $((1 - want)) ] || fail "$resets resets instead of $((1 - want))"
