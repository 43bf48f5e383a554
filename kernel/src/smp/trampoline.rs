//! The trampoline: the code with which the other CPUs get from real mode to Rust.
//!
//! It lies in four frames below 1 MiB: the code, and three page tables that map the first 2 MiB at
//! their physical addresses and the upper half as the kernel does. The code is
//! position-independent; [`Trampoline::prepare`] stores the absolute addresses that it needs.

#![expect(unsafe_code, reason = "code for CPUs that are not in long mode yet")]

#[cfg(feature = "image")]
use core::arch::global_asm;
use core::mem::offset_of;
use core::ptr;

use bootloader_api::info::{MemoryRegion, MemoryRegionKind};
use pageblock::CpuId;
use x86_64::PhysAddr;
use x86_64::structures::paging::{PageTable, PageTableFlags, PhysFrame};

use crate::arch::stack::Stack;
use crate::physical::{phys_to_virt, root};

const PAGE_BYTES: u64 = 4096;
/// The code and three page tables.
const PAGES: u64 = 4;
/// The lowest address. Frame 0 is left out, because firmware may still use its real-mode vectors.
const LOWEST: u64 = 0x1000;
/// The end of the memory that real mode can reach and that is not the firmware's.
const HIGHEST: u64 = 0xa_0000;

#[cfg(feature = "image")]
global_asm!(
    ".section .rodata.trampoline, \"a\"",
    ".balign 16",
    ".global ap_start",
    ".global ap_parameters",
    ".global ap_protected_mode",
    ".global ap_long_mode",
    ".global ap_end",
    "ap_start:",
    ".code16",
    "cli",
    "cld",
    "movw %cs, %ax",
    "movw %ax, %ds",
    // EBX = the address of this page.
    "xorl %ebx, %ebx",
    "movw %ax, %bx",
    "shll $4, %ebx",
    "lgdtl ap_parameters - ap_start + {gdt_pointer}",
    "movl %cr0, %eax",
    "orl  $1, %eax",
    "movl %eax, %cr0",
    "ljmpl *(ap_parameters - ap_start + {to_protected_mode})",
    ".code32",
    "ap_protected_mode:",
    "movw $0x10, %ax",
    "movw %ax, %ds",
    "movw %ax, %es",
    "movw %ax, %ss",
    "movl %cr4, %eax",
    "orl  $0x620, %eax", // OSXMMEXCPT, OSFXSR, PAE
    "movl %eax, %cr4",
    "movl (ap_parameters - ap_start + {page_table})(%ebx), %eax",
    "movl %eax, %cr3",
    "movl $0xc0000080, %ecx", // EFER
    "rdmsr",
    "orl  $0x900, %eax", // NXE, LME
    "wrmsr",
    "movl $0x80010033, %eax", // PG, WP, NE, ET, MP, PE; EM clear
    "movl %eax, %cr0",
    "ljmpl *(ap_parameters - ap_start + {to_long_mode})(%ebx)",
    ".code64",
    "ap_long_mode:",
    "movl %ebx, %ebx",
    "movq (ap_parameters - ap_start + {stack})(%rbx), %rsp",
    "movq (ap_parameters - ap_start + {cpu})(%rbx), %rdi",
    "movq (ap_parameters - ap_start + {tables})(%rbx), %rsi",
    "movq (ap_parameters - ap_start + {entry})(%rbx), %rax",
    "xorl %ebp, %ebp", // ends backtraces here
    "call *%rax",
    "ud2",
    ".balign 8",
    "ap_parameters:",
    ".skip {parameter_bytes}",
    "ap_end:",
    ".text",
    gdt_pointer = const offset_of!(Parameters, gdt_pointer),
    to_protected_mode = const offset_of!(Parameters, to_protected_mode),
    to_long_mode = const offset_of!(Parameters, to_long_mode),
    page_table = const offset_of!(Parameters, page_table),
    stack = const offset_of!(Parameters, stack),
    cpu = const offset_of!(Parameters, cpu),
    tables = const offset_of!(Parameters, tables),
    entry = const offset_of!(Parameters, entry),
    parameter_bytes = const size_of::<Parameters>(),
    options(att_syntax),
);

unsafe extern "C" {
    static ap_start: u8;
    static ap_parameters: u8;
    static ap_protected_mode: u8;
    static ap_long_mode: u8;
    static ap_end: u8;
}

/// The operand of `ljmp`.
#[repr(C, packed)]
struct FarPointer {
    offset: u32,
    selector: u16,
}

/// The operand of `lgdt`.
#[repr(C, packed)]
struct TablePointer {
    limit: u16,
    base: u32,
}

