# hotreg: everything built lies under build/. `make help` lists the targets.
BUILD ?= build
CC ?= gcc
CLANG ?= clang
PKG_CONFIG ?= pkg-config

CFLAGS ?= -O2 -g
SAN ?=
HR_CFLAGS := -std=gnu11 -Wall -Wextra -Wshadow -Wmissing-prototypes -Werror -Wno-gnu-variable-sized-type-not-at-end -I. -Iinclude -D_GNU_SOURCE -pthread -MMD -MP
LDLIBS := -lbpf -lelf -lz -lx86emu -ljansson -lm -pthread
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -fdebug-compilation-dir=. -std=gnu11 -ffreestanding -Wall -Wextra -Werror -I. -MMD -MP
# JIT=0: the interpreter only, as on processors that the JIT does not know (a BUILD of its own, please)
JIT ?= 1
ifeq ($(SAN),thread)
# TSan sees nothing of what machine code does
JIT := 0
endif
ifeq ($(JIT),0)
HR_CFLAGS += -DACCEL_NO_JIT
endif
# Where an access passes: on some Intel processors a jump across a multiple of 32 bytes costs several cycles.
ALIGN_JUMPS := $(shell $(CC) -Wa,-mbranches-within-32B-boundaries -x c -c -o /dev/null /dev/null 2>/dev/null && \
	echo -Wa,-mbranches-within-32B-boundaries)
$(BUILD)/tests/bench/bench_access.o $(BUILD)/accel/runtime.o $(BUILD)/accel/runtime_string.o $(BUILD)/accel/interp.o $(BUILD)/vmm/bus_io.o $(BUILD)/vmm/cpu_kvm.o: HR_CFLAGS += $(ALIGN_JUMPS)
# LOCKDEBUG=1: the order of locks is checked and recorded (a BUILD of its own, please)
LOCKDEBUG_WRAP := -Wl,--wrap=pthread_mutex_lock,--wrap=pthread_mutex_trylock,--wrap=pthread_mutex_unlock,--wrap=pthread_mutex_destroy,--wrap=pthread_cond_wait,--wrap=pthread_cond_clockwait
ifeq ($(LOCKDEBUG),1)
HR_CFLAGS += -DHR_LOCKDEBUG
LDFLAGS += $(LOCKDEBUG_WRAP) -rdynamic
endif
ifneq ($(SAN),)
HR_CFLAGS += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=all
ifeq ($(SAN),thread)
HR_CFLAGS += -Wno-tsan # fences are not modelled; the files that use them are not under test there
endif
LDFLAGS += -fsanitize=$(SAN)
endif

# ---- sources, one explicit list a folder --------------------------------------------------

ACCEL := object mapdef elfcheck btfcheck reloc layout field insn disasm tnum range range_alu range_cmp verifier verify_state verify_code \
	verify_insn verify_call verify_mem verify_report interp engine jit jit_alu jit_plan jit_x86 jit_mem runtime runtime_string page
# `hotreg prog`: of the program, not of the library
ACCEL_CMD := kernel kernel_pin progcmd progcmd_object progcmd_json progcmd_kernel progcmd_raw progcmd_bench progcmd_bench_kernel rawprog sandbox
VMM := options vm vm_run clock bus bus_io bus_check bus_zones deferred mem chardev event stats trace boot boot_area elfload linux multiboot pvh cpu_kvm kvm_apic kvm_extint kvm_deferred kvm_slots kvm_state kvm_probe cpu_soft \
	cpu_script doctor text screen
VMM += page_image page_tier page_manage page_publish page_crowd page_host page_probe
VMM += ctl ctl_client top top_frame stats_json stats_text vm_stats vm_park control control_socket qmp qmp_cmd qmp_live
VMM += cpuid cpuid_features cpuid_models kvm_cpuid kvm_cpuid_model cpu_models cpu_regs
VMM += kvm_tier
VMM += soft_mem soft_insn soft_operand soft_stack soft_bits soft_intr soft_string
DEVICES := device machine machine_prog i8254 i8259 mc146818 hpet piix4_pm i16550 i8042 i440fx piix3 pci ata ata_cmd disk fw_cfg \
	debugcon debugexit testdev
DEVICES += vga vga_mem
DEVICES += acpi acpi_dsdt acpi_loader aml machine_tables mptable
DEVICES += ioapic irq_route
ifeq ($(LOCKDEBUG),1)
VMM += lockdebug
endif
BPF_PROGS := i8254 hpet pmtimer ata vga
BPF_PROGS += mc146818 pci i8042 i16550 i8259
BPF_PROGS += ioapic

