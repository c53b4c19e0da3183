//! What the operator asked of the API server, from the audit log.

use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use crate::{Error, Result};

/// A place in the audit log, from which it is read on.
pub(super) struct Audit {
    path: PathBuf,
    /// Whose requests are counted.
    user: String,
    offset: u64,
}

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

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    stage: String,
    verb: String,
    user: User,
    object_ref: Option<ObjectRef>,
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct ObjectRef {
    resource: Option<String>,
}

#[derive(Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Audit {
    pub(super) fn new(path: PathBuf, user: String) -> Self {
        Self {
            path,
            user,
            offset: 0,
        }
    }

    /// Counts what was added since the last call, up to the last whole line.
    pub(super) fn advance(&mut self) -> Result<Requests> {
        let mut added = String::new();
        let mut file = std::fs::File::open(&self.path).map_err(Error::io("open", &self.path))?;
        file.seek(SeekFrom::Start(self.offset))
            .and_then(|_| file.read_to_string(&mut added))
            .map_err(Error::io("read", &self.path))?;
        let whole = added.rfind('\n').map_or(0, |end| end + 1);
        self.offset += u64::try_from(whole).unwrap_or_default();
        Ok(count(&added[..whole], &self.user))
    }
}

fn count(lines: &str, user: &str) -> Requests {
    let mut requests = Requests::default();
    let entries = lines
        .lines()
        .filter(|line| line.contains(user))
        .filter_map(|line| serde_json::from_str::<Entry>(line).ok())
        .filter(|entry| entry.stage == "ResponseComplete" && entry.user.username == user);
    for entry in entries {
        let resource = entry.object_ref.and_then(|object| object.resource);
        let code = entry.response_status.and_then(|status| status.code);
        match (entry.verb.as_str(), resource.as_deref()) {
            ("get" | "list" | "watch", _) => requests.reads += 1,
            (_, Some("leases")) => requests.leases += 1,
            (_, Some("events")) => requests.events += 1,
            (_, Some(_) | None) => {
                requests.writes += 1;
                requests.refused += u64::from(code.is_none_or(|code| code >= 400));
            }
        }
    }
    requests
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user: &str, verb: &str, resource: &str, code: u16) -> String {
        let entry = serde_json::json!({
            "stage": "ResponseComplete", "verb": verb, "user": {"username": user},
            "objectRef": {"resource": resource}, "responseStatus": {"code": code}});
        format!("{entry}\n")
    }

    #[test]
    fn requests_are_told_apart_and_others_left_out() {
        let log = [
            line("me", "get", "leases", 200),
            line("me", "patch", "databases", 200),
            line("me", "patch", "databases", 409),
            line("me", "create", "events", 201),
            line("me", "patch", "leases", 200),
            line("memory", "patch", "databases", 200),
        ];
        let expected = Requests {
            reads: 1,
            writes: 2,
            refused: 1,
            leases: 1,
            events: 1,
        };
        assert_eq!(count(&log.concat(), "me"), expected);
    }
}
