//! What belongs to what is named, what that needs, and what cannot be made without what is not named. Pure.

use super::graph::{Graph, NONE};
use super::kinds::Class;

/// How far it is followed why something cannot be made: what needs itself in a circle has no end.
const STEPS: usize = 50;

/// What becomes of each entry.
pub(super) struct Chosen {
    /// It is named, belongs to what is, or is needed by it, before it is known whether it can be made.
    asked: Vec<bool>,
    /// It is made.
    chosen: Vec<bool>,
}

impl Chosen {
    /// Of all entries. What is needed by nothing but what cannot be made is not made either.
    pub(super) fn of(graph: &Graph) -> Self {
        let none = vec![false; graph.len() as usize];
        let asked = wanted(graph, &none);
        let broken = broken(graph, &asked);
        let second = wanted(graph, &broken);
        let broken = self::broken(graph, &second);
        let chosen = second
            .iter()
            .zip(&broken)
            .map(|(&wanted, &broken)| wanted && !broken)
            .collect();
        Self { asked, chosen }
    }

    pub(super) fn has(&self, node: u32) -> bool {
        self.chosen[node as usize]
    }

    /// Which entry is made, by its place in the archive.
    pub(super) fn into_places(self) -> Vec<bool> {
        self.chosen
    }

    /// Whether a person has to hear that it is left out: it was asked for, and what it is a part of is there.
    pub(super) fn is_missed(&self, graph: &Graph, node: u32) -> bool {
        if !self.asked[node as usize] || self.has(node) {
            return false;
        }
        let has = |other: u32| other != NONE && self.has(other);
        match graph.class(node) {
            Class::Relation => graph.is_root(node) || has(graph.whole(node)),
            Class::Sequence | Class::Definition | Class::Apart => graph.is_root(node),
            Class::Part | Class::Guard | Class::Index | Class::Trigger | Class::Attach => {
                let owner = graph.owner(node);
                owner == NONE || self.has(owner)
            }
            // It is part of a table that nobody asks for. Where somebody does, that is told.
            Class::Identity => {
                let is_asked_for =
                    |to: &u32| graph.class(*to) == Class::Relation && self.asked[*to as usize];
                graph.is_root(node) && !graph.dependencies(node).iter().any(is_asked_for)
            }
            // Their tables, or what else they are about, are told.
            Class::IndexAttach
            | Class::About
            | Class::Always
            | Class::Elsewhere
            | Class::LargeObject
            | Class::Mapping => false,
        }
    }

    /// Whether a table inherits from one that is made, and is not asked for itself.
    pub(super) fn is_heir(&self, graph: &Graph, node: u32) -> bool {
        let mut all = graph.dependencies(node).iter();
        !self.asked[node as usize]
            && all.any(|&to| graph.class(to) == Class::Relation && self.has(to))
    }

    /// What is not there that an entry needs: the first that is found.
    pub(super) fn lacks(&self, graph: &Graph, node: u32) -> Option<u32> {
        let mut at = node;
        for _ in 0..STEPS {
            let all = graph.dependencies(at).iter().copied();
            let missing = |to: &u32| is_needed(graph, at, *to) && !self.has(*to);
            let mut missing = all.filter(missing);
            let unasked = missing.clone().filter(|&to| !self.asked[to as usize]);
            // A person names tables, not their keys.
            let is_table = |&to: &u32| graph.class(to) == Class::Relation;
            let table = unasked.clone().find(is_table);
            let next = table.or_else(|| unasked.clone().next());
            if next.is_some() {
                return next;
            }
            at = missing.next()?;
        }
        Some(at)
    }
}

