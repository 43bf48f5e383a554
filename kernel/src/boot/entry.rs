//! The first instructions of the kernel, and what it asks of a bootloader.
//!
//! Two ways lead in. Upstream's `bootloader` jumps to the ELF entry, `bootloader_entry`, in long mode
//! with RDI = `&mut BootInfo`. PVH (QEMU's `-kernel`) jumps to the physical address in the Xen note,
//! `pvh_entry`, in 32-bit protected mode without paging and with EBX = `hvm_start_info`; from there it
//! goes through [`super::pvh`], which builds the `BootInfo` itself. Both end in `_start`, which
//! `entry_point!` makes.
//!
//! Both enable SSE before the first line of Rust: `core` for the host's triple uses it.

#![cfg_attr(feature = "image", expect(unsafe_code, reason = "the first instructions are assembly"))]

#[cfg(feature = "image")]
use core::arch::global_asm;

use bootloader_api::config::{BootloaderConfig, Mapping};

/// Where all physical memory is mapped, by either way in.
pub(super) const PHYSICAL_MEMORY_OFFSET: u64 = 0xffff_8000_0000_0000;

/// Where a bootloader may put what it maps for us: in the upper half, which all spaces share.
const DYNAMIC_RANGE_START: u64 = 0xffff_c000_0000_0000;

const KERNEL_STACK_BYTES: u64 = 128 * 1024;

static BOOTLOADER_CONFIG: BootloaderConfig = {
    let mut config = BootloaderConfig::new_default();
    config.kernel_stack_size = KERNEL_STACK_BYTES;
    config.mappings.physical_memory = Some(Mapping::FixedAddress(PHYSICAL_MEMORY_OFFSET));
    config.mappings.dynamic_range_start = Some(DYNAMIC_RANGE_START);
    config
};

#[cfg(feature = "image")]
bootloader_api::entry_point!(crate::kernel_main, config = &BOOTLOADER_CONFIG);

// Upstream's BIOS path leaves CR4.OSFXSR clear.
#[cfg(feature = "image")]
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

// One PDPT serves the identity mapping and the start of the physical-memory mapping: the first 4 GiB
// in 2 MiB pages. `pvh::start` extends the latter when there is more memory. The identity mapping
// goes when the kernel switches to its own top-level table.
#[cfg(feature = "image")]
global_asm!(
    ".set KERNEL_BASE, 0xffffffff80000000",
    ".set PRESENT_WRITABLE, 0x3",
    ".set LARGE_PAGE, 0x80",
    // The note that makes this a PVH kernel.
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
    // boot_pdpt: the four of them.
    "movl $(boot_pdpt - KERNEL_BASE), %edi",
    "movl $(boot_pds - KERNEL_BASE + PRESENT_WRITABLE), %eax",
    "movl $4, %ecx",
    "2: movl %eax, (%edi)",
    "addl $0x1000, %eax",
    "addl $8, %edi",
    "loop 2b",
    // boot_image_pdpt[510]: KERNEL_BASE is the first GiB.
    "movl $(boot_pds - KERNEL_BASE + PRESENT_WRITABLE), boot_image_pdpt - KERNEL_BASE + 510 * 8",
    // boot_pml4: identity, physical memory, image.
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
    "xorl %ebp, %ebp", // the end of every back trace
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
    start = sym super::pvh::start,
    stack_bytes = const KERNEL_STACK_BYTES,
    options(att_syntax),
);
