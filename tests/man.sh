#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# man.sh: the man pages agree with what is there: each long option and command of `hotreg --help`, `hotreg run --help`
# and those of prog, ctl, stats, top and cpu-models is in hotreg(1), and no other; each function of accel.h is in libhotreg-accel(3) with its
# very declaration, and no other. Then groff and mandoc, whichever are here, must have nothing to say. Status 0, 1, or
# 77 if all agrees but neither of the two is here. BUILD (default build) can be set.
set -u
build=${BUILD:-build}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
bad=0

# same WHAT IN-THE-PAGE IN-THE-PROGRAM: both sorted lists.
same() {
	diff -u "$2" "$3" >"$work/diff" && return
	echo "man: $1 (-: only in the page, +: only in the program):"
	grep -E '^[-+][^-+]|^[-+]--[a-z]' "$work/diff"
	bad=1
}

# ---- hotreg(1) -----------------------------------------------------------------------------------

page=man/hotreg.1
for help in --help "run --help" "prog --help" "ctl --help" "stats --help" "top --help" "cpu-models --help"; do
	# shellcheck disable=SC2086  # words on purpose
	"$build/hotreg" $help >>"$work/help" || { echo "man: hotreg $help fails"; exit 1; }
done
grep -oE -e '(^|[^-[:alnum:]])--[a-z][a-z-]*' "$work/help" | grep -oE -e '--[a-z-]+' | sort -u >"$work/options"
[ "$(wc -l <"$work/options")" -ge 15 ] || { echo "man: only $(wc -l <"$work/options") options found in --help"; exit 1; }
grep -oE 'Fl -[a-z][a-z-]*' "$page" | sed 's/^Fl -/--/' | grep -vx -e '--option' | sort -u >"$work/in_page"
same "options of hotreg(1)" "$work/in_page" "$work/options"
# The commands of prog: `usage: hotreg prog verify ...`, `verify|dump`.
grep -oE 'hotreg prog [a-z|]+' "$work/help" | sed 's/.* //' | tr '|' '\n' | sort -u >"$work/commands"
grep -oE '^\.It Nm Cm prog [a-z]+' "$page" | sed 's/.* //' | sort -u >"$work/in_page"
same "commands of hotreg prog" "$work/in_page" "$work/commands"
# The commands of ctl, with the second word of those that have two.
"$build/hotreg" ctl --help | sed -nE 's/^  (prog [a-z]+|[a-z]+) .*/\1/p' | sort -u >"$work/commands"
sed -n '/^\.Sh CONTROLLING A GUEST/,/^\.Sh FILES/p' "$page" |
	sed -nE 's/^\.It Cm (prog [a-z]+|[a-z]+)( .*)?$/\1/p' | sort -u >"$work/in_page"
same "commands of hotreg ctl" "$work/in_page" "$work/commands"
# The exit statuses of run.
sed -n '/^Exit status:/,/^usage/s/^ *\([0-9]\+\|odd\)  .*/\1/p' "$work/help" | sort >"$work/statuses"
sed -n '/^\.Sh EXIT STATUS/,/^\.El/s/^\.It //p' "$page" | sort >"$work/in_page"
[ -s "$work/statuses" ] || { echo "man: no exit status found in --help"; exit 1; }
same "exit statuses" "$work/in_page" "$work/statuses"

# ---- libhotreg-accel(3) --------------------------------------------------------------------------

page=man/libhotreg-accel.3
# Declarations as one line each: of the header without comments, of the page's synopsis.
sed -E 's|/\*.*\*/||; /^#/d' accel/accel.h | awk '/\/\*/ {c = 1} !c {print} /\*\// {c = 0}' | tr '\n\t' '  ' |
	grep -oE '[a-z_0-9 ]+[ *]+accel_[a-z_0-9]+\([^()]*\)( *;| *\{)' |
	sed -E 's/ *[;{]$//; s/ +/ /g; s/^ //; s/^static inline //; s/\( /(/; s/\* +/*/g' | sort >"$work/declared"
[ "$(wc -l <"$work/declared")" -ge 20 ] || { echo "man: only $(wc -l <"$work/declared") functions in accel.h"; exit 1; }
awk -v q='"' '
	/^\.Sh DESCRIPTION/ { exit }
	/^\.Ft/ { type = substr($0, 5); gsub(q, "", type) }
	/^\.Fn/ { rest = substr($0, 5); name = rest; sub(/ .*/, "", name); sub(/^[^ ]+ */, "", rest)
		gsub(q " " q, ", ", rest); gsub(q, "", rest); print type " " name "(" rest ")" }
	/^\.Fo/ { name = $2; args = "" }
	/^\.Fa/ { a = substr($0, 5); gsub(q, "", a); args = args (args == "" ? "" : ", ") a }
	/^\.Fc/ { print type " " name "(" args ")" }' "$page" | sed -E 's/\* +/*/g' | sort >"$work/in_page"
same "functions of libhotreg-accel(3)" "$work/in_page" "$work/declared"
[ $bad = 0 ] || exit 1
echo "man: $(wc -l <"$work/options") options, $(wc -l <"$work/commands") prog commands and $(wc -l <"$work/declared") functions agree"

# ---- form ----------------------------------------------------------------------------------------

linted=""
for page in man/*.[1-9]; do
	if command -v groff >/dev/null; then
		groff -mdoc -Tascii -ww -b "$page" 2>"$work/lint" >"$work/text"
		[ ! -s "$work/lint" ] || { echo "man: groff on $page:"; cat "$work/lint"; bad=1; }
		[ "$(wc -l <"$work/text")" -gt 60 ] || { echo "man: $page comes out empty"; bad=1; }
		linted="groff "
	fi
	if command -v mandoc >/dev/null; then
		mandoc -T lint -W warning "$page" >"$work/lint" 2>&1 || { echo "man: mandoc on $page:"; cat "$work/lint"; bad=1; }
		linted="${linted}mandoc "
	fi
done
[ $bad = 0 ] || exit 1
[ -n "$linted" ] || { echo "the form was not checked: needs groff or mandoc"; exit 77; }
echo "man: nothing to say: $linted"
