#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# exits.sh [off|on]: KVM exits (returns of KVM_RUN) and entries into the device's model for one operation of regbench, counted exactly: the
# guest does the operation 100 times in one run and 300 times in another, and nothing differs but that. With `on` (the
# default) what docs/performance.md promises is checked; `off` only prints. Status 77: skipped, with the reason.
set -u
accel=${1:-on}
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
[ -r /dev/kvm ] && [ -w /dev/kvm ] || { echo "needs /dev/kvm"; exit 77; }
command -v jq >/dev/null || { echo "needs jq"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
names=$(sed -n '/^static const struct reg regs/,/^};/s/.*{"\([a-z0-9_]*\)".*/\1/p' tests/guest/regbench.c)
bad=0

count() { # INDEX TIMES RANGE: "exits models"
	"$hotreg" run --cpu kvm --accel "$accel" --kernel "$build/guest/regbench.elf" --append "op=$1 times=$2" --vga std --quiet \
		--disk "$build/guest/grub.img,ro" --serial none --stats="$dir/stats.json" >"$dir/log" 2>&1 </dev/null
	[ $? = 1 ] || { cat "$dir/log" >&2; return 1; }
	jq -r --arg range "$3" '"\(.exits) \([.registers[] | select(.range | startswith($range)) |
		.read.accesses - .read.answered + .write.accesses - .write.answered] | add // 0)"' "$dir/stats.json"
}

# per_op NAME RANGE [EXITS MODELS]: what one operation costs; with EXITS and MODELS it may cost that at most. A host
# timer may interrupt a run: the least of three tries counts.
per_op() {
	local index=0 name=$1 range=$2 exits=999999 models=999999 a b e m
	for n in $names; do [ "$n" = "$name" ] && break; index=$((index + 1)); done
	for _ in 1 2 3; do
		read -r -a a <<<"$(count $index 100 "$range")" && read -r -a b <<<"$(count $index 300 "$range")" || { bad=1; return; }
		e=$((b[0] - a[0])) m=$((b[1] - a[1]))
		[ $e -lt $exits ] && exits=$e
		[ $m -lt $models ] && models=$m
		[ $((exits % 200)) = 0 ] && [ $((models % 200)) = 0 ] && break
	done
	printf '| %s | %d.%02d | %d.%02d |' "$name" $((exits / 200)) $((exits % 200 / 2)) $((models / 200)) $((models % 200 / 2))
	if [ "$accel" = on ] && [ -n "${3:-}" ]; then
		printf ' %s, %s |' "$3" "$4"
		if [ $exits -gt $(($3 * 200)) ] || [ $models -gt $(($4 * 200)) ]; then
			printf ' TOO MANY'
			bad=1
		fi
	fi
	printf '\n'
}

echo "| operation | exits | model entries | at most |"
echo "|---|---|---|---|"
per_op ide_sector_polled ata 3 1
per_op ide_sector_irq ata 5 2
per_op rtc_seconds mc146818 1 0
per_op pit_latch_and_read i8254 3 0
per_op hpet_counter hpet 1 0
per_op pm_timer pm 1 0
per_op port61 port61 1 0
per_op ide_status ata 1 0
per_op ide_sector_count ata 1 0
per_op pci_config pci 2 0
per_op vga_status vga 1 0
per_op vga_palette vga 1 0
per_op uart_iir i16550 1 0
per_op uart_lsr i16550 1 0
per_op uart_msr i16550 1 0
per_op pic_mask i8259 1 0
per_op pic_irr i8259 1 0
per_op pic_isr i8259 1 0
per_op kbd_status i8042 1 0
exit $bad
