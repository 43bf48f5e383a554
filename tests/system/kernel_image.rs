//! The kernel image keeps the rules of both ways of booting it.
//!
//! PVH is tried by every other test of the kernel; upstream's `bootloader` needs a nightly compiler
//! to build, so what it demands of an image is checked here instead. Its loader panics on an image
//! that breaks a rule, or hangs without a word, long before the kernel could say anything.

use std::fs;
use std::sync::OnceLock;

use bootloader_api::BootloaderConfig;
use bootloader_api::config::Mapping;
use object::elf::{
    ET_EXEC, FileHeader64, NoteType, PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_NOTE, PT_TLS,
    ProgramHeader64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader};
use object::{Endianness, LittleEndian};
use pageblock_boots as boots;
use pageblock_launcher::image::Instruments;

type Header = FileHeader64<LittleEndian>;
type Segment = ProgramHeader64<LittleEndian>;

const PAGE: u64 = 4096;
const LE: LittleEndian = LittleEndian;
/// Where the kernel is linked, less where it is loaded.
const KERNEL_BASE: u64 = 0xffff_ffff_8000_0000;
/// The ELF note that says where PVH enters.
const XEN_ELFNOTE_PHYS32_ENTRY: NoteType = NoteType(18);

fn image() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| fs::read(boots::image(Instruments::None)).expect("the image can be read"))
}

fn header() -> &'static Header {
    assert_eq!(Endianness::default(), Endianness::Little);
    Header::parse(image()).expect("an ELF file of 64 bits")
}

fn segments() -> &'static [Segment] {
    header().program_headers(LE, image()).expect("program headers")
}

fn loads() -> impl Iterator<Item = &'static Segment> {
    segments().iter().filter(|segment| segment.p_type(LE) == PT_LOAD)
}

fn section(name: &str) -> Option<&'static [u8]> {
    let sections = header().sections(LE, image()).expect("section headers");
    let (_, section) = sections.section_by_name(LE, name.as_bytes())?;
    Some(section.data(LE, image()).expect("the section's data"))
}

#[test]
fn is_linked_to_fixed_addresses() {
    assert_eq!(header().e_type(LE), ET_EXEC);
    for segment in segments() {
        let kind = segment.p_type(LE);
        assert!(![PT_DYNAMIC, PT_INTERP, PT_TLS].contains(&kind), "a segment of type {kind:#x}");
    }
}

#[test]
fn segments_share_no_page() {
    let mut pages: Vec<_> = loads()
        .map(|segment| {
            let start = segment.p_vaddr(LE);
            (start / PAGE, (start + segment.p_memsz(LE)).div_ceil(PAGE))
        })
        .collect();
    pages.sort_unstable();
    assert!(pages.len() >= 3, "code, constants and data: {pages:x?}");
    assert!(pages.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{pages:x?}");
}

#[test]
fn file_offsets_agree_with_addresses() {
    for segment in loads() {
        assert_eq!(segment.p_offset(LE) % PAGE, segment.p_vaddr(LE) % PAGE, "{segment:?}");
        assert!(segment.p_filesz(LE) <= segment.p_memsz(LE), "{segment:?}");
    }
}

#[test]
fn is_loaded_at_two_mebibytes() {
    let first = loads().map(|segment| segment.p_paddr(LE)).min();
    assert_eq!(first, Some(0x20_0000));
    for segment in loads() {
        assert_eq!(segment.p_vaddr(LE) - segment.p_paddr(LE), KERNEL_BASE, "{segment:?}");
    }
}

#[test]
fn nothing_is_both_writable_and_executable() {
    let both = PF_W | PF_X;
    assert!(loads().all(|segment| segment.p_flags(LE) & both != both));
}

#[test]
fn both_entries_are_in_the_code() {
    let code = loads().find(|segment| segment.p_flags(LE) & PF_X == PF_X).expect("code");
    let code_at = |start: u64, entry: u64| (start..start + code.p_filesz(LE)).contains(&entry);
    assert!(code_at(code.p_vaddr(LE), header().e_entry(LE)), "entry of the bootloader");
    assert!(code_at(code.p_paddr(LE), u64::from(pvh_entry())), "entry of PVH");
}

/// The bootloader's BIOS path leaves SSE disabled, which compiled code uses from its first line.
#[test]
fn sse_is_enabled_before_compiled_code_runs() {
    /// `mov cr4, rax`.
    const WRITE_CR4: [u8; 3] = [0x0f, 0x22, 0xe0];
    /// `jmp rel32`.
    const JUMP: u8 = 0xe9;
    let entry = header().e_entry(LE);
    let code = loads().find(|segment| segment.p_flags(LE) & PF_X == PF_X).expect("code");
    let start = (code.p_offset(LE) + (entry - code.p_vaddr(LE))) as usize;
    let stub = &image()[start..start + 64];
    let enabled = stub.windows(3).position(|bytes| bytes == WRITE_CR4).expect("CR4 is written");
    let jump = stub.iter().position(|&byte| byte == JUMP).expect("the stub ends in a jump");
    assert!(enabled < jump, "{stub:x?}");
}

/// The descriptor of the note by which QEMU knows a PVH kernel.
fn pvh_entry() -> u32 {
    let found = segments().iter().filter(|segment| segment.p_type(LE) == PT_NOTE).find_map(|segment| {
        let mut notes = segment.notes(LE, image()).expect("notes").expect("a segment of notes");
        while let Some(note) = notes.next().expect("a note") {
            if note.name() == b"Xen" && note.n_type(LE) == XEN_ELFNOTE_PHYS32_ENTRY {
                return note.desc().try_into().ok().map(u32::from_le_bytes);
            }
        }
        None
    });
    found.expect("a PVH note of 4 bytes")
}

/// Without it the bootloader's BIOS path hangs in silence.
#[test]
fn asks_the_bootloader_for_what_it_needs() {
    let section = section(".bootloader-config").expect("the bootloader's section, by name");
    let config = BootloaderConfig::deserialize(section).expect("a config of this version");
    assert_eq!(config.mappings.physical_memory, Some(Mapping::FixedAddress(0xffff_8000_0000_0000)));
    // A fixed base is refused for an image that is linked to fixed addresses.
    assert_eq!(config.mappings.kernel_base, Mapping::Dynamic);
    // The kernel keeps only the upper half of the bootloader's tables.
    let upper_half = 0xffff_8000_0000_0000;
    assert!(config.mappings.dynamic_range_start.is_some_and(|start| start >= upper_half));
    assert!(config.kernel_stack_size >= 64 * 1024);
}

/// Nothing refers to a test case by name, so a linker that collects garbage might drop them all.
#[test]
fn holds_the_test_cases() {
    let cases = section("linkme_CASES").expect("the section of the cases");
    assert!(cases.len() > 1000, "{} bytes of cases", cases.len());
}
