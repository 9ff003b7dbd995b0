#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# guests.sh TEST [CPU] [ACCEL]: one test with a guest. TEST is seabios, grub, vga, regbench, smp, page, page-smp, loaded, resets, fabric,
# intr, paging, paging_pae, v86, pic, spin, sipi, cpuid or wrong-program; CPU kvm or soft; ACCEL off, on, on=vmm, on=kernel or check. Status 0, or 77 with a last line that says why
# it is skipped. Called from tests/list.txt; HOTREG and BUILD (default build) can be set.
set -u
test=$1
cpu=${2:-kvm}
accel=${3:-on}
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

die() {
	echo "guests: $test $cpu $accel: $*"
	for f in "$dir"/*.txt; do [ -s "$f" ] && { echo "--- ${f##*/}:"; tail -c 2000 "$f"; }; done
	exit 1
}
skip() {
	echo "$*"
	exit 77
}

if [ "$cpu" = kvm ]; then
	[ -e /dev/kvm ] || skip "needs /dev/kvm, which is not there"
	[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip "needs /dev/kvm, which this user may not open"
fi

# run ARGS...: hotreg run with the chosen CPU and acceleration; its status is in $status.
run() {
	"$hotreg" run --cpu "$cpu" --accel "$accel" --stats="$dir/stats.json" "$@" >"$dir/out.txt" 2>"$dir/err.txt" </dev/null
	status=$?
}
want_status() {
	[ "$status" = "$1" ] || die "status $status instead of $1"
}
want() { # FILE TEXT
	grep -aqF -- "$2" "$1" || die "${1##*/} has no '$2'"
}

# With PAGE, a --page for hotreg, the HPET is a page, which must have been there; with TURNS too it comes and goes all the time:
# programs are taken away and put back. with_page ARGS...: run ARGS so.
with_page() {
	local turner= start
	[ "$accel" = check ] || [ -z "${PAGE:-}" ] || needs_page
	if [ -n "${TURNS:-}" ]; then
		(
			while sleep 0.3; do
				"$hotreg" ctl "$dir/qmp" prog detach hpet && "$hotreg" ctl "$dir/qmp" prog attach hpet
			done
		) >/dev/null 2>&1 &
		turner=$!
	fi
	start=${EPOCHREALTIME/./}
	run ${PAGE:+--page "$PAGE"} ${TURNS:+--qmp "unix:$dir/qmp"} "$@"
	took=$(((${EPOCHREALTIME/./} - start) * 1000)) # nanoseconds
	[ -z "$turner" ] || kill $turner
	[ -z "$turner" ] || wait $turner 2>/dev/null
}
needs_page() {
	"$hotreg" doctor >"$dir/doctor.log"
	grep -q "page tier *works" "$dir/doctor.log" || skip "$(sed -n 's/^ *page tier *no: \([^;]*\);.*/needs a page tier: \1/p' "$dir/doctor.log")"
}
# After the guest has said that all is well. SHARE: of its time, in per cent, for which the page must have been mapped.
want_page() {
	local mapped
	if [ "$accel" = check ]; then
		[ "$(jq '.check.divergences' "$dir/stats.json")" = 0 ] || die "check mode found divergences"
		[ "$(jq '.page_tier.pages[0].maps' "$dir/stats.json")" = 0 ] || die "a shadow was mapped"
	else
		[ "$(jq '.page_tier.pages[0].maps' "$dir/stats.json")" -gt 0 ] || die "the page was never mapped"
	fi
	mapped=$(jq ".page_tier.pages[0].mapped_ns / $took * 100 | floor" "$dir/stats.json")
	jq -r '.page_tier | "page: \(.pages[0].maps) turns, mapped for \(.pages[0].mapped_ns / 1000000 | floor) ms, '"$mapped"' % of the run, given up \(.pages[0].given_up) times, \(.passes) passes, longest change of the slot \(.pages[0].slot_max_ns / 1000 | floor) us"' "$dir/stats.json"
	[ "$mapped" -ge "${SHARE:-0}" ] || die "the page was mapped for $mapped % of the run, less than ${SHARE:-0} %"
}

# What acceleration did: with it off or checked nothing is answered, with it on something is.
want_answers() {
	[ "$(jq -r .cpu "$dir/stats.json")" = "$cpu" ] || die "did not run on $cpu"
	n=$(jq '[.registers[] | .read.answered + .write.answered] | add // 0' "$dir/stats.json") || die "stats are no JSON"
	case $accel in
	on | on=vmm) [ "$n" -gt 0 ] || die "no access was answered by a program" ;;
	on=kernel)
		n=$(jq '[.ranges[].kernel.answered // 0] | add' "$dir/stats.json")
		[ "$n" -gt 0 ] || die "no access was answered inside KVM"
		jq -r '.ranges[] | select(.not_kernel) | "  \(.range): not in the kernel: \(.not_kernel)"' "$dir/stats.json"
		;;
	off) [ "$n" = 0 ] || die "$n accesses answered by programs with --accel off" ;;
	check) [ "$(jq .check.divergences "$dir/stats.json")" = 0 ] || die "check mode found divergences" ;;
	esac
}

