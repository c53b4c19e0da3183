//! Shared by tests.

use std::path::Path;

/// Compares a generated text with the committed file at `path` (from the repository's root); with `UPDATE=1` in the
/// environment it writes the file.
pub(crate) fn held_equal(path: &str, generated: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, generated).unwrap();
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        committed == generated,
        "{path} is not what the code says: run UPDATE=1 cargo test --lib, and commit the result"
    );
}

/// The repository's root, for each of its packages: where the lock file is.
fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").is_file());
    root.unwrap()
}
