//! The published package: what is in it, that it builds alone, and that it needs `core` only.
//!
//! Each test runs a cargo of its own, offline: what it needs has been downloaded for building this
//! test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pageblock_boots as boots;
use pageblock_launcher::image;

use crate::REPOSITORY;

/// KEEP in step with `CONTRIBUTING.md`, which states the size.
const LARGEST_PACKAGE_BYTES: u64 = 512 * 1024;

/// A cargo in the repository, offline, that does not know of the cargo that runs this test.
pub(crate) fn cargo(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    image::clear_build_environment(&mut command);
    // The crate `limine` uses an unstable feature: this lets it, and nothing else.
    command.env("RUSTC_BOOTSTRAP", "limine");
    command.args(words).env("CARGO_NET_OFFLINE", "true").current_dir(REPOSITORY);
    command
}

fn target_folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a cargo says, beside other builds but not beside a guest.
fn output(command: &mut Command) -> Output {
    let _building = boots::build_beside_builds();
    command.output().expect("cargo runs")
}

/// The standard output of a cargo that succeeds.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}\n{}", messages(&output));
    String::from_utf8(output.stdout).expect("text")
}

/// The features of the manifest, `default` aside.
fn features() -> Vec<String> {
    let manifest = fs::read_to_string(format!("{REPOSITORY}/Cargo.toml")).expect("the manifest");
    let (_, features) = manifest.split_once("\n[features]\n").expect("features");
    let features = features.split("\n[").next().unwrap_or(features);
    let names =
        features.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    names.map(|(name, _)| name.trim().to_owned()).filter(|name| name != "default").collect()
}

#[test]
fn the_readme_tells_of_every_feature_and_none_is_on() {
    let readme = include_str!("../../README.md");
    for feature in features() {
        assert!(readme.contains(&format!("| `{feature}` |")), "{feature} is not in the README's table");
    }
    assert!(include_str!("../../Cargo.toml").contains("\ndefault = []\n"));
}

/// Writes a crate with a panic handler of its own, which must be the only one.
///
/// With `std` anywhere below the crate there would be two, which is an error. That the error would
/// be noticed is shown by the feature `std`.
fn core_only_crate(folder: &Path) {
    let features = features();
    let forwarded: String =
        features.iter().map(|name| format!("{name} = [\"pageblock/{name}\"]\n")).collect();
    let manifest = format!(
        "[package]\nname = \"core_only\"\nedition = \"2024\"\n\n\
         [lib]\ncrate-type = [\"staticlib\"]\npath = \"lib.rs\"\n\n\
         [dependencies]\npageblock = {{ path = {REPOSITORY:?} }}\n\n\
         [features]\nstd = []\n{forwarded}\n\
         [profile.dev]\npanic = \"abort\"\n"
    );
    let library = "#![no_std]\n\
                   #[cfg(feature = \"std\")] extern crate std;\n\
                   pub use pageblock::*;\n\
                   #[panic_handler] fn panic(_: &core::panic::PanicInfo<'_>) -> ! { loop {} }\n";
    fs::write(folder.join("Cargo.toml"), manifest).expect("the manifest");
    fs::write(folder.join("lib.rs"), library).expect("the library");
    // The versions that everything else is tested with.
    fs::copy(format!("{REPOSITORY}/Cargo.lock"), folder.join("Cargo.lock")).expect("the lock file");
}

#[test]
fn every_set_of_features_builds_with_core_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    core_only_crate(folder.path());
    let build = |features: &str| {
        let mut command = cargo(&["check", "--quiet", "--features", features]);
        command.current_dir(folder.path()).arg("--target-dir").arg(target_folder("core-only"));
        command
    };
    // Adapters are for crates that nothing else here is built with.
    succeed(cargo(&["fetch", "--quiet", "--locked"]).env_remove("CARGO_NET_OFFLINE"));
    let all = features();
    succeed(&mut build(""));
    for feature in &all {
        succeed(&mut build(feature));
    }
    succeed(&mut build(&all.join(",")));

    let control = output(&mut build("std"));
    assert!(!control.status.success(), "this test would not notice `std`");
    assert!(messages(&control).contains("E0152"), "{}", messages(&control));
}

#[test]
fn the_package_holds_what_it_should_and_builds_alone() {
    let target = target_folder("package");
    let list = succeed(
        cargo(&["package", "--package", "pageblock", "--allow-dirty", "--list"])
            .env("CARGO_TARGET_DIR", &target),
    );
    let files: Vec<&str> = list.lines().collect();
    for wanted in
        ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs", "tests/hosted/main.rs"]
    {
        assert!(files.contains(&wanted), "{wanted} is missing");
    }
    for file in &files {
        let known =
            ["src/", "tests/hosted/"].iter().any(|folder| file.starts_with(folder)) || !file.contains('/');
        assert!(known, "{file} does not belong");
        let text = fs::read_to_string(Path::new(REPOSITORY).join(file)).unwrap_or_default();
        let needs_more = file.ends_with(".rs") && text.contains("pageblock_launcher");
        assert!(!needs_more, "{file} needs the launcher");
    }

    // What is checked below is what a user of the package unpacks, so that cargo need not build it
    // as well.
    succeed(
        cargo(&["package", "--quiet", "--package", "pageblock", "--allow-dirty", "--no-verify"])
            .env("CARGO_TARGET_DIR", &target),
    );
    let name = format!("pageblock-{}", env!("CARGO_PKG_VERSION"));
    let package = target.join(format!("package/{name}.crate"));
    let bytes = fs::metadata(&package).expect("the package").len();
    assert!(bytes < LARGEST_PACKAGE_BYTES, "the package has {bytes} bytes");

    // The library and its tests build. Elsewhere, because below a workspace a manifest must be a
    // member of it.
    let elsewhere = tempfile::tempdir().expect("a temporary folder");
    let mut unpack = Command::new("tar");
    unpack.arg("-xzf").arg(&package).arg("-C").arg(elsewhere.path());
    assert!(unpack.status().expect("tar runs").success());
    let mut check = cargo(&["check", "--quiet", "--tests"]);
    // A test that fails here needs something that is not in the package: leave it out in
    // `Cargo.toml`, as the others.
    succeed(check.current_dir(elsewhere.path().join(&name)).env("CARGO_TARGET_DIR", target.join("check")));
}
