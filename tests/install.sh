#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# install.sh: installs hotreg under a temporary prefix and under a DESTDIR, looks at what is there (files, headers by
# themselves, exported symbols against accel.h, what the library needs), builds a copy of examples/embed there with
# pkg-config only, shared, static and under ASan, runs it, and uninstalls. Status 0, or 1 with what was not as it
# should be. BUILD (default build) can be set.
set -u
unset MAKEFLAGS MFLAGS MAKELEVEL
build=${BUILD:-build}
CC=${CC:-gcc}
CLANG=${CLANG:-clang}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
	echo "install: $*"
	[ ! -s "$work/log" ] || { echo "--- log:"; tail -n 30 "$work/log"; }
	exit 1
}
# quiet COMMAND...: its output is shown only if it fails.
quiet() {
	"$@" >"$work/log" 2>&1 || die "failed: $*"
}
files() {
	(cd "$1" && find . ! -type d | sort)
}
same() { # WHAT WANTED-FILE FOUND-FILE
	diff -u "$2" "$3" >"$work/log" || die "$1 (-: wanted, +: found)"
}

# ---- files -------------------------------------------------------------------------------------

prefix=$work/usr
quiet make -s BUILD="$build" install PREFIX="$prefix"
quiet make -s BUILD="$build" install PREFIX=/opt/hr DESTDIR="$work/stage"
version=$(PKG_CONFIG_LIBDIR="$prefix/lib/pkgconfig" pkg-config --modversion hotreg-accel)
echo "$version" | grep -qE '^[0-9]+\.[0-9]+\.[0-9]+$' || die "version '$version'"
soname=libhotreg-accel.so.${version%%.*}
sort >"$work/want" <<EOF
./bin/hotreg
./include/hotreg/accel.h
./include/hotreg/hr.h
./lib/libhotreg-accel.a
./lib/libhotreg-accel.so
./lib/$soname
./lib/libhotreg-accel.so.$version
./lib/pkgconfig/hotreg-accel.pc
./share/man/man1/hotreg.1
./share/man/man3/libhotreg-accel.3
EOF
files "$prefix" >"$work/found"
same "other files than wanted" "$work/want" "$work/found"
files "$work/stage/opt/hr" >"$work/found"
same "other files than wanted under DESTDIR" "$work/want" "$work/found"
[ "$(files "$work/stage" | wc -l)" = "$(wc -l <"$work/want")" ] || die "files outside the prefix under DESTDIR"
[ -z "$(find "$prefix" -type l ! -exec test -f {} \; -print)" ] || die "a dangling link"
[ -z "$(find "$prefix" -type f -path '*/include/*' ! -perm 644)" ] || die "a header that not everybody may read"
pc=$work/stage/opt/hr/lib/pkgconfig/hotreg-accel.pc
grep -qx 'prefix=/opt/hr' "$pc" || die "hotreg-accel.pc has another prefix: $(head -n 1 "$pc")"
! grep -qF "$work" "$pc" || die "hotreg-accel.pc names DESTDIR"
! grep -q "@" "$pc" || die "hotreg-accel.pc has a name that was not filled in"
for h in accel/accel.h bpf/hr.h; do
	cmp "$h" "$prefix/include/hotreg/${h##*/}" || die "$h is installed with a difference"
done
quiet "$prefix/bin/hotreg" --version

# ---- headers: each by itself, in every language they promise -------------------------------------

alone() { # HEADER COMPILER...
	local h=$1
	shift
	printf '#include <hotreg/%s>\n#include <hotreg/%s>\n' "$h" "$h" | "$@" -I"$prefix/include" -Wall -Wextra -Werror \
		-c -o /dev/null - >"$work/log" 2>&1 || die "<hotreg/$h> does not compile by itself: $*"
}
cxx=""
! command -v g++ >/dev/null || cxx=g++
for h in accel.h hr.h; do
	alone $h "$CC" -x c -std=c11 -Wpedantic -Wmissing-prototypes
	alone $h "$CC" -x c -std=gnu11 -D_GNU_SOURCE
	alone $h "$CLANG" -x c -std=c11 -Wpedantic
	[ -z "$cxx" ] || alone $h $cxx -x c++ -std=c++17 -Wpedantic
done
alone hr.h "$CLANG" -x c -target bpf -std=gnu11 -ffreestanding
quiet "$CC" -std=c11 -I"$prefix/include" -c -o /dev/null tests/abi.c
[ -z "$cxx" ] || quiet $cxx -x c++ -I"$prefix/include" -c -o /dev/null tests/abi.c
echo "install: files and headers (C11${cxx:+, C++}, BPF) are right"
[ -n "$cxx" ] || echo "install: C++ not tried: no g++"

# ---- symbols -------------------------------------------------------------------------------------

# What the compiler saw declared in accel.h, other than what it defines inline.
echo '#include <hotreg/accel.h>' >"$work/t.c"
quiet gcc -I"$prefix/include" -aux-info "$work/aux" -c -o /dev/null "$work/t.c"
sed -nE 's|^/\* [^ ]*/hotreg/accel\.h:.* extern [^(]*[ *]([a-z_0-9]+) \(.*|\1|p' "$work/aux" | sort >"$work/want"
[ "$(wc -l <"$work/want")" -ge 20 ] || die "only $(wc -l <"$work/want") functions found in accel.h"
so=$prefix/lib/libhotreg-accel.so
nm -D --defined-only --with-symbol-versions "$so" | awk '$2 != "A" {print $3}' | sort >"$work/exported"
! grep -qv "@@HOTREG_ACCEL_" "$work/exported" ||
	die "exported without a version: $(grep -v '@@HOTREG_ACCEL_' "$work/exported")"
