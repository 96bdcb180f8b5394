//! The page in a real browser: a headless Chromium uses it as a person would, and MQTT.js in it talks to the broker over
//! WebSocket. `tests/browser/install.sh` installs what that needs; this test calls it. Where it cannot (no root, no
//! network), it fails under CI and says that nothing was tested elsewhere.

use std::path::{Path, PathBuf};
use std::process::Command;

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/browser").join(name)
}

#[test]
fn a_person_uses_the_page() {
    let output = Command::new("bash").arg(file("install.sh")).output().expect("bash runs");
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(std::env::var_os("CI").is_none(), "the browser cannot be installed:\n{why}");
        #[allow(clippy::print_stderr)] // A test that tested nothing says so.
        {
            eprintln!("NOT TESTED, the browser cannot be installed:\n{why}");
        }
        return;
    }
    let output = Command::new("node")
        .arg(file("exercise.mjs"))
        .arg(env!("CARGO_BIN_EXE_simrun"))
        .output()
        .expect("the exercise runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert!(said.lines().filter(|line| line.starts_with("ok ")).count() >= 16, "hardly anything was checked:\n{said}");
}