case $test in
seabios)
	cp "$build/guest/bootsect.img" "$dir/disk.img"
	run --disk "$dir/disk.img" --serial stdio --debugcon "$dir/debugcon.txt" --timeout 300
	want_status 33
	want "$dir/out.txt" "SeaBIOS"
	want "$dir/out.txt" "hotreg: boot sector reached"
	# it has found our tables where its own table loader put them
	grep -aqE '^table\(50434146\)=0x[0-9a-f]+ \(via xsdt\)' "$dir/debugcon.txt" || die "SeaBIOS found no FADT"
	want "$dir/debugcon.txt" "ACPI: parse DSDT at"
	want_answers
	;;
grub)
	run --disk "$build/guest/grub.img,ro" --serial "$dir/serial.txt" --timeout 1500
	want_status 0
	want "$dir/serial.txt" "hotreg-grub: start"
	want "$dir/serial.txt" "$(cat "$build/guest/grub.img.md5")  (ata0)2048+512"
	want "$dir/serial.txt" "hotreg-grub: done"
	want_answers
	;;
regbench)
	sum=$(dd if="$build/guest/grub.img" bs=512 skip=1 count=1 2>/dev/null | od -An -v -tu2 -w2 | awk '{n += $1} END {print n}')
	with_page --kernel "$build/guest/regbench.elf" --append "rounds=${ROUNDS:-3} reads=${READS:-64} sum=$sum" --disk "$build/guest/grub.img,ro" \
		--vga std --serial none --debugcon "$dir/debugcon.txt" --timeout "${SECONDS_MOST:-120}"
	want_status 1
	want "$dir/debugcon.txt" "regbench: counters ok, IDE status 00000050"
	want "$dir/debugcon.txt" "regbench: sector ok"
	want "$dir/debugcon.txt" "regbench: vga_status "
	want "$dir/debugcon.txt" "regbench: done"
	want_answers
	if [ -n "${PAGE:-}" ]; then
		grep -a ' hpet_' "$dir/debugcon.txt"
		want_page
	fi
	;;
vga)
	# Modes by the VGA BIOS: the text reaches the screen, and registers, pixels and font are as in QEMU's VGA, where
	# the same BIOS runs. One difference: with the CRTC at 0x3b4 the BIOS does not reset the attribute flip-flop, and
	# QEMU lets a palette register be written that the display has.
	run --disk "$build/guest/vga.img,ro" --serial none --debugcon "$dir/debugcon.txt" --timeout 300
	want_status 33
	want "$dir/out.txt" "   hotreg: a VGA"
	grep -axE '([0-9a-f]{2}){60,}|[0-9a-f]{4}' "$dir/debugcon.txt" >"$dir/registers.txt"
	[ "$(wc -l <"$dir/registers.txt")" = 8 ] || die "no 8 lines of registers"
	want_answers
	if command -v "${QEMU:-qemu-system-x86_64}" >/dev/null; then
		timeout 300 "${QEMU:-qemu-system-x86_64}" -machine pc,accel=tcg -display none -nodefaults -device isa-vga \
			-chardev file,id=d,path="$dir/qemu.out" -device isa-debugcon,iobase=0xe9,chardev=d \
			-device isa-debug-exit,iobase=0xf4,iosize=4 -drive file="$build/guest/vga.img",format=raw,snapshot=on \
			>"$dir/qemu.txt" 2>&1 </dev/null
		sed -E 's/^(0766.{78})20/\100/' "$dir/qemu.out" >"$dir/qemu_registers.txt"
		cmp -s "$dir/registers.txt" "$dir/qemu_registers.txt" || die "registers differ from QEMU's"
		echo "vga: 7 modes, their registers, palettes, pixels and the font as in QEMU"
	else
		echo "vga: not compared with QEMU, which is not there"
	fi
	;;
page | page-smp)
	# The HPET as a page, coming and going, whatever the publisher's luck is on this host. LINES_DUE and READS: how much, for
	# longer runs. With PAGE it comes and goes with TURNS only.
	cpus=1
	[ "$test" = page ] || cpus=2
	[ -n "${PAGE:-}" ] || TURNS=1
	PAGE=${PAGE:-on,gap=100000}
	with_page --cpus $cpus --kernel "$build/guest/page_hpet.elf" \
		--append "lines=${LINES_DUE:-200} reads=${READS:-200} cpu1=$((cpus - 1))" --serial none --debugcon "$dir/debugcon.txt" \
		--timeout "${SECONDS_MOST:-300}"
	want_status 1
	want "$dir/debugcon.txt" "page_hpet: ok"
	grep page_hpet: "$dir/debugcon.txt" | head -n 1
	want_page
	;;
