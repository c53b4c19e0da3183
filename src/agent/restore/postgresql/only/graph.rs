//! The entries of an archive, and what each of them depends on, in few bytes each: there may be a million.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use super::kinds::{Class, KINDS, place};
use crate::agent::dump::completeness::contents::Item;
use crate::agent::protocol::restore::Only;

/// The most dependencies that are looked at. `pg_dump` writes a handful for each entry.
const MOST_EDGES: usize = 2_000_000;

/// The longest name that a part is looked for by; the server's are shorter.
const LONGEST_NAME: usize = 255;

/// The most dependencies of a partition's index: a few for each level above it.
const MOST_LEVELS: usize = 500;

/// No entry.
pub(super) const NONE: u32 = u32::MAX;

/// What is looked at of an entry, in the archive's order: its number, itself, and what it depends on.
pub(in super::super) type Look<'l> =
    dyn FnMut(i64, &Item<'_>, &mut dyn Iterator<Item = i64>) -> Result<(), Tangled> + 'l;

/// The archive cannot be selected from.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(in super::super) enum Tangled {
    /// It has no order.
    #[error("two entries of the table of contents have the number {0}")]
    Twice(i64),
    /// Numbers are not `pg_dump`'s.
    #[error("an entry of the table of contents has the number {0}")]
    Number(i64),
    /// It would take too much memory.
    #[error(
        "the entries of the table of contents depend on each other more than {MOST_EDGES} times"
    )]
    TooMuch,
}

/// One entry.
struct Node {
    kind: u8,
    /// It is in one of the schemas.
    is_root: bool,
    /// It is one of the tables.
    is_named: bool,
    /// Its statement changes a table.
    is_identity: bool,
    /// Of what has parts: the length of its name, and what stands for its schema and name.
    length: usize,
    key: u64,
    /// What it is a part of.
    owner: u32,
    /// Of what makes it a partition: the whole.
    whole: u32,
}

/// The entries by their place, and their dependencies.
pub(super) struct Graph {
    nodes: Vec<Node>,
    there: Edges,
    back: Edges,
    /// Tables that say that they inherit from others.
    pub heirs: Vec<u32>,
    /// The names that were found.
    pub schemas: HashSet<usize>,
    /// The same, of tables.
    pub tables: HashSet<usize>,
}

/// Which entries lead where.
struct Edges {
    starts: Vec<u32>,
    ends: Vec<u32>,
}

impl Edges {
    fn new(count: usize, pairs: impl Iterator<Item = (u32, u32)> + Clone) -> Self {
        let mut starts = vec![0_u32; count + 1];
        for (from, _) in pairs.clone() {
            starts[from as usize + 1] += 1;
        }
        for at in 0..count {
            starts[at + 1] += starts[at];
        }
        let mut next = starts.clone();
        let mut ends = vec![NONE; starts[count] as usize];
        for (from, to) in pairs {
            let at = &mut next[from as usize];
            ends[*at as usize] = to;
            *at += 1;
        }
        Self { starts, ends }
    }

    fn of(&self, node: u32) -> &[u32] {
        let node = node as usize;
        &self.ends[self.starts[node] as usize..self.starts[node + 1] as usize]
    }
}

/// What is wanted, ready to be compared with an archive's bytes.
pub(super) struct Wanted {
    schemas: Vec<Vec<u8>>,
    tables: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Wanted {
    pub(super) fn new(only: &Only) -> Self {
        let bytes = |text: &String| text.clone().into_bytes();
        let pair = |table: &crate::agent::protocol::restore::TableName| {
            (bytes(&table.schema), bytes(&table.name))
        };
        Self {
            schemas: only.schemas.iter().map(bytes).collect(),
            tables: only.tables.iter().map(pair).collect(),
        }
    }
}

/// What is gathered while the archive is read the first time.
struct First {
    nodes: Vec<Node>,
    /// Each entry's number with its place.
    places: Vec<(i64, u32)>,
    /// From places to numbers.
    edges: Vec<(u32, u32)>,
    heirs: Vec<u32>,
    schemas: HashSet<usize>,
    tables: HashSet<usize>,
    hasher: RandomState,
}

impl Graph {
    /// Reads the archive twice.
    pub(super) fn read<E: From<Tangled>>(
        wanted: &Wanted,
        mut each: impl FnMut(&mut Look<'_>) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut first = First {
            nodes: Vec::new(),
            places: Vec::new(),
            edges: Vec::new(),
            heirs: Vec::new(),
            schemas: HashSet::new(),
            tables: HashSet::new(),
            hasher: RandomState::new(),
        };
        each(&mut |id, item, dependencies| first.add(wanted, id, item, dependencies))?;
        first.resolve()?;
        let mut there = first.there();
        let mut at = 0;
        let mut more = Vec::new();
        each(&mut |_, item, _| {
            first.find_owner(&there, at, item, &mut more);
            at += 1;
            Ok(())
        })?;
        let First {
            nodes,
            mut edges,
            heirs,
            schemas,
            tables,
            ..
        } = first;
        edges.extend(more);
        let count = nodes.len();
        there = Edges::new(count, edges.iter().copied());
        let back = Edges::new(count, edges.iter().map(|&(from, to)| (to, from)));
        Ok(Self {
            nodes,
            there,
            back,
            heirs,
            schemas,
            tables,
        })
    }