# (a line for each area, so that they do not collide)
UNIT_TESTS := test_i8259 test_ata test_ata_cmd test_ata_prog test_ata_threads test_i16550 test_i8042 test_pci test_fw_cfg test_machine test_disk
UNIT_TESTS += test_ioapic test_irq_route test_lockdebug test_kvm_apic test_kvm_slots
UNIT_TESTS += test_clock test_mem test_bus test_bus_check test_bus_string test_options test_trace test_vm test_vm_threads test_chardev test_stats
UNIT_TESTS += test_runtime test_runtime_string test_runtime_threads test_doorbell test_kernel_load test_model_holds
UNIT_TESTS += test_control test_ctl test_pause test_qmp test_qmp_live
UNIT_TESTS += test_kvm_tier test_kernel_pins
UNIT_TESTS += test_page_image test_page_steps test_page_share test_page_tier test_page_proof test_page_probe test_page_crowd
UNIT_TESTS += test_platform_prog test_deferred test_kvm_deferred
UNIT_TESTS += test_tnum test_range test_verifier test_verify_fuzz test_verify_kernel test_verify_limits
UNIT_TESTS += test_i8254 test_i8254_latch test_hpet test_piix4_pm test_mc146818 test_mc146818_calendar test_timer_programs test_timer_threads test_pm_ticks
UNIT_TESTS += test_vga test_vga_mem test_vga_threads
UNIT_TESTS += test_cpu_soft test_soft_insn
UNIT_TESTS += test_linux test_multiboot test_boot test_kvm_probe test_cpu_kvm
UNIT_TESTS += test_testdev test_cpuid test_kvm_cpuid
UNIT_TESTS += test_jit test_jit_objects
UNIT_TESTS += test_kvm_bpf_iodev test_kvm_bpf_run
UNIT_TESTS += test_acpi test_pvh test_machine_reset
UNIT_TESTS += test_insn test_insn_page test_elfcheck test_object test_progcmd test_rawprog

# Tests with two threads, built and run under ThreadSanitizer too: make BUILD=build/tsan SAN=thread tsan-tests
TSAN_TESTS := test_runtime test_runtime_threads test_bus_string test_doorbell test_model_holds
TSAN_TESTS += test_page_tier test_page_share
TSAN_TESTS += test_deferred test_kvm_deferred
TSAN_TESTS += test_cpu_soft
TSAN_TESTS += test_bus test_vm_threads test_cpu_kvm
TSAN_TESTS += test_control
TSAN_TESTS += test_timer_threads test_i16550 test_i8259
TSAN_TESTS += test_vga_threads test_ata_threads
TSAN_TESTS += test_ioapic

# Tests in which programs run, built and run with the interpreter only too.
NOJIT_TESTS := test_insn test_rawprog test_progcmd test_runtime_threads test_bus_string test_doorbell
NOJIT_TESTS += test_timer_programs test_i8254_latch test_mc146818 test_ata_prog test_platform_prog test_vga test_qmp_live

srcs = $(patsubst %,$(1)/%.c,$(2))
LIB_SRCS := $(call srcs,accel,$(ACCEL) $(ACCEL_CMD)) $(call srcs,vmm,$(VMM)) $(call srcs,devices,$(DEVICES))
LIB_OBJS := $(LIB_SRCS:%.c=$(BUILD)/%.o)
BPF_OBJS := $(BPF_PROGS:%=$(BUILD)/bpf/%.bpf.o)

.PHONY: all objects tests tsan-tests
all: $(BUILD)/hotreg
objects: $(LIB_OBJS) $(BPF_OBJS)

$(BUILD)/hotreg: $(BUILD)/vmm/main.o $(LIB_OBJS) $(BUILD)/embed.o
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
ifeq ($(JIT)$(findstring x86_64,$(shell $(CC) -dumpmachine)),1x86_64)
else
	@echo '$@: no JIT in this build (JIT=$(strip $(JIT)), $(shell $(CC) -dumpmachine)): programs are interpreted'
