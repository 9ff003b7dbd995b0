#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# bench_page.sh ROUNDS: in the nested bed (make bench-nested), a read of the HPET by regbench: by hotreg's model, by its program, from a page,
# and in QEMU, in turn; nanoseconds of the bed's time, which is counted in instructions. Of a round each prints the median
# read, at the end the medians of all rounds are printed, lowest and highest behind them. The page's publisher waits for
# its turn there, so the page may be late by a second.
set -u
rounds=${1:-3}
dir=$(mktemp -d)
mkdir -p /var/tmp # where QEMU keeps what it would write
args="rounds=9 reads=200"
rivals="off on page QEMU"

regbench() { # RIVAL: what it prints, on stdout
	local out=$dir/debugcon
	rm -f "$out"
	case $1 in
	QEMU)
		timeout 100 qemu-system-x86_64 -accel kvm -machine pc,hpet=on -cpu host -m 64 -nodefaults -display none -no-reboot \
			-debugcon "file:$out" -device isa-debug-exit,iobase=0xf4,iosize=4 -kernel build/guest/regbench.elf -append "$args" \
			-drive file=build/guest/grub.img,format=raw,if=ide,snapshot=on
		;;
	page)
		build/hotreg run --cpu kvm --page on,gap=1000000 --timeout 100 --kernel build/guest/regbench.elf --append "$args" \
			--disk build/guest/grub.img,ro --serial none --debugcon "$out" --stats="$dir/stats"
		;;
	*)
		build/hotreg run --cpu kvm --accel "$1" --page off --timeout 100 --kernel build/guest/regbench.elf --append "$args" \
			--disk build/guest/grub.img,ro --serial none --debugcon "$out"
		;;
	esac >"$dir/log" 2>&1 </dev/null
	cat "$out"
}

mhz=$(sed -n 's/^cpu MHz[^0-9]*\([0-9]*\).*/\1/p' /proc/cpuinfo | head -n 1)
for round in $(seq "$rounds"); do
	for rival in $rivals; do
		regbench "$rival" | sed -n 's/^regbench: \(hpet_co[a-z]*\) cycles=\([0-9]*\).*/\1 \2/p' >"$dir/lines"
		[ -s "$dir/lines" ] || { echo "bench_page: round $round: $rival said nothing:"; tail -n 5 "$dir/log"; continue; }
		while read -r reg cycles; do
			echo $((cycles * 1000 / mhz)) >>"$dir/$rival.$reg"
		done <"$dir/lines"
	done
done
for reg in hpet_counter hpet_configuration; do
	for rival in $rivals; do
		[ -s "$dir/$rival.$reg" ] || continue
		sort -n "$dir/$rival.$reg" | awk -v name="$reg $rival" '{v[NR] = $1} END {printf "bench_page: %s: %d ns (%d..%d)\n", name, v[int((NR + 1) / 2)], v[1], v[NR]}'
	done
done
