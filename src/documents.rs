//! Whether all links in the documentation work: README, changelog, `doc/` and the READMEs of folders. And whether
//! the book, which is `doc/`, has each page once.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where documents are, from the repository's root; folders with all that is in them.
const PLACES: [&str; 6] = [
    "README.md",
    "CHANGELOG.md",
    "doc",
    "e2e/README.md",
    "e2e/images/README.md",
    "kustomize/samples/README.md",
];

/// The book's table of contents, which nothing has to link to.
const CONTENTS: &str = "doc/SUMMARY.md";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn collect(path: &Path, into: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), into);
        }
    } else if path.extension().is_some_and(|extension| extension == "md") {
        into.push(path.to_owned());
    }
}

/// The text without what is code: a bracket there is no link.
fn prose(text: &str) -> String {
    let outside = text.split("```").step_by(2);
    let lines = outside.flat_map(str::lines);
    lines
        .map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join("x"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let ends = prose.split("](").skip(1);
    ends.filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// What a heading is linked as.
fn anchors(text: &str) -> BTreeSet<String> {
    let outside: String = text.split("```").step_by(2).collect();
    let headings = outside.lines().filter(|line| line.starts_with('#'));
    let anchor = |line: &str| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        title
            .chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    headings.map(anchor).collect()
}

#[test]
fn links_are_found_outside_of_code() {
    let text = "# A b, c\n[x](y.md#z) `[no](no.md)`\n```\n# no\n[no](no.md)\n```\n![p](p.png)";
    assert_eq!(links(text), ["y.md#z", "p.png"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c".to_owned()]));
}

#[test]
fn every_link_leads_somewhere() {
    let mut files = Vec::new();
    for place in PLACES {
        collect(&root().join(place), &mut files);
    }
    let mut seen = 0;
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        for link in links(&text) {
            seen += 1;
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() {
                file.clone()
            } else {
                file.parent().unwrap().join(path)
            };
            let place = file.strip_prefix(root()).unwrap().display();
            assert!(target.exists(), "{place}: nothing is at {link}");
            if !anchor.is_empty() {
                let there = anchors(&fs::read_to_string(&target).unwrap());
                assert!(there.contains(anchor), "{place}: no heading for {link}");
            }
        }
    }
    assert!(seen > 40, "{seen}");
}

/// A page that nothing links to is not found.
#[test]
fn every_page_is_linked_to() {
    let mut files = Vec::new();
    for place in PLACES {
        collect(&root().join(place), &mut files);
    }
    let mut linked = BTreeSet::new();
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        for link in links(&text) {
            let path = link.split('#').next().unwrap();
            if let Ok(target) = file.parent().unwrap().join(path).canonicalize() {
                linked.insert(target);
            }
        }
    }
    for file in files {
        let is_page = file.starts_with(root().join("doc")) && !file.ends_with(CONTENTS);
        let found = linked.contains(&file.canonicalize().unwrap());
        assert!(!is_page || found, "nothing links to {}", file.display());
    }
}

/// The pages below `doc`, as `SUMMARY.md` names them.
fn pages() -> BTreeSet<String> {
    let mut files = Vec::new();
    collect(&root().join("doc"), &mut files);
    let pages = files.iter().map(|file| {
        let page = file.strip_prefix(root().join("doc")).unwrap();
        page.to_str().unwrap().to_owned()
    });
    pages.filter(|page| page != "SUMMARY.md").collect()
}

#[test]
fn the_book_has_each_page_once() {
    let listed = links(&fs::read_to_string(root().join(CONTENTS)).unwrap());
    let once: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(once.len(), listed.len(), "a page is listed twice");
    assert_eq!(
        once,
        pages(),
        "doc/SUMMARY.md lists other pages than there are"
    );
}

/// What is beside `doc` is not in the book: such a file is named, not linked to.
#[test]
fn no_page_of_the_book_links_out_of_it() {
    for page in pages() {
        let folders = page.matches('/').count();
        for link in links(&fs::read_to_string(root().join("doc").join(&page)).unwrap()) {
            let climbs = link.matches("../").count();
            assert!(climbs <= folders, "doc/{page} links to {link}");
        }
    }
}
