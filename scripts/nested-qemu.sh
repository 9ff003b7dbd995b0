#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# nested-qemu.sh: the QEMU under the nested bed: the distribution's own source, of the version that is installed,
# with tests/nested/qemu.patch, without which its VMRUN delivers an interrupt twice now and then (docs/testing.md). Only what
# the bed needs is built, once for each version and patch (some four minutes), under build/nested-qemu, and not installed.
# Called by scripts/nested.sh and the Makefile (nested-qemu). The last line is its path. Status 77 with a last line that
# says why: it cannot be done here.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
build=${BUILD:-build}
store=$(realpath -m "$build/nested-qemu")
patch=$(realpath tests/nested/qemu.patch)
qemu=$store/qemu-system-x86_64

die() {
	echo "nested-qemu: $*" >&2
	exit 2
}

. scripts/download.sh

# APT with a state of its own, in which the distribution's repositories are those of source packages. The
# host's lists stay what they are.
apt_source() {
	apt-get -o Dir::Etc::SourceList="$store/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$store/apt/lists" \
		-o Dir::Cache="$store/apt/cache" -o Acquire::Languages=none "$@"
}

get_source() { # VERSION
	mkdir -p "$store/apt/lists/partial" "$store/apt/cache/archives/partial"
	apt-get indextargets --format '$(ORIGIN) deb-src $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 2>/dev/null |
		sed -nE 's/^(Debian|Ubuntu) //p' | sort -u >"$store/apt/sources.list"
	[ -s "$store/apt/sources.list" ] || skip "needs a repository of Debian's or Ubuntu's in APT's lists, for QEMU's source"
	(cd "$store" && { apt_source -qq update && apt_source -qq source --download-only "qemu=$1"; } >"$store/download.log" 2>&1) ||
		skip "needs QEMU's source package of version $1, which apt-get cannot download here: $(tail -n 1 "$store/download.log")"
	dpkg-source -x "$store"/qemu_*.dsc "$store/source" >"$store/download.log" 2>&1 ||
		die "cannot unpack QEMU's source: $(tail -n 1 "$store/download.log")"
}

build_it() {
	patch -s -p1 -d "$store/source" <"$patch" >"$store/build.log" 2>&1 || die "tests/nested/qemu.patch, for QEMU 7.2, does not apply to QEMU $1"
	mkdir "$store/objects"
	(cd "$store/objects" && ../source/configure --target-list=x86_64-softmmu --without-default-features --enable-tcg --disable-docs --disable-tools --disable-debug-info \
		--firmwarepath=/usr/share/qemu:/usr/share/seabios && nice ninja qemu-system-x86_64) >>"$store/build.log" 2>&1 ||
		{ tail -n 20 "$store/build.log" >&2; die "QEMU $1 does not build; all it said is in $store/build.log"; }
	# beside its objects it would look for its firmware among them
	mv "$store/objects/qemu-system-x86_64" "$qemu" || die "there is no QEMU"
	rm -rf "$store/source" "$store/objects" "$store/apt" "$store"/qemu_*
}

version=$(dpkg-query -W -f '${source:Version}' qemu-system-x86 2>/dev/null) || skip "needs Debian's package qemu-system-x86"
for tool in gcc patch dpkg-source meson ninja pkg-config flock; do
	command -v "$tool" >/dev/null || skip "needs $tool (scripts/setup.sh check)"
done
mkdir -p "$store"
exec 7>"$store/lock"
flock 7
of="$version $(sha256sum <"$patch")"
if [ ! -x "$qemu" ] || [ "$(cat "$store/of" 2>/dev/null)" != "$of" ]; then
	echo "nested-qemu: QEMU $version is built with tests/nested/qemu.patch, once" >&2
	rm -rf "$store/of" "$store/source" "$store/objects" "$store"/qemu_*
	get_source "$version"
	build_it "$version"
	echo "$of" >"$store/of"
fi
echo "$qemu"
