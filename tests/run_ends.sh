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
		grep -q "ended by" "$dir/out" || { echo "$guest, SIG$signal: no reason given"; bad=1; }
	done
done

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
{ timeout 20 "$hotreg" run --cpu soft --kernel "$dir/talk.bin" --timeout 1 --quiet </dev/null; echo $? >"$dir/status"; } | sleep 5
check "a reader that does not read" 124 "$(cat "$dir/status")"

[ $bad = 0 ] && echo "run_ends: all as they should"
exit $bad
