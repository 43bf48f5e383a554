//! Tests of the launcher's binary: exit status, table, JSON, error messages.
//!
//! The emulator is a shell script. The tests that boot the kernel are in the root package.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

const GUEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guest.sh");

fn launcher(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pageblock-launcher"));
    command.args(words.split_whitespace()).env_remove("PAGEBLOCK_QEMU").stdin(Stdio::null());
    command
}

/// Runs the launcher with the script as its emulator, which acts by the name of the image.
fn boot(image: &str, words: &str) -> Output {
    launcher(words).args(["--image", image, "--qemu", GUEST, "--accel", "tcg"]).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_good_run_exits_0_with_a_table() {
    let output = boot("good", "");
    assert_eq!(output.status.code(), Some(0));
    let table = text(&output.stdout);
    assert!(table.contains("1,234,567"), "{table}");
    assert!(table.ends_with("missed pages: 0; every invariant held\n"), "{table}");
    // Standard error is no terminal, so there is no progress bar and no control character.
    assert_eq!(text(&output.stderr), "");
}

/// `/dev/full` takes no byte. The results are still in the file.
#[test]
#[cfg(target_os = "linux")]
fn a_full_standard_output_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    let to_file = format!("--json {}", file.display());
    for (words, image) in [(to_file.as_str(), "good"), ("--json -", "good"), ("list", "")] {
        let mut command = launcher(words);
        if !image.is_empty() {
            command.args(["--image", image, "--qemu", GUEST, "--accel", "tcg"]);
        }
        let output = command.stdout(full()).stderr(Stdio::piped()).spawn().unwrap().wait_with_output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(3), "{words}");
        let error = text(&output.stderr);
        assert!(error.contains("error: standard output: No space left on device"), "{words}: {error}");
    }
    assert!(fs::read_to_string(file).unwrap().contains("\"verdict\": \"held\""));
    // Nor is a full standard error.
    let mut command = launcher("--image good --accel tcg --qemu");
    let status = command.arg(GUEST).stdout(Stdio::null()).stderr(full()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let status = launcher("--image good --accel tcg --serial --qemu").arg(GUEST).stderr(full()).status();
    assert_eq!(status.unwrap().code(), Some(0));
}

#[test]
fn a_qemu_that_another_program_ended_is_named() {
    let output = boot("ended", "");
    assert_eq!(output.status.code(), Some(4));
    let error = text(&output.stderr);
    assert!(error.contains("another program ended QEMU (qemu: terminating on signal 15"), "{error}");
}

#[test]
fn json_has_the_same_results() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let output = boot("good", &format!("--cycles 7 --json {}", file.display()));
    assert_eq!(output.status.code(), Some(0));
    let object: serde_json::Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!(object["scenario"], "cma");
    assert_eq!(object["succeeded"], 7);
    assert_eq!(object["missed_pages"], 0);
    assert_eq!(object["latency_us"]["max"], 12345);
}

#[test]
fn json_has_the_area_of_the_guest_and_the_command_that_repeats_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let [first, second] = ["first.json", "second.json"].map(|name| folder.path().join(name));
    let output = boot("good", &format!("--cma 1 --chunk 1 --seed 7 --json {}", first.display()));
    // The CMA area consists of whole pageblocks of 2 MiB.
    assert!(text(&output.stdout).contains("1024 MiB, CMA area of 2 MiB, "), "{}", text(&output.stdout));
    let object: serde_json::Value = serde_json::from_str(&fs::read_to_string(first).unwrap()).unwrap();
    assert_eq!((&object["cma_mib"], &object["options"]["cma"]), (&2.into(), &1.into()));
    assert_eq!(object["managed_mib"], 1000);
    assert_eq!(object["options"]["accel"], "tcg");
    assert_eq!(object["options"]["image"], "good");

    let command = object["command"].as_str().unwrap();
    let words = command.strip_prefix("cargo run -- ").unwrap();
    let again = launcher(&format!("{words} --json {}", second.display())).output().unwrap();
    assert_eq!(again.status.code(), Some(0), "{}", text(&again.stderr));
    let repeated: serde_json::Value = serde_json::from_str(&fs::read_to_string(second).unwrap()).unwrap();
    assert_eq!(object, repeated);
}

