#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# setup.sh: makes sure that what the build, the tests and the demo need is installed (Debian, Ubuntu).
# As root or through sudo it installs with apt; where there is neither it prints the one line to run.
# Called by the Makefile; quick when nothing is missing. `setup.sh build|demo|check` says how much is needed.
set -eu

build="gcc make clang llvm libbpf-dev libelf-dev zlib1g-dev libx86emu-dev libjansson-dev pkg-config binutils libc6-dev"
demo="seabios grub-pc-bin grub-common jq"
check="libcmocka-dev libclang-rt-dev qemu-system-x86 spin clang-format groff-base xz-utils acpica-tools"
# what the nested bed's own QEMU is built with (scripts/nested-qemu.sh)
qemu="dpkg-dev libglib2.0-dev libpixman-1-dev libfdt-dev meson ninja-build"

want="$build"
case "${1:-check}" in
build) ;;
demo) want="$build $demo" ;;
check) want="$build $demo $check $qemu" ;;
*) echo "setup.sh: usage: setup.sh build|demo|check" >&2; exit 2 ;;
esac

# The sanitizer runtime that libFuzzer needs is named after clang's version.
clang_rt() {
	v=$(clang --version 2>/dev/null | sed -n 's/.*clang version \([0-9]*\).*/\1/p')
	[ -n "$v" ] || v=$(apt-cache depends clang 2>/dev/null | sed -n 's/.*Depends: clang-\([0-9]*\).*/\1/p' | head -n 1)
	echo "libclang-rt-${v:-14}-dev"
}

have() { dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'install ok installed'; }

if ! command -v dpkg-query >/dev/null 2>&1; then
	echo "setup: this is no Debian or Ubuntu; please install the equivalents of: $want" >&2
	exit 0
fi

missing=""
for p in $want; do
	if [ "$p" = libclang-rt-dev ]; then
		p=$(clang_rt)
		# clang 13 and older carry the runtime in libclang-common
		[ "${p#libclang-rt-1[0-3]}" = "$p" ] || continue
	fi
	have "$p" || missing="$missing $p"
done
[ -n "$missing" ] || exit 0

line="apt-get update && apt-get install -y --no-install-recommends$missing"
if [ "$(id -u)" = 0 ]; then
	run=""
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
	run="sudo"
else
	echo "setup: missing:$missing" >&2
	echo "setup: neither root nor sudo here; run this as root, then try again:" >&2
	echo "  $line" >&2
	exit 2
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! $run apt-get update >"$log" 2>&1; then
	tail -n 3 "$log" >&2
	echo "setup: warning: apt-get update failed, going on with the package lists that are here" >&2
fi
# shellcheck disable=SC2086  # a list of words on purpose
if ! $run env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $missing >"$log" 2>&1; then
	tail -n 15 "$log" >&2
	echo "setup: installing failed (see above); run by hand: $line" >&2
	exit 2
fi
