#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# qemu_cpu_models.sh: the CPU models beside QEMU's of the same names: who they are, and which features they have. QEMU is
# asked without KVM, so it leaves out what its own emulation cannot do; what it has must be in ours, and what ours have
# and its `max` has must be in QEMU's. Where they differ on purpose, the reason is below. Status 77: no QEMU or jq.
set -u
build=${BUILD:-build}
hotreg=${HOTREG:-$build/hotreg}
qemu=${QEMU:-qemu-system-x86_64}
command -v "$qemu" >/dev/null || { echo "needs QEMU ($qemu)"; exit 77; }
command -v jq >/dev/null || { echo "needs jq"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# NAME FEATURE WHY, one a line. MONITOR, nested virtualisation and thermal features are in none of ours: KVM gives them
# to a guest only when asked. The hypervisor bit is hotreg's for all.
cat >"$work/known" <<'END'
* hypervisor -
* monitor -
* acpi -
* svm -
* npt -
* nrip-save -
Conroe cx16 Core 2 has CMPXCHG16B ([SDM2] CMPXCHG16B)
athlon sse the Athlon of 1999 has 3DNow! and MMX, but no SSE
athlon sse2 as above
phenom cr8legacy family 10h has AltMovCr8 ([APM3] Fn8000_0001_ECX)
END
# Under other names there, where a new name only says which microcode it has.
qemu_name() {
	case $1 in
	Skylake-Client-noTSX | Skylake-Server-noTSX | Cascadelake-Server-noTSX) echo "" ;;
	*) echo "$1" ;;
	esac
}

"$hotreg" cpu-models | awk 'NR > 3 && $1 != "host" && $1 != "max" && NF {print $1} /^$/ {exit}' >"$work/models"
[ "$(wc -l <"$work/models")" -ge 30 ] || { echo "cpu-models lists too few"; exit 1; }
{
	echo '{"execute": "qmp_capabilities"}'
	for m in max $(cat "$work/models"); do
		q=$(qemu_name "$m")
		[ -z "$q" ] || echo '{"execute": "query-cpu-model-expansion", "id": "'"$m"'", "arguments": {"type": "full", "model": {"name": "'"$q"'"}}}'
	done
	echo '{"execute": "quit"}'
} | timeout 60 "$qemu" -S -machine none -accel tcg -nodefaults -display none -qmp stdio >"$work/qmp" 2>"$work/log"
jq -r 'select(.id and .return) | .id as $id | .return.model.props | to_entries[] | select(.value == true) | $id + " " + (.key | gsub("_"; "-"))' \
	"$work/qmp" | sort -u >"$work/qemu"
[ "$(wc -l <"$work/qemu")" -ge 500 ] || { echo "QEMU tells nothing:"; tail -n 5 "$work/log"; exit 77; }
# Names of ours, an alias as the bit's first name: every name that a model prints, and QEMU's second names for them.
alias_of() {
	sed -E 's/ (pni)$/ sse3/; s/ pclmuldq$/ pclmulqdq/; s/ sse4-1$/ sse4.1/; s/ sse4-2$/ sse4.2/; s/ xd$/ nx/; s/ i64$/ lm/; s/ ffxsr$/ fxsr-opt/; s/ avx512-vbmi$/ avx512vbmi/; s/ avx512-vbmi2$/ avx512vbmi2/'
}
"$hotreg" cpu-models --features | grep -v ':$' | tr -s ' *' '\n' | grep . | sort -u >"$work/names"
alias_of <"$work/qemu" | sort -u >"$work/qemu.all"
awk 'NR == FNR {known[$1] = 1; next} known[$2]' "$work/names" "$work/qemu.all" | sort -u >"$work/qemu.features"
for m in $(cat "$work/models"); do
	[ -n "$(qemu_name "$m")" ] || continue
	"$hotreg" cpu-models "$m" | tail -n 1 | tr -s ', ' '\n' | grep . | sed "s/^/$m /"
done | sort -u >"$work/ours"
bad=0
differ() { # NAME FEATURE WHERE
	grep -qE "^(\*|$1) $2 " "$work/known" && return
	echo "qemu_cpu_models: $1: $2 only in $3"
	bad=1
}
while read -r m f; do differ "$m" "$f" "QEMU"; done < <(grep -v '^max ' "$work/qemu.features" | comm -23 - "$work/ours")
while read -r m f; do
	grep -qxF "max $f" "$work/qemu.features" && differ "$m" "$f" "hotreg"
done < <(comm -13 "$work/qemu.features" "$work/ours")
# Family, model and stepping.
jq -r 'select(.id and .return) | .id as $id | .return.model.props | "\($id) \(.vendor), family \(.family), model \(.model), stepping \(.stepping)"' \
	"$work/qmp" | grep -v '^max ' | sort >"$work/qemu.who"
cut -d' ' -f1 "$work/qemu.who" | while read -r m; do echo "$m $("$hotreg" cpu-models "$m" | sed -n '2s/^  //p')"; done | sort >"$work/our.who"
diff "$work/qemu.who" "$work/our.who" || bad=1
echo "qemu_cpu_models: $(wc -l <"$work/qemu.who") models compared"
exit $bad
