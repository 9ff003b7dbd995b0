# SPDX-License-Identifier: BSD-2-Clause
# kernel-debug.sh: a small Linux 6.12 of Debian's source with the patches of accel/kernel/ and the options of debug.config there:
# KASAN, lockdep, PROVE_RCU, kmemleak. Sourced by scripts/kernel-tier.sh, whose $top, $patches and functions it uses. Source, objects,
# kernel and modules stay in $top/debug; what a changed patch or option needs is built again. Nothing is installed; flex, bison
# and m4 come as packages where they are not there.

debug_version=6.12
# what is never built and takes the most room
debug_without="*.rst *.yaml *.dts* */tools/testing/* arch/[!x]*.[chS] drivers/gpu/*.[ch] drivers/net/[!l]*.[ch] drivers/media/*.[ch] sound/*.[ch]"

debug_tools() {
	local tool
	for tool in gcc make dpkg patch awk xz bc perl flock; do
		command -v "$tool" >/dev/null || skip "needs $tool"
	done
	echo '#include <gelf.h>' | gcc -E - >/dev/null 2>&1 || skip "needs the header gelf.h (Debian: libelf-dev)"
	for tool in m4 flex bison; do
		command -v "$tool" >/dev/null && continue
		download "$tool" "$store/tools"
		[ "$tool" != m4 ] || export M4=$store/tools/usr/bin/m4
		[ "$tool" != bison ] || export BISON_PKGDATADIR=$store/tools/usr/share/bison
		PATH=$store/tools/usr/bin:$PATH
	done
}

debug_make() {
	nice make -s -C "$store/linux" -j"${KERNEL_TIER_JOBS:-2}" KBUILD_BUILD_USER=hotreg KBUILD_BUILD_HOST=bed KCONFIG_ALLCONFIG="$patches/debug.config" "$@" \
		>>"$store/build.log" 2>&1 || { tail -n 20 "$store/build.log"; die "the kernel does not build"; }
}

# The whole source once; then only what the patches touch and has changed, so that make builds no more than that again.
debug_source() { # PACKAGE-VERSION
	local name part words=()
	name=$(basename "${source%.tar.*}")
	if [ "$(cat "$store/unpacked" 2>/dev/null)" != "$1" ]; then
		rm -rf "$store/linux"
		mkdir -p "$store/linux"
		set -f
		for part in $debug_without; do
			case $part in \**) words+=("--exclude=$part") ;; *) words+=("--exclude=$name/$part") ;; esac
		done
		set +f
		tar -xf "$source" -C "$store/linux" --strip-components=1 "${words[@]}" || die "cannot unpack the source"
		echo "$1" >"$store/unpacked"
	fi
	rm -rf "$store/parts"
	mkdir "$store/parts"
	unpack_kvm "$store/parts"
	apply_series "$store/parts" "linux-source-$debug_version"
	(cd "$store/parts" && find . -type f) | while read -r part; do
		cmp -s "$store/parts/$part" "$store/linux/$part" || cp "$store/parts/$part" "$store/linux/$part" || die "cannot copy $part"
	done
	rm -rf "$store/parts"
}

debug_kernel() { # $kernel is the directory afterwards
	local store=$top/debug option hash version
	kernel=$store/out
	mkdir -p "$store"
	exec 7>"$top/lock"
	flock 7
	hash=$(cat "$patches"/*.patch "$patches/debug.config" | sha256sum)
	if [ -e "$kernel/vmlinuz" ] && [ "$(cat "$store/of" 2>/dev/null)" = "$hash" ]; then
		exec 7>&-
		return
	fi
	debug_tools
	version=$(apt-cache show "linux-source-$debug_version" 2>/dev/null | sed -n 's/^Version: //p' | head -n 1)
	[ -n "$version" ] || skip "needs the package linux-source-$debug_version, which the package lists do not have"
	get_source "$debug_version" "$version"
	rm -f "$store/of"
	: >"$store/build.log"
	debug_source "$version"
	debug_make allnoconfig
	for option in $(grep ^CONFIG_ "$patches/debug.config"); do
		grep -qxF "$option" "$store/linux/.config" || die "Linux does not take $option"
	done
	echo "kernel-tier: building a kernel with KASAN, lockdep, PROVE_RCU and kmemleak, once; it takes a while" >&2
	debug_make bzImage modules
	mkdir -p "$kernel"
	cp "$store/linux/arch/x86/boot/bzImage" "$kernel/vmlinuz" &&
		cp "$store/linux/arch/x86/kvm/kvm.ko" "$store/linux/arch/x86/kvm/kvm-amd.ko" "$store/linux/virt/lib/irqbypass.ko" "$kernel/" || die "no kernel"
	echo "$hash" >"$store/of"
	exec 7>&-
}

# SeaBIOS's MP table, by which this kernel finds its processors, names one of each socket. [MP]
debug_bed() { # WORDS of nested.sh
	command -v qemu-system-x86_64 >/dev/null || skip "needs qemu-system-x86_64 (Debian: qemu-system-x86)"
	release=$(bed_release) || { echo "$release"; exit 77; }
	debug_kernel
	export NESTED_KERNEL=$kernel NESTED_CPUS="${NESTED_CPUS:-2},sockets=${NESTED_CPUS:-2}" NESTED_MEMORY=${NESTED_MEMORY:-3G} NESTED_SECONDS=${NESTED_SECONDS:-7200}
	in_bed "$@"
}
