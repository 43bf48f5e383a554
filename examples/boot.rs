//! What a kernel needs to boot with `qemu -kernel` and to print: one file to copy.
//!
//! A kernel that uses [`bootloader_api`] has an `entry_point!` and boots from a disk image. This
//! file adds a second entry, for PVH (the boot protocol of QEMU's `-kernel`), which builds the same
//! [`BootInfo`] and calls the same `_start`. It also contains what kernels usually define
//! themselves: a serial console, a function that ends QEMU, a panic handler, and C's memory
//! functions, which the host's precompiled `core` calls.
//!
//! `link.ld` and `build.rs` beside it link the image to the address that the entry expects.

#![expect(unsafe_code, reason = "assembly, port I/O, and structures at physical addresses")]

use core::arch::{asm, global_asm};
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

use bootloader_api::BootInfo;
use bootloader_api::info::{MemoryRegion, MemoryRegionKind, MemoryRegions, Optional};

/// The address at which the first 4 GiB of physical memory are mapped, in addition to address 0.
const PHYSICAL_MEMORY_OFFSET: u64 = 0xffff_8000_0000_0000;
const STACK_BYTES: usize = 32 * 1024; // enough without optimisation, too
const GUARD_BYTES: usize = 4096;

global_asm!(
    // The ELF note of a PVH kernel: owner "Xen", type XEN_ELFNOTE_PHYS32_ENTRY.
    ".section .note.pvh, \"a\", @note",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_entry",
    // 32-bit protected mode without paging; EBX = the address of the start info.
    ".section .text.boot, \"ax\"",
    ".code32",
    ".global pvh_entry",
    "pvh_entry:",
    "cli",
    "cld",
    // 2048 pages of 2 MiB in four page directories, and one PDPT for both mappings.
    "mov edi, offset boot_directories",
    "mov eax, 0x83", // present, writable, large
    "mov ecx, 2048",
    "2: mov [edi], eax",
    "add eax, 0x200000",
    "add edi, 8",
    "loop 2b",
    "mov edi, offset boot_pdpt",
    "mov eax, offset boot_directories + 3",
    "mov ecx, 4",
    "3: mov [edi], eax",
    "add eax, 0x1000",
    "add edi, 8",
    "loop 3b",
    "mov eax, offset boot_pdpt + 3",
    "mov [boot_pml4], eax",
    "mov [boot_pml4 + 256 * 8], eax",
    "mov eax, offset boot_pml4",
    "mov cr3, eax",
    "mov eax, cr4",
    "or eax, 0x620", // OSXMMEXCPT, OSFXSR, PAE
    "mov cr4, eax",
    "mov ecx, 0xc0000080", // EFER
    "rdmsr",
    "or eax, 0x900", // NXE, LME
    "wrmsr",
    "mov eax, 0x80010033", // PG, WP, NE, ET, MP, PE
    "mov cr0, eax",
    "lgdt [boot_gdt_pointer]",
    "mov esp, offset boot_stack_end",
    "push 8",
    "mov eax, offset pvh_long_mode",
    "push eax",
    "retf",
    ".code64",
    "pvh_long_mode:",
    "xor eax, eax",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov rsp, offset boot_stack_end",
    "xor ebp, ebp",
    "mov edi, ebx",
    "call {start}",
    "ud2",
    ".balign 8",
    "boot_gdt: .quad 0, 0x00af9a000000ffff", // 64-bit code
    "boot_gdt_pointer: .word 15",
    ".long boot_gdt",
    ".section .bss.boot, \"aw\", @nobits",
    ".balign 4096",
    "boot_pml4: .skip 4096",
    "boot_pdpt: .skip 4096",
    "boot_directories: .skip 4 * 4096",
    "boot_stack_guard: .skip {guard}",
    ".skip {stack}",
    "boot_stack_end:",
    ".text",
    start = sym start,
    guard = const GUARD_BYTES,
    stack = const STACK_BYTES,
);

/// Xen's `hvm_start_info`, as far as it is used here.
#[repr(C)]
struct StartInfo {
    magic: u32,
    version: u32,
    _flags_modules_and_command_line: [u64; 3],
    rsdp: u64,
    memory_map: u64,
    memory_map_entries: u32,
}

/// Xen's `hvm_memmap_table_entry`.
#[repr(C)]
struct MemoryMapEntry {
    start: u64,
    bytes: u64,
    kind: u32,
    _reserved: u32,
}

unsafe extern "C" {
    static __image_start: u8;
    static __image_end: u8;
    /// Defined by `entry_point!`. Its argument is a `&'static mut BootInfo`.
    fn _start(boot_info: *mut c_void) -> !;
    /// Below the boot stack. It stays zero, unless the stack is too small.
    static boot_stack_guard: [u8; GUARD_BYTES];
}

