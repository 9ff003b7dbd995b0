#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# control.sh CPU: a guest that tells its clocks (clocks.S) is controlled from outside with `hotreg ctl`, from its
# start to its end: guest time stands still while it is stopped, programs and modes are changed under it,
# it is reset, and the power button ends it. Then what a bad client and a dead socket do, and `hotreg top` on a
# terminal. CPU is kvm or soft; status 77 with a reason when it is skipped.
set -u
cpu=${1:-soft}
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
dir=$(mktemp -d)
sock=$dir/qmp.sock
vm=
trap '[ -z "$vm" ] || kill "$vm" 2>/dev/null; rm -rf "$dir"' EXIT

die() {
	echo "control $cpu: $*"
	for f in "$dir"/*.txt; do [ -s "$f" ] && { echo "--- ${f##*/}:"; tail -c 1500 "$f"; }; done
	exit 1
}
if [ "$cpu" = kvm ]; then
	[ -e /dev/kvm ] || { echo "needs /dev/kvm, which is not there"; exit 77; }
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo "needs /dev/kvm, which this user may not open"; exit 77; }
fi

ctl() { "$hotreg" ctl "$sock" "$@" 2>"$dir/ctl-err.txt"; }
must() { ctl "$@" >"$dir/ctl-out.txt" || die "ctl $* failed"; }
refused() { # TEXT COMMAND...
	local text=$1
	shift
	ctl "$@" >"$dir/ctl-out.txt"
	[ $? = 1 ] || die "ctl $* was not refused"
	grep -q -- "$text" "$dir/ctl-err.txt" || die "ctl $*: refused without '$text'"
}
start() { # ARGS...
	: >"$dir/console.txt"
	"$hotreg" run --cpu "$cpu" --kernel "$build/guest/clocks.bin" --serial none --debugcon "$dir/console.txt" \
		--qmp "unix:$sock" --timeout 300 "$@" >"$dir/run.txt" 2>&1 </dev/null &
	vm=$!
	lines 3
}
clock_lines() { grep -cE '^[0-9a-f]{8} [0-9a-f]{8} [0-9a-f]{8}$' "$dir/console.txt"; }
# Waits until the guest has written that many more.
lines() {
	local want=$(($(clock_lines) + $1))
	for _ in $(seq 300); do
		[ "$(clock_lines)" -ge $want ] && return
		kill -0 "$vm" 2>/dev/null || die "the VM has ended"
		sleep 0.1
	done
	die "the guest does not go on"
}
ended() { # STATUS TEXT
	wait "$vm"
	local status=$?
	vm=
	[ $status = "$1" ] || die "ended with status $status instead of $1"
	grep -q -- "$2" "$dir/run.txt" || die "ended without '$2'"
	[ ! -e "$sock" ] || die "the socket is still there"
}

# ---- stop and cont -----------------------------------------------------------------------------

start --accel off
[ "$(stat -c %a "$sock")" = 600 ] || die "the socket has mode $(stat -c %a "$sock")"
[ "$(ctl status)" = running ] || die "is not running"
must stop
[ "$(ctl status)" = paused ] || die "is not paused"
must stop # is stopped already
size=$(stat -c %s "$dir/console.txt")
before=$(clock_lines)
sleep 3.5
[ "$(stat -c %s "$dir/console.txt")" = "$size" ] || die "the guest ran while it was stopped"
must cont
lines 5
# The PM timer, 3.579545 MHz, between the last line before and the first one after: 0.1 s is 357954 ticks, and
# the pause would be 12.5 million. The RTC's seconds went on by less than the pause as well, and the TSC by less
# than twenty lines' worth, where it can be set: hotreg says when it cannot.
grep -q 'does not let the time stamp counter be set' "$dir/run.txt" && tsc_stays=0 || tsc_stays=1
awk -v n="$before" -v tsc_stays=$tsc_stays '
	function hex(s,  v, i) { v = 0; for (i = 1; i <= length(s); i++) v = v * 16 + index("0123456789abcdef", substr(s, i, 1)) - 1; return v }
	/^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+$/ { i++; pm = hex($1); tsc = hex($3); if (i == 1) tsc1 = tsc; rtc = int(hex($2) / 16) * 10 + hex($2) % 16
		if (i == n + 1) { d = (pm - last + 16777216) % 16777216; s = (rtc - seconds + 60) % 60
			if (d > 7000000 || s > 2) { printf "PM timer went on by %d ticks, the RTC by %d s\n", d, s; exit 1 }
			if (tsc_stays && tsc - last_tsc > 20 * (last_tsc - tsc1) / (n - 1)) {
				printf "the TSC went on by %d, and by %d for a line before\n", tsc - last_tsc, (last_tsc - tsc1) / (n - 1)
				exit 1
			}
			found = 1 }
		last = pm; last_tsc = tsc; seconds = rtc }
	END { if (!found) exit 1 }' "$dir/console.txt" || die "guest time went on while the guest was stopped"

# ---- modes and programs, under the running guest -------------------------------------------------

