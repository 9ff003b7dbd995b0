#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# kernel_pins.sh: a user who may not load programs runs a guest whose registers answer inside KVM, with what root has pinned.
# Only in the bed of scripts/kernel-tier.sh, whose users and devices it changes.
set -u
build=${BUILD:-build}
dir=$(mktemp -d)
chmod 777 "$dir"
trap 'umount "$dir/bpf" 2>/dev/null; rm -rf "$dir"' EXIT

die() {
	echo "kernel_pins: $*"
	for f in "$dir"/*.txt; do [ -s "$f" ] && { echo "--- ${f##*/}:"; tail -c 1500 "$f"; }; done
	exit 1
}
[ "${NESTED:-0}" = 1 ] || { echo "needs the bed of scripts/kernel-tier.sh"; exit 77; }
mkdir -p /etc
echo 'root:x:0:0::/:/bin/bash' >/etc/passwd
echo 'user:x:1000:1000::/:/bin/bash' >>/etc/passwd
chmod 666 /dev/kvm
mkdir "$dir/bpf"
mount -t bpf -o mode=0755 bpf "$dir/bpf" || die "no BPF file system"
as_user() { # WORDS of hotreg run; status in $status
	su user -c "LD_LIBRARY_PATH=$LD_LIBRARY_PATH $build/hotreg run --accel on=kernel --kernel $build/guest/regbench.elf --serial none --timeout 100 $*" \
		>"$dir/out.txt" 2>"$dir/err.txt" </dev/null
	status=$?
}
as_user
[ $status = 2 ] && grep -q "bpf(2) is not allowed" "$dir/err.txt" || die "a user may load programs here (status $status)"
su user -c "LD_LIBRARY_PATH=$LD_LIBRARY_PATH $build/hotreg doctor" >"$dir/doctor.txt" 2>&1 </dev/null
grep -q '^kernel tier  *no: bpf(2) is not allowed.*--pins' "$dir/doctor.txt" || die "doctor does not say how"
as_user --pins "$dir/bpf/vm"
[ $status = 2 ] && grep -q "vm: No such file" "$dir/err.txt" || die "status $status where nothing is pinned"
"$build/hotreg" pin "$dir/bpf/vm" --kernel "$build/guest/regbench.elf" >"$dir/pin.txt" 2>&1 || die "nothing was pinned"
cat "$dir/pin.txt"
as_user --pins "$dir/bpf/vm"
[ $status = 2 ] || die "status $status with root's files"
chown -R user "$dir/bpf/vm"
# twice: the page that is left by one guest is the next one's
for i in 1 2; do
	as_user --pins "$dir/bpf/vm" --append '"rounds=3 reads=64"' --disk "$build/guest/grub.img,ro" --debugcon "$dir/console.txt" --stats="$dir/stats.json"
	[ $status = 1 ] || die "status $status with pinned programs"
	grep -q "regbench: counters ok" "$dir/console.txt" || die "the guest is not content"
	n=$(jq '[.ranges[].kernel.answered // 0] | add' "$dir/stats.json")
	[ "$n" -gt 1000 ] || die "only $n accesses were answered inside KVM"
	echo "kernel_pins: $n answers inside KVM for a user without a right"
	[ "$(jq '[.ranges[] | select(.not_kernel and (.not_kernel | contains("FIFO") | not))] | length' "$dir/stats.json")" = 0 ] ||
		die "not all were pinned: $(jq -c '[.ranges[] | select(.not_kernel) | [.range, .not_kernel]]' "$dir/stats.json")"
done
# one guest at a time; kill -9 frees the place
su user -c "LD_LIBRARY_PATH=$LD_LIBRARY_PATH exec $build/hotreg run --pins $dir/bpf/vm --accel on=kernel --kernel $build/guest/spin.elf --append forever=1 --serial none --debugcon $dir/console2.txt --timeout 100" \
	>"$dir/first.txt" 2>&1 </dev/null &
first=$!
for _ in $(seq 100); do grep -q forever "$dir/console2.txt" 2>/dev/null && break; sleep 0.1; done
as_user --pins "$dir/bpf/vm"
[ $status = 2 ] && grep -q "another VM" "$dir/err.txt" || die "status $status beside another guest"
kill -9 $first
wait $first
as_user --pins "$dir/bpf/vm" --append '"rounds=3 reads=64"' --disk "$build/guest/grub.img,ro" --debugcon "$dir/console.txt"
[ $status = 1 ] || die "status $status after kill -9"
# another object: that range alone stays outside, with the reason
as_user --pins "$dir/bpf/vm" --prog "hpet=$build/tests/prog/hpet_wrong.bpf.o" --append '"rounds=3 reads=64"' --disk "$build/guest/grub.img,ro" \
	--debugcon "$dir/console.txt" --stats="$dir/stats.json"
jq -r '.ranges[] | select(.range == "hpet") | .not_kernel' "$dir/stats.json" | grep -q "not been pinned" || die "a program that was not pinned"
