//! `doc/state.dot`: the lives of all kinds in one picture, made from the functions that decide them.
//!
//! `UPDATE=1 cargo test --lib diagram` writes it, and draws `doc/state.png` from it where Graphviz is installed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::process::Command;

use crate::backup::state as backup;
use crate::database::state as database;
use crate::restore::state as restore;
use crate::testing::held_equal;

/// One arrow: names of nodes, and why.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Arrow {
    from: String,
    to: String,
    why: &'static str,
}

/// Nodes that are drawn in one frame. An arrow that leaves each of them is drawn once, from the frame.
struct Frame {
    id: &'static str,
    title: &'static str,
    colour: &'static str,
    nodes: Vec<String>,
}

const GREEN: &str = "#e8f3ec";
const AMBER: &str = "#fdf3e1";
const RED: &str = "#fbe9e7";

fn database_frames() -> Vec<Frame> {
    use database::State::{
        BackupBeforeDeleteCompleted, BackupBeforeDeleteInProgress, BackupBeforeDeleteRequested,
        BackupCompleted, BackupInProgress, BackupRequested, Created, Creating, Deleted,
        DeletionInProgress, DeletionRequested,
    };
    let frame = |id, title, colour, states: &[database::State]| Frame {
        id,
        title,
        colour,
        nodes: states.iter().map(|s| s.as_str().to_owned()).collect(),
    };
    vec![
        frame(
            "alive",
            "in use",
            GREEN,
            &[
                Creating,
                Created,
                BackupRequested,
                BackupInProgress,
                BackupCompleted,
            ],
        ),
        frame(
            "final",
            "final backup",
            AMBER,
            &[
                BackupBeforeDeleteRequested,
                BackupBeforeDeleteInProgress,
                BackupBeforeDeleteCompleted,
            ],
        ),
        frame(
            "deletion",
            "deletion",
            RED,
            &[DeletionRequested, DeletionInProgress, Deleted],
        ),
    ]
}

fn restore_frames() -> Vec<Frame> {
    use restore::State::{Checking, Completed, Failed, Loading, Preparing, Switching};
    let frame = |id, title, colour, states: &[restore::State]| Frame {
        id,
        title,
        colour,
        nodes: states.iter().map(|s| restore_node(s.as_str())).collect(),
    };
    vec![
        frame(
            "beside",
            "beside the database",
            GREEN,
            &[Preparing, Loading, Checking],
        ),
        frame("switch", "in its place", AMBER, &[Switching]),
        frame("restored", "ended", AMBER, &[Completed, Failed]),
    ]
}

fn backup_frames() -> Vec<Frame> {
    use backup::State::{BackingUp, Completed, Failed, Starting};
    let frame = |id, title, colour, states: &[backup::State]| Frame {
        id,
        title,
        colour,
        nodes: states.iter().map(|s| backup_node(s.as_str())).collect(),
    };
    vec![
        frame("active", "active", GREEN, &[Starting, BackingUp]),
        frame("ended", "ended", AMBER, &[Completed, Failed]),
    ]
}

/// The nodes of a Backup need other names than those of a Database.
fn backup_node(word: &str) -> String {
    format!("Backup {word}")
}

/// Nor may those of a Restore have them.
fn restore_node(word: &str) -> String {
    format!("Restore {word}")
}

/// What a person reads in a node.
fn word(node: &str) -> &str {
    let of_backup = node.strip_prefix("Backup ");
    let of_restore = node.strip_prefix("Restore ");
    of_backup.or(of_restore).unwrap_or(node)
}

fn database_arrows() -> BTreeSet<Arrow> {
    let name = |state: Option<database::State>, none: &str| {
        state.map_or_else(|| none.to_owned(), |s| s.as_str().to_owned())
    };
    database::tests::edges()
        .into_iter()
        .map(|(at, step)| Arrow {
            from: name(at, "(none)"),
            to: name(step.to, "(gone)"),
            why: step.because.as_str(),
        })
        .collect()
}

fn backup_arrows() -> BTreeSet<Arrow> {
    let name = |state: Option<backup::State>, none: &'static str| {
        backup_node(state.map_or(none, backup::State::as_str))
    };
    backup::tests::edges()
        .into_iter()
        .map(|(at, step)| Arrow {
            from: name(at, "(none)"),
            to: name(step.to, "(gone)"),
            why: step.because.as_str(),
        })
        .collect()
}

fn restore_arrows() -> BTreeSet<Arrow> {
    let name = |state: Option<restore::State>, none: &'static str| {
        restore_node(state.map_or(none, restore::State::as_str))
    };
    restore::tests::edges()
        .into_iter()
        .map(|(at, step)| Arrow {
            from: name(at, "(none)"),
            to: name(step.to, "(gone)"),
            why: step.because.as_str(),
        })
        .collect()
}

