#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# kernel_live.sh [CPUS]: `hotreg ctl` exchanges, detaches and attaches programs, changes modes and pauses while a guest reads the
# HPET inside KVM as fast as it can and sets its comparators. The guest (page_hpet) checks that no CPU sees a step back and no
# interrupt is lost. At last kill -9, after which KVM must have no user. Only in the bed of scripts/kernel-tier.sh.
set -u
cpus=${1:-1}
build=${BUILD:-build}
dir=$(mktemp -d)
sock=$dir/qmp.sock
vm=
trap '[ -z "$vm" ] || kill -9 "$vm" 2>/dev/null; rm -rf "$dir"' EXIT

die() {
	echo "kernel_live: $*"
	for f in "$dir"/*.txt; do [ -s "$f" ] && { echo "--- ${f##*/}:"; tail -c 1500 "$f"; }; done
	exit 1
}
# What has been done and when, for who reads of a failure.
step() { echo "$(cut -d' ' -f1 /proc/uptime) s: $*" >>"$dir/steps.txt"; }
ctl() { step "$*"; "$build/hotreg" ctl "$sock" "$@" >"$dir/ctl.txt" 2>&1 || die "ctl $* failed"; }
# What is known of the HPET's program now, in few words: a look takes half a second there.
look() { "$build/hotreg" ctl --json "$sock" prog list | jq -r '.[] | select(.range == "hpet") | [.tier, .attached, .replaced, .answered, .["not-kernel"]] | join(" ")'; }
want() { # WORDS WHEN
	local is
	is=$(look)
	step "$2: $is"
	[[ $is == $1 ]] || die "the HPET's program is '$is' instead of '$1' ($2)"
}
start() { # APPEND
	"$build/hotreg" run --cpu kvm --cpus "$cpus" --accel on=kernel --kernel "$build/guest/page_hpet.elf" --append "$1 cpu1=$((cpus - 1))" \
		--serial none --debugcon "$dir/console.txt" --qmp "unix:$sock" --timeout 300 >"$dir/run.txt" 2>&1 </dev/null &
	vm=$!
	for _ in $(seq 100); do [ -S "$sock" ] && return; sleep 0.1; done
	die "no socket"
}
# The guest reads on, and KVM answers.
goes_on() {
	local before now
	read -r _ _ _ before _ <<<"$(look)"
	for _ in $(seq 50); do
		read -r _ _ _ now _ <<<"$(look)"
		[ "$now" -gt "$before" ] && return
	done
	die "nothing is answered any more ($1)"
}
# Within a time; its status. A turn of a comparator that is just due, and what is left of lines=.
ends() {
	for _ in $(seq "${ENDS_IN:-600}"); do
		kill -0 "$vm" 2>/dev/null || break
		sleep 0.1
	done
	kill -0 "$vm" 2>/dev/null && die "the guest does not end at the power button"
	wait "$vm"
	local status=$?
	vm=
	return $status
}
refs() { cat /sys/module/kvm_amd/refcnt; }

one_round() {
	want "kernel true false *" "at the beginning"
	ctl prog detach hpet
	want "vmm false false *" detached
	ctl prog attach hpet
	want "kernel true false *" attached
	ctl prog replace hpet "$build/bpf/hpet.bpf.o"
	want "kernel true true *" replaced
	goes_on replaced
	# one that keeps data of its own stays in the vmm tier, with the reason
	ctl prog replace hpet "$build/tests/prog/hpet_bss.bpf.o"
	want "vmm true true *data of its own*" ".bss"
	ctl prog attach hpet own
	ctl accel check
	want "vmm true false *checked*" check
	ctl accel off
	ctl accel on
	want "kernel true false *" "on again"
	ctl stop
	ctl cont
	goes_on continued
}

users=$(refs)
start "lines=300 reads=200 button=1"
for rounds in $(seq "${ROUNDS:-2}"); do
	step "round $rounds"
	one_round
done
# the guest goes on until it is told, so that each round is a whole one
ctl powerdown
ends
status=$?
[ $status = 1 ] || die "the guest ended with status $status after $rounds rounds"
grep -q "page_hpet: ok" "$dir/console.txt" || die "the guest is not content"
grep -a page_hpet: "$dir/console.txt" | head -n 1
echo "kernel_live: $rounds rounds of exchanges under load"

start "lines=1000000 reads=200"
goes_on "before kill -9"
[ "$(refs)" -gt "$users" ] || die "KVM has no user while a guest runs"
kill -9 "$vm"
wait "$vm" 2>/dev/null
vm=
for _ in $(seq 50); do [ "$(refs)" = "$users" ] && break; sleep 0.1; done
[ "$(refs)" = "$users" ] || die "KVM has $(refs) users after kill -9 instead of $users"
