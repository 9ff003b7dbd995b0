#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# prog_cli.sh: `hotreg prog` on bare instructions and objects, as scripts call it: status, r0, reasons. The rows of
# tests/insn go through `exec` in both engines; then programs that cannot run, and each must end in a reason.
# (HOTREG, BUILD as elsewhere; run from the top of the source tree.) Never may a status be above 2: that is a signal.
set -u
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
bad=0 rows=0

fail() { # WHAT
	echo "FAILED: $1: status $status"
	sed 's/^/  out| /' "$dir/out" | head -n 4
	sed 's/^/  err| /' "$dir/err" | head -n 6
	bad=1
}

# row STATUS STDOUT STDERR-WORDS PROGRAM ARGS...; STDOUT "-" is not looked at; success must leave stderr empty
row() {
	local want=$1 out=$2 words=$3 program=$4
	shift 4
	rows=$((rows + 1))
	printf '%s' "$program" | timeout 60 "$hotreg" prog "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	if [ "$status" != "$want" ] || { [ "$out" != - ] && [ "$(cat "$dir/out")" != "$out" ]; } ||
		! grep -qE -- "$words" <(cat "$dir/err"; echo) || { [ "$want" = 0 ] && [ -s "$dir/err" ]; }; then
		fail "prog $* <<< ${program:0:300} (wanted: $want, '$out', '$words')"
	fi
}

exit_insn=9500000000000000
engines=--interp
case $("$hotreg" prog dump --jit "$build/bpf/hpet.bpf.o" 2>&1) in *'no JIT for this'*) ;; *) engines="--interp --jit" ;; esac

