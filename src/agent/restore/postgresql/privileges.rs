//! Gives an archive's privileges to the roles that are here, as its owner.

use std::collections::BTreeSet;
use std::path::Path;

use super::grants::{Roles, Verdict, for_each, judge, statements};
use super::sections::odd;
use super::selection::{Selection, listed, text};
use super::server;
use super::session::Session;
use super::toc::Toc;
use crate::agent::dump::completeness::items::Entry;
use crate::agent::log;
use crate::agent::restore::failure::Failure;
use crate::agent::restore::load::Load;
use crate::printable::several;

/// How many large objects get their privileges with one request.
const AT_ONCE: usize = 100;

/// What the server says where somebody has no right to give.
const DENIED: &str = "42501";

/// What the tag of privileges begins with that are for a group of large objects.
const OF_A_GROUP: &str = "LARGE OBJECTS ";

/// What an entry is to privileges.
enum Seen {
    /// It makes these large objects.
    Objects { id: i64, numbers: Vec<u8> },
    /// It gives privileges.
    Privileges(Privileges),
    /// Nothing.
    Other,
}

struct Privileges {
    definition: Vec<u8>,
    name: String,
    depends_on: Option<i64>,
}

impl Seen {
    fn of(entry: &Entry<'_>) -> Self {
        let item = &entry.item;
        if item.kind == b"BLOB METADATA" {
            let numbers = item.definition.to_vec();
            return Self::Objects {
                id: entry.id,
                numbers,
            };
        }
        if Selection::is_privilege(item) {
            return Self::Privileges(Privileges {
                definition: item.definition.to_vec(),
                name: text(item.name),
                depends_on: entry.depends_on.clone().next(),
            });
        }
        Self::Other
    }
}

/// What was not given.
#[derive(Default)]
struct LeftOut {
    /// Roles that are not of the database.
    others: BTreeSet<String>,
    /// On what the privileges are that are not of a known form.
    odd: BTreeSet<String>,
    /// On what the owner may not give any.
    denied: BTreeSet<String>,
}

/// Runs the statements about privileges whose role is here. Returns what of them was left out.
pub(super) async fn give(
    load: &Load,
    toc: &Path,
    selection: &Selection,
    session: &mut Session,
) -> Result<Vec<String>, Failure> {
    let roles = Roles {
        owner: &load.task.target.owner,
        former: load.task.source.user.as_deref(),
        others: &load.task.roles,
    };
    let (mut left_out, mut given) = (LeftOut::default(), 0_u64);
    // Privileges follow what they are about.
    let mut objects = None;
    let mut toc = Toc::open(toc).map_err(odd)?;
    let mut place = 0;
    while let Some(seen) = toc.next(Seen::of).map_err(odd)? {
        let is_asked_for = selection.asks_for(place);
        place += 1;
        let privileges = match seen {
            Seen::Other => continue,
            _ if !is_asked_for => continue,
            Seen::Objects { id, numbers } => {
                objects = Some((id, numbers));
                continue;
            }
            Seen::Privileges(privileges) => privileges,
        };
        let group = objects
            .as_ref()
            .filter(|(id, _)| Some(*id) == privileges.depends_on)
            .map(|(_, numbers)| &numbers[..]);
        for statement in left_out.judged(&privileges, roles) {
            let Some(all) = repeated(&privileges, &statement, group) else {
                left_out.odd.insert(privileges.name.clone());
                continue;
            };
            for some in all.chunks(AT_ONCE) {
                match session.run(some.join(";\n")).await {
                    Ok(()) => given += some.len() as u64,
                    Err(error) if is_denied(&error) => {
                        left_out.denied.insert(privileges.name.clone());
                    }
                    Err(error) => {
                        let doing = format!("give privileges on {}", privileges.name);
                        return Err(server(&doing, &error));
                    }
                }
            }
        }
    }
    if given > 0 {
        log::say(format_args!(
            "gave privileges: {}",
            several(given, "statement")
        ));
    }
    Ok(left_out.sentences())
}

/// The statement, for each object that it is about; nothing if that cannot be told.
fn repeated(
    privileges: &Privileges,
    statement: &[u8],
    group: Option<&[u8]>,
) -> Option<Vec<String>> {
    if privileges.name.starts_with(OF_A_GROUP) {
        return for_each(statement, group?);
    }
    Some(vec![String::from_utf8_lossy(statement).into_owned()])
}

fn is_denied(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some(DENIED)
}

impl LeftOut {
    /// The statements of an entry that are run.
    fn judged(&mut self, privileges: &Privileges, roles: Roles<'_>) -> Vec<Vec<u8>> {
        let mut run = Vec::new();
        for statement in statements(&privileges.definition) {
            match judge(statement, roles) {
                Verdict::Runs => run.push(statement.to_vec()),
                Verdict::RunsAs(other) => run.push(other),
                Verdict::OfFormerOwner => {}
                Verdict::OfOther(role) => {
                    self.others.insert(text(role.as_bytes()));
                }
                Verdict::Odd => {
                    self.odd.insert(privileges.name.clone());
                }
            }
        }
        run
    }

    /// A sentence each.
    fn sentences(&self) -> Vec<String> {
        [
            (
                "privileges of roles that are not of this database",
                &self.others,
            ),
            ("privileges in another form than pg_dump's", &self.odd),
            // An extension's, or the server's own.
            (
                "privileges on what an administrator made, who alone can give them",
                &self.denied,
            ),
        ]
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("{what}: {}", listed(names)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_large_objects_is_not_taken_for_one() {
        let of = |name: &str| Privileges {
            definition: Vec::new(),
            name: name.to_owned(),
            depends_on: Some(1),
        };
        let statement = b"GRANT SELECT ON LARGE OBJECT 7 TO reader";
        let repeated = |name, group| repeated(&of(name), statement, group);
        let one = repeated("LARGE OBJECT 7", None);
        assert_eq!(
            one,
            Some(vec![String::from_utf8_lossy(statement).into_owned()])
        );
        let group = repeated("LARGE OBJECTS 7..8", Some(b"7\n8\n"));
        assert_eq!(
            group.unwrap()[1],
            "GRANT SELECT ON LARGE OBJECT 8 TO reader"
        );
        // Which ones it is about is not known.
        assert_eq!(repeated("LARGE OBJECTS 7..8", None), None);
    }

    #[test]
    fn what_was_not_given_is_told() {
        let mut left_out = LeftOut::default();
        assert_eq!(left_out.sentences(), [""; 0]);
        let privileges = Privileges {
            definition:
                b"GRANT ALL ON TABLE t TO orders;\nGRANT ALL ON TABLE t TO a;\nDROP TABLE t;\n"
                    .to_vec(),
            name: "TABLE t".to_owned(),
            depends_on: None,
        };
        let roles = Roles {
            owner: "orders",
            former: None,
            others: &[],
        };
        let run = left_out.judged(&privileges, roles);
        assert_eq!(run, [b"GRANT ALL ON TABLE t TO orders".to_vec()]);
        left_out.denied.insert("FUNCTION f()".to_owned());
        let said = left_out.sentences();
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[2].ends_with(": FUNCTION f()"), "{said:?}");
    }
}
