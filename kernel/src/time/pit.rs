//! The 8254 interval timer (PIT), whose frequency is the same on every PC. It measures the TSC.

#![expect(unsafe_code, reason = "port I/O")]

use x86_64::instructions::port::Port;

const PIT_HZ: u64 = 1_193_182;
/// About 10 ms.
const COUNT: u16 = 11_932;

const CHANNEL_2: u16 = 0x42;
const COMMAND: u16 = 0x43;
/// Channel 2, low byte then high byte, one shot.
const ONE_SHOT: u8 = 0b1011_0000;

const CONTROL: u16 = 0x61;
const GATE: u8 = 1 << 0;
const SPEAKER: u8 = 1 << 1;
const OUTPUT: u8 = 1 << 5;

/// TSC cycles per second. The lowest of three measurements, because a delay can only add cycles.
pub(super) fn measure_tsc_hz(tsc: fn() -> u64) -> u64 {
    let cycles = (0..3).map(|_| cycles_per_shot(tsc)).min().unwrap_or(0);
    (u128::from(cycles) * u128::from(PIT_HZ) / u128::from(COUNT)) as u64
}

fn cycles_per_shot(tsc: fn() -> u64) -> u64 {
    let [low, high] = COUNT.to_le_bytes();
    let control = read(CONTROL) & !SPEAKER;
    write(CONTROL, control & !GATE);
    write(COMMAND, ONE_SHOT);
    write(CHANNEL_2, low);
    write(CHANNEL_2, high);
    write(CONTROL, control | GATE);
    let start = tsc();
    while read(CONTROL) & OUTPUT == 0 {}
    tsc() - start
}

fn read(port: u16) -> u8 {
    // SAFETY: reading the timer's and the speaker's ports has no side effect.
    unsafe { Port::<u8>::new(port).read() }
}

fn write(port: u16, value: u8) {
    // SAFETY: nothing else uses channel 2 or the speaker.
    unsafe { Port::<u8>::new(port).write(value) };
}
