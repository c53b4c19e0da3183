//! Views of MySQL and MariaDB that refer to something that is gone.
//!
//! `mysqldump` and `mariadb-dump` ask for the columns of each view, and end at the first one that has none any more
//! (error 1356). No data is lost without it. So such views are looked for with the tool itself, which goes on after errors
//! with `--force` and then writes the view's definition as a comment; they are left out of the dump with `--ignore-table`,
//! and the dump begins with their definitions. With `--force` alone, the dump would also have the view itself, and could not
//! be restored.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::AsyncReadExt;
use tokio::task::spawn_blocking;

use crate::agent::failure::Failure;
use crate::agent::log;
use crate::agent::meter::Meter;
use crate::agent::protocol::result::Cause;
use crate::agent::protocol::task::Flavour;
use crate::agent::tool::child;
use crate::agent::tool::credentials::Environment;
use crate::agent::tool::lines::{self, broken_view, quoted};

/// The most views that are left out.
const MOST: usize = 200;

/// How many bytes of messages, and of a line of the dump, are looked at.
const MESSAGES: u64 = 1 << 20;
const LINE: u64 = 64 * 1024;

/// How many bytes of definitions are kept.
const DEFINITIONS: usize = 256 * 1024;

/// Only what tables and views look like, whatever fails.
const OPTIONS: &[&str] = &[
    "--force",
    "--no-data",
    "--skip-triggers",
    "--skip-routines",
    "--skip-events",
    "--skip-verbose",
];

/// How many characters of a message are passed on.
const SHOWN: usize = 400;

/// How many views a warning names.
const TOLD: usize = 4;

/// The most names of tables that are kept.
const TABLES: usize = 200_000;

/// What comes before a definition, in the comment that the tool writes.
const FAILED: &str = "-- failed on view ";

/// A view that cannot be dumped.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct BrokenView {
    /// Its name.
    pub name: String,
    /// The statement that created it, if the tool wrote it.
    pub definition: Option<String>,
}

/// Looks for them with the tool itself. What it writes is counted by the meter, so that a stall is noticed.
///
/// A look that was cut short is a failure, whatever it has found by then: the tool goes on after errors, but not without a connection. It
/// passes; so does one that has found none because of something that passes.
pub(crate) async fn look(
    flavour: Flavour,
    command: &[OsString],
    environment: &Environment,
    meter: &Arc<Meter>,
) -> Result<Vec<BrokenView>, Failure> {
    let words = with_options(command, OPTIONS.iter().map(OsString::from));
    let failed = |error: io::Error| {
        Failure::new(
            Cause::DumpFailed,
            format!("cannot look for the views that refer to something that is gone: {error}"),
        )
    };
    let (mut running, output) = child::start(&words, environment).map_err(failed)?;
    let reading = spawn_blocking({
        let meter = Arc::clone(meter);
        move || Written::read(output.stdout, &meter)
    });
    let mut messages = Vec::new();
    let hearing = async {
        let mut limited = output.stderr.take(MESSAGES);
        let read = limited.read_to_end(&mut messages).await;
        // Whatever else it says must not keep it from ending.
        let mut rest = limited.into_inner();
        let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
        read
    };
    let (heard, written) = tokio::join!(hearing, reading);
    heard.map_err(failed)?;
    let ended = running.wait().await;
    running.stop().await;
    ended.map_err(failed)?;
    if messages.len() as u64 >= MESSAGES {
        return Err(failed(io::Error::other("the tool says too much")));
    }
    let messages = String::from_utf8_lossy(&messages);
    let written = written?.map_err(failed)?;
    let views = named(&messages, &written);
    if let Some(line) = interrupted(flavour, &messages, views.is_empty()) {
        let short = match views.len() {
            0 => line,
            found => format!("{line}; the look was cut short after {found} of them"),
        };
        return Err(failed(io::Error::other(short)).passing(true));
    }
    if views.len() > MOST {
        return Err(Failure::new(
            Cause::DumpFailed,
            format!(
                "{} views refer to something that is gone, more than {MOST}: drop those that are not needed",
                views.len()
            ),
        ));
    }
    Ok(views)
}

/// The command with further options: before the names, which may follow `--`.
#[must_use]
pub(crate) fn with_options(
    command: &[OsString],
    options: impl IntoIterator<Item = OsString>,
) -> Vec<OsString> {
    let end = command.iter().position(|word| word == "--");
    let (before, after) = command.split_at(end.unwrap_or(command.len()));
    before
        .iter()
        .cloned()
        .chain(options)
        .chain(after.iter().cloned())
        .collect()
}

/// The command without these views.
#[must_use]
pub(crate) fn without(command: &[OsString], database: &str, views: &[BrokenView]) -> Vec<OsString> {
    let ignored = views
        .iter()
        .map(|view| format!("--ignore-table={database}.{}", view.name).into());
    with_options(command, ignored)
}

