#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# clock.sh CLOCK ACCEL CPUS SECONDS: Linux in hotreg reads the time by CLOCK (hpet, acpi_pm, tsc, or kvm-clock) for so many
# seconds, by gettimeofday and the monotonic clock in turn: it must never go back, and must not drift from the host's by 100
# ppm. Ten stamps a second come by the serial line; of the first and the last fifth of them the one that came fastest counts,
# so what the line takes does not. The bed's two processors take turns of milliseconds, so the stamps are read some of them
# late: 5 ms are allowed for that, which is less than 100 ppm in a minute, and 500 in 10 s. Called in the nested bed.
# PAGE is a --page for hotreg. The page comes when Linux has begun to read the clock, by `hotreg ctl accel`, and must be there most
# of the time then: Linux's first test of the HPET would find that the counter stands still while the publisher waits
# for its turn (docs/page-tier.md).
set -u
. "${0%/*}/rflags.sh"
self=("$0" "$@")
clock=$1 accel=$2 cpus=$3 seconds=$4
limit=$((5000 / seconds))
[ $limit -ge 100 ] || limit=100
out=$(mktemp) stats=$(mktemp) qmp=$(mktemp -u)
case $clock in
kvm-clock) words="" ;;
*) words="clocksource=$clock no-kvmclock" ;;
esac
# The reader has a processor to itself: on the vCPU's it would wait for the end of its time slice.
pin="taskset 1" mode=$accel
if [ -n "${PAGE:-}" ]; then
	pin="" mode=check # the publisher needs a processor too; checked, no page is mapped
	(
		until grep -aqs " guest: reads $clock\$" "$out"; do sleep 0.2; done
		build/hotreg ctl "$qmp" accel "$accel"
	) &
fi
$pin timeout $((seconds + 240)) build/hotreg run --cpu kvm --accel "$mode" ${PAGE:+--page "$PAGE" --stats="$stats" --qmp "unix:$qmp"} --cpus "$cpus" --kernel vmlinuz --initrd guest.gz --mem 384M --quiet \
	--append "console=ttyS0 panic=-1 nokaslr mitigations=off noxsave quiet $words do=clock ms=$((seconds * 1000))" 2>&1 </dev/null |
	taskset 2 bash -c 'cr=$(printf "\r"); while IFS= read -r line; do echo "$EPOCHREALTIME ${line//$cr/}"; done' >"$out"
status=${PIPESTATUS[0]}

fail() {
	again "$out" "${self[@]}"
	echo "clock: $clock, $accel, $cpus cpus: $*"
	grep -v ' stamp ' "$out" | tail -n 20
	exit 1
}
[ "$status" = 1 ] || fail "status $status instead of 1"
grep -aq " guest: reads $clock\$" "$out" || fail "it does not use $clock"
grep -aqE " [1-9][0-9]* calls in [0-9]+ ms, 0 steps back" "$out" || fail "the time went back"
# Nanoseconds since 1970 are too many digits for awk: both sides count from their first stamp. A 1 goes before fractions of
# a second, since busybox takes what begins with 0 for octal.
drift=$(grep -a ' stamp [0-9]*$' "$out" | awk '
	{ split($1, t, "."); t[2] = 1 t[2]; if (NR == 1) { s = t[1]; u = t[2]; g = substr($3, 1, length($3) - 3) }
	  guest[NR] = substr($3, 1, length($3) - 3) - g; late[NR] = (t[1] - s) * 1000000 + t[2] - u - guest[NR] }
	END { n = NR; part = int(n / 5); if (part < 2) exit
	  first = late[1]; at = guest[1]; for (i = 1; i <= part; i++) if (late[i] < first) { first = late[i]; at = guest[i] }
	  last = late[n]; to = guest[n]; for (i = n - part + 1; i <= n; i++) if (late[i] < last) { last = late[i]; to = guest[i] }
	  printf "%.0f %d", (last - first) / (to - at) * 1000000, n }')
[ -n "$drift" ] || fail "too few stamps"
echo "clock: $clock, $accel, $cpus cpus: $(grep -aoE '[0-9]+ calls in [0-9]+ ms' "$out"), drift ${drift% *} ppm of ${drift#* } stamps"
[ "${drift% *}" -gt -$limit ] && [ "${drift% *}" -lt $limit ] || fail "it drifts by ${drift% *} ppm, more than $limit"
[ -n "${PAGE:-}" ] || exit 0
jq -r '.page_tier | "page: \(.pages[0].maps) turns, mapped for \(.pages[0].mapped_ns / 1000000 | floor) ms, given up \(.pages[0].given_up) times, \(.passes) passes, \(.gap_p99_ns) ns at 99 %"' "$stats"
[ "$(jq ".page_tier.pages[0].mapped_ns > $seconds * 500000000" "$stats")" = true ] || fail "a page was there for less than half the time"