sed 's/@.*//' "$work/exported" >"$work/found"
same "the shared library exports other functions than accel.h declares" "$work/want" "$work/found"
nm -g --defined-only "$prefix/lib/libhotreg-accel.a" | awk 'NF == 3 {print $3}' | sort >"$work/found"
same "the static library defines other functions than accel.h declares" "$work/want" "$work/found"
readelf -d "$so" >"$work/dyn"
grep -q "SONAME.*\[$soname\]" "$work/dyn" || die "another soname than $soname"
needed=$(sed -nE 's/.*NEEDED.*\[(.*)\]/\1/p' "$work/dyn" | sed 's/\.so.*//' | sort | tr '\n' ' ')
[ "$needed" = "libbpf libc " ] || die "the shared library needs: $needed"
readelf -lW "$so" | grep -q 'GNU_STACK.* RW ' || die "the shared library wants an executable stack"
! grep -q TEXTREL "$work/dyn" || die "the shared library has text relocations"
# A library neither ends, forks nor prints: that is its user's.
bad=$(nm -D --undefined-only "$so" | awk '{print $2}' | sed 's/@.*//' |
	grep -xE 'exit|_exit|fork|vfork|system|signal|sigaction|v?printf|__v?printf_chk|puts|putchar|perror|stdout|stderr|err|warn')
[ -z "$bad" ] || die "the library calls: $bad"
echo "install: $(wc -l <"$work/want") functions exported as declared, soname $soname, needs $needed"

# ---- the example, outside the tree ---------------------------------------------------------------

cp -r examples/embed "$work/embed"
(cd "$work/embed" && rm -f embed ./*.o)
export PKG_CONFIG_PATH=$prefix/lib/pkgconfig
# run VARIANT MAKE-ARGUMENTS...
run() {
	local what=$1
	shift
	rm -f "$work/embed/embed"
	quiet make -C "$work/embed" CC="$CC" CLANG="$CLANG" "$@"
	(cd "$work/embed" && LD_LIBRARY_PATH=$libs LD_PRELOAD=${preload:-} timeout 60 ./embed watch.bpf.o) >"$work/out" 2>"$work/log" ||
		die "$what: the example ended with status $?"
	grep -qE '^read_ms: pure, at most [0-9]+ instructions$' "$work/out" &&
		grep -qE '^count_lap: stateful, at most [0-9]+ instructions$' "$work/out" &&
		grep -qx '1500 ms' "$work/out" || { cp "$work/out" "$work/log"; die "$what: other output than wanted"; }
	grep -qx '10000 laps, 10 bells, [0-9]* punts because of the bell' "$work/out" ||
		{ cp "$work/out" "$work/log"; die "$what: other laps than wanted"; }
	[ ! -s "$work/log" ] || die "$what: the example complains"
	echo "install: the example runs, $what: $(tail -n 1 "$work/out")"
}
libs=$prefix/lib
run shared
ldd "$work/embed/embed" >"$work/log" 2>&1
grep -q "$soname" "$work/log" || die "the shared example does not load $soname"
run "shared, under ASan and UBSan" CFLAGS="-O1 -g -fsanitize=address,undefined"
# Where the host gives no executable memory programs are interpreted, and all is as before.
cat >"$work/shim.c" <<'EOF'
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
int memfd_create(const char *name, unsigned flags)
{
	(void)name, (void)flags;
	creat(getenv("SHIM_MARK"), 0600);
	errno = EPERM;
	return -1;
}
EOF
quiet "$CC" -shared -fPIC -o "$work/shim.so" "$work/shim.c"
if nm -D "$so" | grep -q memfd_create; then
	export SHIM_MARK=$work/shim.mark
	preload=$work/shim.so run "shared, without executable memory"
	[ -e "$work/shim.mark" ] || die "memfd_create was not asked for: how was it without executable memory?"
fi
libs=""
run static STATIC=1
! readelf -d "$work/embed/embed" | grep -q NEEDED || die "the static example loads libraries"

quiet "$prefix/bin/hotreg" prog verify "$work/embed/watch.bpf.o"
# A program that is wrong is refused with the verifier's words, and nothing is attached.
sed -i 's/^\tif (watch_rings(lap))$/\tHR_STORE(watch_state.laps, lap);\n&/' "$work/embed/watch.bpf.c"
quiet make -C "$work/embed" CC="$CC" CLANG="$CLANG" STATIC=1
(cd "$work/embed" && ./embed watch.bpf.o) >"$work/log" 2>&1
status=$?
[ $status = 2 ] || die "a wrong program: status $status instead of 2"
grep -q 'refused: this path punts after it has stored to shared memory' "$work/log" || die "a wrong program: other words"
echo "install: the example is told why a wrong program is refused"

# ---- and away ------------------------------------------------------------------------------------

quiet make -s BUILD="$build" uninstall PREFIX="$prefix"
quiet make -s BUILD="$build" uninstall PREFIX=/opt/hr DESTDIR="$work/stage"
[ -z "$(files "$prefix")$(files "$work/stage")" ] || die "left by uninstall: $(files "$prefix")$(files "$work/stage")"
quiet make -s BUILD="$build" install-lib PREFIX="$prefix"
[ ! -e "$prefix/bin/hotreg" ] || die "install-lib installs hotreg"
quiet make -s BUILD="$build" uninstall PREFIX="$prefix"
echo "install: uninstall leaves no file"
