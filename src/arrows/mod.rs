//! Which folder of `src/` may use which. Arrows run one way, from top to bottom; a wrong one fails here, and so does one that
//! is not needed. Tests do not count.
//!
//! `api` is a crate of its own, so cargo refuses what it must not use; that it stays small is tested here.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

mod sources;
mod uses;

use sources::Source;

/// Each folder, or file at the top, with those that it may use. All of these stand further down, so there is no circle.
#[rustfmt::skip]
const MAY_USE: [(&str, &str); 25] = [
    // The process.
    ("run", "backup database instance restore controller job server store client watch leader metrics telemetry config health provider queue api backoff"),

    // The kinds. None uses another one: it reads its objects from the cache, and wakes it by a shared stream or a trigger.
    ("backup",     "controller job server store watch client provider queue agent/protocol api backoff blocking printable"),
    ("restore",    "controller credentials metrics job server store watch client provider queue agent/protocol api backoff blocking printable"),
    ("database",   "controller credentials server client provider queue api backoff"),
    ("instance",   "controller server client metrics provider api backoff"),

    // What all kinds do.
    ("controller", "server store watch client leader metrics telemetry provider queue api backoff"),

    // What the kinds are about.
    ("credentials", "client provider template api blocking"),
    ("job",         "watch client agent/protocol template api"),
    ("server",      "client metrics telemetry provider queue api backoff"),
    ("store",       "client provider agent/protocol api causes printable"),

    // The ways to the API server, and what the process says of itself.
    ("watch",     "client telemetry health backoff causes"),
    ("client",    "leader metrics api"),
    ("leader",    "health"),
    ("metrics",   "provider api"),
    ("telemetry", "config backoff"),
    ("config",    "queue"),

    // What runs in the backup pod, on the other side of a wall.
    ("agent", "agent/restore/rewrite agent/protocol provider causes printable"),
    // Names are quoted in one place.
    ("agent/restore/rewrite", "provider printable"),

    // What knows nothing of the others.
    ("provider",       "flavour printable"),
    ("queue",          "api"),
    ("agent/protocol", "flavour"),
    ("template",       ""),
    ("health",         ""),
    ("api",            ""),
    // The smallest, which anything may use that says so above.
    ("backoff blocking causes flavour printable", ""),
];

/// A file that uses what its folder may not, and why.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    (
        "src/credentials/apply.rs",
        "server",
        "what a server stores for a password is for the server's provider to say",
    ),
    (
        "src/provider/slots.rs",
        "queue",
        "the connections of a pool go round the namespaces, by the same rules as everything that is scarce",
    ),
    (
        "src/provider/postgresql/mod.rs",
        "queue",
        "one statement at a time for each user, by the lock that the queue has for such",
    ),
];

/// Folders that do without the API server, with the crates that would bring it in.
const WITHOUT_KUBERNETES: [&str; 5] = [
    "agent",
    "agent/protocol",
    "agent/restore/rewrite",
    "provider",
    "template",
];
const KUBERNETES: [&str; 2] = ["kube", "k8s_openapi"];

/// What a program that builds on the API alone must not have to compile: a runtime, HTTP, TLS, a cloud's SDK.
const NOT_FOR_THE_API: [&str; 7] = [
    "tokio",
    "hyper",
    "rustls",
    "tower",
    "aws-",
    "sqlx",
    "db-operator ",
];

/// An arrow that a source draws: the folder that it uses, and where.
struct Arrow {
    to: &'static str,
    line: usize,
}

/// The names of the table, from top to bottom.
fn folders() -> impl Iterator<Item = &'static str> {
    MAY_USE.iter().flat_map(|(names, _)| names.split(' '))
}

fn may_use(from: &str) -> impl Iterator<Item = &'static str> {
    let row = MAY_USE
        .iter()
        .find(move |(names, _)| names.split(' ').any(|name| name == from));
    row.into_iter().flat_map(|(_, may)| may.split_whitespace())
}

/// The folder of the table that a module is in: the innermost, where one is inside another.
fn folder_of(module: &[String]) -> Option<&'static str> {
    let path = module.join("/");
    let inside = |folder: &&str| {
        let rest = path.strip_prefix(folder);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    folders().filter(inside).max_by_key(|folder| folder.len())
}

/// The arrows from a source to other folders.
fn arrows(source: &Source) -> Vec<Arrow> {
    let from = folder_of(&source.module);
    let used = uses::of(&source.code, &source.module).into_iter();
    let arrow = |used: uses::Use| {
        let to = folder_of(&used.path)?;
        (Some(to) != from).then_some(Arrow {
            to,
            line: used.line,
        })
    };
    used.filter_map(arrow).collect()
}

