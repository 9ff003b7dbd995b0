# SPDX-License-Identifier: BSD-2-Clause
# rflags.sh: sourced by the bed's tests that boot Linux (linux.sh, clock.sh). QEMU's SVM now and then gives a guest RFLAGS with
# reserved bits set, which no processor has and nothing but VMRUN can load (docs/testing.md). In the bed such a boot is done
# once more, with a line on the bed's console that scripts/check.sh shows; anywhere else it is a failure like any other.

# Whether an oops in FILE shows such RFLAGS: bits 3, 5, 15 and 22 to 31.
impossible_rflags() { # FILE
	local flags
	for flags in $(grep -aoE 'EFLAGS: [0-9a-f]{8}\b' "$1" | cut -d' ' -f2); do
		[ $((0x$flags & 0xffc08028)) = 0 ] || return 0
	done
	return 1
}

# again OUTPUT COMMAND...: runs the test again in place of this one, if there is reason to and it has not been done.
again() {
	[ -n "${NESTED:-}" ] && [ -z "${NESTED_AGAIN:-}" ] && impossible_rflags "$1" || return
	echo "nested: ${*:2}: once more, since the bed's QEMU gave the guest RFLAGS that no processor has" >/dev/console
	NESTED_AGAIN=1 exec "${@:2}"
}