#[test]
fn json_goes_to_standard_output_and_the_tables_to_standard_error() {
    let output = boot("good", "--json -");
    assert_eq!(output.status.code(), Some(0));
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&object["verdict"], &object["missed_pages"]), (&"held".into(), &0.into()));
    assert_eq!(object["machine"]["qemu"], "QEMU emulator version 0.0 (a shell script)");
    let table = text(&output.stderr);
    assert!(table.ends_with("missed pages: 0; every invariant held\n"), "{table}");
    assert!(!Path::new("-").exists());
}

#[test]
fn a_trace_has_the_events_of_the_guest() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json");
    let output = boot("good", &format!("--trace {}", file.display()));
    assert_eq!(output.status.code(), Some(0));
    assert!(!text(&output.stdout).contains("last events"), "nothing went wrong");
    let trace: serde_json::Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let events = trace["traceEvents"].as_array().unwrap().iter();
    let names: Vec<_> = events.filter(|event| event["ph"] == "i").map(|event| &event["name"]).collect();
    assert_eq!(names, ["AllocFailed", "Refill"]);

    assert_eq!(boot("drifts", &format!("--trace {}", file.display())).status.code(), Some(1));
    assert!(file.exists(), "a trace of what went wrong");
    assert_eq!(boot("panics", &format!("--trace {}", file.display())).status.code(), Some(4));
    assert!(!file.exists(), "a trace without results");
    assert_eq!(boot("good", "--trace /nowhere/trace.json").status.code(), Some(2));
    assert_eq!(boot("good", "designs --trace trace.json").status.code(), Some(2), "designs have no events");
}

#[test]
fn a_report_is_one_html_file_and_the_guest_sends_samples_for_it_only() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("report.html");
    let output = boot("good", &format!("--report {}", file.display()));
    assert_eq!(output.status.code(), Some(0));
    let page = fs::read_to_string(&file).unwrap();
    assert!(page.contains("The count against the truth") && page.contains("<svg "), "{page}");
    assert!(page.contains("every invariant held"), "{page}");
    assert!(!text(&boot("good", "--serial").stderr).contains("@pb sample "));
    assert!(text(&boot("good", "--serial --report /dev/null").stderr).contains("@pb sample "));

    let pictures = folder.path().join("new/pictures");
    assert_eq!(boot("good", &format!("--pictures {}", pictures.display())).status.code(), Some(0));
    assert!(fs::read_to_string(pictures.join("cma-drift.svg")).unwrap().starts_with("<svg "));

    let output = boot("panics", &format!("--report {}", file.display()));
    assert_eq!(output.status.code(), Some(4));
    assert!(!file.exists(), "a report without results");
    let output = boot("good", "--report /nowhere/report.html");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn what_there_was_until_an_interrupt_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    let child = launcher(&format!("--json {}", file.display()))
        .args(["--image", "hangs-late", "--qemu", GUEST, "--accel", "tcg"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let guest = wait_for("the guest", || child_of(child.id()));
    wait_for("the hang", || name_of(guest).filter(|name| name == "sleep"));
    // The launcher reads what the guest printed before.
    std::thread::sleep(Duration::from_millis(300));
    let kill = Command::new("kill").args(["-s", "INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    let table = text(&output.stdout);
    assert!(table.contains("│ exact audits ┆ 77 │"), "{table}");
    assert!(table.ends_with("interrupted; these are the results until then\n"), "{table}");
    let json = fs::read_to_string(file).unwrap();
    assert!(json.contains("\"verdict\": \"interrupted\""), "{json}");
}

#[test]
fn a_guest_that_the_debugger_kills_did_not_crash() {
    let output = boot("killed-by-gdb", "--gdb=4321");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(130), "{message}");
    assert!(message.ends_with("error: the debugger ended the guest\n"), "{message}");
}

#[test]
fn drift_exits_1_with_the_drift_in_the_table_and_in_json() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.json");
    for image in ["drifts", "denies"] {
        let output = boot(image, &format!("--json {}", file.display()));
        assert_eq!(output.status.code(), Some(1), "{image}");
        let table = text(&output.stdout);
        assert!(table.contains("missed pages: 512; an invariant did not hold"), "{table}");
        assert!(table.contains("zone DMA32: free is 512 too high"), "{table}");
        let json = fs::read_to_string(&file).unwrap();
        assert!(json.contains("\"missed_pages\": 512"), "{json}");
    }
}

#[test]
fn crashes_and_hangs_exit_4_with_the_last_lines() {
    for (image, says) in [
        ("panics", "the kernel panicked at kernel/src/x.rs:7: no way out"),
        ("panics-early", "the kernel panicked at src/x.rs:1: no memory"),
        ("resets", "the guest reset itself"),
        ("resets-early", "the guest reset itself"),
        ("killed", "QEMU ended unexpectedly (signal: 9"),
        ("hangs", "did not finish within 1s"),
        ("floods", "did not finish within 1s"),
        ("disagrees", "`done broken`, its exit code 0x10 does not"),
        ("torn", "malformed protocol line"),
        ("mute", "did not report `succeeded`"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out.json");
        let output = boot(image, &format!("--timeout 1 --json {}", file.display()));
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(4), "{image}: {message}");
        assert!(message.contains(says), "{image}: {message}");
        assert!(message.contains("guest.sh -accel tcg"), "{image}: {message}");
        assert!(message.contains("version 0.0"), "{image}: {message}");
        assert_eq!(text(&output.stdout), "", "{image}");
        assert!(!file.exists(), "{image} left a file without results");
    }
}

#[test]
fn the_last_lines_are_shown() {
    let message = text(&boot("panics-early", "").stderr);
    assert!(message.contains("  | [info] almost up\n"), "{message}");
}

#[test]
fn what_is_missing_exits_3() {
    let output = launcher("--qemu /nowhere/qemu").output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("Install it with: "), "{message}");

    let output = launcher("").env("PATH", "/nowhere").output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("no `qemu-system-x86_64`"), "{message}");

    let output = boot("unbootable", "");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("could not load kernel"), "{message}");

    // An emulator that has no device at all.
    let output = launcher("plug --qemu false").output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("has no device `virtio-mem-pci`, which this scenario needs"), "{message}");
}

