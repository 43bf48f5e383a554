//! The first instructions of the kernel.
//!
//! There are two entries. The `bootloader` crate jumps to the ELF entry `bootloader_entry`, in long
//! mode with RDI = `&mut BootInfo`. PVH (QEMU's `-kernel`) jumps to the physical address in the Xen
//! note, `pvh_entry`, in 32-bit protected mode without paging and with EBX = `hvm_start_info`, and
//! continues in [`pvh::start`], which builds the `BootInfo` itself. Both end in `_start`, which
//! `entry_point!` defines in `main.rs`.
//!
//! Both enable SSE before the first Rust function, because the host's precompiled `core` uses it.

#![expect(unsafe_code, reason = "the first instructions are assembly")]

use core::arch::global_asm;

use crate::boot::config::STACK_BYTES;
use crate::boot::pvh;

// The BIOS path of the `bootloader` crate leaves CR4.OSFXSR clear.
global_asm!(
    ".section .text.boot, \"ax\"",
    ".code64",
    ".global bootloader_entry",
    "bootloader_entry:",
    "mov rax, cr0",
    "and rax, ~(1 << 2)", // EM
    "or  rax, 1 << 1",    // MP
    "mov cr0, rax",
    "mov rax, cr4",
    "or  rax, 3 << 9", // OSFXSR, OSXMMEXCPT
    "mov cr4, rax",
    "jmp _start",
    ".text",
);

// One PDPT serves the identity mapping and the start of the direct map: the first 4 GiB in 2 MiB
// pages. `pvh::start` extends the direct map if there is more memory. The identity mapping ends
// when the kernel loads its own top-level table.
global_asm!(
    ".set KERNEL_BASE, 0xffffffff80000000",
    ".set PRESENT_WRITABLE, 0x3",
    ".set LARGE_PAGE, 0x80",
    // The ELF note by which QEMU recognises a PVH kernel.
    ".section .note.pvh, \"a\", @note",
    ".balign 4",
    ".long 4",  // size of the owner's name
    ".long 4",  // size of the descriptor
    ".long 18", // XEN_ELFNOTE_PHYS32_ENTRY
    ".asciz \"Xen\"",
    ".long pvh_entry - KERNEL_BASE",
    ".section .text.boot, \"ax\"",
    ".code32",
    ".global pvh_entry",
    "pvh_entry:",
    "cli",
    "cld",
    // boot_pds: 2048 large pages from physical 0.
    "movl $(boot_pds - KERNEL_BASE), %edi",
    "movl $(PRESENT_WRITABLE | LARGE_PAGE), %eax",
    "movl $2048, %ecx",
    "1: movl %eax, (%edi)",
    "movl $0, 4(%edi)",
    "addl $0x200000, %eax",
    "addl $8, %edi",
    "loop 1b",
    // boot_pdpt: the four page directories.
    "movl $(boot_pdpt - KERNEL_BASE), %edi",
    "movl $(boot_pds - KERNEL_BASE + PRESENT_WRITABLE), %eax",
    "movl $4, %ecx",
    "2: movl %eax, (%edi)",
    "addl $0x1000, %eax",
    "addl $8, %edi",
    "loop 2b",
    // boot_image_pdpt[510]: KERNEL_BASE is the first GiB.
    "movl $(boot_pds - KERNEL_BASE + PRESENT_WRITABLE), boot_image_pdpt - KERNEL_BASE + 510 * 8",
    // boot_pml4: identity mapping, direct map, image.
    "movl $(boot_pdpt - KERNEL_BASE + PRESENT_WRITABLE), boot_pml4 - KERNEL_BASE",
    "movl $(boot_pdpt - KERNEL_BASE + PRESENT_WRITABLE), boot_pml4 - KERNEL_BASE + 256 * 8",
    "movl $(boot_image_pdpt - KERNEL_BASE + PRESENT_WRITABLE), boot_pml4 - KERNEL_BASE + 511 * 8",
    "movl $(boot_pml4 - KERNEL_BASE), %eax",
    "movl %eax, %cr3",
    "movl %cr4, %eax",
    "orl  $0x620, %eax", // OSXMMEXCPT, OSFXSR, PAE
    "movl %eax, %cr4",
    "movl $0xc0000080, %ecx", // EFER
    "rdmsr",
    "orl  $0x900, %eax", // NXE, LME
    "wrmsr",
    "movl $0x80010033, %eax", // PG, WP, NE, ET, MP, PE; EM clear
    "movl %eax, %cr0",
    "lgdt boot_gdt_pointer - KERNEL_BASE",
    "ljmp $0x08, $(pvh_long_mode - KERNEL_BASE)",
    ".code64",
    "pvh_long_mode:",
    "movabsq $pvh_high, %rax",
    "jmp *%rax",
    "pvh_high:",
    "xorl %eax, %eax",
    "movw %ax, %ds",
    "movw %ax, %es",
    "movw %ax, %ss",
    "movq $boot_stack_end, %rsp",
    "xorl %ebp, %ebp", // ends backtraces here
    "movl %ebx, %edi",
    "call {start}",
    "ud2",
    ".balign 8",
    "boot_gdt:",
    ".quad 0",
    ".quad 0x00af9a000000ffff", // 64-bit code
    "boot_gdt_pointer:",
    ".word . - boot_gdt - 1",
    ".long boot_gdt - KERNEL_BASE",
    ".section .bss.boot, \"aw\", @nobits",
    ".balign 4096",
    ".global boot_pdpt",
    "boot_pml4: .skip 4096",
    "boot_pdpt: .skip 4096",
    "boot_image_pdpt: .skip 4096",
    "boot_pds: .skip 4 * 4096",
    ".global boot_stack_start",
    ".global boot_stack_end",
    "boot_stack_start: .skip {stack_bytes}",
    "boot_stack_end:",
    ".text",
    start = sym pvh::start,
    stack_bytes = const STACK_BYTES,
    options(att_syntax),
);
