//! Memory maps of real machines, from public bug reports, for the tests of the adapters.

use crate::boot::MemoryMap;

/// What a region is for. An adapter turns it into the kind that its crate has for that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Usable,
    Reserved,
    AcpiData,
    AcpiNvs,
    Bootloader,
    Kernel,
}
use Kind::{AcpiData, AcpiNvs, Bootloader, Kernel, Reserved, Usable};

/// A region: its kind, its first byte, and its length.
pub(super) type Field = (Kind, u64, u64);

/// The kind, and the first and the last byte of each region, as the reports have them.
type Regions = &'static [(Kind, u64, u64)];
/// The frames that are usable, half-open. None is below the first mebibyte.
type Frames = &'static [(usize, usize)];

const MAPS: [(Regions, Frames); 12] = [
    (
        &[
            (Usable, 0x5_2000, 0x9_efff),
            (Reserved, 0x9_fc00, 0x9_ffff),
            (Reserved, 0xf_0000, 0xf_ffff),
            (Usable, 0x10_0000, 0x7ff1_afff),
            (Bootloader, 0x7ff1_b000, 0x7ff1_dfff),
            (Kernel, 0x7ff1_e000, 0x7ff2_5fff),
            (Bootloader, 0x7ff2_6000, 0x7ff3_ffff),
            (Usable, 0x7ff4_0000, 0x7ff4_0fff),
            (Bootloader, 0x7ff4_1000, 0x7ff4_2fff),
            (Usable, 0x7ff4_3000, 0x7ff5_dfff),
            (Bootloader, 0x7ff5_e000, 0x7ffd_efff),
            (Reserved, 0x7ffd_f000, 0x7fff_ffff),
            (Bootloader, 0x1000, 0x5_1fff),
        ],
        &[(0x100, 0x7_ff1b), (0x7_ff40, 0x7_ff41), (0x7_ff43, 0x7_ff5e)],
    ),
    (
        &[
            (Usable, 0x5_2000, 0x9_efff),
            (Usable, 0x10_0000, 0xff2_dfff),
            (Bootloader, 0xff2_e000, 0xff3_1fff),
            (Kernel, 0xff3_2000, 0xff3_5fff),
            (Bootloader, 0xff3_6000, 0xff4_3fff),
            (Usable, 0xff4_4000, 0xff6_2fff),
            (Bootloader, 0xff6_3000, 0xffd_ffff),
            (Reserved, 0xfd_0000_0000, 0xff_ffff_ffff),
            (Bootloader, 0x1000, 0x5_1fff),
        ],
        &[(0x100, 0xff2e), (0xff44, 0xff63)],
    ),
    (&[(Usable, 0, 0x9_fbff), (Usable, 0x10_0000, 0x3fff_ffff)], &[(0x100, 0x4_0000)]),
    (
        &[
            (Usable, 0, 0xe_ffff),
            (Reserved, 0xf_0000, 0xf_ffff),
            (Usable, 0x20_0000, 0x200f_ffff),
            (Reserved, 0x2010_0000, 0xbfff_ffff),
            (Reserved, 0xe000_0000, 0xffff_ffff),
        ],
        &[(0x200, 0x2_0100)],
    ),
    (
        &[
            (Usable, 0, 0x9_dfff),
            (Reserved, 0x9_e000, 0xf_ffff),
            (Usable, 0x10_0000, 0x21f_ffff),
            (Reserved, 0x2e1_e000, 0x2e1_dfff), // of length 0
            (Usable, 0x6e1_7000, 0x2535_2fff),
            (Reserved, 0x2535_3000, 0x253d_2fff),
            (Usable, 0x253d_3000, 0x2bdf_ffff),
            (Reserved, 0x2be0_0000, 0x2c1f_ffff),
            (Usable, 0x2c20_0000, 0x2c3e_cfff),
            (Reserved, 0x2c3e_d000, 0x2c6e_afff),
            (Usable, 0x2c6e_b000, 0x2c6e_bfff),
        ],
        &[
            (0x100, 0x2200),
            (0x6e17, 0x2_5353),
            (0x2_53d3, 0x2_be00),
            (0x2_c200, 0x2_c3ed),
            (0x2_c6eb, 0x2_c6ec),
        ],
    ),
    (
        &[
            (Usable, 0, 0x9_fbff),
            (Reserved, 0x9_fc00, 0x9_ffff),
            (Reserved, 0xe_6000, 0xf_ffff),
            (Usable, 0x10_0000, 0x1fe2_ffff),
            (AcpiNvs, 0x1fe3_0000, 0x1fe4_180f),
            (Reserved, 0x1fe4_1810, 0x1ff2_ffff),
            (AcpiData, 0x1ff3_0000, 0x1ff3_ffff),
            (AcpiNvs, 0x1ff4_0000, 0x1ffe_ffff),
            (Reserved, 0x1fff_0000, 0x1fff_ffff),
        ],
        &[(0x100, 0x1_fe30)],
    ),
    (
        &[
            (Usable, 0, 0x9_efff),
            (Reserved, 0x9_f000, 0x9_ffff),
            (Reserved, 0xf_0000, 0xf_ffff),
            (Usable, 0x10_0000, 0xf78_ffff),
            (Reserved, 0xf79_0000, 0x1fff_dfff),
            (Reserved, 0xfffc_0000, 0xffff_ffff),
        ],
        &[(0x100, 0xf790)],
    ),
    (&[(Usable, 0, 0x9_fffe), (Usable, 0x10_0000, 0x3fff_ffff)], &[(0x100, 0x4_0000)]),
    (
        &[
            (Reserved, 0, 0xfff),
            (Usable, 0x1000, 0x5_ffff),
            (Reserved, 0x6_0000, 0x6_7fff),
            (Usable, 0x6_8000, 0x9_ffff),
            (AcpiNvs, 0xa_0000, 0xf_ffff),
            (Usable, 0x10_0000, 0x7f_ffff),
            (Reserved, 0x80_0000, 0xb5_7fff),
            (Usable, 0xb5_8000, 0x7edf_ffff),
            (Reserved, 0x7ee0_0000, 0x7eff_ffff),
            (AcpiNvs, 0x7f00_0000, 0x7f6f_ffff),
            (Reserved, 0x7f70_0000, 0x7f7f_ffff),
            (AcpiNvs, 0x7f80_0000, 0x8fff_ffff),
        ],
        &[(0x100, 0x800), (0xb58, 0x7_ee00)],
    ),
    (
        &[
            (Usable, 0, 0x9_ffff),
            (Usable, 0x10_0000, 0x7f_ffff),
            (AcpiNvs, 0x80_0000, 0x80_cfff),
            (Reserved, 0x80_d000, 0x80_ffff),
            (Usable, 0x81_0000, 0x81_0fff),
            (AcpiNvs, 0x81_1000, 0x8f_ffff),
            (Usable, 0x90_0000, 0x7f4e_cfff),
            (Reserved, 0x7f4e_d000, 0x7f5e_cfff),
        ],
        &[(0x100, 0x800), (0x810, 0x811), (0x900, 0x7_f4ed)],
    ),
    (
        &[
            (Usable, 0, 0x9_fbff),
            (Usable, 0x10_0000, 0x7fff_ffff),
            (Reserved, 0xfd_0000_0000, 0xff_ffff_ffff),
            (Usable, 0x100_0000_0000, 0x100_7fff_ffff),
        ],
        &[(0x100, 0x8_0000), (0x1000_0000, 0x1008_0000)],
    ),
    (
        &[
            (Usable, 0, 0x9_fbff),
            (Usable, 0x10_0000, 0x7fff_ffff),
            (Reserved, 0xfd_0000_0000, 0xff_ffff_ffff),
            (Usable, 0x100_0000_0000, 0x103_7fff_ffff),
        ],
        &[(0x100, 0x8_0000), (0x1000_0000, 0x1038_0000)],
    ),
];

