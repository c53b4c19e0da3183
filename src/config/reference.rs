//! `doc/reference/flags.md`: the settings of `db-operator run`, generated from the definition of the command line.
//!
//! `UPDATE=1 cargo test --lib flags` writes it.

use std::fmt::Write as _;

use clap::{Arg, Args, Command};

use super::Config;
use crate::testing::held_equal;

const BEGINNING: &str = "# Flags

The settings of `db-operator run`, as flags or environment variables; a flag takes precedence. Times are written as in `30s`, `5m` or `6h`.
Generated from `src/config`: change it there.

| flag | variable | default | meaning |
|---|---|---|---|
";

const END: &str = "
`db-operator crds` prints the CustomResourceDefinitions. `db-operator dump` and `db-operator install` run in backup pods and are not meant to
be called by hand. `db-operator rewrite-dump` makes a dump of MySQL or MariaDB loadable [under another name or by another user](../how-to/restore.md). `db-operator --version` prints the version.
";

fn page() -> String {
    let command = Config::augment_args(Command::new("run"));
    let mut page = BEGINNING.to_owned();
    for flag in command.get_arguments() {
        let _ = writeln!(page, "{}", row(flag));
    }
    page + END
}

fn row(flag: &Arg) -> String {
    let name = flag.get_long().unwrap();
    let variable = flag.get_env().unwrap().to_string_lossy();
    let help = flag
        .get_long_help()
        .or(flag.get_help())
        .unwrap()
        .to_string();
    let (meaning, default) = split(&help);
    let set: Vec<_> = flag.get_default_values().iter().collect();
    let default = match set.first() {
        Some(value) => format!("`{}`", value.to_string_lossy()),
        None => default,
    };
    // A list of modules is no list of words.
    let words: Vec<String> = flag
        .get_possible_values()
        .iter()
        .map(|word| format!("`{}`", word.get_name()))
        .collect();
    let words = match words.as_slice() {
        [] => String::new(),
        words => format!(" {}.", words.join(" or ")),
    };
    format!("| `--{name}` | `{variable}` | {default} | {meaning}{words} |")
}

/// The meaning in one line, and the default that is found out at the start, which is written into the text.
fn split(help: &str) -> (String, String) {
    let line = help.split_whitespace().collect::<Vec<_>>().join(" ");
    let Some((before, rest)) = line.split_once(" [default: ") else {
        return (sentence(&line), String::new());
    };
    let (default, after) = rest.split_once(']').unwrap();
    let after = after.trim_start_matches('.').trim();
    let meaning = format!("{} {after}", sentence(before));
    (meaning.trim().to_owned(), default.to_owned())
}

/// clap takes the period off a text of one paragraph.
fn sentence(text: &str) -> String {
    if text.ends_with('.') {
        text.to_owned()
    } else {
        format!("{text}.")
    }
}

#[test]
fn the_committed_page_has_all_flags() {
    let page = page();
    for row in [
        "| `--resync` | `DB_OPERATOR_RESYNC` | `5m` | How often",
        "| `--cluster-id` | `DB_OPERATOR_CLUSTER_ID` | the UID of the namespace kube-system | The id",
        "| `--log-format` | `DB_OPERATOR_LOG_FORMAT` | `text` | The format of the log. `text` or `json`. |",
    ] {
        assert!(page.contains(row), "{row}\n{page}");
    }
    held_equal("doc/reference/flags.md", &page);
}
