//! What a Restore asks for with `spec.only`: some schemas and tables, what belongs to them, and what that needs.
//!
//! It goes by the dependencies in the archive's table of contents. Types, functions, sequences and schemas that something
//! chosen needs are made, too; another table never is: what needs one is left out and told, or refused if it was named.
//!
//! | file | its one job |
//! |---|---|
//! | `kinds.rs` | what each kind of entries is to a selection |
//! | `graph.rs` | the entries with their dependencies (pure) |
//! | `closure.rs` | which of them are chosen (pure) |

mod closure;
mod graph;
mod kinds;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use super::selection::{KEPT, listed, text};
use crate::agent::log;
use crate::agent::protocol::restore::{Only, RestoreCause};
use crate::agent::restore::failure::Failure;
use closure::Chosen;
use graph::{Graph, Tangled, Wanted};
use kinds::Class;

pub(super) use graph::Look;

/// How many names a refusal has.
const NAMES: usize = 20;

/// What is chosen of an archive.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// Whether each entry is, by its place.
    places: Vec<bool>,
    /// What was asked for and cannot be made, a sentence each.
    pub left_out: Vec<String>,
}

impl Choice {
    /// Whether the entry at this place is chosen.
    pub(super) fn has(&self, place: usize) -> bool {
        self.places.get(place).copied().unwrap_or(false)
    }

    /// Reads the archive's entries with `each`, in their order, several times.
    pub(super) fn of(
        only: &Only,
        mut each: impl FnMut(&mut Look<'_>) -> Result<(), Failure>,
    ) -> Result<Self, Failure> {
        let graph = Graph::read(&Wanted::new(only), &mut each)?;
        all_found(only, &graph)?;
        let chosen = Chosen::of(&graph);
        let missed: Vec<u32> = (0..graph.len())
            .filter(|&node| chosen.is_missed(&graph, node))
            .collect();
        let lacking: Vec<(u32, Option<u32>)> = missed
            .iter()
            .filter(|&&node| graph.is_named(node) || graph.class(node) == Class::Guard)
            .take(NAMES)
            .map(|&node| (node, chosen.lacks(&graph, node)))
            .collect();
        let told = told(&graph, &missed);
        let pairs = lacking.iter();
        let named = pairs.flat_map(|&(node, lacks)| std::iter::once(node).chain(lacks));
        let heirs = graph.heirs.iter().copied();
        let heirs = heirs.filter(|&node| chosen.is_heir(&graph, node));
        let heirs: Vec<u32> = heirs.take(KEPT).collect();
        let all = told.values().flatten().chain(&heirs).copied().chain(named);
        let names = names(all, &mut each)?;
        if !lacking.is_empty() {
            return Err(needs_more(&graph, &lacking, &names));
        }
        let mut left_out = sentences(&told, &names, missed.len());
        left_out.extend(inheriting(&heirs, &names));
        left_out.extend(besides(&graph, &chosen));
        Ok(Self {
            places: chosen.into_places(),
            left_out,
        })
    }
}

impl From<Tangled> for Failure {
    fn from(tangled: Tangled) -> Self {
        Self::new(RestoreCause::NotADump, tangled)
    }
}

fn refused(message: String) -> Failure {
    Failure::new(RestoreCause::OnlyRefused, message)
}

/// Refuses names that are not in the archive.
fn all_found(only: &Only, graph: &Graph) -> Result<(), Failure> {
    let schemas = only.schemas.iter().enumerate();
    let schemas = schemas.filter(|(at, _)| !graph.schemas.contains(at));
    let schemas = schemas.map(|(_, name)| format!("schema {}", text(name.as_bytes())));
    let tables = only.tables.iter().enumerate();
    let tables = tables.filter(|(at, _)| !graph.tables.contains(at));
    let tables = tables.map(|(_, table)| {
        let (schema, name) = (text(table.schema.as_bytes()), text(table.name.as_bytes()));
        format!("table {schema}.{name}")
    });
    let missing: Vec<String> = schemas.chain(tables).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut message = format!(
        "spec.only names what is not in the backup: {}",
        missing[..missing.len().min(NAMES)].join(", ")
    );
    if missing.len() > NAMES {
        let _ = write!(message, " and {} more", missing.len() - NAMES);
    }
    message.push_str(
        "; nothing was loaded: make another Restore with the names as the database had them, in upper and lower case",
    );
    Err(refused(message))
}

/// What is to be named, by the word for several of it: some of each.
fn told(graph: &Graph, missed: &[u32]) -> BTreeMap<&'static str, Vec<u32>> {
    let mut told: BTreeMap<&'static str, Vec<u32>> = BTreeMap::new();
    for &node in missed {
        let (_, plural) = graph.words(node);
        let all = told.entry(plural).or_default();
        if all.len() < KEPT {
            all.push(node);
        }
    }
    told
}