endif

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(HR_CFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/bpf/%.bpf.o: bpf/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

# The program objects, embedded: prog_<name>_start and prog_<name>_end.
$(BUILD)/embed.S: $(BPF_OBJS)
	@mkdir -p $(@D)
	@{ printf '\t.section .rodata\n'; for o in $(BPF_OBJS); do n=$$(basename $$o .bpf.o); \
	  printf '\t.balign 16\n\t.globl prog_%s_start, prog_%s_end\nprog_%s_start:\n\t.incbin "%s"\nprog_%s_end:\n' \
	  $$n $$n $$n $$o $$n; done; printf '\t.section .note.GNU-stack,"",@progbits\n'; } > $@
$(BUILD)/embed.o: $(BUILD)/embed.S
	$(CC) -c -o $@ $<

# ---- the engine as a library, and installing -----------------------------------------------

PREFIX ?= /usr/local
BINDIR ?= $(PREFIX)/bin
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
INSTALL ?= install
OBJCOPY ?= objcopy

ACCEL_VERSION := $(shell sed -n 's/^.define ACCEL_VERSION "\(.*\)"$$/\1/p' accel/accel.h)
ACCEL_SONAME := libhotreg-accel.so.$(firstword $(subst ., ,$(ACCEL_VERSION)))
ACCEL_SO := libhotreg-accel.so.$(ACCEL_VERSION)
ACCEL_OBJS := $(ACCEL:%=$(BUILD)/lib/accel/%.o)
ACCEL_LDLIBS := -lbpf -pthread
PUBLIC_HEADERS := accel.h hr.h

.PHONY: lib install install-lib uninstall
lib: $(BUILD)/lib/$(ACCEL_SO) $(BUILD)/lib/libhotreg-accel.a
$(BUILD)/lib/accel/%.o: accel/%.c
	@mkdir -p $(@D)
	$(CC) $(HR_CFLAGS) $(CFLAGS) -fPIC -fvisibility=hidden -c -o $@ $<
$(BUILD)/lib/$(ACCEL_SO): $(ACCEL_OBJS) accel/libhotreg-accel.map
	$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,-soname,$(ACCEL_SONAME) -Wl,--version-script=accel/libhotreg-accel.map \
	  -Wl,--no-undefined-version -Wl,-Bsymbolic-functions -Wl,-z,defs -Wl,-z,relro,-z,now -o $@ $(ACCEL_OBJS) $(ACCEL_LDLIBS)
# One object whose only global names are the public ones: a program that links it may use ours for its own.
$(BUILD)/lib/libhotreg-accel.a: $(ACCEL_OBJS)
	$(CC) $(CFLAGS) -nostdlib -r -o $(BUILD)/lib/hotreg-accel.o $^
	$(OBJCOPY) --localize-hidden $(BUILD)/lib/hotreg-accel.o
	@rm -f $@
	$(AR) rcs $@ $(BUILD)/lib/hotreg-accel.o
-include $(ACCEL_OBJS:.o=.d)

# The engine alone: needs libbpf, but neither KVM nor libx86emu.
install-lib: lib
	$(INSTALL) -d $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(INCLUDEDIR)/hotreg $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 $(PUBLIC_HEADERS:%=include/hotreg/%) $(DESTDIR)$(INCLUDEDIR)/hotreg
	$(INSTALL) -m 644 $(BUILD)/lib/libhotreg-accel.a $(DESTDIR)$(LIBDIR)
	$(INSTALL) -m 755 $(BUILD)/lib/$(ACCEL_SO) $(DESTDIR)$(LIBDIR)
	ln -sf $(ACCEL_SO) $(DESTDIR)$(LIBDIR)/$(ACCEL_SONAME)
	ln -sf $(ACCEL_SONAME) $(DESTDIR)$(LIBDIR)/libhotreg-accel.so
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(ACCEL_VERSION)|' \
	  -e 's|@LIBDIR@|$(LIBDIR:$(PREFIX)/%=$${prefix}/%)|; s|@INCLUDEDIR@|$(INCLUDEDIR:$(PREFIX)/%=$${prefix}/%)|' \
	  accel/hotreg-accel.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/hotreg-accel.pc
	chmod 644 $(DESTDIR)$(LIBDIR)/pkgconfig/hotreg-accel.pc
	$(INSTALL) -m 644 man/libhotreg-accel.3 $(DESTDIR)$(MANDIR)/man3
install: all install-lib
	$(INSTALL) -d $(DESTDIR)$(BINDIR) $(DESTDIR)$(MANDIR)/man1
	$(INSTALL) -m 755 $(BUILD)/hotreg $(DESTDIR)$(BINDIR)
	$(INSTALL) -m 644 man/hotreg.1 $(DESTDIR)$(MANDIR)/man1
uninstall:
	rm -f $(DESTDIR)$(BINDIR)/hotreg $(DESTDIR)$(MANDIR)/man1/hotreg.1 $(DESTDIR)$(MANDIR)/man3/libhotreg-accel.3
	rm -f $(PUBLIC_HEADERS:%=$(DESTDIR)$(INCLUDEDIR)/hotreg/%) $(DESTDIR)$(LIBDIR)/pkgconfig/hotreg-accel.pc
	rm -f $(addprefix $(DESTDIR)$(LIBDIR)/,libhotreg-accel.a libhotreg-accel.so $(ACCEL_SONAME) $(ACCEL_SO))
	[ ! -d $(DESTDIR)$(INCLUDEDIR)/hotreg ] || rmdir --ignore-fail-on-non-empty $(DESTDIR)$(INCLUDEDIR)/hotreg

# ---- tests --------------------------------------------------------------------------------

UNIT_BINS := $(UNIT_TESTS:%=$(BUILD)/tests/unit/%)
tests: $(UNIT_BINS) $(BUILD)/tests/fuzz/verify_mutate $(BUILD)/tests/fuzz/equiv
tsan-tests: $(TSAN_TESTS:%=$(BUILD)/tests/unit/%)
# An archive, so that a test links only what it reaches and may bring a fake for a part of its own.
$(BUILD)/libhotreg.a: $(LIB_OBJS) $(BUILD)/embed.o
	@rm -f $@
	ar rcs $@ $^
$(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o $(BUILD)/libhotreg.a
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS) -lcmocka
# The runtime by itself: programs are C functions, and the test stands between it and the kernel.
$(BUILD)/tests/unit/test_runtime $(BUILD)/tests/unit/test_runtime_string: $(BUILD)/tests/unit/%: $(BUILD)/tests/unit/%.o \
		$(BUILD)/tests/unit/fake_object.o $(BUILD)/accel/page.o $(BUILD)/accel/field.o $(BUILD)/accel/runtime.o $(BUILD)/accel/runtime_string.o
	$(CC) $(LDFLAGS) -Wl,--wrap=syscall,--wrap=write -o $@ $^ -lcmocka -pthread

# The checker of the order of locks, whatever the build.
$(BUILD)/tests/unit/test_lockdebug: $(BUILD)/tests/unit/test_lockdebug.o $(BUILD)/tests/unit/lockdebug.o
	$(CC) $(filter-out $(LOCKDEBUG_WRAP),$(LDFLAGS)) $(LOCKDEBUG_WRAP) -o $@ $^ -lcmocka -pthread
$(BUILD)/tests/unit/lockdebug.o $(BUILD)/tests/unit/test_lockdebug.o: HR_CFLAGS += -DHR_LOCKDEBUG
$(BUILD)/tests/unit/lockdebug.o: vmm/lockdebug.c
	@mkdir -p $(@D)
	$(CC) $(HR_CFLAGS) $(CFLAGS) -c -o $@ $<

# KVM: the tests stand between hotreg and the kernel, to play other ones.
$(BUILD)/tests/unit/test_cpu_kvm $(BUILD)/tests/unit/test_kvm_deferred $(BUILD)/tests/unit/test_kvm_apic $(BUILD)/tests/unit/test_kvm_slots: LDFLAGS += -Wl,--wrap=ioctl
$(BUILD)/tests/unit/test_kvm_probe $(BUILD)/tests/unit/test_page_probe: LDFLAGS += -Wl,--wrap=ioctl,--wrap=open,--wrap=mmap
$(BUILD)/tests/unit/test_kvm_tier: LDFLAGS += -Wl,--wrap=ioctl,--wrap=accel_kernel_unusable,--wrap=accel_slot_share_page,--wrap=accel_slot_load_kernel

# What the test device asks of the kernel.
$(BUILD)/tests/unit/test_testdev: LDFLAGS += -Wl,--wrap=mprotect

# A host that gives no executable memory.
$(BUILD)/tests/unit/test_jit_objects: LDFLAGS += -Wl,--wrap=memfd_create

# Whatever has been compiled before, tests, fuzzers, benches and examples too.
-include $(wildcard $(BUILD)/*/*.d $(BUILD)/*/*/*.d)

# Programs that are wrong on purpose, for tests.
TEST_PROGS := hpet_wrong hpet_bss hpet_version page_refused page_pair iodev
# Objects for the loader's test: a good one, and one for each thing that is refused.
REFUSED := none version0 wrong_size pointer hole tail union bits int128 empty_array packed no_state static_state \
	hidden_state no_head tiny_state two_states extern_var extern_func maps map_flags map_key map_empty map_large \
	map_pinned map_old map_static map_in_map section data_section data_pointer \
	func_address indirect static_prog calls_prog core packet no_prog reads_beyond many
TEST_OBJS := $(BUILD)/tests/obj/good.bpf.o $(BUILD)/tests/obj/maps.bpf.o $(REFUSED:%=$(BUILD)/tests/obj/refused_%.bpf.o)
$(BUILD)/tests/unit/test_kernel_load $(BUILD)/tests/unit/test_jit_objects: | $(BUILD)/tests/obj/good.bpf.o $(BUILD)/examples/counter/counter.bpf.o
$(BUILD)/tests/unit/test_runtime_threads: | $(BUILD)/tests/prog/threads.bpf.o
$(BUILD)/tests/unit/test_qmp_live: | $(BUILD)/tests/prog/hpet_wrong.bpf.o $(BUILD)/tests/prog/hpet_version.bpf.o $(BPF_OBJS)
$(BUILD)/tests/unit/test_kvm_bpf_iodev $(BUILD)/tests/unit/test_kvm_bpf_run: | $(BUILD)/tests/prog/iodev.bpf.o
$(BUILD)/tests/unit/test_bus_string: | $(BUILD)/tests/prog/fifo.bpf.o
$(BUILD)/tests/unit/test_page_image: | $(BUILD)/tests/prog/page_refused.bpf.o
$(BUILD)/tests/unit/test_page_share: | $(BUILD)/tests/prog/page_pair.bpf.o
$(BUILD)/tests/unit/test_doorbell: | $(BUILD)/examples/doorbell/doorbell.bpf.o
$(BUILD)/tests/unit/test_object $(BUILD)/tests/unit/test_elfcheck $(BUILD)/tests/unit/test_progcmd: | $(TEST_OBJS)
$(BUILD)/tests/obj/good.bpf.o $(BUILD)/tests/obj/maps.bpf.o: $(BUILD)/tests/obj/%.bpf.o: tests/obj/%.bpf.c bpf/hr.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(BUILD)/tests/obj/refused_%.bpf.o: tests/obj/refused.bpf.c bpf/hr.h
	@mkdir -p $(@D)
	@$(CLANG) $(BPF_CFLAGS) -DCASE_$* -c -o $@ $<
TEST_PROG_OBJS := $(TEST_PROGS:%=$(BUILD)/tests/prog/%.bpf.o)
$(BUILD)/tests/prog/%.bpf.o: tests/prog/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<

# ---- guests -------------------------------------------------------------------------------

GUEST_CFLAGS := -m32 -std=gnu11 -O2 -ffreestanding -fno-pic -fno-stack-protector -fcf-protection=none \
	-mgeneral-regs-only -Wall -Wextra -Werror -Itests/guest
TRAP_GUESTS := intr paging paging_pae v86 pic spin
GUESTS := regbench smp_hpet page_hpet cpuid sipi fabric $(TRAP_GUESTS)
GUEST_BINS := $(GUESTS:%=$(BUILD)/guest/%.elf) $(BUILD)/guest/grub.img $(BUILD)/guest/bootsect.img $(BUILD)/guest/vga.img $(BUILD)/guest/resets.bin $(BUILD)/guest/clocks.bin $(BUILD)/guest/guest_exit $(BUILD)/guest/guest_tool
GUEST_BINS += $(BUILD)/guest/loaded.flat $(BUILD)/guest/loaded_pvh.elf

.PHONY: guests
guests: $(GUEST_BINS) $(TEST_PROG_OBJS)
$(BUILD)/guest/%.o: tests/guest/%.c tests/guest/guest.h
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(BUILD)/guest/start.o: tests/guest/start.S
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(BUILD)/guest/%.elf: $(BUILD)/guest/start.o $(BUILD)/guest/%.o tests/guest/guest.ld
	ld -m elf_i386 -z noexecstack -T tests/guest/guest.ld -o $@ $(filter %.o,$^)
# Guests that take traps share trap.c; the one about paging is built once for each kind of page table.
$(BUILD)/guest/trap.o $(TRAP_GUESTS:%=$(BUILD)/guest/%.o): tests/guest/trap.h
$(BUILD)/guest/trap_entries.o: tests/guest/trap.S
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -c -o $@ $<
$(BUILD)/guest/paging_pae.o: tests/guest/paging.c tests/guest/guest.h
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -DPAE -c -o $@ $<
$(TRAP_GUESTS:%=$(BUILD)/guest/%.elf): $(BUILD)/guest/trap_entries.o $(BUILD)/guest/trap.o
# 64-bit guests: the same layout in an ELF64 file.
GUEST64_CFLAGS := $(filter-out -m32,$(GUEST_CFLAGS)) -m64 -mno-red-zone
$(BUILD)/guest/start64.o: tests/guest/start64.S
	@mkdir -p $(@D)
	$(CC) $(GUEST64_CFLAGS) -c -o $@ $<
GUESTS64 := smp_hpet page_hpet fabric
$(GUESTS64:%=$(BUILD)/guest/%.o): $(BUILD)/guest/%.o: tests/guest/%.c tests/guest/guest.h
	@mkdir -p $(@D)
	$(CC) $(GUEST64_CFLAGS) -c -o $@ $<
$(GUESTS64:%=$(BUILD)/guest/%.elf): $(BUILD)/guest/%.elf: $(BUILD)/guest/start64.o $(BUILD)/guest/%.o tests/guest/guest.ld
	ld -m elf_x86_64 --oformat elf64-x86-64 -z noexecstack -T tests/guest/guest.ld -o $@ $(filter %.o,$^)
# One guest by two loaders.
$(BUILD)/guest/loaded.flat $(BUILD)/guest/loaded_pvh.elf: tests/guest/loaded.S $(BUILD)/guest/loaded.o tests/guest/loaded.ld
	$(CC) $(GUEST_CFLAGS) $(if $(findstring pvh,$@),-DPVH) -c -o $@.start.o $<
	ld -m elf_i386 -z noexecstack -T tests/guest/loaded.ld -o $@ $@.start.o $(BUILD)/guest/loaded.o
# For Linux guests in the nested bed.
$(BUILD)/guest/guest_exit $(BUILD)/guest/guest_tool: $(BUILD)/guest/%: tests/nested/%.c
	@mkdir -p $(@D)
	$(CC) -Os -D_GNU_SOURCE -Wall -Wextra -Werror -static -s -o $@ $<
$(BUILD)/guest/grub.img: scripts/grub-image.sh tests/guest/grub.cfg
	@mkdir -p $(@D)
	scripts/grub-image.sh $@ tests/guest/grub.cfg
.SECONDARY:
$(BUILD)/guest/resets.bin $(BUILD)/guest/clocks.bin: $(BUILD)/guest/%.bin: tests/guest/%.S tests/guest/ticks.inc
	@mkdir -p $(@D)
	$(CC) -m32 -c -o $(BUILD)/guest/$*.o $<
	ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o $@ $(BUILD)/guest/$*.o
$(BUILD)/guest/vga.img: tests/guest/vga.S
	@mkdir -p $(@D)
	$(CC) -m32 -c -o $(BUILD)/guest/vga.o $<
	ld -m elf_i386 -Ttext 0x7c00 --oformat binary -o $@ $(BUILD)/guest/vga.o
	truncate -s 1M $@
$(BUILD)/guest/bootsect.img: tests/guest/bootsect.S
	@mkdir -p $(@D)
	$(CC) -m32 -c -o $(BUILD)/guest/bootsect.o $<
	ld -m elf_i386 -Ttext 0 --oformat binary -o $@ $(BUILD)/guest/bootsect.o
	truncate -s 1M $@

# ---- what people call ---------------------------------------------------------------------

# The mutation fuzzer of the verifier; without libFuzzer, so that it runs millions of cases.
$(BUILD)/tests/fuzz/verify_mutate: $(BUILD)/tests/fuzz/verify_mutate.o $(LIB_OBJS) $(BUILD)/embed.o
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# Models against programs, device by device; it stands between the machine, its interrupt controller and the engines.
EQUIV_OBJS := $(addprefix $(BUILD)/tests/fuzz/,equiv.o equiv_world.o equiv_gen.o equiv_case.o)
$(BUILD)/tests/fuzz/equiv: $(EQUIV_OBJS) $(LIB_OBJS) $(BUILD)/embed.o
	$(CC) $(LDFLAGS) -Wl,--wrap=i8259_line,--wrap=engine_prepare -o $@ $^ $(LDLIBS)

FUZZERS := fuzz_object fuzz_access fuzz_verify fuzz_jit fuzz_multiboot fuzz_linux fuzz_qmp
FUZZ_SECONDS ?= 600
EQUIV_ACCESSES ?= 100000000
CHECK_FUZZ_SECONDS ?= 30

# KVM as it truly is, on any machine: a stock kernel with kvm_amd inside QEMU (scripts/nested.sh).
.PHONY: check-nested nested-shell
check-nested: setup-check
	@$(MAKE) -s --no-print-directory -j2 all tests guests
	@BUILD=$(BUILD) scripts/nested.sh check
# The bed's QEMU: Debian's with tests/nested/qemu.patch. What needs the bed builds it too.
.PHONY: nested-qemu
nested-qemu: setup-check
	@BUILD=$(BUILD) scripts/nested-qemu.sh
# The whole matrix of guests, hours; the result goes into docs/testing.md.
.PHONY: check-long
check-long: setup-check
	@$(MAKE) -s --no-print-directory -j2 all tests guests
	@PAGE_PROOF_SECONDS=1800 $(BUILD)/tests/unit/test_page_proof
	@cat tests/nested/list.txt tests/nested/long.txt >$(BUILD)/long.txt
	@BUILD=$(BUILD) NESTED_SECONDS=$${NESTED_SECONDS:-14400} scripts/nested.sh check $(BUILD)/long.txt
	@BUILD=$(BUILD) NESTED_ICOUNT=shift=4,sleep=off NESTED_LIMIT=1300 NESTED_SECONDS=$${NESTED_SECONDS:-14400} scripts/nested.sh check tests/nested/memtest.txt
	@$(MAKE) -s --no-print-directory check-kernel-tier
# Linux's boot and clocks beside QEMU's, both in the bed; half an hour.
BENCH_ROUNDS ?= 3
.PHONY: bench-nested
bench-nested: setup-check
	@$(MAKE) -s --no-print-directory -j2 all guests
	@BUILD=$(BUILD) NESTED_PROGRAMS="$$(command -v qemu-system-x86_64)" NESTED_PATHS="$(wildcard /usr/share/qemu/kvmvapic.bin /usr/share/qemu/linuxboot_dma.bin /usr/share/qemu/multiboot_dma.bin)" \
		NESTED_FILES=tests/nested/bench-files.txt NESTED_SECONDS=$${NESTED_SECONDS:-7200} scripts/nested.sh run "tests/nested/bench.sh $(BENCH_ROUNDS); tests/nested/bench_page.sh $(BENCH_ROUNDS)"
nested-shell: setup-check
	@$(MAKE) -s --no-print-directory -j2 all tests guests
	@BUILD=$(BUILD) scripts/nested.sh shell

# KVM with the patches of accel/kernel/ (scripts/kernel-tier.sh): built for the running kernel; and tried in the nested bed.
.PHONY: kernel-tier check-kernel-tier check-kernel-tier-debug
kernel-tier:
	@BUILD=$(BUILD) scripts/kernel-tier.sh build
check-kernel-tier: setup-check
	@$(MAKE) -s --no-print-directory -j2 all tests guests
	@cat tests/nested/kernel-list.txt tests/nested/kernel-long.txt >$(BUILD)/kernel-all.txt
	@BUILD=$(BUILD) NESTED_SECONDS=$${NESTED_SECONDS:-7200} scripts/kernel-tier.sh check $(BUILD)/kernel-all.txt
	@BUILD=$(BUILD) NESTED_SECONDS=$${NESTED_SECONDS:-7200} NESTED_CPUS=1 scripts/kernel-tier.sh check $(BUILD)/kernel-all.txt
# The same on a kernel with KASAN, lockdep, PROVE_RCU and kmemleak, which is built first; an hour or two. The result goes into docs/kernel-tier.md.
check-kernel-tier-debug: setup-check
	@$(MAKE) -s --no-print-directory -j2 all tests guests
	@cat tests/nested/kernel-list.txt tests/nested/kernel-debug.txt >$(BUILD)/kernel-debug.txt
	@BUILD=$(BUILD) scripts/kernel-tier.sh debug $(BUILD)/kernel-debug.txt

.PHONY: help setup-build setup-demo setup-check variants check check-only fuzz fuzzers demo bench format clean
help:
	@echo 'make            build build/hotreg and the programs'
	@echo 'make demo       install what is missing, build, boot the guests with acceleration off and on, show what it gained'
	@echo 'make check      install what is missing, build, run all tests (ASan, UBSan, TSan and some fuzzing included)'
	@echo 'make check-nested  hotreg on a stock kernel'\''s KVM inside QEMU (part of make check); nested-shell: a shell there'
	@echo 'make kernel-tier  builds KVM for the running kernel with the patches of accel/kernel/; loads nothing'
	@echo 'make check-kernel-tier  programs inside such a KVM, in the nested bed, on one and two processors (a part is in make check)'
	@echo 'make check-kernel-tier-debug  the same on a kernel with KASAN, lockdep, PROVE_RCU and kmemleak, which it builds first'
	@echo 'make check-long    the whole matrix of guests in the same bed, hours: a minute of each clock, whole passes of memtest86+'
	@echo 'make nested-qemu  builds the QEMU under that bed, Debian'\''s with one mend (tests/nested/qemu.patch); done by what needs the bed'
	@echo 'make bench      measure, paired with QEMU where it is installed; the figures of docs/performance.md'
	@echo 'make bench-nested  Linux'\''s boot and clocks, hotreg and QEMU in the same bed (BENCH_ROUNDS=N)'
	@echo 'make fuzz       the fuzzers, $(FUZZ_SECONDS) s each (FUZZ_SECONDS=N), then $(EQUIV_ACCESSES) accesses a device (EQUIV_ACCESSES=N)'
	@echo 'make tests      build the unit tests only; build/tests/unit/test_X runs one'
	@echo 'make guests     build the guests, the GRUB disk image and the programs that are wrong on purpose only'
	@echo 'make lib        libhotreg-accel, the engine for other VMMs: static and shared, under build/lib/'
	@echo 'make install    hotreg, the library, headers, man pages (PREFIX=$(PREFIX) DESTDIR=); install-lib: without hotreg'
	@echo 'make uninstall  removes what install put there'
	@echo 'make examples   build examples/counter, examples/doorbell and examples/status'
	@echo 'make check-only the tests of make check, without the set-up'
	@echo '  parts of these: all objects benches fuzzers tsan-tests variants setup-build setup-demo setup-check'
	@echo 'make format     clang-format over the C sources'
	@echo 'make clean      remove build/'
	@echo 'BUILD=DIR SAN=address,undefined|thread   another build beside the first'
	@echo 'BUILD=DIR JIT=0                          one that only interprets programs'

setup-build setup-demo setup-check: setup-%:
	@sh scripts/setup.sh $*

# The set-up comes before anything is built, in a make of its own: what it installs must be seen.
check:
	@$(MAKE) --no-print-directory setup-check
	@$(MAKE) --no-print-directory check-only
demo:
	@$(MAKE) --no-print-directory setup-demo
	@$(MAKE) -s --no-print-directory all guests
	@BUILD=$(BUILD) scripts/demo.sh
bench:
	@$(MAKE) --no-print-directory setup-check
	@$(MAKE) -s --no-print-directory all guests benches
	@BUILD=$(BUILD) scripts/bench.sh

# Each variant is a build of its own; quiet unless it fails.
variants:
	@$(MAKE) -s --no-print-directory -j2 all lib tests guests examples benches
	@$(MAKE) -s --no-print-directory -j2 BUILD=$(BUILD)/san SAN=address,undefined all tests
	@$(MAKE) -s --no-print-directory -j2 BUILD=$(BUILD)/tsan SAN=thread $(TSAN_TESTS:%=$(BUILD)/tsan/tests/unit/%)
	@$(MAKE) -s --no-print-directory -j2 fuzzers
ifneq ($(JIT),0)
	@$(MAKE) -s --no-print-directory -j2 BUILD=$(BUILD)/nojit JIT=0 all $(NOJIT_TESTS:%=$(BUILD)/nojit/tests/unit/%)
endif

fuzzers:
	@$(MAKE) --no-print-directory BUILD=$(BUILD)/fuzz CC=$(CLANG) SAN=fuzzer-no-link,address,undefined fuzz-bins
fuzz-bins: $(FUZZERS:%=$(BUILD)/bin/%)
$(BUILD)/bin/%: $(BUILD)/tests/fuzz/%.o $(LIB_OBJS) $(BUILD)/embed.o
	@mkdir -p $(@D)
	$(CLANG) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LDLIBS)

# One list for scripts/check.sh: the longest first, then each unit test plain, sanitized, and under TSan.
$(BUILD)/check.list: tests/list.txt Makefile
	@mkdir -p $(@D)
	@{ cat tests/list.txt; \
	for t in $(FUZZERS); do \
	  echo "$$t: scripts/fuzz.sh $(BUILD)/fuzz/bin/$$t $(CHECK_FUZZ_SECONDS)"; done; \
	for t in $(UNIT_TESTS); do \
	  echo "$$t: $(BUILD)/tests/unit/$$t"; echo "$$t-san: $(BUILD)/san/tests/unit/$$t"; done; \
	if [ $(JIT) != 0 ]; then for t in $(NOJIT_TESTS); do echo "$$t-nojit: $(BUILD)/nojit/tests/unit/$$t"; done; \
	  echo "prog-cli-nojit: BUILD=$(BUILD)/nojit tests/prog_cli.sh"; \
	  echo "device-traces-nojit: BUILD=$(BUILD)/nojit tests/dev/run.sh"; fi; \
	for t in $(TSAN_TESTS); do echo "$$t-tsan: $(BUILD)/tsan/tests/unit/$$t"; done; } > $@
check-only: variants $(BUILD)/check.list
	@BUILD=$(BUILD) scripts/check.sh $(BUILD)/check.list 2
fuzz: setup-check fuzzers $(BUILD)/tests/fuzz/equiv
	@for t in $(FUZZERS); do scripts/fuzz.sh $(BUILD)/fuzz/bin/$$t $(FUZZ_SECONDS) || exit 1; done
	@$(BUILD)/tests/fuzz/equiv --accesses $(EQUIV_ACCESSES) --seed $$(date +%s) --out $(BUILD)/fuzz

BENCHES := bench_access bench_jit bench_page bench_slot bench_kernel_tier
.PHONY: benches examples
benches: $(BENCHES:%=$(BUILD)/tests/bench/%)
$(BUILD)/tests/bench/%: $(BUILD)/tests/bench/%.o $(LIB_OBJS) $(BUILD)/embed.o
	$(CC) $(LDFLAGS) -o $@ $^ $(LDLIBS)
# The programs' sources for the host, to be compared with: one object each, as gcc -O2 makes it.
HOST_PROGS := $(BPF_PROGS:%=$(BUILD)/tests/bench/host_%.o) $(BUILD)/tests/bench/host_kernels.o
HOST_PROG_CFLAGS = $(filter-out -Wmissing-prototypes,$(HR_CFLAGS)) -O2 -include tests/bench/host_prog.h
$(BUILD)/tests/bench/host_%.o: bpf/%.bpf.c tests/bench/host_prog.h
	@mkdir -p $(@D)
	$(CC) $(HOST_PROG_CFLAGS) -c -o $@ $<
$(BUILD)/tests/bench/host_kernels.o: tests/bench/kernels.bpf.c tests/bench/host_prog.h tests/bench/kernels.h
	@mkdir -p $(@D)
	$(CC) $(HOST_PROG_CFLAGS) -c -o $@ $<
$(BUILD)/tests/bench/kernels.bpf.o: tests/bench/kernels.bpf.c tests/bench/kernels.h bpf/hr.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(BUILD)/tests/bench/page.bpf.o: tests/bench/page.bpf.c tests/bench/page.h bpf/hr.h
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
$(BUILD)/tests/bench/bench_page: | $(BUILD)/tests/bench/page.bpf.o
$(BUILD)/tests/bench/bench_jit: $(HOST_PROGS) | $(BUILD)/tests/bench/kernels.bpf.o
EXAMPLES := counter doorbell status
examples: $(foreach e,$(EXAMPLES),$(BUILD)/examples/$(e)/$(e) $(BUILD)/examples/$(e)/$(e).bpf.o $(BUILD)/examples/$(e)/guest.bin)
$(EXAMPLES:%=$(BUILD)/examples/%/guest.bin): %/guest.bin: %/guest.o
	ld -m elf_i386 -e 0x7c00 -Ttext 0x7c00 --oformat binary -o $@ $<
$(BUILD)/examples/%/guest.o: examples/%/guest.S
	@mkdir -p $(@D)
	$(CC) -m32 -c -o $@ $<
$(BUILD)/examples/%.bpf.o: examples/%.bpf.c
	@mkdir -p $(@D)
	$(CLANG) $(BPF_CFLAGS) -c -o $@ $<
define example_program
$(BUILD)/examples/$(1)/$(1): $(BUILD)/examples/$(1)/$(1).o $(BUILD)/libhotreg.a
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS)
endef
$(foreach e,$(EXAMPLES),$(eval $(call example_program,$(e))))

format:
	clang-format -i $$(git ls-files '*.c' '*.h' | grep -v -e 'insn.def' -e '^include/')
clean:
	rm -rf $(BUILD)
