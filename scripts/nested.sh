#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# nested.sh check|shell|run COMMAND...|package: the nested bed: a stock Debian kernel with its own kvm_amd inside QEMU's TCG, which
# emulates SVM and nested paging. So hotreg meets KVM's true behaviour on any machine, with no right to anything.
# Time there is counted in instructions (-icount, 4 ns each), so that no load on the host changes what a test sees. The QEMU is the
# installed one's source with one mend (scripts/nested-qemu.sh, which builds it once), or the installed one where that cannot
# be; with a TCG thread for each processor the kernel would trip over its own code patching.
#
#   check [LIST]  the tests of tests/nested/list.txt (or LIST), by tests/nested/init.sh inside; one line of counts. Where
#                 /dev/kvm is the real thing (hotreg doctor's self-test), they run on it directly
#   shell         a shell in there, on this terminal; ctrl-a x leaves
#   run COMMAND   one shell command in there, with the guests of the list NESTED_LIST, if any
#
# The kernel, its modules, busybox and memtest86+ come with `apt-get download`, are unpacked under build/nested and never
# installed. NESTED_KVM_KO is a kvm.ko in place of the kernel's own, NESTED_KERNEL a directory with another kernel for the bed
# (vmlinuz, irqbypass.ko, kvm.ko, kvm-amd.ko), NESTED_QEMU another QEMU under it, NESTED_BED a
# directory for this run, so that several can go at once, NESTED_ICOUNT another time for an instruction (QEMU's -icount).
# NESTED_LIMIT is how many seconds of the bed's time a test may take, NESTED_SECONDS how many of ours all of them.
# `package` only says which kernel it is. Status 77 with a last line that says why: it cannot run here.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
build=${BUILD:-build}
store=$build/nested # what has been downloaded, for every run
bed=${NESTED_BED:-$store}
cpus=${NESTED_CPUS:-2}
memory=${NESTED_MEMORY:-2G}
seconds=${NESTED_SECONDS:-1000}
list=${NESTED_LIST:-}
qemu=${NESTED_QEMU:-}

die() {
	echo "nested: $*" >&2
	exit 2
}

. scripts/download.sh
. scripts/nested-guests.sh

# The newest of the stock cloud kernels, as Debian's package lists have them; without lists the one that is there.
kernel_package() {
	apt-cache search --names-only '^linux-image-[0-9][^ ]*-cloud-amd64-unsigned$' 2>/dev/null | cut -d' ' -f1 | sort -V | tail -n 1 | grep . ||
		cat "$store/kernel" 2>/dev/null
}

# What every run shares; one at a time.
fetch() {
	mkdir -p "$store"
	exec 8>"$store.lock"
	flock 8
	if [ -e "$store/kernel" ] && [ "$(cat "$store/kernel")" != "$1" ]; then
		rm -rf "$store"
		mkdir -p "$store"
	fi
	download "$1"
	download busybox-static
	(download memtest86+) >/dev/null || true # its rows say so where it is not there
	echo "$1" >"$store/kernel"
	exec 8>&-
}

# with_libs FILE...: programs into the initramfs, with the libraries that they load.
with_libs() {
	local program lib
	for program in "$@"; do
		install -D "$program" "$bed/initramfs/$program"
		for lib in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*'); do
			[ -e "$bed/initramfs/$lib" ] || install -D "$lib" "$bed/initramfs/$lib"
		done
	done
}

# The kernel of bed and guests is in $store afterwards, $release is its release.
get_kernel() {
	local kernel_pkg
	kernel_pkg=$(kernel_package)
	[ -n "$kernel_pkg" ] || { apt-get -qq update >/dev/null 2>&1; kernel_pkg=$(kernel_package); }
	[ -n "$kernel_pkg" ] || skip "needs a linux-image-*-cloud-amd64-unsigned package, which the package lists do not have"
	fetch "$kernel_pkg"
	mkdir -p "$bed"
	release=$(ls "$store/root/lib/modules")
}

