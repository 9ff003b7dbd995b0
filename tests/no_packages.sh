#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# no_packages.sh: what scripts/nested.sh, scripts/nested-qemu.sh and scripts/kernel-tier.sh say where packages cannot be had: status 77 and one last line with the
# package and the reason, nothing half done, and the same once more. apt-get and apt-cache are of the test's own.
set -u
cd "$(dirname "$0")/.." || exit 2
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0

fail() {
	echo "no_packages: $*"
	bad=1
}

# apt-cache knows the packages that match $KNOWN; apt-get has no network
cat >"$dir/apt-cache" <<'EOT'
#!/bin/bash
case $1 in
show) grep -qE "$KNOWN" <<<"$2" && printf 'Package: %s\nVersion: 1\n' "$2" ;;
search) for p in linux-image-6.12.9+x-cloud-amd64-unsigned; do grep -qE "$KNOWN" <<<"$p" && echo "$p - Linux"; done; true ;;
depends) true ;;
esac
EOT
cat >"$dir/apt-get" <<'EOT'
#!/bin/bash
[ "$1" != indextargets ] || { grep -qE "$KNOWN" <<<Debian && echo "Debian deb-src http://localhost/ stable main"; exit 0; }
echo "E: the network is not there" >&2
exit 100
EOT
printf '#!/bin/bash\necho 1:7.2-1\n' >"$dir/dpkg-query"
for tool in qemu-system-x86_64 dpkg-source meson ninja; do
	printf '#!/bin/bash\ntrue\n' >"$dir/$tool"
done
chmod +x "$dir"/*

want() { # KNOWN LAST-LINE WORDS...
	local known=$1 line=$2 out status i
	shift 2
	rm -rf "$dir/build"
	mkdir "$dir/build"
	printf '#!/bin/bash\ntrue\n' >"$dir/build/hotreg"
	chmod +x "$dir/build/hotreg"
	for i in 1 2; do
		out=$(PATH=$dir:$PATH KNOWN=$known BUILD=$dir/build "$@" 2>&1 </dev/null)
		status=$?
		[ $status = 77 ] || fail "$*: status $status: $out"
		[[ $(tail -n 1 <<<"$out") == $line ]] || fail "$*: '$(tail -n 1 <<<"$out")' instead of '$line'"
	done
	[ -z "$(find "$dir/build" -name '*.ko' -o -name 'vmlinuz*')" ] || fail "$*: something was built"
}

no_network="which apt-get cannot download here: E: the network is not there"
want '^$' "needs the package linux-headers-6.12.9-x,*: is 6.12.9-x a kernel of this distribution's?" scripts/kernel-tier.sh build 6.12.9-x
want . "needs the package linux-headers-6.12.9-x, $no_network" scripts/kernel-tier.sh build 6.12.9-x
for words in "kernel-tier.sh check" "kernel-tier.sh run true" "kernel-tier.sh debug" "nested.sh check" "nested.sh run true"; do
	want '^$' "needs a linux-image-\*-cloud-amd64-unsigned package, which the package lists do not have" scripts/$words
done
want . "needs the package linux-headers-6.12.9+x-cloud-amd64, $no_network" scripts/kernel-tier.sh check
want . "needs the package linux-image-6.12.9+x-cloud-amd64-unsigned, $no_network" scripts/nested.sh check
want . "needs *, $no_network" scripts/kernel-tier.sh debug
want '^$' "needs a repository of Debian's or Ubuntu's in APT's lists, for QEMU's source" scripts/nested-qemu.sh
want . "needs QEMU's source package of version 1:7.2-1, $no_network" scripts/nested-qemu.sh
[ $bad = 0 ] && echo "no_packages: says what is missing"
exit $bad
