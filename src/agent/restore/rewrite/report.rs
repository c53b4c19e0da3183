//! What was done to a dump.

/// How many names of bodies are kept.
const KEPT: usize = 20;

/// What was done to a dump, and what was seen that stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events that are made so that they do not run yet.
    pub events_held: u64,
    /// Events that were disabled because they came from another server: here they are disabled as such.
    pub events_of_replicas: u64,
    /// Definers that were left out or replaced.
    pub definers: u64,
    /// Those of them who were not the database's former owner, as far as that one is known.
    pub definers_of_others: u64,
    /// Places where the former database's name was replaced.
    pub names: u64,
    /// Statements that were left out, because they concern the server or its replication and not the database.
    pub left_out: u64,
    /// Bodies that end in a comment, which hid the end of the statement: it has a line of its own now.
    pub mended: u64,
    /// Routines, triggers and events whose body names the former database, which stays as it is: the first 20.
    pub bodies: Vec<String>,
    /// How many such bodies there are.
    pub bodies_in_all: u64,
}

impl Report {
    /// Notes an object whose body names the former database.
    pub(super) fn body(&mut self, object: String) {
        self.bodies_in_all += 1;
        if self.bodies.len() < KEPT {
            self.bodies.push(object);
        }
    }
}
