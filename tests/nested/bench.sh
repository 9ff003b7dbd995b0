#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# bench.sh ROUNDS: in the nested bed (make bench-nested), where KVM is the true one and QEMU is there too: Linux from the start of the
# process to its init, and how often its clocks can be read in a second, hotreg and QEMU in turn. Time there is counted in instructions.
set -u
rounds=${1:-3}
dir=$(mktemp -d)
line="console=ttyS0 panic=-1 nokaslr mitigations=off noxsave quiet tsc=reliable"

vm() { # RIVAL CPUS WORDS: the guest's console on stdout
	if [ "$1" = QEMU ]; then
		timeout 100 qemu-system-x86_64 -accel kvm -machine pc,hpet=on -cpu host -smp "$2" -m 384 -nodefaults -display none -no-reboot -serial stdio \
			-kernel vmlinuz -initrd guest.gz -append "$line $3"
	else
		timeout 100 build/hotreg run --cpu kvm --accel "$1" --cpus "$2" --kernel vmlinuz --initrd guest.gz --mem 384M --quiet --serial stdio \
			--append "$line $3"
	fi </dev/null 2>"$dir/err"
}

now() { # ms
	read -r up _ </proc/uptime
	echo $((${up/./} * 10))
}

median() {
	sort -n | awk '{v[NR] = $1} END {if (NR) printf "%s (%s..%s)", v[int((NR + 1) / 2)], v[1], v[NR]}'
}

for _ in $(seq "$rounds"); do
	for rival in on off QEMU; do
		for cpus in 1 4; do
			rm -f "$dir/out"
			start=$(now)
			vm $rival $cpus do=bench | tr -d '\r' >"$dir/out" &
			while ! grep -aq '^guest: init reached' "$dir/out" 2>/dev/null && kill -0 $! 2>/dev/null; do sleep 0.02; done
			echo $(($(now) - start)) >>"$dir/boot.$rival.$cpus"
			wait
			grep -a '^guest: ' "$dir/out" | sed "s/^/$rival: /"
			grep -aq "^guest: init reached, $cpus cpus" "$dir/out" || { echo "bench: $rival with $cpus cpus did not boot:"; tail -n 5 "$dir/out" "$dir/err"; exit 1; }
			for clock in hpet acpi_pm; do
				sed -nE "s/^guest: bench $clock: ([0-9]+) calls.*/\1/p" "$dir/out" >>"$dir/$clock.$rival.$cpus"
			done
		done
	done
done

echo "| | hotreg off | hotreg on | QEMU |"
echo "|---|---|---|---|"
for cpus in 1 4; do
	echo "| start to init, $cpus vCPUs, ms | $(median <"$dir/boot.off.$cpus") | $(median <"$dir/boot.on.$cpus") | $(median <"$dir/boot.QEMU.$cpus") |"
	for clock in hpet acpi_pm; do
		echo "| clocksource $clock, $cpus vCPUs, calls in a second | $(median <"$dir/$clock.off.$cpus") | $(median <"$dir/$clock.on.$cpus") | $(median <"$dir/$clock.QEMU.$cpus") |"
	done
done
