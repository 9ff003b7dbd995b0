#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# layers.sh: nothing includes upwards: bpf/ <- accel/ <- vmm/ <- devices/, but for the two boundary headers
# devices/device.h and devices/machine.h, which vmm/ sees. Programs and their headers see bpf/ only.
set -eu
bad=0
no() { # FOLDER FORBIDDEN-PATTERN ALLOWED-PATTERN
	found=$(grep -nE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' "$1"/*.[ch] | grep -E "\"($2)/" | grep -vE "$3" || true)
	[ -z "$found" ] || { echo "$1 must not include these:"; echo "$found"; bad=1; }
}
no bpf 'accel|vmm|devices' '^$'
no accel 'vmm|devices' '^$'
no vmm 'devices' '"devices/(device|machine)\.h"'
# Of the engine only accel.h, and for the bus hot.h.
found=$(grep -lE '"accel/hot\.h"' vmm/*.[ch] devices/*.[ch] | grep -vx 'vmm/bus\.h' || true)
[ -z "$found" ] || { echo "only vmm/bus.h includes accel/hot.h: $found"; bad=1; }
# ...and for the page tier tier.h.
found=$(grep -lE '"accel/tier\.h"' vmm/*.[ch] devices/*.[ch] | grep -vx 'vmm/page_[a-z]*\.c' || true)
[ -z "$found" ] || { echo "only vmm/page_*.c includes accel/tier.h: $found"; bad=1; }
found=$(grep -lE '"accel/kernel\.h"' vmm/*.[ch] devices/*.[ch] | grep -vE '^vmm/(kvm_tier|doctor)\.c$' || true)
[ -z "$found" ] || { echo "only vmm/kvm_tier.c and vmm/doctor.c include accel/kernel.h: $found"; bad=1; }
# A quoted include names its folder, so that the rule above sees every one.
bare=$(grep -nE '#[[:space:]]*include[[:space:]]*"[^/"]+"' bpf/*.[ch] accel/*.[ch] vmm/*.[ch] devices/*.[ch] || true)
[ -z "$bare" ] || { echo "includes without a folder:"; echo "$bare"; bad=1; }
# The SPDX line and a header comment come first in every source file.
for f in $(git ls-files '*.c' '*.h' '*.S' '*.def' 2>/dev/null); do
	head -n 1 "$f" | grep -q 'SPDX-License-Identifier' || { echo "$f: no SPDX line"; bad=1; }
done
exit $bad
