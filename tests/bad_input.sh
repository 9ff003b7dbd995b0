#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# bad_input.sh: every bad command line or file gets one line that says what and what to do, status 2, and no
# crash. Rows: expected words | command after `hotreg`. Runs without a CPU where it can (HOTREG, BUILD as elsewhere).
set -u
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0 rows=0

: >"$dir/empty"
head -c 700 /dev/zero >"$dir/odd.img"
head -c 1048576 /dev/zero >"$dir/disk.img"
printf '\177ELF not really' >"$dir/fake.elf"
head -c 700000 /dev/zero | tr '\0' 'x' >"$dir/big.bin"
cp "$build/hotreg" "$dir/host.elf"
printf '0 r pio 0x61 1 ?\n' >"$dir/ok.script"
printf x >"$dir/module"
printf '0 q pio 0x61 1 ?\n' >"$dir/bad.script"
head -c 1000 "$build/bpf/hpet.bpf.o" >"$dir/cut.bpf.o"
script="--cpu script=$dir/ok.script"

row() { # WORDS ARGS...
	local words=$1 status lines
	shift
	rows=$((rows + 1))
	timeout 60 "$hotreg" "$@" >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	# what was picked (--cpu, --accel auto) is said first, and is no error
	lines=$(grep -cvE '^hotreg: (accel|cpu): ' "$dir/err")
	if [ $status != "${want_status:-2}" ] || ! grep -qiE -- "$words" "$dir/err" || [ "$lines" -gt "${max_lines:-1}" ]; then
		echo "hotreg $*"
		echo "  status $status (${want_status:-2} wanted), $lines lines on stderr, wanted: $words"
		sed 's/^/  | /' "$dir/err" | head -n 6
		bad=1
	fi
}

row 'frobnicate' frobnicate
row 'unknown|unrecognized' run --frob
row 'kernel' run --kernel
row 'no such file' run $script --disk "$dir/absent"
row 'no such file' run --cpu "script=$dir/absent"
row 'line 1|:1:' run --cpu "script=$dir/bad.script"
row '512' run $script --disk "$dir/odd.img"
row 'empty|512' run $script --disk "$dir/empty"
row 'directory' run $script --disk "$dir"
row 'mem' run $script --mem 0
row 'mem' run $script --mem 12Q
row 'mem' run $script --mem 900G
row 'cpus' run $script --cpus 9
row 'cpus' run $script --cpus 0
row 'cpu' run --cpu pentium
row 'did you mean Haswell' run --cpu-model hasswell --kernel "$dir/ok.script"
row 'no feature .frob' run --cpu-model host,+frob --kernel "$dir/ok.script"
row 'host,|no processor' run $script --cpu-model host
row 'local APICs' run --cpu kvm --cpus 2 --cpu-model 486 --kernel "$dir/ok.script"
row 'cpu-models takes' cpu-models nonsense
row 'accel' run $script --accel maybe
row 'kernel tier|on=kernel' run $script --accel on=kernel
row 'prog' run $script --prog hpet
row 'nosuch' run $script --prog "nosuch=$build/bpf/hpet.bpf.o"
row 'no such file' run $script --prog "hpet=$dir/absent"
row 'truncated' run $script --prog "hpet=$dir/cut.bpf.o"
row 'version' run $script --prog "hpet=$build/tests/prog/hpet_version.bpf.o"
row 'timeout' run $script --timeout never
row 'initrd' run $script --initrd "$dir/disk.img"
row 'append' run $script --append x
row 'kernel.*bios|bios.*kernel' run $script --kernel "$dir/big.bin" --bios "$dir/disk.img"
row 'cannot|no such' run $script --trace "$dir/no/such/place"
row 'cannot|no such' run $script --serial "$dir/no/such/place"
row 'cannot|no such' run $script --debugcon "$dir/no/such/place"
row 'no such file' prog verify "$dir/absent"
want_status=1 row 'fake|elf' prog verify "$dir/fake.elf"
row 'usage|which|file' prog verify
row 'frob' prog frob
soft="--cpu soft --serial none --timeout 20"
row 'no such file' run $soft --kernel "$dir/absent"
row 'cannot open module.*absent' run $soft --kernel "$build/guest/regbench.elf" --initrd "$dir/module,$dir/absent"
row 'overwrite' run $soft --kernel "$dir/big.bin" --trace "$dir/big.bin"
row 'no such file' run $soft --bios "$dir/absent"
row 'multiboot' run $soft --kernel "$dir/host.elf"
row 'fake|elf|multiboot' run $soft --kernel "$dir/fake.elf"
row 'large|fit|big' run $soft --kernel "$dir/big.bin"
row 'empty' run $soft --kernel "$dir/empty"
row 'bios|64' run $soft --bios "$dir/odd.img"
row 'cpus|vCPU' run $soft --cpus 2 --kernel "$build/guest/regbench.elf"

# /dev/kvm that this user may not open: as another user, where we can become one.
if [ "$(id -u)" = 0 ] && [ -e /dev/kvm ] && command -v setpriv >/dev/null && ! [ "$(stat -c %a /dev/kvm)" = 666 ]; then
	cp "$hotreg" "$build/guest/regbench.elf" "$dir/"
	chmod -R a+rX "$dir"
	rows=$((rows + 1))
	(cd / && timeout 60 setpriv --reuid=65534 --regid=65534 --clear-groups "$dir/hotreg" run --cpu kvm --serial none \
		--kernel "$dir/regbench.elf") >"$dir/out" 2>"$dir/err" </dev/null
	status=$?
	if [ $status != "${want_status:-2}" ] || ! grep -qi 'permission' "$dir/err"; then
		echo "unreadable /dev/kvm: status $status"
		sed 's/^/  | /' "$dir/err"
		bad=1
	fi
fi
echo "$rows rows"
exit $bad
