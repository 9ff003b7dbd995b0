#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# kernel-tier.sh build [RELEASE] | check [LIST] | run COMMAND... | debug [LIST] | debug-run COMMAND...: KVM with the patches of
# accel/kernel/.
#
#   build [RELEASE]  kvm.ko for the running kernel (or RELEASE), which must be one of Debian's or Ubuntu's, from its own source
#                    package; says how to load it and never does. The last line is the path of the module.
#   check [LIST]     builds it for the kernel of the nested bed, then runs tests/nested/kernel-list.txt (or LIST) there
#   run COMMAND      one shell command there
#   debug [LIST], debug-run COMMAND
#                    the same on a kernel that looks for mistakes (accel/kernel/debug.config), which is built first
#
# Everything comes with `apt-get download`, is unpacked under build/kernel-tier, kept there, and nothing is installed. Status 77
# with a last line that says why: it cannot be done here. The same kernel and the same patches are built once.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 2
build=${BUILD:-build}
top=$(realpath -m "$build/kernel-tier")
patches=$(realpath accel/kernel)

die() {
	echo "kernel-tier: $*" >&2
	exit 1
}

. scripts/download.sh
. scripts/kernel-debug.sh

# What the headers of a release need to be built with, in the package's own words.
depends() { # PACKAGE PATTERN
	apt-cache depends "$1" 2>/dev/null | sed -n 's/^ *|\{0,1\}Depends: *//p' | grep -E "$2"
}

# The headers, and over them the source of KVM: a tree in which KVM alone can be built.
unpack() {
	local headers=linux-headers-$release common package store=$dir
	apt-cache show "$headers" >/dev/null 2>&1 || apt-get -qq update >/dev/null 2>&1
	apt-cache show "$headers" >/dev/null 2>&1 ||
		skip "needs the package $headers, which the package lists do not have: is $release a kernel of this distribution's?"
	for package in "$headers" $(depends "$headers" '^linux-(headers|kbuild)-'); do
		download "$package"
	done
	common=$(ls -d "$dir/root/usr/src/"linux-headers-*-common 2>/dev/null || ls -d "$dir/root/usr/src/linux-headers-${release%-*}")
	[ -d "$common" ] || die "the headers of $release are not where they are expected"
	echo "$common" >"$dir/common"
	# the same version of both, which the newest source need not be
	get_source "$(echo "$release" | sed -E 's/^([0-9]+\.[0-9]+).*/\1/')" "$(apt-cache show "$headers" | sed -n 's/^Version: //p' | head -n 1)"
	rm -rf "$common/arch/x86/kvm" "$common/virt/kvm"
	unpack_kvm "$common"
	sed -i "s|^include /.*|include $common/Makefile|" "$dir/root/usr/src/linux-headers-$release/Makefile"
	apply_series "$common" "$release"
}

# The package with the source of Linux VERSION, of release PACKAGE-VERSION: $source is its archive, which stays.
get_source() { # VERSION PACKAGE-VERSION
	local store=$top/source package=linux-source-$1
	apt-cache show "$package" >/dev/null 2>&1 || package=linux-source-$1.0
	download "$package=$2" "$store/$2"
	source=$(find "$store/$2/usr/src" -name 'linux-source-*.tar.*' | head -n 1)
	[ -n "$source" ] || die "$package has no source in it"
}

unpack_kvm() { # TREE: what the patches touch
	local name
	name=$(basename "${source%.tar.*}")
	tar -xf "$source" -C "$1" --strip-components=1 "$name/arch/x86/kvm" "$name/virt/kvm" "$name/include/uapi/linux/kvm.h" ||
		die "cannot unpack the source of KVM"
}

apply_series() { # TREE NAME
	local p
	for p in "$patches"/*.patch; do
		# of the series what is code
		(cd "$1" && grep -v '^-- $' "$p" | filter_code | patch -s -p1 --no-backup-if-mismatch) ||
			die "${p##*/} does not apply to $2: the series is for Linux 6.12"
	done
}