prepare() {
	local module root=$store/root
	command -v "${qemu:-qemu-system-x86_64}" >/dev/null || skip "needs ${qemu:-qemu-system-x86_64} (Debian: qemu-system-x86)"
	get_kernel
	make_guest "" "$store/root" "$build/guest"
	get_guests
	[ -n "$qemu" ] || qemu=$(BUILD="$build" scripts/nested-qemu.sh) || {
		echo "nested: the bed has the installed QEMU, whose VMRUN may deliver an interrupt twice: ${qemu:-the other cannot be built}" >&2
		qemu=qemu-system-x86_64
	}
	rm -rf "$bed/initramfs"
	mkdir -p "$bed/initramfs"/{bin,dev,proc,sys,tmp,modules,hotreg}
	cp "$root/bin/busybox" "$bed/initramfs/bin/"
	for module in virt/lib/irqbypass arch/x86/kvm/kvm arch/x86/kvm/kvm-amd; do
		[ -z "${NESTED_KERNEL:-}" ] || { cp "$NESTED_KERNEL/${module##*/}.ko" "$bed/initramfs/modules/" || die "no modules in $NESTED_KERNEL"; continue; }
		xz -dc "$root/lib/modules/$release/kernel/$module.ko.xz" >"$bed/initramfs/modules/${module##*/}.ko" ||
			die "cannot unpack the module $module"
	done
	[ -z "${NESTED_KVM_KO:-}" ] || cp "$NESTED_KVM_KO" "$bed/initramfs/modules/kvm.ko" || die "cannot copy $NESTED_KVM_KO"
	with_libs /bin/bash "$(command -v jq)" "$(command -v timeout)" /usr/bin/env ${NESTED_PROGRAMS:-}
	for f in ${NESTED_PATHS:-}; do
		cp -r --parents "$f" "$bed/initramfs/"
	done
	cp tests/nested/init.sh "$bed/initramfs/init"
	for f in $(cat "${NESTED_FILES:-tests/nested/files.txt}"); do
		f=${f/#build/$build}
		[ -e "$f" ] || die "$f is missing: make all tests guests"
		if file_is_program "$f"; then
			with_libs "$f"
			install -D "$f" "$bed/initramfs/hotreg/${f/#$build/build}"
			rm "$bed/initramfs/$f"
		else
			install -D "$f" "$bed/initramfs/hotreg/${f/#$build/build}"
		fi
	done
	[ ! -d /usr/share/seabios ] || cp -r --parents /usr/share/seabios "$bed/initramfs/"
	cp "$bed/vmlinuz" "$bed/guest.gz" "$bed/initramfs/hotreg/"
	for f in $(guest_names); do
		cp "$bed/why-$f" "$bed/initramfs/hotreg/" 2>/dev/null || cp "$bed/vmlinuz-$f" "$bed/guest.gz-$f" "$bed/initramfs/hotreg/"
	done
	cp "$root/boot/"memtest86+{x64,ia32}.bin "$bed/initramfs/hotreg/" 2>/dev/null
}

file_is_program() {
	[ -x "$1" ] && [ "$(head -c 4 "$1" | tail -c 3)" = ELF ] && ldd "$1" >/dev/null 2>&1
}

pack() { # DIRECTORY OUT
	local busybox
	busybox=$(realpath "$store/root/bin/busybox")
	(cd "$1" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc 2>/dev/null) | gzip -1 >"$2"
	[ "${PIPESTATUS[*]}" = "0 0" ] || die "cannot pack the initramfs"
}

# bed KERNEL-WORDS: boots it on this terminal; status 0 when init said so.
boot() {
	timeout -k 10 "$seconds" "$qemu" -accel tcg -icount "${NESTED_ICOUNT:-shift=2,sleep=off}" -rtc clock=vm -machine pc -cpu EPYC,svm=on,npt=on -smp "$cpus" -m "$memory" \
		-nodefaults -display none -no-reboot -device isa-debug-exit,iobase=0xf4,iosize=1 \
		-kernel "${NESTED_KERNEL:-$bed}/vmlinuz" -initrd "$bed/initrd.gz" \
		-append "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable hotreg.limit=${NESTED_LIMIT:-600} $1" "${@:2}"
}

case ${1:-check} in
package)
	kernel_package
	;;
check)
	list=${2:-tests/nested/list.txt}
	if [ -z "${NESTED_KVM_KO:-}${NESTED_KERNEL:-}" ] && "$build/hotreg" doctor | grep -q '^  32-bit paging  *works'; then
		echo "nested: /dev/kvm here is the real thing, so its tests run on it directly"
		(get_kernel && make_guest "" "$store/root" "$build/guest" && get_guests) # without it the Linux guests are skipped by name
		exec env BUILD="$build" OUT="$bed/check" LINUX="$bed/vmlinuz" LINUX_INITRD="$bed/guest.gz" scripts/check.sh "$list" 1
	fi
	prepare
	cp "$list" "$bed/initramfs/hotreg/list.txt"
	pack "$bed/initramfs" "$bed/initrd.gz"
	boot "hotreg.do=check" -serial stdio </dev/null 2>"$bed/qemu.log" | stdbuf -oL tr -d '\r' | tee "$bed/console.log" |
		grep --line-buffered -aE '^(-- |   \[  |     |nested: )'
	line=$(grep -aE '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$' "$bed/console.log") || {
		grep -v "TCG doesn't support" "$bed/qemu.log" | tail -n 5
		tail -n 8 "$bed/console.log"
		under_way=$(sed -n 's/^begin //p' "$bed/console.log" | tail -n 1)
		die "the bed ended before its tests did, in ${under_way:-its start}"
	}
	if [[ $line != *" 0 failed, "* ]]; then
		echo "nested: what failed, again:"
		grep -aA 8 -E '^-- nested .*: FAILED' "$bed/console.log" | tail -n 10
		echo "$line"
		exit 1
	fi
	echo "$line"
	;;
shell)
	prepare
	pack "$bed/initramfs" "$bed/initrd.gz"
	seconds=0 boot "hotreg.do=shell" -serial mon:stdio
	;;
run)
	shift
	prepare
	echo "$*" >"$bed/initramfs/hotreg/command"
	pack "$bed/initramfs" "$bed/initrd.gz"
	boot "hotreg.do=run" -serial stdio </dev/null 2>"$bed/qemu.log" | stdbuf -oL tr -d '\r' | tee "$bed/console.log" | sed -n '/^nested: begin$/,/^nested: end /p' |
		grep -av '^nested: begin$' | grep -av '^nested: end '
	status=$(sed -n 's/^nested: end \([0-9]*\)$/\1/p' "$bed/console.log")
	[ -n "$status" ] || { tail -n 20 "$bed/console.log"; die "the bed ended before the command did"; }
	exit "$status"
	;;
*)
	die "usage: scripts/nested.sh check [LIST] | shell | run COMMAND | package"
	;;
esac