#[test]
fn each_folder_uses_only_what_it_may() {
    let (mut wrong, mut needed) = (String::new(), BTreeSet::new());
    for source in sources::all() {
        let Some(from) = folder_of(&source.module) else {
            continue;
        };
        for Arrow { to, line } in arrows(&source) {
            if may_use(from).any(|may| may == to) {
                continue;
            }
            let file = &source.file;
            if EXCEPTIONS
                .iter()
                .any(|(of, what, _)| of == file && *what == to)
            {
                needed.insert((file.clone(), to));
                continue;
            }
            let _ = writeln!(
                wrong,
                "{file}:{line}: `{from}` may not use `{to}`. Give it the plain value that it needs, or a function, or move what \
                 both need to a folder below; if the arrow is right, draw it in MAY_USE of src/arrows/mod.rs"
            );
        }
    }
    for (file, to, _) in EXCEPTIONS {
        if !needed.contains(&(file.to_owned(), to)) {
            let _ = writeln!(
                wrong,
                "{file} does not use `{to}` any more, or may: take it out of EXCEPTIONS in src/arrows/mod.rs"
            );
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

#[test]
fn each_folder_may_use_only_what_it_uses() {
    let mut used = BTreeSet::new();
    for source in sources::all() {
        let excepted = |to: &str| {
            let mut exceptions = EXCEPTIONS.iter();
            exceptions.any(|(of, what, _)| *of == source.file && *what == to)
        };
        if let Some(from) = folder_of(&source.module) {
            let arrows = arrows(&source).into_iter().map(|arrow| arrow.to);
            used.extend(arrows.filter(|to| !excepted(to)).map(|to| (from, to)));
        }
    }
    let mut unused = String::new();
    for from in folders() {
        for to in may_use(from).filter(|to| !used.contains(&(from, *to))) {
            let _ = writeln!(
                unused,
                "`{from}` may use `{to}` and does not: take the arrow out of MAY_USE in src/arrows/mod.rs"
            );
        }
    }
    assert!(unused.is_empty(), "\n{unused}");
}

#[test]
fn no_folder_uses_one_above_it() {
    let order: Vec<&str> = folders().collect();
    let place = |folder: &str| order.iter().position(|&other| other == folder);
    for from in folders() {
        for to in may_use(from) {
            assert!(
                place(to) > place(from),
                "`{from}` may use `{to}`, which does not stand below it in MAY_USE: that may close a circle"
            );
        }
    }
    for (file, to, _) in EXCEPTIONS {
        let module: Vec<String> = file.split('/').skip(1).map(str::to_owned).collect();
        assert!(
            place(to) > folder_of(&module).and_then(place),
            "{file} may use `{to}`, which does not stand below its folder in MAY_USE: that may close a circle"
        );
    }
}

#[test]
fn each_folder_has_its_row() {
    let mut seen = BTreeSet::from(["api"]);
    for source in sources::all() {
        // The root has no folder: it names the others, and uses none.
        if source.module.is_empty() {
            continue;
        }
        let folder = folder_of(&source.module);
        assert!(
            folder.is_some(),
            "{} is in no folder of MAY_USE in src/arrows/mod.rs: give it a row there",
            source.file
        );
        seen.extend(folder);
    }
    for folder in folders() {
        assert!(
            seen.contains(folder),
            "there is no `{folder}` any more: take its row out of MAY_USE"
        );
    }
}

#[test]
fn what_does_without_the_api_server_does_not_name_it() {
    for source in sources::all() {
        if !folder_of(&source.module).is_some_and(|folder| WITHOUT_KUBERNETES.contains(&folder)) {
            continue;
        }
        for (line, text) in source.code.lines().enumerate() {
            let named = KUBERNETES.iter().find(|name| uses::names(text, name));
            assert_eq!(
                named,
                None,
                "{}:{}: this folder does without the API server (WITHOUT_KUBERNETES in src/arrows/mod.rs)",
                source.file,
                line + 1
            );
        }
    }
}

/// The API is for programs that are no operator, too.
#[test]
fn the_api_brings_no_client_and_no_runtime() {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--package", "db-operator-api"])
        .args(["--edges", "normal", "--prefix", "none"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")))
        .output()
        .unwrap();
    let listed = String::from_utf8(tree.stdout).unwrap();
    assert!(
        listed.starts_with("db-operator-api "),
        "{}",
        String::from_utf8_lossy(&tree.stderr)
    );
    for name in NOT_FOR_THE_API {
        let found = listed.lines().find(|line| line.starts_with(name));
        assert_eq!(
            found, None,
            "src/api must not depend on it: see `cargo tree -p db-operator-api -e normal -i` for who does"
        );
    }
}