loaded)
	# the form in which test kernels of other projects are started: a multiboot ELF32 file at 4 MiB, an environment as module
	printf 'KEY=value of a key\n' >"$dir/env"
	printf 'second\n' >"$dir/two"
	run --kernel "$build/guest/loaded.flat" --append "one 'two  three'" --cpus 1 --serial stdio --mem 96M \
		--initrd "$dir/env,$dir/two with=arguments" --timeout 60
	want_status 43
	want "$dir/out.txt" "loaded: multiboot"
	want "$dir/out.txt" "cmdline: $build/guest/loaded.flat one 'two  three'"
	want "$dir/out.txt" "memory: 96 MiB"
	want "$dir/out.txt" "module: $dir/env: KEY=value of a key"
	want "$dir/out.txt" "module: $dir/two with=arguments: second"
	want "$dir/out.txt" "rsdp: found"
	run --kernel "$build/guest/loaded_pvh.elf" --append "one 'two  three'" --serial stdio --mem 96M \
		--initrd "$dir/env,$dir/two with=arguments" --timeout 60
	want_status 43
	want "$dir/out.txt" "loaded: PVH version 1"
	grep -aqx "cmdline: one 'two  three'" "$dir/out.txt" || die "another command line"
	want "$dir/out.txt" "memory: 96 MiB"
	want "$dir/out.txt" "module: $dir/env: KEY=value of a key"
	want "$dir/out.txt" "module: $dir/two with=arguments: second"
	want "$dir/out.txt" "rsdp: found"
	;;
resets)
	run --kernel "$build/guest/resets.bin" --serial none --debugcon "$dir/debugcon.txt" --timeout 60
	want_status 67
	[ "$(cat "$dir/debugcon.txt")" = hkct ] || die "debug console instead of 'hkct': '$(cat "$dir/debugcon.txt")'"
	;;
smp)
	"$hotreg" doctor | grep -q "long mode *works" || skip "needs long mode, which this KVM does not do"
	with_page --cpus 2 --kernel "$build/guest/smp_hpet.elf" --append "epochs=${EPOCHS:-300} reads=${READS:-4}" --serial none \
		--debugcon "$dir/debugcon.txt" --timeout "${SECONDS_MOST:-200}"
	want_status 1
	want "$dir/debugcon.txt" "smp_hpet: ok"
	if [ -z "${PAGE:-}" ]; then
		want_answers
	else # whose reads programs do not answer
		grep -a smp_hpet: "$dir/debugcon.txt" | head -n 1
		want_page
	fi
	;;
intr | paging | paging_pae | v86)
	needs="INT n, protected"
	[[ $test = paging* ]] && needs="32-bit paging"
	"$hotreg" doctor | grep -q "$needs *works" || skip "needs $needs, which this KVM does not do"
	run --kernel "$build/guest/$test.elf" --append "tcg=${NESTED:-0}" --serial none --debugcon "$dir/debugcon.txt" --timeout 60
	want_status 1
	want "$dir/debugcon.txt" "$test: ok"
	want_answers
	;;
sipi)
	# CPUS is the number of vCPUs, 4 when it is not set.
	"$hotreg" doctor | grep -q "split irqchip *works" || skip "needs a split irqchip, which this KVM does not have"
	run --cpus "${CPUS:-4}" --kernel "$build/guest/sipi.elf" --append "cpus=${CPUS:-4}" --serial none \
		--debugcon "$dir/debugcon.txt" --timeout 120
	want_status 1
	want "$dir/debugcon.txt" "sipi: ok"
	want_answers
	;;
spin)
	# LIMIT_US: how late an interrupt may be; without a page, whose publisher wants a processor of its own. Then a guest that reads one
	# register and takes no interrupts can be ended.
	if [ "$cpu" = kvm ]; then
		"$hotreg" doctor | grep -q "INT n, protected *works" || skip "needs INT n, protected, which this KVM does not do"
	fi
	run --page off --kernel "$build/guest/spin.elf" --append "limit=${LIMIT_US:-5000}" --serial none --debugcon "$dir/debugcon.txt" --timeout 100
	want_status 1
	want "$dir/debugcon.txt" "spin: ok"
	want_answers
	grep '^spin: .*us late' "$dir/debugcon.txt"
	# counted from its first words: a kernel that looks for mistakes takes many seconds to load the programs
	rm "$dir/debugcon.txt"
	run --kernel "$build/guest/spin.elf" --append forever=1 --serial none --debugcon "$dir/debugcon.txt" --timeout 2 && exit "$status" &
	until grep -qs "spin: forever" "$dir/debugcon.txt" || ! kill -0 $! 2>/dev/null; do sleep 0.1; done
	began=$(date +%s)
	wait $!
	status=$?
	want_status 124
	want "$dir/debugcon.txt" "spin: forever"
	[ $(($(date +%s) - began)) -le 12 ] || die "it took $(($(date +%s) - began)) s to end it after 2"
	;;