    pub(super) fn len(&self) -> u32 {
        u32::try_from(self.nodes.len()).unwrap_or(NONE)
    }

    pub(super) fn class(&self, node: u32) -> Class {
        let node = &self.nodes[node as usize];
        if node.is_identity {
            return Class::Identity;
        }
        KINDS[usize::from(node.kind)].class
    }

    /// The archive's word, and the word for several of them.
    pub(super) fn words(&self, node: u32) -> (&'static str, &'static str) {
        let kind = &KINDS[usize::from(self.nodes[node as usize].kind)];
        (kind.name, kind.plural)
    }

    pub(super) fn is_root(&self, node: u32) -> bool {
        let node = &self.nodes[node as usize];
        node.is_root || node.is_named
    }

    pub(super) fn is_named(&self, node: u32) -> bool {
        self.nodes[node as usize].is_named
    }

    /// What it is a part of; [`NONE`] if that cannot be told.
    pub(super) fn owner(&self, node: u32) -> u32 {
        self.nodes[node as usize].owner
    }

    /// Of what makes a table a partition: that of which it is one. The same of the partition.
    pub(super) fn whole(&self, node: u32) -> u32 {
        self.nodes[node as usize].whole
    }

    /// What it depends on.
    pub(super) fn dependencies(&self, node: u32) -> &[u32] {
        self.there.of(node)
    }

    /// What depends on it.
    pub(super) fn dependents(&self, node: u32) -> &[u32] {
        self.back.of(node)
    }
}

impl First {
    fn add(
        &mut self,
        wanted: &Wanted,
        id: i64,
        item: &Item<'_>,
        dependencies: &mut dyn Iterator<Item = i64>,
    ) -> Result<(), Tangled> {
        let at = u32::try_from(self.nodes.len()).map_err(|_| Tangled::TooMuch)?;
        let kind = place(item);
        let class = KINDS[usize::from(kind)].class;
        // A sequence has no parts: its name may be how that of another table's part begins.
        let owns = class == Class::Relation || item.kind == b"DOMAIN";
        let is_root = self.is_root(wanted, item, class);
        let is_named = self.is_named(wanted, item, class);
        if class == Class::Relation && inherits(item.definition) {
            self.heirs.push(at);
        }
        self.nodes.push(Node {
            kind,
            is_root,
            is_named,
            is_identity: class == Class::Sequence && item.definition.starts_with(b"ALTER TABLE "),
            length: if owns { item.name.len() } else { 0 },
            key: if owns {
                self.hasher.hash_one((item.schema, item.name))
            } else {
                0
            },
            owner: NONE,
            whole: NONE,
        });
        self.places.push((id, at));
        for number in dependencies {
            if self.edges.len() == MOST_EDGES {
                return Err(Tangled::TooMuch);
            }
            let number = u32::try_from(number).map_err(|_| Tangled::Number(number))?;
            self.edges.push((at, number));
        }
        Ok(())
    }

    /// Whether it is one of the tables, which may be written in two ways.
    fn is_named(&mut self, wanted: &Wanted, item: &Item<'_>, class: Class) -> bool {
        if !matches!(class, Class::Relation | Class::Sequence) {
            return false;
        }
        let mut is_named = false;
        for (at, (schema, name)) in wanted.tables.iter().enumerate() {
            if schema == item.schema && name == item.name {
                self.tables.insert(at);
                is_named = true;
            }
        }
        is_named
    }

    /// Whether it goes with one of the schemas.
    fn is_root(&mut self, wanted: &Wanted, item: &Item<'_>, class: Class) -> bool {
        let position = |name: &[u8]| wanted.schemas.iter().position(|schema| schema == name);
        let (found, is_there) = if !item.schema.is_empty() {
            (position(item.schema), true)
        } else if item.kind == b"SCHEMA" {
            (position(item.name), true)
        } else if class == Class::About {
            // What is about a schema is no proof of it.
            let name = item.name.strip_prefix(b"SCHEMA ");
            (name.and_then(position), false)
        } else {
            (None, false)
        };
        if is_there {
            self.schemas.extend(found);
        }
        match class {
            Class::Elsewhere | Class::LargeObject | Class::Mapping => false,
            Class::Always => true,
            Class::Relation
            | Class::Sequence
            | Class::Identity
            | Class::Definition
            | Class::Part
            | Class::Guard
            | Class::Index
            | Class::Trigger
            | Class::Attach
            | Class::IndexAttach
            | Class::About
            | Class::Apart => found.is_some(),
        }
    }

