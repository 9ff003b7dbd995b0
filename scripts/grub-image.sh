#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# grub-image.sh OUT CFG: a raw disk image that boots GRUB with its own PATA driver (no biosdisk) and
# holds 256 KiB of numbers at sector 2048; OUT.md5 gets their MD5, made by md5sum.
set -eu
out=$1
cfg=$2
lib=/usr/lib/grub/i386-pc
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

grub-mkimage -O i386-pc -d "$lib" -c "$cfg" -p '(ata0)/grub' -o "$tmp/core.img" \
	ata pata pci serial terminal echo ls hashsum gcry_md5 hexdump halt
# boot.img loads the sector after it, whose block list takes the rest from sector 2 on.
cat "$lib/boot.img" "$tmp/core.img" >"$tmp/disk"
[ "$(stat -c %s "$tmp/disk")" -le $((2048 * 512)) ] || { echo "grub-image: core image too large" >&2; exit 1; }
truncate -s 4M "$tmp/disk"
# Numbers, so that a word that is lost, doubled or swapped anywhere changes the sum.
seq 100000 150000 | head -c 262144 >"$tmp/data"
[ "$(stat -c %s "$tmp/data")" = 262144 ] || { echo "grub-image: bad test data" >&2; exit 1; }
dd if="$tmp/data" of="$tmp/disk" bs=512 seek=2048 conv=notrunc status=none
md5sum <"$tmp/data" | cut -d' ' -f1 >"$out.md5"
mv "$tmp/disk" "$out"