/// The views that the messages name, with their definitions. Names may have line breaks, and so forge a message: no table
/// is ever left out.
fn named(messages: &str, written: &Written) -> Vec<BrokenView> {
    let definition = |name: &str| {
        let found = written.definitions.iter().find(|(of, _)| of == name);
        found.map(|(_, definition)| definition.clone())
    };
    messages
        .lines()
        .filter_map(broken_view)
        .filter(|name| !written.tables.contains(name))
        .map(|name| BrokenView {
            definition: definition(&name),
            name,
        })
        .collect()
}

/// The first message of a failure that passes, if the look is not whole by it: after it has found something, only without a connection.
fn interrupted(flavour: Flavour, messages: &str, found_none: bool) -> Option<String> {
    let ends = |line: &&str| {
        lines::is_without_connection(line) || found_none && lines::is_passing(flavour, line)
    };
    let line = messages.lines().find(ends)?;
    let shown: String = lines::without_name(line).chars().take(SHOWN).collect();
    Some(in_one_line(&shown))
}

/// What the dump of all structures says.
#[derive(Debug, Default)]
struct Written {
    /// Views and their definitions, which stand in comments.
    definitions: Vec<(String, String)>,
    tables: HashSet<String>,
}

impl Written {
    fn read(stdout: File, meter: &Meter) -> io::Result<Self> {
        let mut reader = BufReader::new(stdout);
        let mut written = Self::default();
        let mut size = 0;
        let mut line = Vec::new();
        loop {
            line.clear();
            // A line that is longer comes in several.
            match (&mut reader).take(LINE).read_until(b'\n', &mut line) {
                Ok(0) => return Ok(written),
                Err(error) => return Err(error),
                Ok(count) => meter.dumped.fetch_add(count as u64, Ordering::Relaxed),
            };
            if let Some(table) = table(&line).filter(|_| written.tables.len() < TABLES) {
                written.tables.insert(table);
            }
            if let Some((name, definition)) = definition(&line) {
                size += definition.len();
                if size <= DEFINITIONS {
                    written.definitions.push((name, definition));
                }
            }
        }
    }
}

/// ``CREATE TABLE `t` (``.
fn table(line: &[u8]) -> Option<String> {
    let rest = line.strip_prefix(b"CREATE TABLE ")?;
    quoted(&String::from_utf8_lossy(rest)).map(|(name, _)| name)
}

/// ``-- failed on view `v`: CREATE …``.
fn definition(line: &[u8]) -> Option<(String, String)> {
    let rest = line.strip_prefix(FAILED.as_bytes())?;
    let rest = String::from_utf8_lossy(rest);
    let (name, rest) = quoted(&rest)?;
    let definition = rest.strip_prefix(": ")?.trim_end();
    (!definition.is_empty()).then(|| (name, definition.to_owned()))
}

/// What the dump begins with: comments, whatever the definitions are.
#[must_use]
pub(crate) fn comment(views: &[BrokenView]) -> Vec<u8> {
    if views.is_empty() {
        return Vec::new();
    }
    let mut text =
        "-- Left out by db-operator, because they refer to something that is gone:\n--\n"
            .to_owned();
    for view in views {
        let definition = view.definition.as_deref().unwrap_or("(not known)");
        text.push_str("-- ");
        text.push_str(&in_one_line(&format!("{}: {definition}", view.name)));
        text.push('\n');
    }
    text.push_str("--\n");
    text.into_bytes()
}

/// Nothing in it can end a comment.
fn in_one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_control() {
            line.extend(char.escape_default());
        } else {
            line.push(char);
        }
    }
    line
}