# ---- exec: what RFC 9669 demands -----------------------------------------------------------
while IFS=$'\t' read -r text bytes r0 memory _; do
	case $text in '' | \#* | *ktime*) continue ;; esac
	[ -n "${r0// /}" ] || continue
	for engine in $engines; do
		row 0 "$(printf '0x%x' "${r0// /}")" '' "$bytes" exec $engine ${memory// /}
	done
done < <(sed 's/ | /\t/g' tests/insn/*.txt)
[ $rows -ge 300 ] || { echo "only $rows rows in tests/insn"; bad=1; }

for engine in $engines; do
	row 0 0x2a '' $'b7 00 00 00\n2a 00 00 00\t95 00\r\n 0000 00000000\n\n' exec $engine
	row 0 0x2a '' "B70000002A000000$exit_insn" exec $engine ''
	# r1 and r2: memory and its length, 0 and 0 without
	row 0 0x3 '' "bf20000000000000$exit_insn" exec $engine '01 02 03'
	row 0 0x0 '' "bf20000000000000$exit_insn" exec $engine
	row 0 0x0 '' "bf10000000000000$exit_insn" exec $engine
	row 0 0x0 '' "$exit_insn" exec $engine # and all others
	for n in 3 4 5 6 7 8 9; do row 0 0x0 '' "bf${n}0000000000000$exit_insn" exec $engine 0102; done
	row 0 0x807060504030201 '' "7910000000000000$exit_insn" exec $engine 0102030405060708
	row 0 0x3 '' "7110020000000000$exit_insn" exec 010203 $engine
	# what is stored is there when it is loaded: memory and stack
	row 0 0x5 '' "7a0108000500000079100800000000007a0a00fe0500000079a000fe00000000$exit_insn" exec $engine \
		00000000000000000000000000000000
	row 0 0x7 '' "b70100000700000085100000010000009500000000000000bf10000000000000$exit_insn" exec $engine
	# 8 frames; the program's own start called; the time moves on
	row 0 0xe '' "0700000001000000150001000700000085100000fdffffff0700000001000000$exit_insn" exec $engine
	row 0 0x1 '' "8500000005000000bf060000000000008500000005000000b701000001000000bd06010000000000b701000000000000bf10000000000000$exit_insn" exec $engine
	# division by zero and shifts are no faults
	row 0 0x0 '' "b7000000070000003700000000000000$exit_insn" exec $engine
	row 0 0x2 '' "b7000000010000006700000041000000$exit_insn" exec $engine

	# faults
	row 1 '' 'read of address 0x0, a null pointer' "b7010000000000007910000000000000$exit_insn" exec $engine
	row 1 '' 'store to address 0x8, a null pointer' "7a01080000000000$exit_insn" exec $engine
	row 1 '' '0 bytes above the end of the memory' "7910080000000000$exit_insn" exec $engine 0102030405060708
	row 1 '' 'no memory can have' "18010000efbeadde00000000efbeadde7910000000000000$exit_insn" exec $engine
	row 1 '' 'fault: store to address 0x10000$' "18010000000001000000000000000000 7b11000000000000$exit_insn" exec $engine
	row 1 '' 'below the program.s stack|nest more than 8' "85100000ffffffff$exit_insn" exec $engine
	row 1 '' 'no end after 2 seconds' 0500ffff00000000 exec $engine
	# no program, and what is wrong with it
	row 1 '' 'program is empty' '' exec $engine
	row 1 '' 'program is empty' $' \n' exec $engine
	row 1 '' 'one hexadecimal digit only' "b7000000000000009" exec $engine
	row 1 '' "'x' at byte 0 is no hexadecimal" 'xy' exec $engine
	row 1 '' '9 bytes: instructions have 8' "${exit_insn}00" exec $engine
	row 1 '' 'opcode 0xff .* no BPF instruction' "ff00000000000000$exit_insn" exec $engine
	row 1 '' 'no BPF instruction' "b70b000000000000$exit_insn" exec $engine # r11
	row 1 '' 'no BPF instruction' "b710000000000000$exit_insn" exec $engine # a field that is to be zero
	row 1 '' 'jump to instruction 4, outside' "0500030000000000$exit_insn" exec $engine
	row 1 '' 'jump to instruction -1, outside' "0500feff00000000$exit_insn" exec $engine
	row 1 '' 'call to instruction 99, outside' "8510000062000000$exit_insn" exec $engine
	row 1 '' 'middle of a 64-bit' "050001000000000018000000000000000000000000000000$exit_insn" exec $engine
	row 1 '' 'without its second half' 1800000000000000 exec $engine
	row 1 '' 'exit is missing' b700000000000000 exec $engine
	row 1 '' 'from one function into another' "85100000010000009500000000000000b7000000000000000500fdff00000000" exec $engine
	row 1 '' 'call of helper 1: only 5' "8500000001000000$exit_insn" exec $engine
	row 1 '' 'call of helper 6: only 5' "8500000006000000$exit_insn" exec $engine
	row 1 '' 'call of a kernel function' "8520000001000000$exit_insn" exec $engine
	row 1 '' 'indirect call' "8d00000001000000$exit_insn" exec $engine
	row 1 '' 'packet access' "3000000001000000$exit_insn" exec $engine
	row 1 '' 'no maps here' "18110000000000000000000000000000$exit_insn" exec $engine
	row 1 '' 'r10, the frame pointer' "b70a000000000000$exit_insn" exec $engine
	row 1 '' 'r10-520 is outside the frame' "7a0af8fd00000000$exit_insn" exec $engine
	row 1 '' 'r10.0 is outside the frame' "7a0a000000000000$exit_insn" exec $engine
	row 1 '' 'an engine takes 1 to 4096' "$(printf '05000000%.0s00000000' {1..4096})$exit_insn" exec $engine # 4097 instructions
done
row 2 '' 'one of --interp and --jit' "$exit_insn" exec
row 2 '' 'one of --interp and --jit' "$exit_insn" exec --interp --jit
row 2 '' 'no option' "$exit_insn" exec --interp --fast
row 2 '' 'one hexadecimal digit' "$exit_insn" exec --interp 123
row 2 '' 'quote it' "$exit_insn" exec --interp 01 02

# ---- verify and run with a context of our own ----------------------------------------------
# r0 = the element of map 0 under the key 0, or that in the context; and out if there is none
find="bfa2000000000000 07020000fcffffff 18110000000000000000000000000000 8500000001000000"
lookup="620afcff00000000 $find"
keyed="6111000000000000 631afcff00000000 $find"
null="1500010000000000"
row 0 '' '' "b70000002a000000$exit_insn" verify --ctx-size 0
row 0 0x2a '' "b70000002a000000$exit_insn" run --ctx-size 0
row 0 0x2a '' "b70000002a000000$exit_insn" run --ctx-size=0 --interp
row 0 0x0 '' "7910080000000000$exit_insn" run --ctx-size 16
row 0 0x5 '' "7a010800050000007910080000000000$exit_insn" run --ctx-size 16
row 1 '' 'outside the context' "7910080000000000$exit_insn" verify --ctx-size 15
row 1 '' 'outside the context' "7910080000000000$exit_insn" run --ctx-size 15
row 1 '' 'loop' 0500ffff00000000 verify --ctx-size 0
row 1 '' 'r0' "$exit_insn" verify --ctx-size 0
row 1 '' 'no such instruction' "ff00000000000000$exit_insn" verify --ctx-size 0
row 1 '' 'hexadecimal' 'zz' verify --ctx-size 0
row 1 '' 'empty' '' verify --ctx-size 0
for engine in '' $engines; do
	row 0 0x807060504030201 '' "$lookup $null 7900000000000000 $exit_insn" run $engine --ctx-size 0 --map array:4:8:2=0102030405060708
	row 0 0x201 '' "$lookup $null 7900000000000000 $exit_insn" run $engine --ctx-size 0 --map array:4:8:1:ro=0102
	row 0 0x0 '' "$lookup $null 7a00000009000000 b700000000000000 $exit_insn" run $engine --ctx-size 0 --map array:4:8:1:wo=0102
	# what is stored is found by the next lookup
	row 0 0x9 '' "$lookup $null 7a00000009000000 $lookup $null 7900000000000000 $exit_insn" run $engine --ctx-size 0 --map array:4:8:1
	# the key comes from the context: element 2 of 3 for 2, none for 3
	row 0 0x0 '' "$keyed $null 7900000000000000 $exit_insn" run $engine --ctx-size 8 --map array:4:8:3=00
done
row 1 '' 'null|NULL' "$keyed 7900000000000000 $exit_insn" verify --ctx-size 4 --map array:4:8:1
row 1 '' 'outside' "$lookup $null 7900080000000000 $exit_insn" verify --ctx-size 0 --map array:4:8:1
row 1 '' 'read-only' "$lookup $null 7a00000000000000 b700000000000000 $exit_insn" verify --ctx-size 0 --map array:4:8:1:ro
row 0 '' '' "$lookup $null 7a00000000000000 b700000000000000 $exit_insn" verify --ctx-size 0 --map array:4:8:1:wo
row 1 '' 'write-only' "$lookup $null 7900000000000000 $exit_insn" verify --ctx-size 0 --map array:4:8:1:wo
row 1 '' 'no map' "$lookup $null 7900000000000000 $exit_insn" verify --ctx-size 0
row 0 '' '' "$lookup $null 7900000000000000 $exit_insn" verify --ctx-size 0 --map hash:4:8:1
row 1 '' 'not executable here: it uses the hash map map0' "$lookup $null 7900000000000000 $exit_insn" run --ctx-size 0 --map hash:4:8:1
# an address in element 0, of the second map
row 0 0x403 '' "18210000010000000000000002000000 6910000000000000 $exit_insn" run --ctx-size 0 --map array:4:1:1 --map array:4:8:1=01020304
row 1 '' 'outside' "18210000000000000000000008000000 6910000000000000 $exit_insn" verify --ctx-size 0 --map array:4:8:1
for map in array array:4 array:4:8 array:4:8: array:4:8:1:rx array:4:8:1:ro:wo array:8:8:1 array:4:0:1 array:4:8:0 array:4:8:1=012 \
	array:4:8:1=010203040506070809 hash:0:8:1 hash:513:8:1 hash:4:8:1=00 lru:4:8:1 array:-4:8:1 array:4:99999999999:1 \
	array:4:8:1x array:4:8:1=zz array:4:1000000:1000000 ''; do
	row 2 '' 'map|help' "b700000000000000$exit_insn" verify --ctx-size 0 --map "$map"
done
row 2 '' 'needs --ctx-size' "$exit_insn" verify --map array:4:8:1
row 2 '' 'needs --ctx-size' "$exit_insn" run
for n in -1 x '' 65537 0x 1k; do row 2 '' 'ctx-size' "$exit_insn" verify --ctx-size "$n"; done
row 2 '' "takes no '--jit'" "$exit_insn" verify --ctx-size 0 --jit
row 2 '' "takes no 'file.o'" "$exit_insn" verify --ctx-size 0 file.o

# ---- objects -------------------------------------------------------------------------------
json() { # FILTER FILE ARGS...: the filter must hold on what is printed
	local filter=$1
	shift
	rows=$((rows + 1))
	"$hotreg" prog verify --json "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	jq -e "$filter" "$dir/out" >/dev/null 2>>"$dir/err" || fail "prog verify --json $*: $filter"
}
json '.accepted and (.programs | length) == 3 and .programs[0].effect == "pure" and .programs[0].executable' "$build/tests/obj/good.bpf.o"
json '.accepted and [.programs[].program] == ["count"]' "$build/tests/obj/good.bpf.o" count
json '(.accepted | not) and ([.programs[] | select(.accepted | not)] | length) == 1' "$build/tests/obj/refused_reads_beyond.bpf.o"
json '.programs[0] | .file == "tests/obj/refused.bpf.c" and .line > 50 and .column > 0 and .insn == 2 and
	(.registers[0] | startswith("r2 is a pointer")) and (.rule | startswith("read of 8 bytes")) and
	.remedy == "stay inside the object" and (.message | contains("refused: "))' "$build/tests/obj/refused_reads_beyond.bpf.o" beyond
json '(.accepted | not) and .programs == [] and (.error | contains("is a pointer"))' "$build/tests/obj/refused_pointer.bpf.o"
json '(.accepted | not) and (.error | contains("No such file"))' "$dir/absent.o"
json '(.accepted | not) and .error == "there is no such program"' "$build/tests/obj/good.bpf.o" nosuch
json '[.programs[] | {program, accepted, executable}] == [{program: "tally", accepted: true, executable: true},
	{program: "peek", accepted: true, executable: true}, {program: "by_name", accepted: true, executable: false}]' "$build/tests/obj/maps.bpf.o"
row 0 - '' '' verify "$build/tests/obj/maps.bpf.o" tally
row 1 - 'by_name: not executable here: it uses the hash map names' '' verify "$build/tests/obj/maps.bpf.o"
row 0 - '' '' bench --write 5 "$build/tests/obj/maps.bpf.o" tally
row 1 - 'not executable here' '' bench "$build/tests/obj/maps.bpf.o" by_name
row 0 - '' '' dump "$build/tests/obj/maps.bpf.o" tally
grep -q 'r1 = map samples ll' "$dir/out" && grep -q 'call bpf_map_lookup_elem#1' "$dir/out" || fail 'dump: no map'
row 0 - '' '' dump "$build/bpf/hpet.bpf.o"
row 2 '' 'no option' '' dump --frob "$build/bpf/hpet.bpf.o"
row 2 '' 'no option' '' verify --frob "$build/bpf/hpet.bpf.o"
if [ "$engines" != --interp ]; then
	row 0 - '' '' dump --jit "$build/bpf/hpet.bpf.o"
	grep -qE '^machine code, [0-9]+ bytes:' "$dir/out" && grep -qE '^ +0:' "$dir/out" || fail 'dump --jit: no code'
	row 0 - '' '' dump --jit "$build/tests/obj/refused_reads_beyond.bpf.o" beyond
	grep -q 'no machine code: the program is refused' "$dir/out" || fail 'dump --jit of a refused program'
	# without objdump: offsets and bytes
	rows=$((rows + 1))
	PATH=/nonexistent "$hotreg" prog dump --jit "$build/bpf/hpet.bpf.o" >"$dir/out" 2>"$dir/err"
	status=$?
	grep -qE '^    10:( [0-9a-f]{2}){16}$' "$dir/out" || fail 'dump --jit without objdump'
fi
row 0 - '' '' bench "$build/bpf/pmtimer.bpf.o"
awk 'NR == 2 && $1 == "pm" && $2 == "answers" && $3 > 0 {ok = 1} END {exit !ok}' "$dir/out" || fail 'bench: no figures'
row 1 - 'refused' '' bench "$build/tests/obj/refused_reads_beyond.bpf.o" beyond
row 2 '' 'takes 1, 2, 4 or 8' '' bench --size 3 "$build/bpf/pmtimer.bpf.o"
row 2 '' 'no such file|No such file' '' bench "$dir/absent.o"

# ---- the kernel's verifier -----------------------------------------------------------------
"$hotreg" prog verify --kernel "$build/bpf/hpet.bpf.o" >"$dir/out" 2>"$dir/err"
status=$?
rows=$((rows + 1))
if grep -q 'bpf(2)\|Linux 5.14' "$dir/err"; then
	[ $status = 2 ] || fail 'verify --kernel without bpf(2)'
	echo "not tested: verify --kernel: $(cat "$dir/err")"
else
	[ $status = 0 ] && grep -q 'accepted by the running kernel' "$dir/out" || fail 'verify --kernel'
	row 1 - 'refused:' '' verify --kernel "$build/tests/obj/refused_reads_beyond.bpf.o" beyond
	grep -q 'refused by the running kernel' "$dir/out" && grep -q 'invalid access to map value' "$dir/out" || fail 'verify --kernel of a bad one'
	# maps of all kinds: the kernel accepts what we do, the hash map too
	json '[.programs[].kernel.accepted] == [true, true, true]' --kernel "$build/tests/obj/maps.bpf.o"
	json '.accepted and .programs[0].kernel.accepted and (.programs[0].kernel.log | contains("processed"))' --kernel "$build/bpf/hpet.bpf.o"
	json '.programs[0].kernel.accepted == false' --kernel "$build/tests/obj/refused_reads_beyond.bpf.o" beyond
fi
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
	cp "$hotreg" "$dir/hotreg"
	cp "$build/bpf/hpet.bpf.o" "$dir/"
	chmod -R a+rX "$dir"
	rows=$((rows + 1))
	(cd / && setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all "$dir/hotreg" \
		prog verify --kernel "$dir/hpet.bpf.o") >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status = 2 ] && grep -q 'bpf(2) is not allowed here' "$dir/err" && grep -q accepted "$dir/out" || fail 'verify --kernel without rights'
fi
echo "$rows rows"
exit $bad
