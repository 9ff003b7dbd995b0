#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
# init.sh: the first process of the nested bed (scripts/nested.sh): loads the kernel's own KVM, then does what hotreg.do= on the
# kernel command line says: check (the list), run (a command) or shell. Ends the machine through the debug exit port.
export PATH=/bin:/usr/bin:/sbin HOME=/ TMPDIR=/tmp LD_LIBRARY_PATH=/lib/x86_64-linux-gnu:/usr/lib/x86_64-linux-gnu
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
for m in irqbypass kvm kvm-amd; do
	insmod /modules/$m.ko || echo "nested: module $m does not load"
done
for n in 1 2 3 4 5 6 7 8 9 10; do
	[ -e /dev/kvm ] && break
	sleep 0.2
done
[ -e /dev/kvm ] || echo "nested: there is no /dev/kvm"
ip link set lo up 2>/dev/null
cd /hotreg || exit
export BUILD=build NESTED=1

limit=$(sed -n 's/.*hotreg\.limit=\([0-9]*\).*/\1/p' /proc/cmdline)

leave() {
	sync
	printf '\000' | dd of=/dev/port bs=1 seek=244 conv=notrunc 2>/dev/null
	poweroff -f
}

one() { # NAME COMMAND; the counts are in $passed, $failed, $skipped
	echo "begin $1"
	start=$(date +%s)
	timeout "$limit" bash -c "$2" >/tmp/log 2>&1 </dev/null
	rc=$?
	took=$(($(date +%s) - start))
	p=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p' /tmp/log | tail -n 1)
	s=$(sed -nE 's/^\[  SKIPPED \] ([0-9]+) test.*/\1/p' /tmp/log | tail -n 1)
	f=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p' /tmp/log | tail -n 1)
	if [ $rc = 77 ]; then
		echo "-- nested $1: SKIPPED: $(tail -n 1 /tmp/log)"
		skipped=$((skipped + 1))
		return
	elif [ $rc = 0 ]; then
		echo "-- nested $1: ok ($took s)"
		passed=$((passed + ${p:-1}))
	else
		echo "-- nested $1: FAILED (status $rc, $took s), the end of its output:"
		tail -n 25 /tmp/log | sed 's/^/     /'
		passed=$((passed + ${p:-0}))
		failed=$((failed + ${f:-1}))
	fi
	skipped=$((skipped + ${s:-0}))
	grep -aE '^\[  (PASSED|FAILED|SKIPPED ) *\]|^\[  SKIPPED \] [^0-9]' /tmp/log | sed 's/^/   /'
}

case $(cat /proc/cmdline) in
*hotreg.do=check*)
	passed=0 failed=0 skipped=0
	while IFS= read -r line; do
		case $line in '' | \#*) continue ;; esac
		one "${line%%:*}" "${line#*: }"
	done <list.txt
	echo "$passed passed, $failed failed, $skipped skipped"
	;;
*hotreg.do=run*)
	echo "nested: begin"
	bash -c "$(cat command)"
	echo "nested: end $?"
	;;
*)
	echo "The nested bed: hotreg is build/hotreg here; exit ends it."
	setsid cttyhack bash
	;;
esac
leave