# Of a patch the files that the tree has a place for.
filter_code() {
	awk '/^diff --git /{keep = $3 ~ /^a\/(arch|virt|include)\//} keep'
}

module_of() { # RELEASE: builds $ko
	local log common
	release=$1
	dir=$top/$release
	ko=$dir/kvm.ko
	mkdir -p "$top"
	exec 7>"$top/lock"
	flock 7
	if [ -e "$ko" ] && [ "$(cat "$dir/of" 2>/dev/null)" = "$(cat "$patches"/*.patch | sha256sum)" ]; then
		exec 7>&-
		return
	fi
	for tool in gcc make apt-get dpkg patch awk xz flock; do
		command -v "$tool" >/dev/null || skip "needs $tool"
	done
	mkdir -p "$dir"
	rm -f "$dir/of"
	unpack
	common=$(cat "$dir/common")
	log=$dir/build.log
	# BTF of modules needs pahole, and KVM's is of no use here
	nice make -s -j"${KERNEL_TIER_JOBS:-1}" -C "$dir/root/usr/src/linux-headers-$release" M="$common/arch/x86/kvm" CC=gcc CROSS_COMPILE= \
		CONFIG_KVM_AMD= CONFIG_KVM_INTEL= CONFIG_DEBUG_INFO_BTF_MODULES= CONFIG_KVM_BPF_IODEV=y KCFLAGS=-DCONFIG_KVM_BPF_IODEV=1 \
		modules >"$log" 2>&1 || { tail -n 20 "$log"; die "KVM of $release does not build"; }
	strip --strip-debug -o "$ko" "$common/arch/x86/kvm/kvm.ko" || die "no module"
	find "$common" -name '*.o' -delete
	cat "$patches"/*.patch | sha256sum >"$dir/of"
	exec 7>&-
}

bed_release() {
	local package
	package=$(scripts/nested.sh package)
	[ -n "$package" ] || { apt-get -qq update >/dev/null 2>&1; package=$(scripts/nested.sh package); }
	[ -n "$package" ] || skip "needs a linux-image-*-cloud-amd64-unsigned package, which the package lists do not have"
	package=${package#linux-image-}
	echo "${package%-unsigned}"
}

in_bed() { # WORDS of nested.sh
	exec env BUILD="$build" NESTED_KVM_KO="${ko:-}" NESTED_BED="$top/bed" NESTED_FILES="${NESTED_FILES:-tests/nested/kernel-files.txt}" scripts/nested.sh "$@"
}

case ${1:-build} in
build)
	module_of "${2:-$(uname -r)}"
	cat <<EOT
Built for $release: KVM with the patches of accel/kernel/, beside which the distribution's kvm-intel and kvm-amd work as they
are. Nothing has been loaded. While no VM runs, as root, with kvm_amd in place of kvm_intel on AMD's processors:

    rmmod kvm_intel kvm && insmod $ko && modprobe kvm_intel

A kernel with Secure Boot takes only modules that are signed with a key it knows. Back: rmmod kvm_intel kvm; modprobe kvm_intel.
Then \`hotreg doctor\` shows the kernel tier, and \`hotreg run --accel on=kernel\` uses it.
$ko
EOT
	;;
check)
	command -v qemu-system-x86_64 >/dev/null || skip "needs qemu-system-x86_64 (Debian: qemu-system-x86)"
	release=$(bed_release) || { echo "$release"; exit 77; }
	module_of "$release"
	in_bed check "${2:-tests/nested/kernel-list.txt}"
	;;
run)
	shift
	release=$(bed_release) || { echo "$release"; exit 77; }
	module_of "$release"
	in_bed run "$@"
	;;
debug)
	debug_bed check "${2:-tests/nested/kernel-list.txt}"
	;;
debug-run)
	shift
	debug_bed run "$@"
	;;
*)
	die "usage: scripts/kernel-tier.sh build [RELEASE] | check [LIST] | run COMMAND | debug [LIST] | debug-run COMMAND"
	;;
esac
