//! `cargo xtask book`: the documentation as a book.

use crate::cache::Cache;
use crate::check::{in_clone, installed, step};
use crate::command::say;
use crate::{Result, clone_root};

/// What builds it, with the version that `book.toml` is written for.
const MDBOOK: (&str, &str) = ("mdbook", "0.4.52");

/// Builds it into `target/book`.
pub fn build(cache: &Cache) -> Result<()> {
    let mdbook = installed(cache, MDBOOK)?;
    step("the book is built", in_clone(&mdbook).arg("build"))?;
    let page = clone_root().join("target/book/index.html");
    say(&format!("Open {}", page.display()));
    Ok(())
}
