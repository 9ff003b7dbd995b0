#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# bench.sh: everything that docs/performance.md publishes, measured in one run on this host:
#   1. regbench under hotreg on KVM (off, on) and under QEMU with KVM where it is installed: the same image,
#      taken in turn REPEAT times; cycles of an access and its ratio to the floor of the same round;
#   2. the VMM-side cost of one access, model against program (tests/bench/bench_access.c);
#   3. programs by themselves: interpreter, JIT, and the same C from gcc (tests/bench/bench_jit.c);
#   4. start-up: process start to the first guest instruction, and peak resident memory.
# Medians with the 10th and 90th percentiles. REPEAT (5), ROUNDS (21) and READS (256) can be set.
set -u
build=${BUILD:-build}
hotreg=$build/hotreg
out=$build/bench
repeat=${REPEAT:-5}
args="rounds=${ROUNDS:-21} reads=${READS:-256}"
rm -rf "$out"
mkdir -p "$out"

echo "# hotreg bench, $(date -u +%Y-%m-%d), $(uname -sr), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "# compiler: $(${CC:-gcc} --version | head -n 1)"

# Medians over the repeats: NAME, then for each column the median of the column's values.
medians() { # FILES...: "name cycles ratio" lines
	awk '{ k = $1; if (!(k in n)) order[++m] = k; n[k]++; c[k, n[k]] = $2; r[k, n[k]] = $3 }
	function med(a, k, cnt,   i, j, t, v) {
		for (i = 1; i <= cnt; i++) v[i] = a[k, i]
		for (i = 2; i <= cnt; i++) for (j = i; j > 1 && v[j - 1] > v[j]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
		lo = v[1]; hi = v[cnt]
		return v[int((cnt + 1) / 2)]
	}
	END { for (i = 1; i <= m; i++) { k = order[i]; cm = med(c, k, n[k]); rm = med(r, k, n[k])
		printf "%s\t%d\t%s\t%s..%s\n", k, cm, rm, lo, hi } }' "$@"
}

lines() { # regbench output -> "name cycles ratio"
	sed -n 's/^regbench: \([a-z0-9_]*\) cycles=\([0-9]*\).*/\1 \2 &/p' |
		awk '{ r = "-"; for (i = 3; i <= NF; i++) if ($i ~ /^ratio_permille=/) { sub(/.*=/, "", $i); r = $i / 1000 } print $1, $2, r }'
}

if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	qemu=$(command -v qemu-system-x86_64)
	for _ in $(seq "$repeat"); do
		for mode in off on; do
			"$hotreg" run --cpu kvm --accel $mode --kernel "$build/guest/regbench.elf" --append "$args" --vga std \
				--disk "$build/guest/grub.img,ro" --serial none --debugcon "$out/regbench.txt" \
				>"$out/regbench.log" 2>&1 </dev/null
			[ $? = 1 ] || { echo "bench: regbench failed under hotreg --accel $mode:"; tail -n 5 "$out/regbench.log"; exit 1; }
			lines <"$out/regbench.txt" >>"$out/hotreg-$mode"
		done
		[ -n "$qemu" ] || continue
		for irqchip in on off; do
			"$qemu" -accel kvm -machine "pc,kernel-irqchip=$irqchip" -m 64 -nodefaults -display none -device isa-vga \
				-debugcon "file:$out/regbench.txt" -device isa-debug-exit,iobase=0xf4,iosize=4 \
				-drive "file=$build/guest/grub.img,format=raw,if=ide,snapshot=on" \
				-kernel "$build/guest/regbench.elf" -append "$args" >"$out/qemu.log" 2>&1 </dev/null
			[ $? = 1 ] || { echo "bench: regbench failed under QEMU:"; tail -n 5 "$out/qemu.log"; exit 1; }
			lines <"$out/regbench.txt" >>"$out/qemu-$irqchip"
		done
	done
	for f in hotreg-off hotreg-on qemu-on qemu-off; do
		[ -f "$out/$f" ] && medians "$out/$f" >"$out/$f.tsv"
	done
	echo
	echo "## regbench on KVM: cycles of one access (ratio to its floor; lowest..highest of $repeat runs' medians)"
	echo
	if [ -n "$qemu" ]; then
		echo "| register | hotreg off | hotreg on | $("$qemu" --version | sed -n 's/.*version \([0-9.]*\).*/QEMU \1/p') | the same, kernel-irqchip=off |"
		echo "|---|---|---|---|---|"
		files="hotreg-off hotreg-on qemu-on qemu-off"
	else
		echo "(QEMU is not installed: no rival in this run)"
		echo "| register | hotreg off | hotreg on |"
		echo "|---|---|---|"
		files="hotreg-off hotreg-on"
	fi
	cut -f1 "$out/hotreg-on.tsv" | while read -r name; do
		row="| $name"
		for f in $files; do
			row="$row | $(awk -F'\t' -v n="$name" '$1 == n { printf "%d", $2; if ($3 != "-") printf " (%.3f; %s)", $3, $4 }' "$out/$f.tsv")"
		done
		echo "$row |"
	done
	echo
	echo "## KVM exits for one operation (tests/guest/exits.sh; with acceleration, then without)"
	echo
	tests/guest/exits.sh on || exit 1
	echo
	tests/guest/exits.sh off || exit 1
else
	echo
	echo "(no usable /dev/kvm: regbench and start-up are not measured)"
fi

# Accesses of a boot on the software CPU, and who answered them.
boot_share() { # NAME ARGS...
	local name=$1
	shift
	"$hotreg" run --cpu soft --accel on --quiet --stats="$out/boot.json" --timeout 600 "$@" >/dev/null 2>&1 </dev/null
	jq -r --arg name "$name" '[.registers[] | {n: (.range + " " + .name), u: (.read.unclaimed + .write.unclaimed),
		a: (.read.accesses + .write.accesses), w: (.read.answered + .write.answered)}] |
		(map(.a - .u) | add) as $all | (map(.w) | add) as $answered |
		"| \($name) | \($all) | \($answered) (\($answered * 1000 / $all | floor / 10) %) | " +
		(map(select(.u == 0 and .a > .w)) | sort_by(.w - .a) | .[0:8] | map("\(.n) \(.a - .w)") | join(", ")) + " |"' "$out/boot.json"
}
echo
echo "## boots: accesses to devices, and those answered by programs (software CPU)"
echo
echo "| boot | accesses to devices | answered | the rest, by register |"
echo "|---|---|---|---|"
cp "$build/guest/bootsect.img" "$out/boot.img"
boot_share "SeaBIOS to a boot sector" --disk "$out/boot.img" --serial none
boot_share "GRUB, MD5 of a file" --disk "$build/guest/grub.img,ro" --serial /dev/null

