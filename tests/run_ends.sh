#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# run_ends.sh: how a run ends when it is the person or the shell that ends it: signals, --timeout, standard
# files that are closed, full or no terminal. A flat guest that only halts, on the software CPU: needs no KVM.
set -u
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0

printf '\364\353\375' >"$dir/halt.bin" # hlt; jmp to it
truncate -s 512 "$dir/halt.bin"
printf '\353\376' >"$dir/loop.bin" # jmp to itself
truncate -s 512 "$dir/loop.bin"
# mov dx,0x3f8; mov al,'x'; out dx,al; jmp to the out
printf '\272\370\003\260x\356\353\375' >"$dir/talk.bin"
truncate -s 512 "$dir/talk.bin"
printf 'precious' >"$dir/disk.img"
truncate -s 1048576 "$dir/disk.img"
sum=$(md5sum <"$dir/disk.img")

check() { # WHAT WANTED GOT
	[ "$2" = "$3" ] || { echo "$1: $3 instead of $2"; bad=1; }
}

for guest in halt loop; do
	for signal in INT TERM HUP; do
		# a shell's background job ignores SIGINT; env gives it back
		env --default-signal=INT "$hotreg" run --cpu soft --kernel "$dir/$guest.bin" --timeout 60 >"$dir/out" 2>&1 </dev/null &
		pid=$!
		for _ in $(seq 100); do
			grep -qs "accel:" "$dir/out" && break
			sleep 0.1
		done
		sleep 0.2
		kill -$signal $pid
		wait $pid
		check "$guest ended by SIG$signal" 0 $?
		grep -qE "ended by (Ctrl-C|SIG$signal)" "$dir/out" || { echo "$guest, SIG$signal: no reason given"; bad=1; }
	done
done

# the guest's own ends, one of each status: mov al,0x10; out 0xf4,al / 0x2000 to PM1_CNT / CR0.PG, which --cpu soft lacks
printf '\260\020\346\364\353\376' >"$dir/exit.bin"
printf '\272\004\006\270\000\040\357\353\376' >"$dir/off.bin"
printf '\017\040\300\146\015\001\000\000\200\017\042\300\353\376' >"$dir/paging.bin"
"$hotreg" run --cpu soft --kernel "$dir/exit.bin" --timeout 20 --quiet </dev/null
check "debug exit" 33 $?
"$hotreg" run --cpu soft --kernel "$dir/off.bin" --timeout 20 --quiet </dev/null
check "power off" 0 $?
"$hotreg" run --cpu soft --kernel "$dir/paging.bin" --timeout 20 --quiet </dev/null 2>"$dir/err"
check "paging on the software CPU" 6 $?
check "one line about it" 1 "$(wc -l <"$dir/err")"
grep -qi "kvm" "$dir/err" || { echo "paging: no word about KVM"; bad=1; }
printf '0 r pio 0x2345 1 0x12\n' >"$dir/wrong.script"
"$hotreg" run --cpu "script=$dir/wrong.script" --quiet 2>/dev/null
check "a script that does not hold" 2 $?
"$hotreg" run --cpu "script=$dir/wrong.script,nocheck" --quiet --trace "$dir/trace" --stats="$dir/stats.json"
check "the same, not checked" 0 $?
check "its trace" "0 r pio 0x2345 1 0xff" "$(grep -v '^#' "$dir/trace")"
grep -q '"accesses": 1' "$dir/stats.json" || { echo "no statistics"; bad=1; }
# serial line and debug console on one standard output: 'x' to 0x3f8, 'y' to 0xe9, end
printf '\272\370\003\260x\356\260y\346\351\260\020\346\364' >"$dir/both.bin"
check "serial and debugcon on stdio" xy "$("$hotreg" run --cpu soft --kernel "$dir/both.bin" --debugcon stdio --timeout 20 --quiet </dev/null)"
"$hotreg" run --cpu soft --kernel "$dir/both.bin" --serial "$dir/serial" --debugcon "$dir/debugcon" --timeout 20 --quiet </dev/null >/dev/null
check "serial in a file" x "$(cat "$dir/serial")"
check "debugcon in a file" y "$(cat "$dir/debugcon")"
# a read-only image: WRITE SECTORS ends with ERR and ABRT, and the image stays
printf '0 w pio 0x1f2 1 0x1\n0 w pio 0x1f3 1 0x0\n0 w pio 0x1f6 1 0xe0\n0 w pio 0x1f7 1 0x30\n0 r pio 0x3f6 1 0x51\n0 r pio 0x1f1 1 0x04\n' >"$dir/write.script"
"$hotreg" run --cpu "script=$dir/write.script" --disk "$dir/disk.img,ro" --serial none --quiet
check "a write to a read-only disk" 0 $?

"$hotreg" run --cpu soft --kernel "$dir/halt.bin" --timeout 1 --quiet </dev/null
check "timeout" 124 $?
"$hotreg" run --cpu soft --kernel "$dir/talk.bin" --disk "$dir/disk.img" --timeout 1 --quiet <&- >&- 2>&-
check "standard files closed" 124 $?
check "the disk image afterwards" "$sum" "$(md5sum <"$dir/disk.img")"
"$hotreg" run --cpu soft --kernel "$dir/halt.bin" --timeout 1 --quiet </dev/zero
check "an input without end" 124 $?
"$hotreg" run --cpu soft --kernel "$dir/talk.bin" --timeout 1 --quiet </dev/null 2>"$dir/err" | head -c 100 >/dev/null
check "a reader that goes away" 124 "${PIPESTATUS[0]}"
check "complaints about it" 1 "$(grep -c 'cannot write to standard output' "$dir/err")"
# a reader that stops reading but does not go away: the guest is stuck in its output, hotreg is not
# nor is it when something is typed meanwhile, although the guest's serial port is busy with that output
{ sleep 1; echo typed; sleep 3; } | { timeout -s KILL 20 "$hotreg" run --cpu soft --kernel "$dir/talk.bin" --timeout 2 --quiet; echo $? >"$dir/status"; } | sleep 5
check "a reader that does not read" 124 "$(cat "$dir/status")"

[ $bad = 0 ] && echo "run_ends: all as they should"
exit $bad
