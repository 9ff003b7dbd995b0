#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
# guest_init.sh: the first process of a Linux guest in the nested bed. Says what it finds, then does what do= on the
# kernel command line says: nothing more, reset (the machine starts again), shell (one, on the serial line), interrupts (shows what has come, and by what), bench (once it is idle reads the time
# by two clock sources, and an address that nobody claims, on all vCPUs at once, and turns the power off), clock (reads the time, for clock.sh), or cycle: on the first boot
# it reads the time by each clock source and reboots, on the second one it waits for the power button and turns the power
# off. Otherwise it ends the VM by the debug exit port.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
clocks=/sys/devices/system/clocksource/clocksource0
echo "guest: init reached, $(nproc) cpus, clocksource $(cat $clocks/current_clocksource)"
echo "guest: Linux $(uname -r) $(uname -m)"
echo "guest: date $(date +%s)"

# The boot counter is a byte of CMOS memory that nobody else uses; it survives resets, and is 0 at power-on.
BOOTS=0x50

use() { # CLOCK: the kernel takes some seconds to trust a TSC
	for n in $(seq 50); do
		echo "$1" >$clocks/current_clocksource
		[ "$(cat $clocks/current_clocksource)" = "$1" ] && break
		sleep 0.2
	done 2>/dev/null
}

first_boot() {
	dmesg | grep -E 'ACPI: (PM-Timer|HPET id|PM: )' | sed 's/^[^A]*/guest: /'
	for c in hpet acpi_pm tsc; do
		use $c
		[ "$(cat $clocks/current_clocksource)" = $c ] || { dmesg | grep -i tsc; echo "guest: no clocksource $c"; guest_exit 2; }
		echo "guest: $c: $(guest_tool clock 500)"
	done
	guest_tool cmos $BOOTS 1
	reboot -f
}

pressed() { # how often the power button's event has been handled
	sed 's/^ *\([0-9]*\).*/\1/' /sys/firmware/acpi/interrupts/ff_pwr_btn
}

second_boot() {
	echo "guest: $(guest_tool sleep 500)" # its timer has to work after a reset
	[ ! -e /button.ko ] || insmod /button.ko || guest_exit 3
	echo "guest: waiting for the power button"
	for n in $(seq 600); do
		[ "$(pressed)" = 0 ] || break
		sleep 0.1
	done
	[ "$(pressed)" = 1 ] || guest_exit 4
	echo "guest: power button"
	poweroff -f
}

# After its start a kernel still tests its ciphers, in a thread beside everything else.
settle() {
	for n in $(seq 100); do
		before=$(sed -n 's/^cpu  *[0-9]* [0-9]* [0-9]* \([0-9]*\) .*/\1/p' /proc/stat)
		sleep 0.5
		after=$(sed -n 's/^cpu  *[0-9]* [0-9]* [0-9]* \([0-9]*\) .*/\1/p' /proc/stat)
		[ $((after - before)) -lt $((45 * $(nproc))) ] || return # idle in more than 0.45 s of 0.5, counted in 10 ms
	done
	echo "guest: it never gets idle"
	guest_exit 5
}

bench() {
	settle
	echo "guest: idle after $(cut -d' ' -f1 /proc/uptime) s"
	for c in hpet acpi_pm; do
		echo $c >$clocks/current_clocksource
		[ "$(cat $clocks/current_clocksource)" = $c ] || { echo "guest: no clocksource $c"; guest_exit 2; }
		echo "guest: bench $c: $(guest_tool clock 1000)"
	done
	echo "guest: bench hole: $(guest_tool hole 1000)"
	poweroff -f
	sleep 60
}

case $(cat /proc/cmdline) in
*do=bench*) bench ;;
*do=reset*) reboot -f ;;
*do=shell*)
	echo "guest: shell"
	setsid cttyhack sh
	;;
*do=interrupts*)
	echo "guest: $(guest_tool sleep 200)"
	sed 's/^/guest: /' /proc/interrupts
	;;
*do=clock*) # for as long as ms= says, with the clock that the command line names
	want=$(sed -n 's/.*clocksource=\([^ ]*\).*/\1/p' /proc/cmdline)
	[ -z "$want" ] || use "$want"
	echo "guest: reads $(cat $clocks/current_clocksource)"
	guest_tool drift "$(sed 's/.* ms=\([0-9]*\).*/\1/' /proc/cmdline)"
	;;
*do=cycle*)
	case $(guest_tool cmos $BOOTS) in
	0) first_boot ;;
	1) second_boot ;;
	esac
	sleep 60 # reboot and poweroff return at once
	;;
esac
guest_exit 0