#[test]
fn usage_errors_exit_2_and_boot_nothing() {
    for words in [
        "--cpus 0",
        "--memory 16",
        "--memory 256 --cma 512",
        "--chunk 512",
        "dma --chunk 512",
        "plug --chunk 512",
        "plug --window 300",
        "nope",
        "--json /nowhere/out.json",
        "--fault w2-window",
    ] {
        let output = boot("good", words);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "`{words}`: {message}");
        let value = words.rsplit(' ').next().unwrap();
        assert!(message.contains(value), "`{words}`: {message}");
        assert_eq!(text(&output.stdout), "", "`{words}`");
    }
}

/// Before anything is built: there is no emulator either, which would be missed before the build.
#[test]
fn an_unknown_fault_is_refused_with_the_names_of_all() {
    for words in ["--fault merge-accross", "faults --fault skipped-account", "hotplug --fault x"] {
        let output = launcher(words).env("PAGEBLOCK_QEMU", "/nowhere/qemu").output().unwrap();
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "`{words}`: {message}");
        assert!(message.contains("unpatched") && message.contains("merge-across"), "`{words}`: {message}");
    }
}

#[test]
fn the_file_of_a_disk_is_checked_after_the_run() {
    for (image, code, corrupted) in [("good", 0, 0), ("loses-writes", 1, 3), ("damages", 1, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let [disk, json] = ["disk", "out.json"].map(|name| folder.path().join(name));
        let output = boot(image, &format!("dma --disk {} --json {}", disk.display(), json.display()));
        assert_eq!(output.status.code(), Some(code), "{image}: {}", text(&output.stderr));
        let object: serde_json::Value = serde_json::from_str(&fs::read_to_string(json).unwrap()).unwrap();
        assert_eq!(object["disk_corrupted"], corrupted, "{image}");
        assert_eq!(object["options"]["disk"], disk.to_str().unwrap());
        let table = text(&output.stdout);
        let says = format!("disk corrupted is {corrupted} and must be 0");
        assert_eq!(table.contains(&says), corrupted > 0, "{table}");
        assert_eq!(fs::metadata(disk).unwrap().len(), 64 << 20, "the user's file is kept");
    }
}

#[test]
fn a_disk_that_cannot_be_made_or_read_is_named() {
    let output =
        launcher("dma --disk /nowhere/disk").env("PAGEBLOCK_QEMU", "/nowhere/qemu").output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("the disk /nowhere/disk: "), "{message}");

    let output = launcher("dma").env("TMPDIR", "/nowhere").output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("the disk /nowhere/pageblock-"), "{message}");

    let output = boot("truncates", "dma");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains(".disk: "), "{message}");
}