pic)
	# MODEL is a CPU model: one without an APIC has the PIC alone, one with an APIC has it behind LINT0.
	if [ "$cpu" = kvm ]; then
		"$hotreg" doctor | grep -q "INT n, protected *works" || skip "needs INT n, protected, which this KVM does not do"
	fi
	run --testdev ${MODEL:+--cpu-model "$MODEL"} --kernel "$build/guest/pic.elf" --serial none --debugcon "$dir/debugcon.txt" --timeout 60
	want_status 1
	want "$dir/debugcon.txt" "pic: ok"
	want_answers
	;;
cpuid)
	# What a guest sees of its processor is the same in every mode, for the host's own and for models.
	told=0 exact=1
	"$hotreg" doctor | grep -q "CPUID as set *works" || exact=0
	for model in host "host,-x2apic,-pge" max 486,-vme pentium3,-vme pentium3,-vme,-apic qemu32 qemu64 kvm64,-vme EPYC,-vme; do
		for accel in off on check; do
			run --cpu-model "$model" --kernel "$build/guest/cpuid.elf" --serial none --debugcon "$dir/$accel.cpuid" --timeout 60
			grep -q "this host cannot give" "$dir/err.txt" && continue 2
			want_status 1
			want "$dir/$accel.cpuid" "cpuid: done"
		done
		cmp "$dir/off.cpuid" "$dir/on.cpuid" && cmp "$dir/off.cpuid" "$dir/check.cpuid" || die "$model: CPUID depends on --accel"
		features=$(sed -n 's/^00000001\.0 \(.*\)/\1/p' "$dir/off.cpuid")
		told=$((told + 1))
		[ $exact = 1 ] || continue
		case $model in # [AP485]: family, model, stepping; FPU PSE; and of the Pentium III all to SSE but the serial number
		486*) [[ $features == "00000480 "*" 80000000 00000009" ]] || die "486: $features" ;;
		pentium3*apic) [[ $features == "00000673 "*" 80000000 0383f9fd" ]] || die "$model: $features" ;;
		pentium3*) [[ $features =~ ^00000673\ .*\ 80000000\ 0383f[9b]fd$ ]] || die "pentium3: $features" ;;
		host,*) [ $((0x${features##* } >> 13 & 1)) = 0 ] || die "$model has PGE: $features" ;;
		esac
	done
	[ $told -ge 5 ] || die "only $told models run here"
	echo "cpuid: $told models the same with acceleration off, on and checked"
	[ $exact = 1 ] || echo "cpuid: features not compared with the models: this KVM does not hide what they have not"
	;;
fabric)
	# CPUS is the number of vCPUs, 4 when it is not set. A KVM without paging may end level-triggered interrupts too early.
	"$hotreg" doctor >"$dir/doctor.log"
	grep -q "long mode *works" "$dir/doctor.log" || skip "needs long mode, which this KVM does not do"
	grep -q "split irqchip *works" "$dir/doctor.log" || skip "needs a split irqchip, which this KVM does not have"
	early=1
	grep -q '^  32-bit paging  *works' "$dir/doctor.log" && early=0
	run --cpus "${CPUS:-4}" --testdev --kernel "$build/guest/fabric.elf" --append "cpus=${CPUS:-4} rounds=100 early=$early" \
		--serial none --debugcon "$dir/debugcon.txt" --timeout 200
	want_status 1
	want "$dir/debugcon.txt" "fabric: ok"
	want_answers
	;;
wrong-program)
	# The program is ahead by a tick now and then: check mode finds it, says where, counts the rest, status 4.
	accel=check
	sum=$(dd if="$build/guest/grub.img" bs=512 skip=1 count=1 2>/dev/null | od -An -v -tu2 -w2 | awk '{n += $1} END {print n}')
	run --kernel "$build/guest/regbench.elf" --append "rounds=3 reads=64 sum=$sum" --disk "$build/guest/grub.img,ro" \
		--serial none --debugcon "$dir/debugcon.txt" --timeout 120 --prog "hpet=$build/tests/prog/hpet_wrong.bpf.o"
	want_status 4
	want "$dir/err.txt" "hpet"
	want "$dir/err.txt" "0xfed000f0"
	want "$dir/debugcon.txt" "regbench: done" # the guest saw the model's answers
	[ "$(jq .check.divergences "$dir/stats.json")" -gt 1 ] || die "no divergences counted"
	;;
*)
	echo "guests.sh: unknown test '$test'"
	exit 2
	;;
esac
