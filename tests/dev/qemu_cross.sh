#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# qemu_cross.sh: asks QEMU what it has in the registers of timers_regs.trace and vga_regs.trace, and what its disk does
# with ata_pio.trace, on a machine that is paused at power-on. Its answers must be the traces', or exactly the other
# ones that they list with "# qemu: VALUE, why".
# Skipped (77) without QEMU. Called from tests/list.txt.
set -u
qemu=${QEMU:-qemu-system-x86_64}
command -v "$qemu" >/dev/null || { echo "qemu-cross: no $qemu (Debian: apt install qemu-system-x86)"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"; [ -z "${COPROC_PID:-}" ] || kill "$COPROC_PID" 2>/dev/null' EXIT

seq -f '%0511.0f' 0 2047 >"$dir/disk.img" # as tests/dev/run.sh has it
coproc "$qemu" -machine pc,accel=tcg -S -display none -nodefaults -device isa-vga \
	-drive "if=ide,format=raw,file=$dir/disk.img" -qtest stdio 2>"$dir/qemu.err"
suffix=(- b w - l - - - q)
compared=0 differing=0 bad=0

ask() { # COMMAND: the answer in $reply
	echo "$1" >&"${COPROC[1]}" || return 1
	while IFS= read -r -t 20 reply <&"${COPROC[0]}"; do
		case $reply in OK*) return 0 ;; FAIL* | ERR*) break ;; esac
	done
	echo "qemu-cross: QEMU does not answer \"$1\": ${reply:-nothing}"
	cat "$dir/qemu.err"
	return 1
}

# Its disk works beside the CPU: until BSY is off.
settle() {
	for _ in {1..1000}; do
		ask "inb 0x3f6" || return 1
		((${reply#OK } & 0x80)) || return 0
	done
}

for trace in "$(dirname "$0")"/{timers_regs,vga_regs,ata_pio}.trace; do
	line_nr=0
	while IFS= read -r line; do
		line_nr=$((line_nr + 1))
		case $line in '' | \#*) continue ;; esac
		read -r _ what bus addr size value _ <<<"$line"
		case $what$bus in
		rpio) command="in${suffix[$size]} $addr" ;;
		wpio) command="out${suffix[$size]} $addr $value" ;;
		rmmio) command="read${suffix[$size]} $addr" ;;
		wmmio) command="write${suffix[$size]} $addr $value" ;;
		esac
		ask "$command" || exit 1
		answer=${reply#OK }
		case $addr in 0x1f0 | 0x1f7) settle || exit 1 ;; esac
		[ "$what$value" != "r?" ] && [ "$what" = r ] || continue
		want=$value
		if [[ $line =~ "# qemu: "(0x[0-9a-f]+), ]]; then
			want=${BASH_REMATCH[1]}
			differing=$((differing + 1))
		fi
		compared=$((compared + 1))
		if [ $((answer)) != $((want)) ]; then
			echo "$trace:$line_nr: QEMU has $answer, expected $want: $line"
			bad=$((bad + 1))
		fi
	done <"$trace"
done

echo "$compared registers compared with QEMU, $differing known differences, $bad unexpected"
[ "$bad" = 0 ] && [ "$compared" -ge 650 ]