/// Takes out the arrows that leave every one of `nodes` for the same reason to the same place.
fn take_common(arrows: &mut BTreeSet<Arrow>, nodes: &[String]) -> BTreeSet<Arrow> {
    let leaves_all = |arrow: &Arrow| {
        let alike = |node: &String| {
            arrows.contains(&Arrow {
                from: node.clone(),
                ..arrow.clone()
            })
        };
        nodes.contains(&arrow.from) && nodes.iter().all(alike)
    };
    let common: BTreeSet<Arrow> = arrows.iter().filter(|a| leaves_all(a)).cloned().collect();
    arrows.retain(|arrow| !common.contains(arrow));
    let last = nodes.last().cloned();
    common
        .into_iter()
        .filter(|arrow| Some(&arrow.from) == last.as_ref())
        .collect()
}

/// One arrow for each pair of nodes, with all reasons.
fn write_arrows(out: &mut String, arrows: BTreeSet<Arrow>, more: &str) {
    let mut reasons: BTreeMap<(String, String), Vec<&str>> = BTreeMap::new();
    for arrow in arrows {
        reasons
            .entry((arrow.from, arrow.to))
            .or_default()
            .push(arrow.why);
    }
    for ((from, to), why) in reasons {
        let label = why.join("\\l ");
        writeln!(
            out,
            "    \"{from}\" -> \"{to}\" [label=\" {label}\\l\"{more}];"
        )
        .unwrap();
    }
}

fn write_machine(out: &mut String, kind: &str, frames: &[Frame], mut arrows: BTreeSet<Arrow>) {
    writeln!(
        out,
        "\n  subgraph cluster_{kind} {{\n    label=<<b>{kind}</b>>; labelloc=t; labeljust=c; margin=24;"
    )
    .unwrap();
    let ends: BTreeSet<String> = arrows
        .iter()
        .flat_map(|a| [&a.from, &a.to])
        .filter(|node| node.ends_with(')'))
        .cloned()
        .collect();
    for node in ends {
        let word = word(&node);
        writeln!(out, "    \"{node}\" [label=\"{word}\", shape=plain];").unwrap();
    }
    for frame in frames {
        let Frame {
            id, title, colour, ..
        } = frame;
        writeln!(out, "    subgraph cluster_{id} {{").unwrap();
        writeln!(
            out,
            "      label=\"{title}\"; style=\"rounded,filled\"; color=\"{colour}\"; labelloc=t; labeljust=r; margin=14;"
        )
        .unwrap();
        for node in &frame.nodes {
            let word = word(node);
            writeln!(out, "      \"{node}\" [label=\"{word}\", group=\"{id}\"];").unwrap();
        }
        out.push_str("    }\n");
    }
    let every: Vec<String> = frames.iter().flat_map(|f| f.nodes.clone()).collect();
    let from_any = take_common(&mut arrows, &every);
    if !from_any.is_empty() {
        out.push_str("    \"any state\" [shape=plain, fontname=\"Helvetica-Oblique\"];\n");
        let from_any = from_any.into_iter().map(|arrow| Arrow {
            from: "any state".to_owned(),
            ..arrow
        });
        write_arrows(out, from_any.collect(), "");
    }
    for frame in frames {
        let common = take_common(&mut arrows, &frame.nodes);
        let more = format!(", ltail=cluster_{}, penwidth=2", frame.id);
        write_arrows(out, common, &more);
    }
    write_arrows(out, arrows, "");
    out.push_str("  }\n");
}

fn dot() -> String {
    let mut out = String::from(HEAD);
    write_machine(&mut out, "Database", &database_frames(), database_arrows());
    write_machine(&mut out, "Backup", &backup_frames(), backup_arrows());
    write_machine(&mut out, "Restore", &restore_frames(), restore_arrows());
    out.push_str("}\n");
    out
}

const HEAD: &str = r##"// The states of a Database, a Backup and a Restore, generated from state.rs of src/database/, src/backup/ and src/restore/.
digraph states {
  graph [fontname="Helvetica", fontsize=13, compound=true, rankdir=TB, nodesep=0.5, ranksep=0.5, color="#9aa5ad", style=rounded,
    labelloc=b, labeljust=l, label="A thick arrow leaves its frame: each of the states in it.\l"];
  node [fontname="Helvetica", fontsize=11, shape=box, style="rounded,filled", fillcolor=white, color="#51606b"];
  edge [fontname="Helvetica", fontsize=10, color="#51606b", fontcolor="#2b3a44", arrowsize=0.7];
"##;

#[test]
fn the_picture_is_what_the_functions_say() {
    held_equal("doc/state.dot", &dot());
    if std::env::var_os("UPDATE").is_some() {
        let doc = concat!(env!("CARGO_MANIFEST_DIR"), "/doc");
        let drawn = Command::new("dot")
            .args(["-Tpng", "-Gdpi=110", "-ostate.png", "state.dot"])
            .current_dir(doc)
            .status();
        assert!(
            drawn.is_ok_and(|status| status.success()),
            "Graphviz (dot) draws doc/state.png"
        );
    }
}