/// The first Rust function: makes a `BootInfo` from the structures that QEMU left in memory.
extern "C" fn start(info: &'static StartInfo) -> ! {
    assert!(info.magic == 0x336e_c578 && info.version >= 1, "not a PVH start info with a memory map");
    let mut regions = [MemoryRegion { start: 0, end: 0, kind: MemoryRegionKind::Bootloader }; 64];
    let mut used = 0;
    let mut push = |start: u64, end: u64, kind| {
        if start < end {
            regions[used] = MemoryRegion { start, end, kind };
            used += 1;
        }
    };
    let image = (&raw const __image_start).addr() as u64..(&raw const __image_end).addr() as u64;
    let entries = core::ptr::with_exposed_provenance::<MemoryMapEntry>(info.memory_map as usize);
    for index in 0..info.memory_map_entries as usize {
        // SAFETY: the table has that many entries, is below 4 GiB, and nothing writes to it.
        let entry = unsafe { &*entries.wrapping_add(index) };
        let end = entry.start.saturating_add(entry.bytes);
        match entry.kind {
            // RAM. Only the first 4 GiB are mapped, and the image is in use.
            1 => {
                let end = end.min(1 << 32);
                push(entry.start, end.min(image.start), MemoryRegionKind::Usable);
                push(entry.start.max(image.start), end.min(image.end), MemoryRegionKind::Bootloader);
                push(entry.start.max(image.end), end, MemoryRegionKind::Usable);
            }
            other => push(entry.start, end, MemoryRegionKind::UnknownBios(other)),
        }
    }
    // SAFETY: this function never returns, so its locals stay valid; this is the only reference.
    let regions: &'static mut [MemoryRegion] =
        unsafe { core::slice::from_raw_parts_mut(&raw mut regions[0], used) };
    let mut boot_info = BootInfo::new(MemoryRegions::from(regions));
    boot_info.physical_memory_offset = Optional::Some(PHYSICAL_MEMORY_OFFSET);
    boot_info.rsdp_addr = if info.rsdp == 0 { Optional::None } else { Optional::Some(info.rsdp) };
    // SAFETY: as above, and `entry_point!` checks that the main function takes this type.
    unsafe { _start((&raw mut boot_info).cast()) }
}

/// COM1 in QEMU, which needs no set-up.
pub(crate) struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // SAFETY: waits until the transmit register is empty; port I/O accesses no memory.
            unsafe {
                asm!(
                    "2: mov dx, 0x3fd",
                    "in al, dx",
                    "test al, 0x20",
                    "jz 2b",
                    "mov dx, 0x3f8",
                    "mov al, {byte}",
                    "out dx, al",
                    byte = in(reg_byte) byte, out("al") _, out("dx") _,
                    options(nomem, nostack),
                );
            }
        }
        Ok(())
    }
}

/// Prints a line on the serial port, like `std::println!`.
macro_rules! println {
    ($($part:tt)*) => {{
        use core::fmt::Write as _;
        let _ = writeln!($crate::boot::Serial, $($part)*);
    }};
}
pub(crate) use println;

/// The result of a boot. The exit status of QEMU is twice the number plus one.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Exit {
    /// QEMU exits with 33.
    Passed = 0x10,
    /// QEMU exits with 37.
    Panicked = 0x12,
}

/// Ends QEMU, if it was started with `-device isa-debug-exit,iobase=0xf4,iosize=4`, or halts. It
/// panics if the boot stack was too small.
pub(crate) fn exit(how: Exit) -> ! {
    // SAFETY: the symbol is defined above. Only a stack that is too small is written to there, and
    // this function does not use much of it.
    let guard: &[u8] = unsafe { &boot_stack_guard };
    let whole = guard.iter().all(|byte| *byte == 0);
    assert!(whole || matches!(how, Exit::Panicked), "the boot stack is too small");
    // SAFETY: writes to a port that only this device uses.
    unsafe { asm!("out 0xf4, eax", in("eax") how as u32, options(nomem, nostack)) };
    loop {
        // SAFETY: halts the CPU until an interrupt; interrupts are masked.
        unsafe { asm!("hlt", options(nomem, nostack)) };
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    println!("{info}");
    exit(Exit::Panicked)
}

/// The C functions that the host's precompiled `core` calls. `x86_64-unknown-none` has its own.
#[cfg(target_os = "linux")]
mod host_core {
    core::arch::global_asm!(
        ".global memcpy, memmove, memset, memcmp, bcmp, strlen, rust_eh_personality, _Unwind_Resume",
        "memmove:",
        "mov rax, rdi",
        "sub rax, rsi",
        "cmp rax, rdx", // copy forwards unless the target starts within the source
        "jae memcpy",
        "lea rsi, [rsi + rdx - 1]",
        "mov rax, rdi",
        "lea rdi, [rdi + rdx - 1]",
        "mov rcx, rdx",
        "std",
        "rep movsb",
        "cld",
        "ret",
        "memcpy: mov rax, rdi",
        "mov rcx, rdx",
        "rep movsb",
        "ret",
        "memset: mov r8, rdi",
        "mov eax, esi",
        "mov rcx, rdx",
        "rep stosb",
        "mov rax, r8",
        "ret",
        "memcmp:",
        "bcmp: xor eax, eax",
        "mov rcx, rdx",
        "test rcx, rcx",
        "jz 2f",
        "repe cmpsb",
        "movzx eax, byte ptr [rdi - 1]",
        "movzx ecx, byte ptr [rsi - 1]",
        "sub eax, ecx",
        "2: ret",
        "strlen: xor eax, eax",
        "mov rcx, -1",
        "repne scasb",
        "mov rax, -2",
        "sub rax, rcx",
        "ret",
        "rust_eh_personality:",
        "_Unwind_Resume: ud2",
    );
}