    /// From numbers to places. What is not in the archive is there anyway, or was never dumped.
    fn resolve(&mut self) -> Result<(), Tangled> {
        self.places.sort_unstable();
        for pair in self.places.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(Tangled::Twice(pair[0].0));
            }
        }
        let places = &self.places;
        self.edges.retain_mut(|(from, to)| {
            let found = places.binary_search_by_key(&i64::from(*to), |(id, _)| *id);
            let Ok(found) = found else {
                return false;
            };
            *to = places[found].1;
            from != to
        });
        // They are not needed any more.
        self.places = Vec::new();
        Ok(())
    }

    fn there(&self) -> Edges {
        Edges::new(self.nodes.len(), self.edges.iter().copied())
    }

    fn class(&self, node: u32) -> Class {
        KINDS[usize::from(self.nodes[node as usize].kind)].class
    }

    /// Finds what a part is a part of: one of those that it depends on, whose name its own begins with.
    fn find_owner(&mut self, there: &Edges, at: u32, item: &Item<'_>, more: &mut Vec<(u32, u32)>) {
        let dependencies = there.of(at);
        let relation = |&&to: &&u32| self.class(to) == Class::Relation;
        match self.class(at) {
            Class::Part | Class::Trigger | Class::Index
                if matches!(item.kind, b"INDEX" | b"STATISTICS") =>
            {
                let owner = dependencies.iter().find(relation).copied();
                self.nodes[at as usize].owner = owner.unwrap_or(NONE);
            }
            Class::Part | Class::Guard | Class::Trigger | Class::Index | Class::Attach => {
                let owner = dependencies
                    .iter()
                    .copied()
                    .filter(|&to| self.is_named_by(to, item))
                    .max_by_key(|&to| self.nodes[to as usize].length);
                let Some(owner) = owner else {
                    return;
                };
                let whole = dependencies
                    .iter()
                    .filter(relation)
                    .find(|&&to| to != owner);
                let whole = whole.copied().unwrap_or(NONE);
                self.nodes[at as usize].owner = owner;
                if self.class(at) == Class::Attach {
                    self.nodes[at as usize].whole = whole;
                    self.nodes[owner as usize].whole = whole;
                }
                // A view whose statement comes later is none without it.
                if item.kind == b"RULE" && item.name.ends_with(b" _RETURN") {
                    more.push((owner, at));
                }
            }
            Class::IndexAttach => {
                let pair = self.partition(dependencies);
                if let Some((partition, whole)) = pair {
                    let node = &mut self.nodes[at as usize];
                    (node.owner, node.whole) = (partition, whole);
                }
            }
            // Its statement names the table, too.
            Class::About if item.kind == b"SEQUENCE OWNED BY" => {
                for &sequence in dependencies {
                    let of_sequence = there.of(sequence).iter().filter(relation);
                    more.extend(of_sequence.map(|&table| (at, table)));
                }
            }
            Class::Always
            | Class::Elsewhere
            | Class::Relation
            | Class::Sequence
            | Class::Identity
            | Class::Definition
            | Class::About
            | Class::Apart
            | Class::LargeObject
            | Class::Mapping => {}
        }
    }

    /// The partition whose index becomes a part, and that of which it is one: of all tables up to the outermost, the two
    /// innermost.
    fn partition(&self, dependencies: &[u32]) -> Option<(u32, u32)> {
        let table = |&of: &u32| match self.class(of) {
            Class::Relation => Some(of),
            Class::Index => Some(self.nodes[of as usize].owner).filter(|owner| *owner != NONE),
            _ => None,
        };
        if dependencies.len() > MOST_LEVELS {
            return None;
        }
        let whole = |of: u32| self.nodes[of as usize].whole;
        let tables = || dependencies.iter().filter_map(table);
        let innermost = tables().find(|&of| !tables().any(|other| whole(other) == of))?;
        let whole = whole(innermost);
        tables().any(|of| of == whole).then_some((innermost, whole))
    }

    /// Whether a name begins with that of a table, view or domain, and then ends, or goes on with a name of its own.
    fn is_named_by(&self, owner: u32, item: &Item<'_>) -> bool {
        let owner = &self.nodes[owner as usize];
        let Some((name, rest)) = item.name.split_at_checked(owner.length) else {
            return false;
        };
        (1..=LONGEST_NAME).contains(&owner.length)
            && (rest.is_empty() || rest[0] == b' ')
            && self.hasher.hash_one((item.schema, name)) == owner.key
    }
}

/// Whether a table's statement says, as `pg_dump` writes it, that it inherits from others.
fn inherits(definition: &[u8]) -> bool {
    const INHERITS: &[u8] = b"\nINHERITS (";
    let mut windows = definition.windows(INHERITS.len());
    windows.any(|window| window == INHERITS)
}
