//! `cargo check --workspace --all-targets` compiles the kernel, so that tools report its errors.
//!
//! The kernel's binary is built for the host as well, where it is a program that cannot boot. A
//! target with `required-features` would be left out without a word.

use std::process::{Command, Output};

use crate::REPOSITORY;

/// Runs a cargo of its own on this workspace, in the target folder that the outer cargo uses.
fn cargo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).env("CARGO_NET_OFFLINE", "true").current_dir(REPOSITORY);
    command.output().expect("cargo runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_kernel_is_a_member_without_required_features() {
    let metadata = cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let metadata = text(&metadata.stdout);
    let targets = |package: &str| {
        let (_, package) =
            metadata.split_once(&format!("\"name\":\"{package}\",\"version\"")).expect("a member");
        let (_, targets) = package.split_once("\"targets\":[").expect("targets");
        targets.split_once("\"features\":").expect("features follow the targets").0.to_owned()
    };
    assert!(targets("pageblock-kernel").contains("src/main.rs"), "{}", targets("pageblock-kernel"));
    assert!(!targets("pageblock-kernel").contains("required-features"), "{}", targets("pageblock-kernel"));
    // The control: the examples have them.
    assert!(targets("pageblock-examples").contains("required-features"));
}

#[test]
fn a_type_error_in_the_kernel_is_reported() {
    let check = |features: &str| {
        cargo(&[
            "check",
            "--offline",
            "--package",
            "pageblock-kernel",
            "--all-targets",
            "--features",
            features,
        ])
    };
    let planted = check("plant-type-error");
    let messages = text(&planted.stderr);
    assert!(!planted.status.success(), "cargo did not notice the error");
    assert!(messages.contains("error[E0308]") && messages.contains("kernel/src/"), "{messages}");
    let sound = check("");
    assert!(sound.status.success(), "{}", text(&sound.stderr));
}
