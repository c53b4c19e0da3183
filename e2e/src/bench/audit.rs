//! How often the operator asked the API server, from the audit log.

use std::path::PathBuf;

use crate::Result;
use crate::audit::{self, Entry};

/// A place in the audit log, from which requests are counted.
pub(super) struct Audit(audit::Audit);

/// Requests of one user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Requests {
    /// GET and LIST, and watches that ended.
    pub(super) reads: u64,
    /// What was written, leases and Events apart.
    pub(super) writes: u64,
    /// Writes that the API server refused, among those.
    pub(super) refused: u64,
    /// Writes of leases.
    pub(super) leases: u64,
    /// Writes of Events.
    pub(super) events: u64,
}

impl Audit {
    pub(super) fn new(path: PathBuf, user: String) -> Self {
        Self(audit::Audit::new(path, user))
    }

    /// Counts what was added since the last call, up to the last whole line.
    pub(super) fn advance(&mut self) -> Result<Requests> {
        Ok(count(&self.0.advance()?))
    }
}

fn count(entries: &[Entry]) -> Requests {
    let mut requests = Requests::default();
    for entry in entries.iter().filter(|entry| entry.is_complete()) {
        match entry.object().map(audit::Object::kind) {
            _ if !entry.is_write() => requests.reads += 1,
            Some("leases") => requests.leases += 1,
            Some("events") => requests.events += 1,
            Some(_) | None => {
                requests.writes += 1;
                requests.refused += u64::from(!entry.succeeded());
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use std::io::Write;

    use super::*;

    fn line(user: &str, verb: &str, resource: &str, code: u16) -> String {
        let entry = serde_json::json!({
            "stage": "ResponseComplete", "verb": verb, "user": {"username": user},
            "objectRef": {"resource": resource}, "responseStatus": {"code": code}});
        format!("{entry}\n")
    }

    #[test]
    fn requests_are_told_apart_and_others_left_out_and_half_a_line_waits() {
        let path = std::env::temp_dir().join(format!("audit-test-{}", std::process::id()));
        let mut log = std::fs::File::create(&path).unwrap();
        let mut audit = Audit::new(path.clone(), "me".to_owned());
        let lines = [
            line("me", "get", "leases", 200),
            line("me", "patch", "databases", 200),
            line("me", "patch", "databases", 409),
            line("me", "create", "events", 201),
            line("me", "patch", "leases", 200),
            line("memory", "patch", "databases", 200),
        ];
        let half = line("me", "list", "databases", 200);
        let (half, rest) = half.split_at(20);
        log.write_all((lines.concat() + half).as_bytes()).unwrap();
        let expected = Requests {
            reads: 1,
            writes: 2,
            refused: 1,
            leases: 1,
            events: 1,
        };
        assert_eq!(audit.advance().unwrap(), expected);
        assert_eq!(audit.advance().unwrap(), Requests::default());
        log.write_all(rest.as_bytes()).unwrap();
        let reads = audit.advance().unwrap().reads;
        std::fs::remove_file(&path).unwrap();
        assert_eq!(reads, 1);
    }
}
