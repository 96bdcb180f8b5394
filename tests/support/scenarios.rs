//! The scenarios that are shipped.

use std::path::{Path, PathBuf};

/// Where they are.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios")
}

/// All of them, those in `scenarios/bugs/` too, in order.
pub fn shipped() -> Vec<PathBuf> {
    let mut files = Vec::new();
    walk(&folder(), &mut files);
    files.sort();
    assert!(files.len() > 20, "{files:?}");
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "yaml") {
            files.push(path);
        }
    }
}

/// What one is called: `light_demo.yaml`, `bugs/first_filter_wins.yaml`.
pub fn name(path: &Path) -> String {
    path.strip_prefix(folder()).expect("a shipped one").to_string_lossy().replace('\\', "/")
}

/// Whether it tells of a bug.
pub fn is_of_a_bug(path: &Path) -> bool {
    name(path).starts_with("bugs/")
}
