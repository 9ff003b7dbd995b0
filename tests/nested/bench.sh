#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# bench.sh ROUNDS [CPUS...]: with so many vCPUs (1 and 4), in the nested bed (make bench-nested), where KVM is the true one and QEMU is there too, hotreg and QEMU in turn:
# Linux from the start of the process to its init, the memory that takes beyond the guest's RAM, and how often its clocks can be read in
# a second, and an address that nobody claims.
# Time there is counted in instructions, and the bed's processors take turns: a publisher of the page tier would take half of it, so
# there is none (--page off). A QEMU that hangs, as it does in a bed whose own QEMU is not mended (scripts/nested-qemu.sh), is tried
# once more, and then has no figures.
set -u
rounds=${1:-3}
numbers=${*:2}
numbers=${numbers:-1 4}
dir=$(mktemp -d)
line="console=ttyS0 panic=-1 nokaslr mitigations=off noxsave quiet tsc=reliable"
ram_kb=393216
declare -A hung

# vm RIVAL CPUS WORDS: the guest's console on stdout. KVM on SVM sets TSC_AUX again at each return to userspace from a guest whose
# TSC_AUX is not the processor's, some 135 instructions: a single vCPU, whose is 0, stays on processor 0, where no return does.
vm() {
	local pin=
	[ "$2" != 1 ] || pin="taskset 1"
	if [ "$1" = QEMU ]; then
		$pin timeout -k 5 60 qemu-system-x86_64 -accel kvm -machine pc,hpet=on -cpu host -smp "$2" -m 384 -nodefaults -display none -no-reboot -serial stdio \
			-kernel vmlinuz -initrd guest.gz -append "$line $3"
	else
		$pin timeout -k 5 60 build/hotreg run --cpu kvm --accel "$1" --page off --cpus "$2" --kernel vmlinuz --initrd guest.gz --mem 384M --serial stdio \
			--append "$line $3"
	fi </dev/null 2>"$dir/err"
}

now() { # ms
	read -r up _ </proc/uptime
	echo $((${up/./} * 10))
}

# What is resident but for the guest's RAM, kB: of the mapping that is large enough to hold it only what exceeds it counts.
beyond() { # PID
	awk -v ram=$ram_kb '/^Size:/ {size = $2} /^Rss:/ {over = size - ram; sum += over < 0 ? $2 : over < $2 ? over : $2} END {print sum}' "/proc/$1/smaps"
}

median() {
	sort -n | awk '{v[NR] = $1} END {if (NR) printf "%s (%s..%s)", v[int((NR + 1) / 2)], v[1], v[NR]; else printf "-"}'
}

once() { # RIVAL CPUS: status 1 when it hung, or when the guest panicked and booted again
	local start program=hotreg
	[ "$1" = QEMU ] && program=qemu-system-x86_64
	: >"$dir/out"
	start=$(now)
	vm "$1" "$2" do=bench | tr -d '\r' >"$dir/out" &
	while ! grep -aq '^guest: init reached' "$dir/out" && kill -0 $! 2>/dev/null; do sleep 0.02; done
	boot=$(($(now) - start))
	memory=$(beyond "$(pidof $program)" 2>/dev/null)
	wait
	! grep -aq "the guest resets the machine" "$dir/err" && grep -aq "^guest: init reached, $2 cpus" "$dir/out" && grep -aq '^guest: bench acpi_pm: [1-9]' "$dir/out"
}

for round in $(seq "$rounds"); do
	for rival in QEMU on off; do
		for cpus in $numbers; do
			[ "${hung[$cpus]:-0}" -lt 2 ] || [ $rival != QEMU ] || continue
			if ! once $rival $cpus; then
				echo "round $round, $rival, $cpus vCPUs: did not come to its end after $boot ms; its last lines:"
				tail -qn 40 "$dir/out" "$dir/err"
				[ $rival = QEMU ] || exit 1
				hung[$cpus]=$((${hung[$cpus]:-0} + 1))
				continue
			fi
			echo "$boot" >>"$dir/boot.$rival.$cpus"
			echo "$memory" >>"$dir/memory.$rival.$cpus"
			for what in hpet acpi_pm hole; do
				sed -nE "s/^guest: bench $what: ([0-9]+) calls.*/\1/p" "$dir/out" >>"$dir/$what.$rival.$cpus"
			done
			echo "round $round, $rival, $cpus vCPUs: init after $boot ms, $memory kB, $(sed -nE 's/^guest: bench ([a-z_]+: [0-9]+) calls.*/\1/p' "$dir/out" | tr '\n' ' ')"
		done
	done
done

# Round by round; none where a round of QEMU's is missing.
ratio() { # FILE
	[ "$(wc -l <"$dir/$1.on.$cpus")" = "$(cat "$dir/$1.QEMU.$cpus" 2>/dev/null | wc -l)" ] || { echo -; return; }
	paste "$dir/$1.on.$cpus" "$dir/$1.QEMU.$cpus" | awk '{printf "%.3f\n", $1 / $2}' | median
}
row() { # FILE TEXT
	echo "| $2 | $(median <"$dir/$1.off.$cpus") | $(median <"$dir/$1.on.$cpus") | $(cat "$dir/$1.QEMU.$cpus" 2>/dev/null | median) | $(ratio "$1") |"
}
for cpus in "${!hung[@]}"; do
	echo "with $cpus vCPUs QEMU hung ${hung[$cpus]} times"
done
echo "| | hotreg off | hotreg on | QEMU | on to QEMU |"
echo "|---|---|---|---|---|"
for cpus in $numbers; do
	row boot "start to init, $cpus vCPUs, ms"
	row memory "resident beyond guest RAM, $cpus vCPUs, kB"
	for what in hpet acpi_pm hole; do
		row $what "$what, $cpus vCPUs, calls in a second"
	done
done
