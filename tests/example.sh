#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# example.sh: runs examples/counter on both CPUs and in each mode of acceleration, then two versions of its program
# that are wrong: one that check mode must find, one that the verifier must refuse, each with the message that
# docs/writing-a-program.md shows. And examples/doorbell and examples/status, in the same ways. Status 0, or 1 with what was not as it should be. BUILD (default build) can be set.
set -u
build=${BUILD:-build}
dir=$build/examples/counter
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
	echo "example: $*"
	for f in "$work"/out "$work"/err; do echo "--- ${f##*/}:"; cat "$f"; done
	exit 1
}
# run OBJECT CPU ACCEL: its status is in $status.
run() {
	timeout 60 "$dir/counter" "$1" --kernel "$dir/guest.bin" --cpu "$2" --accel "$3" --debugcon stdio \
		>"$work/out" 2>"$work/err" </dev/null
	status=$?
}
want() {
	grep -aqF -- "$2" "$work/$1" || die "$1 has no '$2'"
}
# variant NAME SED: a version of the program, compiled to $work/NAME.bpf.o.
variant() {
	mkdir -p "$work/$1/examples/counter"
	cp examples/counter/counter.h "$work/$1/examples/counter/"
	sed "$2" examples/counter/counter.bpf.c >"$work/$1/examples/counter/counter.bpf.c"
	cmp -s examples/counter/counter.bpf.c "$work/$1/examples/counter/counter.bpf.c" && die "$1 is no variant"
	(cd "$work/$1" && "${CLANG:-clang}" -target bpf -mcpu=v3 -O2 -g -std=gnu11 -ffreestanding -fdebug-compilation-dir=. -I. -I"$top" -c -o "../$1.bpf.o" \
		examples/counter/counter.bpf.c) 2>"$work/err" || die "$1 does not compile"
}
top=$PWD

cpus=soft
if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	cpus="kvm soft"
else
	echo "example: not on kvm: needs /dev/kvm"
fi
for cpu in $cpus; do
	for accel in off on check; do
		run "$dir/counter.bpf.o" $cpu $accel
		[ $status = 1 ] || die "$cpu $accel: status $status instead of 1"
		want out 'counted to 99 and over'
		[ "$(grep -c '^ding$' "$work/err")" = 1 ] || die "$cpu $accel: the bell did not ring once"
		if [ $accel = off ]; then
			want err 'counter: 0 answered, 0 punted'
		else
			# the write, and the read that rings; all other reads are the program's, 10 of the count among them
			grep -qE '^counter: [1-9][0-9]+ answered, 2 punted$' "$work/err" || die "$cpu $accel: wrong counts"
		fi
		echo "example: $cpu $accel: $(grep '^counter:' "$work/err")"
	done
done

# examples/doorbell: every number arrives, in each mode; the program rings, and what it answers the model does not see.
for cpu in $cpus; do
	for accel in off on check; do
		bell=$build/examples/doorbell
		timeout 60 "$bell/doorbell" "$bell/doorbell.bpf.o" --kernel "$bell/guest.bin" --cpu $cpu --accel $accel \
			--debugcon stdio >"$work/out" 2>"$work/err" </dev/null
		status=$?
		[ $status = 1 ] || die "doorbell $cpu $accel: status $status instead of 1 (124: a lost ring)"
		want out '1000 numbers make 500500'
		# N rings, 1000 - N without
		[ $(($(sed -nE 's/^doorbell: 1000 numbers, ([1-9][0-9]*) rings, ([0-9]+) without;.*/\1+\2/p' "$work/err"))) = 1000 ] ||
			die "doorbell $cpu $accel: rings and none do not make 1000"
		if [ $accel = off ]; then
			want err '; 0 answered, 0 punted'
		else
			grep -qE '; [1-9][0-9]+ answered' "$work/err" || die "doorbell $cpu $accel: the program answered nothing"
		fi
		echo "example: $cpu $accel: $(grep '^doorbell:' "$work/err")"
	done
done

# examples/status: seen through a page where this host can show one, as a shadow in check mode on KVM, and without either.
status=$build/examples/status
rows="soft:off:off soft:on:off soft:check:off"
[ "$cpus" = soft ] || rows="$rows kvm:on:off kvm:check:on"
! "${HOTREG:-$build/hotreg}" doctor | grep -q "page tier *works" || rows="$rows kvm:on:on"
bin=$status
for row in $rows; do
	IFS=: read -r cpu accel page <<<"$row"
	timeout 60 "$bin/status" "$bin/status.bpf.o" --kernel "$bin/guest.bin" --cpu $cpu --accel $accel $([ $page = off ] || echo --page $page,gap=1000000) \
		--debugcon stdio >"$work/out" 2>"$work/err" </dev/null
	got=$?
	[ $got = 1 ] || die "status $cpu $accel, page $page: status $got instead of 1"
	want out 'ten events, and 20 ms have passed'
	echo "example: $cpu $accel, page $page: $(grep '^status:' "$work/err")"
done

variant wrong 's/count + 1)/count + 2)/'
run "$work/wrong.bpf.o" soft check
[ $status = 4 ] || die "a wrong program in check mode: status $status instead of 4"
want err 'check: program and model of counter do not agree'
want err 'the state page differs first at offset 0x20, count: program 0x5c, model 0x5b'
echo "example: check mode finds the wrong program"

variant refused 's/^\tif (count >= COUNTER_LAST)$/\tHR_STORE(counter_state.count, count + 1);\n&/'
run "$work/refused.bpf.o" soft on
[ $status = 2 ] || die "a program that stores and then punts: status $status instead of 2"
want err 'refused: this path punts after it has stored to shared memory (examples/counter/counter.bpf.c:17'
echo "example: the verifier refuses the program that stores and then punts"
