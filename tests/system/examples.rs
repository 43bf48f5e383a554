//! The examples boot and pass their own checks, and so does a kernel made from the README alone.
//!
//! The latter is made in a temporary folder, outside the workspace: the README's
//! commands are run as they stand there, and its `main.rs` is taken as it stands. If one of the two
//! lies, this fails.

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pageblock_boots as boots;
use pageblock_launcher::host::Guarded;
use pageblock_launcher::image::EXAMPLES;
use pageblock_launcher::image::{self, Messages};
use pageblock_launcher::qemu::Accel;
use pageblock_launcher::qemu::{Debugger, Machine};
use pageblock_launcher::vm::of_example;

use crate::REPOSITORY;

const README: &str = include_str!("../../README.md");

/// QEMU's exit status for a self-check that passed.
const PASSED: Option<i32> = Some(33);

/// Runs a command that prints. Panics if it takes too long.
fn watch(mut command: Command) -> (Option<i32>, String) {
    const LIMIT: Duration = Duration::from_secs(300);
    let start = Instant::now();
    let mut child = Guarded::spawn(&mut command).expect("the command starts");
    let mut stdout = child.take_stdout().expect("piped");
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            return (status.code(), reader.join().expect("no panic").expect("text"));
        }
        assert!(start.elapsed() < LIMIT, "{command:?} is not done in time");
        thread::sleep(Duration::from_millis(20));
    }
}

fn boot(example: &str) -> (Option<i32>, String) {
    let qemu = boots::qemu();
    let building = boots::build_beside_builds();
    let image = image::build_example(example, Messages::Kept).unwrap_or_else(|error| panic!("{error}"));
    drop(building);
    let (peripherals, _disk) = of_example(example, &qemu).unwrap_or_else(|error| panic!("{error}"));
    let machine = Machine { cpus: 1, memory_mib: 256 };
    let mut command = qemu.command(machine, Accel::Tcg, Debugger::None, &peripherals, &image, "");
    command.stderr(Stdio::inherit());
    let _alone = boots::boot_alone();
    watch(command)
}

#[test]
fn examples_pass_their_own_checks() {
    for example in EXAMPLES {
        let (status, text) = boot(example);
        assert_eq!(status, PASSED, "{example}:\n{text}");
        assert!(text.contains("zone DMA32"), "{example} prints no buddyinfo:\n{text}");
        assert!(text.ends_with(&format!("{example}: passed\n")), "{example}:\n{text}");
    }
}

#[test]
fn examples_are_one_short_file_each() {
    for example in EXAMPLES {
        let file = format!("{REPOSITORY}/examples/{example}.rs");
        let lines = fs::read_to_string(file).expect("the example").lines().count();
        assert!(lines < 150, "{example} has {lines} lines");
    }
}

/// The README's fenced blocks under that heading, in order, each with its language.
fn blocks(heading: &str) -> Vec<(&'static str, &'static str)> {
    let (_, section) = README.split_once(&format!("\n### {heading}\n")).expect("the heading");
    let section = section.split("\n## ").next().unwrap_or(section);
    let mut parts = section.split("```");
    parts.next();
    let mut blocks = Vec::new();
    while let (Some(block), _) = (parts.next(), parts.next()) {
        blocks.push(block.split_once('\n').expect("a language"));
    }
    blocks
}

/// The kernel is built without optimisation, and its boot stack is that of `examples/boot.rs`,
/// which panics at the end if it was too small.
#[test]
fn a_kernel_made_from_the_readme_alone_boots_on_a_stack_of_32_kib() {
    assert!(include_str!("../../examples/boot.rs").contains("const STACK_BYTES: usize = 32 * 1024;"));
    let blocks = blocks("From `cargo new` to the first frame");
    let languages: Vec<_> = blocks.iter().map(|(language, _)| *language).collect();
    assert_eq!(languages, ["sh", "rust,ignore", "sh", "text"], "the README has another shape");
    let [(_, make), (_, main), (_, run), (_, prints)] = blocks[..] else { unreachable!() };

    let folder = tempfile::tempdir().expect("a temporary folder");
    std::os::unix::fs::symlink(REPOSITORY, folder.path().join("pageblock")).expect("a link");
    // What a new kernel would download is here already: building this test has needed it.
    let script = format!("set -e\nexport CARGO_NET_OFFLINE=true\n{make}\ncat > src/main.rs\n{run}");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(folder.path());
    image::clear_build_environment(&mut command);
    let source = folder.path().join("main.rs");
    fs::write(&source, main).expect("the source");
    command.stdin(fs::File::open(&source).expect("the source")).stdout(Stdio::piped());
    command.stderr(fs::File::create(folder.path().join("messages")).expect("a file"));

    // The last of the README's commands boots the kernel.
    let alone = boots::boot_alone();
    let (status, text) = watch(command);
    drop(alone);
    let messages = fs::read_to_string(folder.path().join("messages")).unwrap_or_default();
    assert_eq!(status, Some(0), "{text}\n{messages}");
    same_output(&text, prints);
    assert!(!messages.contains("warning"), "{messages}");
    only_what_was_promised(folder.path());
}

/// Compares the output with that of the README. The words and addresses must be the same, and the
/// numbers about the same: the size of the image differs by some pages from build to build. The
/// free blocks of a zone are compared as pages.
fn same_output(text: &str, readme: &str) {
    let lines = |text: &str| text.lines().map(words).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    let (printed, promised) = (lines(text), lines(readme));
    assert_eq!(printed.len(), promised.len(), "{text}");
    for (printed, promised) in printed.iter().zip(&promised) {
        assert_eq!(printed.len(), promised.len(), "{text}");
        for (printed, promised) in printed.iter().zip(promised) {
            match (printed.parse::<u64>(), promised.parse::<u64>()) {
                (Ok(printed), Ok(promised)) => {
                    let tolerance = if promised < 1000 { 8 } else { 64 + promised / 500 };
                    assert!(printed.abs_diff(promised) <= tolerance, "{printed} is not {promised}:\n{text}");
                }
                _ => assert_eq!(printed, promised, "{text}"),
            }
        }
    }
}

/// The words of a line; of a line of buddyinfo its name and the pages in free blocks.
fn words(line: &str) -> Vec<String> {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    match words.split_first_chunk() {
        Some(([zone, name], counts)) if zone == "zone" => {
            let pages = counts.iter().enumerate().map(|(order, count)| {
                count.parse::<u64>().unwrap_or_else(|error| panic!("{line}: {error}")) << order
            });
            vec![zone.clone(), name.clone(), pages.sum::<u64>().to_string()]
        }
        _ => words,
    }
}

/// A path to this crate and `bootloader_api`: nothing else.
fn only_what_was_promised(folder: &Path) {
    let manifest = fs::read_to_string(folder.join("my-kernel/Cargo.toml")).expect("the manifest");
    let (_, dependencies) = manifest.split_once("[dependencies]").expect("dependencies");
    let mut names: Vec<_> =
        dependencies.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name.trim()).collect();
    names.sort_unstable();
    assert_eq!(names, ["bootloader_api", "pageblock"], "{manifest}");
}
