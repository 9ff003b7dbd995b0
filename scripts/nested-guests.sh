# SPDX-License-Identifier: BSD-2-Clause
# nested-guests.sh: what the Linux guests of the nested bed boot; sourced by scripts/nested.sh, whose $build, $store, $bed, die() and
# download() it uses. Besides the bed's own kernel these are Debian's others, by the end of their packages' names: 686 and
# 686-pae for i386, amd64, cloud-amd64; of Linux 6.1 where that is to be had. A list's rows ask for them with GUEST=NAME.
# The packages for i386 come by a state of APT of their own under $store, so the host's architectures stay what they are. Guest NAME
# is $bed/vmlinuz-NAME and $bed/guest.gz-NAME; where it cannot be had, $bed/why-NAME says why, and its rows are skipped.

apt_i386() { # PROGRAM WORDS...: of APT, which knows nothing but i386 then
	local apt=$store/apt
	mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
	[ -e "$apt/status" ] || : >"$apt/status"
	apt=$(realpath "$apt")
	"$1" -o APT::Architecture=i386 -o APT::Architectures=i386 -o Acquire::Languages=none \
		-o Dir::State="$apt" -o Dir::State::status="$apt/status" -o Dir::Cache="$apt/cache" "${@:2}"
}

# The newest kernel whose package's name ends so, of Linux 6.1 if there is one.
flavour_package() { # NAME PREFIX-OF-COMMAND
	local all
	all=$(${2:-} apt-cache search --names-only "^linux-image-[0-9.]+([-+][^-]+)?-$1-unsigned\$" | cut -d' ' -f1 | sort -V)
	grep '^linux-image-6\.1[.-]' <<<"$all" | tail -n 1 | grep . || tail -n 1 <<<"$all"
}

# tools32 DIRECTORY: the guests' programs for i386, with the C library's and gcc's parts for it, whichever gcc this is.
tools32() {
	local version root=$store/root32 tool
	version=$(gcc -dumpversion)
	download libc6-dev-i386 "$root"
	download "lib32gcc-${version%%.*}-dev" "$root"
	mkdir -p "$1"
	for tool in guest_exit guest_tool; do
		gcc -m32 -Os -D_GNU_SOURCE -Wall -Wextra -Werror -Wno-psabi -static -s -B "$root/usr/lib32/" -B "$root/usr/lib/gcc/x86_64-linux-gnu/${version%%.*}/32/" \
			-L "$root/usr/lib32" -L "$root/usr/lib/gcc/x86_64-linux-gnu/${version%%.*}/32" \
			-isystem "/usr/include/$(gcc -print-multiarch)" -idirafter "$root/usr/include" -o "$1/$tool" "tests/nested/$tool.c" || die "$tool does not build for i386"
	done
}

# make_guest SUFFIX ROOT TOOLS: the kernel in ROOT, and busybox with an init and the programs of ours.
make_guest() {
	local root=$2 release button dir=$bed/guest$1
	release=$(ls "$root/lib/modules")
	cp "$root/boot/vmlinuz-$release" "$bed/vmlinuz$1"
	rm -rf "$dir"
	mkdir -p "$dir"/{bin,dev,proc,sys,tmp}
	cp "$root/bin/busybox" "$dir/bin/"
	cp "$3/guest_exit" "$3/guest_tool" "$dir/bin/" || die "$3/guest_exit or guest_tool is missing: make guests"
	button=$root/lib/modules/$release/kernel/drivers/acpi/button.ko
	if [ -e "$button" ]; then
		cp "$button" "$dir/button.ko"
	else
		xz -dc "$button.xz" >"$dir/button.ko" || die "cannot unpack the module button"
	fi
	cp tests/nested/guest_init.sh "$dir/init"
	pack "$dir" "$bed/guest.gz$1"
}

# One of Debian's other kernels; in a shell of its own, since skip() ends it.
get_flavour() { # NAME
	local package root=$store/$1 apt=""
	case $1 in 686*) apt=apt_i386 ;; esac
	exec 8>"$store.lock"
	flock 8
	package=$(cat "$root/package" 2>/dev/null)
	if [ -z "$package" ]; then
		package=$(flavour_package "$1" $apt)
		[ -n "$package" ] || { $apt apt-get -qq update >"$store/download.log" 2>&1; package=$(flavour_package "$1" $apt); }
		[ -n "$package" ] || skip "needs a package linux-image-*-$1-unsigned, which the package lists do not have"
	fi
	download "$package" "$root" $apt
	echo "$package" >"$root/package"
	if [ -n "$apt" ]; then
		download busybox-static "$root" $apt
		tools32 "$root/tools"
		make_guest "-$1" "$root" "$root/tools"
	else
		[ -e "$root/bin/busybox" ] || install -D "$store/root/bin/busybox" "$root/bin/busybox"
		make_guest "-$1" "$root" "$build/guest"
	fi
}

# The kernel inside the bed's own bzImage, which is an ELF file with an entry for PVH: $bed/vmlinuz-pvh. [LINUX-BOOT] payload_offset, payload_length.
get_pvh() {
	local image=$bed/vmlinuz sects start length magic unpack
	sects=$(od -An -tu1 -j $((0x1f1)) -N 1 "$image")
	start=$((($(od -An -tu4 -j $((0x248)) -N 4 "$image")) + (sects + 1) * 512))
	length=$(od -An -tu4 -j $((0x24c)) -N 4 "$image")
	magic=$(od -An -tx1 -j "$start" -N 4 "$image" | tr -d ' ')
	case $magic in
	fd377a58) unpack=xz ;;
	28b52ffd) unpack=zstd ;;
	02214c18) unpack=lz4 ;;
	1f8b*) unpack=gzip ;;
	*) skip "does not know how this kernel is packed ($magic)" ;;
	esac
	command -v "$unpack" >/dev/null || skip "needs $unpack, with which this kernel is packed"
	# the four bytes behind it are its unpacked size, about which the program may complain
	tail -c +$((start + 1)) "$image" | head -c $((length - 4)) | "$unpack" -dc >"$bed/vmlinuz-pvh" 2>/dev/null
	[ "$(head -c 4 "$bed/vmlinuz-pvh" | tail -c 3)" = ELF ] || die "the kernel inside the bed's bzImage is no ELF file"
	cp "$bed/guest.gz" "$bed/guest.gz-pvh"
}

# What the rows of $list ask for.
guest_names() {
	[ -z "$list" ] || sed -nE 's/^[^#:]+: .*GUEST=([a-z0-9-]+) .*/\1/p' "$list" | sort -u
}

get_guests() {
	local name
	for name in $(guest_names); do
		rm -f "$bed/why-$name" "$bed/vmlinuz-$name" "$bed/guest.gz-$name"
		if [ "$name" = pvh ]; then
			(get_pvh) >"$bed/why-$name"
		else
			(get_flavour "$name") >"$bed/why-$name"
		fi
		case $? in
		0) rm "$bed/why-$name" ;;
		77) ;;
		*) cat "$bed/why-$name"; exit 2 ;;
		esac
	done
}