/// The parameters of the code, which lie at its end.
#[repr(C)]
struct Parameters {
    gdt: [u64; 4],
    stack: u64,
    cpu: u64,
    tables: u64,
    entry: u64,
    page_table: u32,
    gdt_pointer: TablePointer,
    to_protected_mode: FarPointer,
    to_long_mode: FarPointer,
}

/// Flat segments: 32-bit code, data, 64-bit code.
const GDT: [u64; 4] = [0, 0x00cf_9a00_0000_ffff, 0x00cf_9200_0000_ffff, 0x00af_9a00_0000_ffff];
const CODE_32: u16 = 0x08;
const CODE_64: u16 = 0x18;

/// The first Rust function of a CPU.
pub(super) type Entry = extern "C" fn(cpu: u64, tables: u64) -> !;

/// The installed trampoline.
#[derive(Debug)]
pub(super) struct Trampoline {
    base: u64,
}

impl Trampoline {
    /// Installs the code in usable memory below 1 MiB, if there is enough.
    pub(super) fn install(regions: &[MemoryRegion]) -> Option<Self> {
        let base = regions.iter().filter(|r| r.kind == MemoryRegionKind::Usable).find_map(fitting)?;
        let code = &raw const ap_start;
        let bytes = (&raw const ap_end).addr() - code.addr();
        assert!(bytes as u64 <= PAGE_BYTES, "the trampoline is larger than a page");
        // SAFETY: the target is a usable frame that this kernel uses for nothing else.
        unsafe { ptr::copy_nonoverlapping(code, at(base), bytes) };
        identity_map(base);
        Some(Self { base })
    }

    /// The page number that a startup interrupt takes.
    pub(super) fn startup_page(&self) -> u8 {
        (self.base / PAGE_BYTES) as u8
    }

    /// Stores the parameters for the next CPU that is started.
    pub(super) fn prepare(&mut self, entry: Entry, cpu: CpuId, tables: usize, stack: &Stack) {
        let far = |symbol: *const u8, selector| FarPointer {
            offset: (self.base + offset(symbol)) as u32,
            selector,
        };
        let parameters = Parameters {
            gdt: GDT,
            stack: stack.top().as_u64(),
            cpu: cpu.number() as u64,
            tables: tables as u64,
            entry: entry as usize as u64,
            page_table: (self.base + PAGE_BYTES) as u32,
            gdt_pointer: TablePointer {
                limit: size_of_val(&GDT) as u16 - 1,
                base: (self.base + offset(&raw const ap_parameters)) as u32
                    + offset_of!(Parameters, gdt) as u32,
            },
            to_protected_mode: far(&raw const ap_protected_mode, CODE_32),
            to_long_mode: far(&raw const ap_long_mode, CODE_64),
        };
        let place: *mut Parameters = at(self.base + offset(&raw const ap_parameters));
        // SAFETY: it is in the page that `install` filled; volatile, as another CPU reads it.
        unsafe { place.write_volatile(parameters) };
    }
}

/// The distance of a symbol from the start of the code.
fn offset(symbol: *const u8) -> u64 {
    (symbol.addr() - (&raw const ap_start).addr()) as u64
}

fn at<T>(physical: u64) -> *mut T {
    phys_to_virt(PhysAddr::new(physical)).as_mut_ptr()
}

/// The lowest address in `region` at which the trampoline fits.
fn fitting(region: &MemoryRegion) -> Option<u64> {
    let start = region.start.max(LOWEST).next_multiple_of(PAGE_BYTES);
    let end = region.end.min(HIGHEST);
    (start + PAGES * PAGE_BYTES <= end).then_some(start)
}

/// Builds the three page tables after the page of the code.
fn identity_map(base: u64) {
    let [top, middle, low] = [1, 2, 3].map(|page| base + page * PAGE_BYTES);
    for table in [top, middle, low] {
        // SAFETY: a usable frame that is part of the trampoline.
        unsafe { at::<PageTable>(table).write(PageTable::new()) };
    }
    let flags = PageTableFlags::PRESENT | PageTableFlags::WRITABLE;
    set_first(top, middle, flags);
    set_first(middle, low, flags);
    set_first(low, 0, flags | PageTableFlags::HUGE_PAGE);
    root::copy_upper_half(root::frame(), PhysFrame::containing_address(PhysAddr::new(top)));
}

fn set_first(table: u64, target: u64, flags: PageTableFlags) {
    // SAFETY: `identity_map` has just written a table there, and no CPU uses it yet.
    let table = unsafe { &mut *at::<PageTable>(table) };
    table[0].set_addr(PhysAddr::new(target), flags);
}