#[test]
fn a_qemu_without_the_device_is_named_before_the_build() {
    let mut command = launcher("dma --accel tcg");
    command.args(["--qemu", GUEST]).env("NO_DEVICE", "virtio-blk-pci");
    let output = command.output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    let says = "has no device `virtio-blk-pci`, which this scenario needs: 'virtio-blk-pci' is not a valid";
    assert!(message.contains(says), "{message}");
    assert!(message.contains("--qemu PATH"), "{message}");
}

#[test]
fn a_fault_reaches_the_kernel() {
    let output = boot("good", "--fault skipped-account");
    assert_eq!(output.status.code(), Some(1));
    let table = text(&output.stdout);
    assert!(table.contains("with the fault skipped-account"), "{table}");
    assert!(table.contains("missed pages: 5,120;"), "{table}");
}

#[test]
fn the_list_needs_no_emulator() {
    let output = launcher("list").env("PAGEBLOCK_QEMU", "/nowhere/qemu").output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).contains("cma"));
}

#[test]
fn the_serial_output_can_be_seen() {
    let output = boot("good", "--serial");
    let serial = text(&output.stderr);
    assert!(serial.contains("[info] booting\n"), "{serial}");
    assert!(serial.contains("@pb done held\n"), "{serial}");
}

#[test]
fn a_pipe_gets_a_line_at_a_pace_that_says_what_is_waited_for() {
    let output = boot("slow", "--cycles 40");
    assert_eq!(output.status.code(), Some(0));
    let message = text(&output.stderr);
    let lines: Vec<&str> = message.lines().collect();
    let [first, ..] = lines.as_slice() else { panic!("8 s of silence") };
    assert!(first.contains(" 5 s: contiguous allocations"), "{message}");
    assert!(!first.starts_with("100 %"), "{message}");
}

#[test]
fn the_debugger_is_announced() {
    for (option, port) in [("--gdb", 1234), ("--gdb=4321", 4321)] {
        let output = boot("good", option);
        let message = text(&output.stderr);
        assert!(message.contains(&format!("target remote :{port}'")), "{message}");
    }
}

#[test]
fn qemu_does_not_outlive_the_launcher() {
    for (signal, code) in [("INT", Some(130)), ("TERM", Some(130)), ("KILL", None)] {
        let mut child = launcher("--serial")
            .args(["--image", "hangs", "--qemu", GUEST, "--accel", "tcg"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let guest = wait_for("the guest", || child_of(child.id()));
        // The script has become a `sleep`, so that it is past its handling of signals.
        wait_for("the hang", || name_of(guest).filter(|name| name == "sleep"));
        let pid = child.id().to_string();
        let kill = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(kill.unwrap().success());
        let status = child.wait().unwrap();
        assert_eq!(status.code(), code, "after {signal}");
        wait_for("the guest's end", || name_of(guest).is_none().then_some(()));
    }
}

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "no sign of {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The process that was started by that one, if there is exactly one.
fn child_of(parent: u32) -> Option<u32> {
    let children = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let pid: u32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        (stat_field(pid, 1)? == parent.to_string()).then_some(pid)
    });
    children.last()
}

/// The name of a process that is neither gone nor a zombie.
fn name_of(pid: u32) -> Option<String> {
    if stat_field(pid, 0)? == "Z" {
        return None;
    }
    let name = fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("comm"));
    Some(name.ok()?.trim_end().to_owned())
}

/// A field of a process's status, counted from the one after its name.
fn stat_field(pid: u32, index: usize) -> Option<String> {
    let path = Path::new("/proc").join(pid.to_string()).join("stat");
    let stat = fs::read_to_string(path).ok()?;
    let after_name = stat.rsplit(')').next()?;
    after_name.split_ascii_whitespace().nth(index).map(str::to_owned)
}
