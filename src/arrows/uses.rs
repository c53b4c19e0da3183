//! What a source names of its own crate: `crate::…` and `super::…`, in `use` lines and anywhere else.

/// A module or an item that is named.
#[derive(Debug, PartialEq)]
pub(super) struct Use {
    /// From the crate's root.
    pub path: Vec<String>,
    /// Where: from 1.
    pub line: usize,
}

/// All that `code` names, which is in `module`.
pub(super) fn of(code: &str, module: &[String]) -> Vec<Use> {
    let mut uses = Vec::new();
    for (start, _) in code
        .match_indices("crate::")
        .chain(code.match_indices("super::"))
    {
        let before = &code[..start];
        // The rest of a longer name, or of a path that begins further in front.
        if before.ends_with(|letter: char| is_of_name(letter) || letter == ':') {
            continue;
        }
        let line = before.matches('\n').count() + 1;
        let mut paths = Vec::new();
        tree(&code[start..], &mut Vec::new(), &mut paths);
        uses.extend(paths.iter().map(|path| Use {
            path: from_the_root(path, module),
            line,
        }));
    }
    uses.sort_by_key(|found| found.line);
    uses
}

/// Whether a line names a crate.
pub(super) fn names(line: &str, name: &str) -> bool {
    line.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = &line[..at];
        !before.ends_with(is_of_name)
    })
}

fn is_of_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Reads a path with its braces, adds each of its ends to `paths`, and returns what follows.
fn tree<'a>(text: &'a str, path: &mut Vec<String>, paths: &mut Vec<Vec<String>>) -> &'a str {
    let depth = path.len();
    let mut rest = text.trim_start();
    loop {
        if let Some(inside) = rest.strip_prefix('{') {
            rest = inside.trim_start();
            while !rest.is_empty() && !rest.starts_with('}') {
                rest = tree(rest, path, paths);
                // Past an `as` or a `*`, which say nothing of where the path leads.
                rest = &rest[rest.find([',', '}']).unwrap_or(rest.len())..];
                rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
            }
            path.truncate(depth);
            return rest.strip_prefix('}').unwrap_or(rest);
        }
        let end = rest
            .find(|letter| !is_of_name(letter))
            .unwrap_or(rest.len());
        path.push(rest[..end].to_owned());
        rest = &rest[end..];
        match rest.strip_prefix("::") {
            Some(further) => rest = further,
            None => break,
        }
    }
    if path.last().is_some_and(|last| !last.is_empty()) || path.len() > depth + 1 {
        paths.push(path.clone());
    }
    path.truncate(depth);
    rest
}

/// The same path without `crate`, `super` and `self`.
fn from_the_root(path: &[String], module: &[String]) -> Vec<String> {
    let mut whole = module.to_vec();
    for name in path {
        match name.as_str() {
            "crate" => whole.clear(),
            "super" => {
                whole.pop();
            }
            "self" | "" => {}
            name => whole.push(name.to_owned()),
        }
    }
    whole
}

#[test]
fn paths_are_found_with_their_lines() {
    let module = ["a".to_owned(), "b".to_owned()];
    let code = "use crate::c::D;\nuse crate::{e, f::{self, G as H}, i::*};\nlet x = super::super::j(mycrate::k);\n";
    let found = of(code, &module);
    let found: Vec<String> = found
        .iter()
        .map(|found| format!("{} {}", found.line, found.path.join("::")))
        .collect();
    assert_eq!(found, ["1 c::D", "2 e", "2 f", "2 f::G", "2 i", "3 j"]);
}