/// What is named, what belongs to that, and what is needed for it. What is broken brings nothing with it.
fn wanted(graph: &Graph, broken: &[bool]) -> Vec<bool> {
    let mut wanted: Vec<bool> = (0..graph.len()).map(|node| graph.is_root(node)).collect();
    let mut todo: Vec<u32> = (0..graph.len())
        .filter(|&node| graph.is_root(node))
        .collect();
    while let Some(node) = todo.pop() {
        if broken[node as usize] {
            continue;
        }
        let mut want = |other: u32| {
            if other != NONE && !wanted[other as usize] {
                wanted[other as usize] = true;
                todo.push(other);
            }
        };
        let class = graph.class(node);
        if brings(class) {
            for &other in graph.dependencies(node) {
                if matches!(graph.class(other), Class::Definition | Class::Sequence) {
                    want(other);
                }
            }
        }
        for &other in graph.dependents(node) {
            match graph.class(other) {
                Class::About | Class::IndexAttach => want(other),
                Class::Part | Class::Guard | Class::Index | Class::Trigger
                    if graph.owner(other) == node =>
                {
                    want(other);
                }
                Class::Attach if graph.owner(other) == node => want(other),
                // The rows of a table are in its partitions.
                Class::Attach if graph.whole(other) == node => want(graph.owner(other)),
                Class::Sequence | Class::Identity if class == Class::Relation => want(other),
                Class::Always
                | Class::Elsewhere
                | Class::Relation
                | Class::Sequence
                | Class::Identity
                | Class::Definition
                | Class::Part
                | Class::Guard
                | Class::Index
                | Class::Trigger
                | Class::Attach
                | Class::Apart
                | Class::LargeObject
                | Class::Mapping => {}
            }
        }
    }
    wanted
}

/// Whether what an entry needs is made for it. A trigger's function may do anything, also with tables that are not there.
const fn brings(class: Class) -> bool {
    match class {
        Class::Relation
        | Class::Sequence
        | Class::Identity
        | Class::Definition
        | Class::Part
        | Class::Guard
        | Class::Index
        | Class::Attach
        | Class::Apart => true,
        Class::Trigger
        | Class::IndexAttach
        | Class::About
        | Class::Always
        | Class::Elsewhere
        | Class::LargeObject
        | Class::Mapping => false,
    }
}

/// Which of these cannot be made, since something that they need is not there.
fn broken(graph: &Graph, wanted: &[bool]) -> Vec<bool> {
    let mut broken = vec![false; wanted.len()];
    let mut todo = Vec::new();
    for node in (0..graph.len()).filter(|&node| wanted[node as usize]) {
        let mut all = graph.dependencies(node).iter();
        if all.any(|&to| is_needed(graph, node, to) && !wanted[to as usize]) {
            broken[node as usize] = true;
            todo.push(node);
        }
    }
    while let Some(node) = todo.pop() {
        for &other in graph.dependents(node) {
            let at = other as usize;
            if wanted[at] && !broken[at] && is_needed(graph, other, node) {
                broken[at] = true;
                todo.push(other);
            }
        }
    }
    broken
}

/// Whether an entry cannot be made without another one that it depends on.
fn is_needed(graph: &Graph, node: u32, on: u32) -> bool {
    match (graph.class(node), graph.class(on)) {
        // The first are made by the operator before, or not at all. A partition's index is one without that of the whole, and a
        // sequence is one without its table.
        (_, Class::Elsewhere | Class::Always)
        | (Class::Index, Class::Index)
        | (Class::Sequence, Class::Relation) => false,
        // A partition is a table of its own, and becomes one of another by a statement of its own.
        (Class::Relation, Class::Relation) => graph.whole(node) != on,
        // Nor does its place depend on what is outside of its whole.
        (Class::IndexAttach, Class::Relation) => is_pair(graph, node, on),
        (Class::IndexAttach, Class::Index) => is_pair(graph, node, graph.owner(on)),
        (_, _) => true,
    }
}

/// Whether a table is one of the two that the place of a partition's index is about; also where that cannot be told.
fn is_pair(graph: &Graph, node: u32, table: u32) -> bool {
    let (partition, whole) = (graph.owner(node), graph.whole(node));
    partition == NONE || table == partition || table == whole
}