answered() { "$hotreg" ctl --json "$sock" prog list | jq '.[] | select(.range == "pm") | .answered'; }
[ "$(answered)" = 0 ] || die "programs answer with --accel off"
must accel on
lines 2
[ "$(answered)" -gt 0 ] || die "no program answers after 'accel on'"
must accel check
lines 3
must accel
grep -q 'accel check.*; 0 divergences' "$dir/ctl-out.txt" || die "check mode is not in use, or diverges"
must accel on
must prog replace piix4_pm "$build/bpf/pmtimer.bpf.o"
must prog list
grep -q '^pm .*attached.*pmtimer.bpf.o (replaced)' "$dir/ctl-out.txt" || die "the program was not replaced"
lines 2
must prog detach pm
n=$(answered)
lines 2
[ "$(answered)" = "$n" ] || die "a detached program answers"
must prog attach pm own
lines 2
[ "$(answered)" -gt "$n" ] || die "an attached program does not answer"
for i in $(seq 20); do # a change every few accesses
	must prog detach pm
	must prog attach pm
	must accel off
	must accel on
done
lines 2
refused 'DEVICE\|no device with programs' prog detach nope
refused 'port61\|layout\|version\|bytes' prog replace pm "$build/bpf/i8254.bpf.o"
refused 'none of off, on, check' accel fast
"$hotreg" stats --count on "$sock" >"$dir/stats.txt" || die "no statistics"
lines 3
"$hotreg" stats --json "$sock" >"$dir/stats.txt" || die "no statistics"
[ "$(jq '[.registers[] | select(.name == "PM timer").read.answered] | add' "$dir/stats.txt")" -ge 2 ] ||
	die "the PM timer is not among the statistics"
jq -e '.next | type == "array"' "$dir/stats.txt" >/dev/null || die "no estimates"

# ---- top, on a terminal --------------------------------------------------------------------------

if command -v script >/dev/null; then
	{ sleep 2.5; printf q; sleep 0.5; } | script -qec "stty rows 30 cols 100; $hotreg top $sock; echo status \$?; stty -a" "$dir/top.txt" >/dev/null 2>&1
	grep -aq 'status 0' "$dir/top.txt" || die "top did not end with q"
	grep -aq 'pm PM timer.*read' "$dir/top.txt" || die "top does not show the PM timer"
	grep -aq $'\033\[?1049l' "$dir/top.txt" || die "top leaves its screen behind"
	grep -aqE '(^|[ ;])icanon' "$dir/top.txt" && grep -aqE '(^|[ ;])echo( |;|$)' "$dir/top.txt" ||
		die "top leaves the terminal raw"
	rm -f "$dir/top.txt"
	# a signal ends it as well, and the terminal is as it was
	script -qec "stty rows 30 cols 100; timeout --foreground 2 $hotreg top $sock; stty -a" "$dir/top.txt" >/dev/null 2>&1 < <(sleep 5)
	grep -aq 'pm PM timer.*read' "$dir/top.txt" || die "top does not show the PM timer"
	grep -aq $'\033\[?1049l' "$dir/top.txt" || die "top leaves its screen behind after a signal"
	grep -aqE '(^|[ ;])icanon' "$dir/top.txt" || die "top leaves the terminal raw after a signal"
	rm -f "$dir/top.txt"
	[ "$("$hotreg" ctl --json "$sock" stats | jq .counting)" = true ] || die "top switched off what it had not switched on"
fi

# ---- reset, and clients that do no good -----------------------------------------------------------

must reset
for _ in $(seq 100); do
	[ "$(grep -c start "$dir/console.txt")" = 2 ] && break
	sleep 0.1
done
[ "$(grep -c start "$dir/console.txt")" = 2 ] || die "the guest was not reset"
must stop
must reset # of a stopped VM: it stays stopped
[ "$(ctl status)" = paused ] || die "a reset let the VM go on"
must cont
lines 2
"$hotreg" run --cpu "$cpu" --kernel "$build/guest/clocks.bin" --qmp "unix:$sock" >"$dir/second.txt" 2>&1 </dev/null
[ $? = 2 ] && grep -q 'somebody listens' "$dir/second.txt" || die "a second hotreg took the socket"
must status
must powerdown
ended 0 "the guest turned the power off"
grep -q '^button' "$dir/console.txt" || die "the guest saw no button"

# a socket that nobody listens at is replaced; a file is not
start
kill -KILL "$vm"
wait "$vm" 2>/dev/null
[ -S "$sock" ] || die "no dead socket"
"$hotreg" ctl "$sock" status 2>"$dir/ctl-err.txt"
[ $? = 2 ] && grep -q 'is gone' "$dir/ctl-err.txt" || die "a dead socket is not named as such"
start --accel check
must stop
must quit # also of a stopped VM
ended 0 "ended by quit"
echo precious >"$dir/file"
"$hotreg" run --cpu "$cpu" --kernel "$build/guest/clocks.bin" --qmp "unix:$dir/file" >"$dir/second.txt" 2>&1 </dev/null
[ $? = 2 ] && grep -q 'is no socket' "$dir/second.txt" && [ "$(cat "$dir/file")" = precious ] || die "a file was taken for a socket"
exit 0
