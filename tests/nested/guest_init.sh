#!/bin/busybox sh
# SPDX-License-Identifier: BSD-2-Clause
# guest_init.sh: the first process of a Linux guest in the nested bed. Says what it finds, then does what do= on the
# kernel command line says: nothing more, or reset (the machine starts again). Ends the VM by the debug exit port.
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
echo "guest: init reached, $(nproc) cpus, clocksource $(cat /sys/devices/system/clocksource/clocksource0/current_clocksource)"
case $(cat /proc/cmdline) in
*do=reset*) reboot -f ;;
*do=interrupts*) cat /proc/interrupts ;;
esac
guest_exit 0