/// The names of some entries.
fn names(
    of: impl Iterator<Item = u32>,
    each: &mut impl FnMut(&mut Look<'_>) -> Result<(), Failure>,
) -> Result<HashMap<u32, String>, Failure> {
    let asked: BTreeSet<u32> = of.collect();
    let mut names = HashMap::new();
    if asked.is_empty() {
        return Ok(names);
    }
    let mut at = 0;
    each(&mut |_, item, _| {
        if asked.contains(&at) {
            let name = text(item.name);
            let name = match item.schema {
                b"" => name,
                schema => format!("{}.{name}", text(schema)),
            };
            names.insert(at, name);
        }
        at += 1;
        Ok(())
    })?;
    Ok(names)
}

/// A table that was named needs another one, or what guards its rows does.
fn needs_more(
    graph: &Graph,
    lacking: &[(u32, Option<u32>)],
    names: &HashMap<u32, String>,
) -> Failure {
    let name = |node: &u32| names.get(node).map(String::as_str).unwrap_or_default();
    let kind = |node: &u32| graph.words(*node).0.to_lowercase();
    let who = |node: &u32| {
        if graph.class(*node) == Class::Guard {
            format!("the {} {}", kind(node), name(node))
        } else {
            name(node).to_owned()
        }
    };
    let said: Vec<String> = lacking
        .iter()
        .map(|(node, lacks)| match lacks {
            Some(other) => format!("{} needs {} {}", who(node), kind(other), name(other)),
            None => format!("{} cannot be made", who(node)),
        })
        .collect();
    refused(format!(
        "spec.only names tables or views that need what it does not name: {}; nothing was loaded: name that, too",
        said.join(", ")
    ))
}

/// What is left out, a sentence for each kind.
fn sentences(
    told: &BTreeMap<&'static str, Vec<u32>>,
    names: &HashMap<u32, String>,
    count: usize,
) -> Vec<String> {
    let mut all = Vec::new();
    for (plural, nodes) in told {
        let of_kind: BTreeSet<String> = nodes
            .iter()
            .filter_map(|node| names.get(node).cloned())
            .collect();
        for name in &of_kind {
            log::say(format_args!("spec.only leaves out {plural}: {name}"));
        }
        all.push(format!(
            "{plural} {}: they need what spec.only does not name",
            listed(&of_kind)
        ));
    }
    if count > 0 {
        log::say(format_args!(
            "spec.only leaves out {count} things that need others"
        ));
    }
    all
}

/// Tables whose rows a question to what is made showed as well.
fn inheriting(heirs: &[u32], names: &HashMap<u32, String>) -> Option<String> {
    let names: BTreeSet<String> = heirs
        .iter()
        .filter_map(|node| names.get(node).cloned())
        .collect();
    if names.is_empty() {
        return None;
    }
    let listed = listed(&names);
    Some(format!(
        "tables {listed}: they inherit from what is brought back, and spec.only does not name them"
    ))
}

/// What belongs to no table, but may be missed.
fn besides(graph: &Graph, chosen: &Chosen) -> Vec<String> {
    let has = |class: Class| (0..graph.len()).any(|node| graph.class(node) == class);
    let has_server = || {
        let is_server = |node: &u32| graph.words(*node).0 == "SERVER" && chosen.has(*node);
        (0..graph.len()).any(|node| is_server(&node))
    };
    let mut all = Vec::new();
    if has(Class::LargeObject) {
        all.push("large objects: they belong to no schema and no table".to_owned());
    }
    if has(Class::Mapping) && has_server() {
        all.push("user mappings: they belong to no schema and no table".to_owned());
    }
    all
}

#[cfg(test)]
mod odd_tests;
#[cfg(test)]
mod tests;
