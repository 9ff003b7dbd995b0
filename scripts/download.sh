# SPDX-License-Identifier: BSD-2-Clause
# download.sh: packages that are unpacked under the build directory and never installed; sourced by scripts/nested.sh and
# scripts/kernel-tier.sh, whose $store and die() it uses. What is there already is not downloaded again. skip() ends the
# script with status 77 and a last line that says why: it cannot be done here.

skip() {
	echo "$*"
	exit 77
}

# download PACKAGE [ROOT [PREFIX]]: unpacked under ROOT, which is $store/root; once. PREFIX stands before the command.
download() {
	local root=${2:-$store/root} deb
	local have=$store/have/${root##*/}-$1
	[ -e "$have" ] && return
	command -v apt-get >/dev/null || skip "needs apt-get, to download the package $1"
	deb=$(realpath -m "$store/deb")
	rm -rf "$deb"
	mkdir -p "$deb" "$root" "$store/have"
	(store=$(realpath "$store") && cd "$deb" && ${3:-} apt-get -qq download "$1") >"$store/download.log" 2>&1 ||
		skip "needs the package $1, which apt-get cannot download here: $(tail -n 1 "$store/download.log")"
	dpkg -x "$deb/"*.deb "$root" || die "cannot unpack $1"
	rm -rf "$deb"
	: >"$have"
}
