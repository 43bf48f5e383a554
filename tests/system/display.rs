//! The map of memory that the kernel draws on the display, looked at through QEMU's monitor.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use pageblock_boots as boots;
use pageblock_launcher::guest::{Limits, Listener};
use pageblock_launcher::host::Interrupt;
use pageblock_launcher::image::Instruments;
use pageblock_launcher::qemu::{Clock, Debugger, Machine, Screen, screenshot};
use pageblock_protocol::map::Kind;
use pageblock_protocol::map::screen::{CELL, HEIGHT, WIDTH, corner, shade};
use pageblock_protocol::{BootConfig, Line};

/// Takes a picture when half of the work is done.
struct Camera {
    monitor: PathBuf,
    file: PathBuf,
    taken: bool,
}

impl Listener for Camera {
    fn receive(&mut self, _: &str, line: Option<&Line<'_>>) {
        if let Some(Line::Progress { done, total, .. }) = line
            && 2 * done >= *total
            && !self.taken
        {
            screenshot(&self.monitor, &self.file).expect("QEMU takes pictures");
            self.taken = true;
        }
    }
}

/// The colours of a picture, and its width.
fn pixels(file: &PathBuf) -> (Vec<[u8; 3]>, usize) {
    let mut reader = png::Decoder::new(BufReader::new(File::open(file).unwrap())).read_info().unwrap();
    let mut bytes = vec![0; reader.output_buffer_size().expect("it fits into memory")];
    let info = reader.next_frame(&mut bytes).unwrap();
    assert_eq!((info.width, info.height), (WIDTH, HEIGHT));
    let size = info.color_type.samples();
    (bytes.chunks_exact(size).map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect(), info.width as usize)
}

#[test]
fn known_pageblocks_have_their_colours_on_the_display() {
    let folder = tempfile::tempdir().unwrap();
    let (monitor, file) = (folder.path().join("monitor"), folder.path().join("screen.png"));
    let mut vm = boots::vm(Clock::Time, Instruments::None);
    vm.peripherals.screen = Screen::Hidden { monitor: monitor.clone() };
    let mut camera = Camera { monitor, file, taken: false };
    let config =
        BootConfig { cma_mib: 64, jobs: 4, cycles: 5, display: true, samples: true, ..BootConfig::DEFAULT };
    let machine = Machine { cpus: 4, memory_mib: 256 };
    let limits = Limits { deadline: Some(Duration::from_secs(300)), silence: Some(Duration::from_secs(60)) };
    let alone = boots::boot_alone();
    let outcome = vm.boot(machine, Debugger::None, &config, limits, &Interrupt::new(), &mut camera);
    drop(alone);
    let outcome = outcome.unwrap();
    assert!(camera.taken, "{}", outcome.ending);

    let (pixels, width) = pixels(&camera.file);
    let colour = |cell: usize| {
        let (x, y) = corner(cell as u32);
        pixels[(y + CELL / 2) as usize * width + (x + CELL / 2) as usize]
    };
    let one_of = |kind: Kind| (0..10).map(move |tenths| shade(kind, tenths));
    // The CMA area is where it is throughout, isolated or not.
    let (_, map) = outcome.transcript.samples.maps.first().expect("maps are sent");
    let cma: Vec<usize> = (0..map.len()).filter(|cell| map[*cell].0 == Kind::Cma).collect();
    assert_eq!(cma.len(), 32, "64 MiB in pageblocks of 2 MiB");
    for cell in cma {
        let found = colour(cell);
        let mut known = one_of(Kind::Cma).chain(one_of(Kind::Isolated));
        assert!(known.any(|colour| colour == found), "cell {cell} is {found:?}");
    }
    // Jobs use movable pageblocks, and every cell is of some kind. Beside the cells it is black.
    let movable =
        (0..map.len()).filter(|cell| one_of(Kind::Movable).any(|shade| shade == colour(*cell))).count();
    assert!(movable > map.len() / 2, "{movable} of {} cells are movable", map.len());
    for cell in 0..map.len() {
        let found = colour(cell);
        assert!(
            Kind::ALL.into_iter().flat_map(one_of).any(|colour| colour == found),
            "cell {cell} is {found:?}"
        );
    }
    assert_eq!(colour(map.len() + 64), [0; 3]);
}
