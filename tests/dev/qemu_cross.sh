#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# qemu_cross.sh: asks QEMU what it has in the registers of timers_regs.trace and vga_regs.trace, on a machine that is
# paused at power-on. Its answers must be the traces', or exactly the other ones that they list with "# qemu: VALUE, why".
# Skipped (77) without QEMU. Called from tests/list.txt.
set -u
qemu=${QEMU:-qemu-system-x86_64}
command -v "$qemu" >/dev/null || { echo "qemu-cross: no $qemu (Debian: apt install qemu-system-x86)"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"; [ -z "${COPROC_PID:-}" ] || kill "$COPROC_PID" 2>/dev/null' EXIT

coproc "$qemu" -machine pc,accel=tcg -S -display none -nodefaults -device isa-vga -qtest stdio 2>"$dir/qemu.err"
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

for trace in "$(dirname "$0")"/{timers,vga}_regs.trace; do
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
		[ "$what$value" != "r?" ] && [ "$what" = r ] || continue
		want=$value
		if [[ $line =~ "# qemu: "(0x[0-9a-f]+), ]]; then
			want=${BASH_REMATCH[1]}
			differing=$((differing + 1))
		fi
		compared=$((compared + 1))
		if [ $((${reply#OK })) != $((want)) ]; then
			echo "$trace:$line_nr: QEMU has ${reply#OK }, expected $want: $line"
			bad=$((bad + 1))
		fi
	done <"$trace"
done

echo "$compared registers compared with QEMU, $differing known differences, $bad unexpected"
[ "$bad" = 0 ] && [ "$compared" -ge 250 ]