echo
echo "## VMM-side cost of one access (no CPU)"
echo
"$build/tests/bench/bench_access" "$build/guest/grub.img" 31 || exit 1

echo
echo "## programs by themselves: interpreter, JIT, and the same C from gcc"
echo
"$build/tests/bench/bench_jit" "$build/tests/bench/kernels.bpf.o" 101 || exit 1

echo
echo "## a pass of the page tier's publisher"
echo
"$build/tests/bench/bench_page" 51 || exit 1

if [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
	echo
	echo "## start-up (flat kernel, KVM, 64 MiB, $((repeat * 4)) starts)"
	echo
	# A guest of two instructions: out 0xf4, al = 0.
	printf '\260\000\346\364\364' >"$out/tiny.bin"
	printf '\364\353\375' >"$out/halt.bin" # hlt; jmp to it
	for _ in $(seq $((repeat * 4))); do
		"$hotreg" run --cpu kvm --kernel "$out/tiny.bin" --serial none --stats="$out/tiny.json" >/dev/null 2>&1 </dev/null
		jq -r '.startup_ns / 1e6' "$out/tiny.json" >"$out/t"
		# A guest that only halts; the peak of the whole process, which touches next to no guest RAM.
		"$hotreg" run --cpu kvm --kernel "$out/halt.bin" --serial none >/dev/null 2>&1 </dev/null &
		pid=$!
		sleep 0.3
		awk '/^VmHWM/ { print $2 / 1024 }' /proc/$pid/status >"$out/m"
		kill $pid
		wait $pid
		paste -d' ' "$out/t" "$out/m" >>"$out/startup"
	done
	awk '{ t[NR] = $1; m[NR] = $2 }
	function pick(a, q,   i, j, x) { for (i = 2; i <= NR; i++) for (j = i; j > 1 && a[j - 1] > a[j]; j--) { x = a[j]; a[j] = a[j - 1]; a[j - 1] = x }
		return a[int((NR - 1) * q) + 1] }
	END { printf "| | median | p10..p90 |\n|---|---|---|\n"
		printf "| process start to first guest instruction, ms | %.1f | %.1f..%.1f |\n", pick(t, .5), pick(t, .1), pick(t, .9)
		printf "| peak resident memory, the little guest RAM it touched included, MiB | %.1f | %.1f..%.1f |\n", pick(m, .5), pick(m, .1), pick(m, .9) }' "$out/startup"
fi
