//! `cargo xtask book`: `doc/` as a book, whose links all lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::cache::Cache;
use crate::command::{self, say};
use crate::{Error, Result, check, clone_root};

/// Pages that mdBook makes besides ours; they repeat all of them, or nothing.
const MADE: [&str; 3] = ["print.html", "404.html", "toc.html"];

/// Builds the book into `target/book` and follows its links. Returns its first page.
pub fn build(cache: &Cache) -> Result<PathBuf> {
    let mdbook = check::mdbook(cache)?;
    let folder = clone_root().join("target/book");
    let mut build = Command::new(mdbook);
    build
        .arg("build")
        .arg("--dest-dir")
        .arg(&folder)
        .arg(clone_root());
    command::run("building the book", &mut build, &cache.log("book"))?;
    let pages = read(&folder)?;
    let (followed, broken) = follow(&folder, &pages);
    if !broken.is_empty() {
        return Err(Error::Precondition(format!(
            "links of the book that lead nowhere:\n{}",
            broken.join("\n")
        )));
    }
    say(&format!(
        "The book has {} pages; its {followed} links lead somewhere.",
        pages.len()
    ));
    Ok(folder.join("index.html"))
}

/// The pages that were made of ours, by their path below `folder`.
fn read(folder: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut pages = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).map_err(Error::io("list", &next))? {
            let path = entry.map_err(Error::io("list", &next))?.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let page = path.strip_prefix(folder).unwrap_or(&path).to_owned();
            let is_ours = page
                .extension()
                .is_some_and(|extension| extension == "html")
                && !MADE.iter().any(|made| page == Path::new(made));
            if is_ours {
                let text = fs::read_to_string(&path).map_err(Error::io("read", &path))?;
                pages.insert(page, text);
            }
        }
    }
    Ok(pages)
}

/// How many links there are to the book's own pages and pictures, and those that lead nowhere.
fn follow(folder: &Path, pages: &BTreeMap<PathBuf, String>) -> (usize, Vec<String>) {
    let anchors: BTreeMap<&Path, BTreeSet<&str>> = pages
        .iter()
        .map(|(page, text)| (page.as_path(), values(text, "id").collect()))
        .collect();
    let mut followed = 0;
    let mut broken = Vec::new();
    for (page, text) in pages {
        let links = values(text, "href").chain(values(text, "src"));
        for link in links.filter(|link| !link.contains(':') && !link.starts_with("//")) {
            followed += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() {
                Some(page.clone())
            } else {
                within(page, path)
            };
            let leads = target.is_some_and(|target| match anchors.get(target.as_path()) {
                Some(there) => anchor.is_empty() || there.contains(anchor),
                None => anchor.is_empty() && folder.join(target).is_file(),
            });
            if !leads {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    (followed, broken)
}

/// Where a link of `page` leads, below the book's folder; nothing outside of it.
fn within(page: &Path, link: &str) -> Option<PathBuf> {
    let mut target = page.parent()?.to_owned();
    for part in Path::new(link).components() {
        match part {
            Component::Normal(name) => target.push(name),
            Component::ParentDir => {
                if !target.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

/// The values of an attribute in the markup.
fn values<'t>(html: &'t str, attribute: &str) -> impl Iterator<Item = &'t str> {
    let before = format!(" {attribute}=\"");
    let ends: Vec<&str> = html.split(before.as_str()).skip(1).collect();
    ends.into_iter()
        .filter_map(|rest| rest.split_once('"'))
        .map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(link: &str) -> Vec<String> {
        let page = |text: &str| format!("<main><h1 id=\"top\">t</h1>{text}</main>");
        let pages = BTreeMap::from([
            (PathBuf::from("index.html"), page("")),
            (
                PathBuf::from("how-to/a.html"),
                page(&format!("<a href=\"{link}\">x</a>")),
            ),
        ]);
        follow(Path::new("/nowhere"), &pages).1
    }

    #[test]
    fn links_are_followed_to_pages_and_headings() {
        for link in [
            "#top",
            "../index.html",
            "../index.html#top",
            "a.html",
            "https://example.org/#none",
        ] {
            assert_eq!(broken(link), [] as [&str; 0], "{link}");
        }
        for link in [
            "#none",
            "../index.html#none",
            "b.html",
            "../../index.html",
            "/index.html",
            "../state.png",
        ] {
            assert_eq!(broken(link), [format!("how-to/a.html: {link}")]);
        }
    }
}