/// What the result says of them.
#[must_use]
pub(crate) fn warnings(views: &[BrokenView]) -> Vec<String> {
    for view in views {
        if let Some(definition) = &view.definition {
            log::say(format_args!(
                "left out: {}",
                in_one_line(&format!("{}: {definition}", view.name))
            ));
        }
    }
    let names: Vec<String> = views.iter().map(|view| in_one_line(&view.name)).collect();
    if names.is_empty() {
        return Vec::new();
    }
    let told = names[..names.len().min(TOLD)].join(", ");
    let more = match names.len().saturating_sub(TOLD) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    vec![format!(
        "left out of the dump: views {told}{more}, which refer to something that no longer exists; their definitions are comments at its beginning"
    )]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn options_come_before_the_names() {
        let views = [BrokenView {
            name: "v`.x".to_owned(),
            definition: None,
        }];
        let command = words(&[
            "mysqldump",
            "--defaults-extra-file=x",
            "--quick",
            "--",
            "--odd",
        ]);
        assert_eq!(
            without(&command, "--odd", &views),
            words(&[
                "mysqldump",
                "--defaults-extra-file=x",
                "--quick",
                "--ignore-table=--odd.v`.x",
                "--",
                "--odd"
            ])
        );
        let command = words(&["mysqldump", "orders"]);
        assert_eq!(
            with_options(&command, words(&["--force"])),
            words(&["mysqldump", "orders", "--force"])
        );
    }

    #[test]
    fn views_have_the_definitions_that_the_tool_wrote() {
        let messages = "mysqldump: Couldn't execute 'SHOW FIELDS FROM `a``b`': View 'd.a`b' references invalid (1356)\n\
            mysqldump: Couldn't execute 'SHOW FIELDS FROM `c`': View 'd.c' references invalid (1356)\n\
            mysqldump: Got error: 1\n";
        let line = b"-- failed on view `a``b`: CREATE VIEW `a``b` AS select '\\n'\n";
        let written = Written {
            definitions: vec![definition(line).unwrap()],
            tables: [table(b"CREATE TABLE `orders` (\n").unwrap()].into(),
        };
        let forged =
            "mysqldump: Couldn't execute 'SHOW FIELDS FROM `orders`': View 'd.orders' (1356)\n";
        let views = named(&format!("{messages}{forged}"), &written);
        assert_eq!(views[0].name, "a`b");
        assert_eq!(
            views[0].definition.as_deref(),
            Some("CREATE VIEW `a``b` AS select '\\n'")
        );
        assert_eq!((views[1].name.as_str(), &views[1].definition), ("c", &None));
        assert_eq!(views.len(), 2);
        assert_eq!(definition(b"-- failed on table `a`: x"), None);
        assert_eq!(definition(b"-- failed on view `a`: \n"), None);
    }

    async fn look_with(script: &str) -> Result<Vec<BrokenView>, Failure> {
        let meter = Arc::default();
        let command = words(&["/bin/sh", "-c", script]);
        look(Flavour::Mysql, &command, &Environment(Vec::new()), &meter).await
    }

    #[tokio::test]
    async fn a_look_that_cannot_connect_passes_and_finds_nothing_out() {
        let full = "mysqldump: Got error: 1040: Too many connections when trying to connect";
        let failure = look_with(&format!("echo '{full}' >&2; exit 2"))
            .await
            .unwrap_err();
        assert!(failure.passing, "{failure:?}");
        assert!(
            failure
                .message
                .ends_with(": Got error: 1040: Too many connections when trying to connect")
        );
        let denied = "mysqldump: Got error: 1045: Access denied for user";
        assert_eq!(
            look_with(&format!("echo '{denied}' >&2; exit 2"))
                .await
                .unwrap(),
            []
        );
    }

    #[tokio::test]
    async fn a_look_that_is_cut_short_has_not_found_all() {
        let broken = "mysqldump: Couldn'\\''t execute '\\''SHOW FIELDS FROM `v`'\\'': View (1356)";
        let lost = "mysqldump: Couldn'\\''t execute '\\''SHOW FIELDS FROM `w`'\\'': Lost connection to MySQL server during query (2013)";
        let failure = look_with(&format!("echo '{broken}' >&2; echo '{lost}' >&2"))
            .await
            .unwrap_err();
        assert!(failure.passing, "{failure:?}");
        let short = "(2013); the look was cut short after 1 of them";
        assert!(failure.message.ends_with(short), "{failure:?}");
        // After other errors the tool goes on.
        let gone = "mysqldump: Couldn'\\''t execute '\\''show create table `t`'\\'': Table (1146)";
        let found = look_with(&format!("echo '{gone}' >&2; echo '{broken}' >&2")).await;
        assert_eq!(found.unwrap()[0].name, "v");
        let flood = format!("yes '{gone}' | head -c {MESSAGES} >&2");
        let failure = look_with(&flood).await.unwrap_err();
        assert!(!failure.passing, "{failure:?}");
    }

    #[test]
    fn a_definition_cannot_end_its_comment() {
        let views = [BrokenView {
            name: "v\nDROP TABLE t;".to_owned(),
            definition: Some("CREATE VIEW v AS select '\r\n\u{85}DELETE'".to_owned()),
        }];
        let text = String::from_utf8(comment(&views)).unwrap();
        assert!(text.lines().all(|line| line.starts_with("--")), "{text}");
        assert!(!text.contains(['\r', '\u{85}']), "{text}");
        let said = warnings(&views);
        assert_eq!(said.len(), 1);
        assert!(!said[0].contains('\n'), "{said:?}");
        let view = |name: &str| BrokenView {
            name: name.to_owned(),
            definition: None,
        };
        assert_eq!(
            warnings(&[view("a"), view("b")]),
            [
                "left out of the dump: views a, b, which refer to something that no longer exists; their definitions are comments at its beginning"
            ]
        );
        assert_eq!(warnings(&[]), Vec::<String>::new());
        assert_eq!(comment(&[]), b"");
    }
}
