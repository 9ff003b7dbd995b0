#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# linux.sh ACCEL CPUS WORDS...: boots the bed's kernel in hotreg to its init, WORDS added to the kernel command line. Only for
# a KVM with paging; called in the nested bed (tests/nested/list.txt).
set -u
accel=$1 cpus=$2
shift 2
out=$(mktemp)
timeout 120 build/hotreg run --cpu kvm --accel "$accel" --cpus "$cpus" --kernel vmlinuz --initrd guest.gz --mem 384M --quiet \
	--append "console=ttyS0 panic=-1 nokaslr mitigations=off noxsave quiet $*" >"$out" 2>&1 </dev/null
status=$?
grep -a '^guest: ' "$out"
[ $status = 1 ] && grep -aq "^guest: init reached, $cpus cpus" "$out" && exit 0
echo "linux: $accel, $cpus cpus, $*: status $status"
tail -n 20 "$out"
exit 1
