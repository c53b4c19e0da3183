//! `cargo xtask tree`: each file of `src/` with the first sentence of what it says about itself.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::{Error, Result, clone_root};

/// The tree below `src/`, a line a file. Files of tests, which are named like what they test, are left out.
pub fn describe() -> Result<String> {
    let mut text = String::new();
    below(&clone_root().join("src"), 0, &mut text)?;
    Ok(text)
}

fn below(folder: &Path, depth: usize, text: &mut String) -> Result<()> {
    let mut entries = fs::read_dir(folder)
        .and_then(Iterator::collect::<std::io::Result<Vec<_>>>)
        .map_err(Error::io("read", folder))?;
    // The files of a folder first, and of these the one that is its map.
    entries.sort_by_key(|entry| {
        let name = entry.file_name();
        (
            entry.path().is_dir(),
            name != "mod.rs" && name != "lib.rs",
            name,
        )
    });
    for entry in entries {
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        let indent = "  ".repeat(depth);
        if path.is_dir() {
            let _ = writeln!(text, "{indent}{name}/");
            below(&path, depth + 1, text)?;
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") {
            let source = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
            let _ = writeln!(text, "{indent}{name:<26} {}", first_sentence(&source));
        }
    }
    Ok(())
}

/// The first sentence of a file's own documentation.
fn first_sentence(source: &str) -> String {
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let paragraph: Vec<&str> = lines
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let paragraph = paragraph.join(" ");
    let end = paragraph.find(". ").map_or(paragraph.len(), |at| at + 1);
    paragraph[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_described_by_its_first_sentence() {
        assert_eq!(
            first_sentence("//! One\n//! two. Three.\n//!\n//! Four.\nuse x;"),
            "One two."
        );
        assert_eq!(first_sentence("use x;"), "");
    }

    #[test]
    fn each_file_says_what_its_job_is() {
        let tree = describe().unwrap_or_default();
        let is_silent = |line: &&str| line.split_whitespace().count() == 1 && !line.ends_with('/');
        assert_eq!(tree.lines().filter(is_silent).collect::<Vec<_>>(), [""; 0]);
        assert!(tree.lines().count() > 100, "{tree}");
    }
}
