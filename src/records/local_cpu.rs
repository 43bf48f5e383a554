//! The CPU that a pageblock is local to: the last one that refilled a pcplist from it.

/// A CPU, or none, and whether it has reserved the pageblock. CPUs whose numbers are equal modulo
/// 32,767 are not told apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct LocalCpu(u16);

impl LocalCpu {
    pub(crate) const NONE: Self = Self(0);

    const RESERVING: u16 = 1 << 15;

    pub(crate) const fn new(cpu: usize) -> Self {
        Self((cpu % (Self::RESERVING as usize - 1)) as u16 + 1)
    }

    pub(crate) const fn from_bits(bits: u16) -> Self {
        Self(bits)
    }

    pub(crate) const fn to_bits(self) -> u16 {
        self.0
    }

    /// This CPU, which has reserved the pageblock.
    #[inline(always)]
    pub(crate) const fn reserving(self) -> Self {
        Self(self.0 | Self::RESERVING)
    }

    #[inline(always)]
    pub(crate) const fn is_reserving(self) -> bool {
        self.0 & Self::RESERVING != 0
    }

    /// 0 for no CPU, and another number for each CPU.
    #[inline(always)]
    pub(crate) const fn number(self) -> u32 {
        (self.0 & !Self::RESERVING) as u32
    }

    /// Whether this is a CPU, but not `cpu`.
    #[inline(always)]
    pub(crate) const fn is_another_than(self, cpu: Self) -> bool {
        self.number() != 0 && self.number() != cpu.number()
    }
}