/// The usable frames of a map, half-open.
pub(super) fn usable<const N: usize>(map: &MemoryMap<N>) -> Vec<(usize, usize)> {
    map.usable().map(|range| (range.start().number(), range.end().number())).collect()
}

/// Asserts that an adapter finds the usable frames of each map, with its regions in any order. A
/// map of the adapter's crate is made by `convert`.
pub(super) fn check(convert: impl Fn(&[Field]) -> MemoryMap) {
    for (number, (regions, frames)) in MAPS.iter().enumerate() {
        let mut fields: Vec<Field> =
            regions.iter().map(|&(kind, first, last)| (kind, first, last + 1 - first)).collect();
        assert_eq!(usable(&convert(&fields)), *frames, "map {number}");
        fields.reverse();
        assert_eq!(usable(&convert(&fields)), *frames, "map {number}, backward");
    }
}

/// The whole pages of a region for maps that have no parts of pages: inward if it is usable.
#[cfg(any(feature = "bootloader_09", feature = "uefi_041"))]
pub(super) fn whole_pages((kind, start, length): Field) -> core::ops::Range<u64> {
    use crate::base::PfnRange;
    let bytes = start..start + length;
    if kind == Usable { PfnRange::inside(bytes).bytes() } else { PfnRange::covering(bytes).bytes() }
}
