//! The sources of the library, as its `mod` lines lead to them, without tests.

use std::path::Path;

/// A file that is part of the library.
pub(super) struct Source {
    /// Its path from the repository's root.
    pub file: String,
    /// Its module, from the crate's root.
    pub module: Vec<String>,
    /// Its text without comments and tests; lines stay where they are.
    pub code: String,
}

/// All of them.
pub(super) fn all() -> Vec<Source> {
    let mut sources = Vec::new();
    visit(Path::new("src/lib.rs"), Vec::new(), &mut sources);
    sources
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Adds a file, and then those of the modules that it declares.
fn visit(file: &Path, module: Vec<String>, sources: &mut Vec<Source>) {
    let code = code(&std::fs::read_to_string(root().join(file)).unwrap());
    let inside = match file.file_stem().and_then(|stem| stem.to_str()) {
        Some("lib" | "mod") => file.with_file_name(""),
        _ => file.with_extension(""),
    };
    for name in code.lines().filter_map(declared) {
        let mut below = module.clone();
        below.push(name.to_owned());
        let alone = inside.join(format!("{name}.rs"));
        let folder = inside.join(name).join("mod.rs");
        let is_alone = root().join(&alone).is_file();
        visit(if is_alone { &alone } else { &folder }, below, sources);
    }
    sources.push(Source {
        file: file.display().to_string(),
        module,
        code,
    });
}

/// The module that a line declares to be in a file of its own.
fn declared(line: &str) -> Option<&str> {
    let declaration = line.strip_suffix(';')?;
    let (before, name) = declaration.rsplit_once("mod ")?;
    (before.is_empty() || before.starts_with("pub")).then_some(name)
}

/// A source's text without comments and without what only tests have. As rustfmt lays it out: an item ends at its first
/// line that has no deeper indentation and ends like one.
fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.trim() == "#[cfg(test)]" {
            let indentation = line.len() - line.trim_start().len();
            code.push('\n');
            for line in lines.by_ref() {
                code.push('\n');
                let is_deeper = line.len() - line.trim_start().len() > indentation;
                if !is_deeper && line.ends_with([';', '}', ',']) {
                    break;
                }
            }
            continue;
        }
        code.push_str(line.split("//").next().unwrap_or_default());
        code.push('\n');
    }
    code
}

#[test]
fn tests_and_comments_are_no_code() {
    let text = "use a::b; // c\n#[cfg(test)]\n#[path = \"d.rs\"]\nmod d;\nmod e;\n#[cfg(test)]\nmod tests {\n    use f;\n}\n";
    let code = code(text);
    assert_eq!(code.trim_end(), "use a::b; \n\n\n\nmod e;");
    assert_eq!(code.lines().filter_map(declared).collect::<Vec<_>>(), ["e"]);
}
