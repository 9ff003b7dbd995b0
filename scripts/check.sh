#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# check.sh LIST [JOBS]: runs the tests of LIST ("NAME: COMMAND" a line, `#` comments), JOBS at a time (2), and
# ends with what failed, what was skipped and why, and one line of counts; status 1 when anything failed.
# A test passes with status 0 and is skipped with 77, its last line then being the reason. The tests
# inside one cmocka program are counted one by one from its closing lines, its skips by name. Logs: build/check/NAME.log.
set -u
list=$1
jobs=${2:-2}
out=${OUT:-${BUILD:-build}/check}
rm -rf "$out"
mkdir -p "$out"

one() {
	local name=$1 cmd=$2 log="$out/$1.log" start rc took
	start=$(date +%s)
	timeout -k 10 1560 bash -c "$cmd" >"$log" 2>&1 </dev/null
	rc=$?
	took=$(($(date +%s) - start))
	echo "$rc $took" >"$out/$name.rc"
	{
		if [ $rc = 77 ]; then
			echo "-- $name: SKIPPED: $(tail -n 1 "$log")"
		elif [ $rc = 0 ]; then
			echo "-- $name: ok (${took} s)"
		else
			echo "-- $name: FAILED (status $rc, ${took} s), the end of $log:"
			tail -n 25 "$log" | sed 's/^/     /'
		fi
		# cmocka's own closing lines, what it skipped, and what the nested bed has to say of itself
		grep -aE '^\[  (PASSED|FAILED|SKIPPED ) *\]|^\[  (PASSED|SKIPPED|FAILED) |^nested: ' "$log" | sed 's/^/   /' | head -n 12
	} >"$out/$name.say"
	flock "$out" cat "$out/$name.say"
}
export -f one
export out

names=()
args=()
while IFS= read -r line; do
	case $line in '' | \#*) continue ;; esac
	names+=("${line%%:*}")
	args+=("${line%%:*}" "${line#*: }")
done <"$list"

printf '%s\0' "${args[@]}" | xargs -0 -n 2 -P "$jobs" bash -c 'one "$1" "$2"' one

passed=0 failed=0 skipped=0
for name in "${names[@]}"; do
	read -r rc _ <"$out/$name.rc" 2>/dev/null || rc=missing
	if grep -aqE '^\[  PASSED  \]|^\[  FAILED  \]' "$out/$name.log" 2>/dev/null; then
		p=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p' "$out/$name.log" | awk '{n += $1} END {print n + 0}')
		s=$(sed -nE 's/^\[  SKIPPED \] ([0-9]+) test.*/\1/p' "$out/$name.log" | awk '{n += $1} END {print n + 0}')
		f=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p' "$out/$name.log" | awk '{n += $1} END {print n + 0}')
		passed=$((passed + ${p:-0})) skipped=$((skipped + ${s:-0})) failed=$((failed + ${f:-0}))
		[ "$rc" = 0 ] || [ "${f:-0}" != 0 ] || failed=$((failed + 1))
	elif [ "$rc" = 0 ]; then
		passed=$((passed + 1))
	elif [ "$rc" = 77 ]; then
		skipped=$((skipped + 1))
	else
		failed=$((failed + 1))
	fi
done

echo
echo "skipped, and why:"
none=1
for name in "${names[@]}"; do
	read -r rc _ <"$out/$name.rc" 2>/dev/null || rc=missing
	if [ "$rc" = 77 ]; then
		echo "  $name: $(tail -n 1 "$out/$name.log")"
		none=0
	fi
	if grep -aE '^\[  SKIPPED \] [^0-9]' "$out/$name.log" >/dev/null 2>&1; then
		grep -aE '^\[  SKIPPED \] [^0-9]|skipped: ' "$out/$name.log" | sed "s/^/  $name: /"
		none=0
	fi
done
[ $none = 0 ] || echo "  nothing"
if [ $failed != 0 ]; then
	echo "failed:"
	for name in "${names[@]}"; do
		read -r rc _ <"$out/$name.rc" 2>/dev/null || rc=missing
		[ "$rc" = 0 ] || [ "$rc" = 77 ] || {
			echo "  $name (see $out/$name.log), which ends:"
			tail -n 12 "$out/$name.log" 2>/dev/null | sed 's/^/     /'
		}
	done
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ]
