//! The API server's audit log: what a user asked for.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::PathBuf;

use serde::Deserialize;

use crate::cluster::Cluster;
use crate::operator::DEPLOYMENT;
use crate::servers::OPERATOR_NAMESPACE;
use crate::{Error, Result};

/// A place in the audit log, from which it is read on.
pub struct Audit {
    path: PathBuf,
    /// Whose requests are read.
    user: String,
    /// Only lines with this text are.
    mentioning: String,
    offset: u64,
}

/// What the log has of a request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    stage: String,
    user: User,
    object_ref: Option<Object>,
    response_status: Option<Status>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    /// As in a rule: `get`, `list`, …
    pub verb: String,
    /// RFC 3339 in UTC, so that their order is that of their letters.
    #[serde(default)]
    pub request_received_timestamp: String,
}

/// What a request is about. A field is empty where it has none.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Object {
    /// The API group; empty for the core's.
    pub api_group: String,
    resource: String,
    subresource: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

#[derive(Debug, Deserialize)]
struct User {
    username: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    code: Option<u16>,
}

impl Audit {
    /// From its beginning, for requests of this user.
    #[must_use]
    pub fn new(path: PathBuf, user: String) -> Self {
        Self {
            path,
            user,
            mentioning: String::new(),
            offset: 0,
        }
    }

    /// From its beginning, for requests of the operator in the cluster.
    #[must_use]
    pub fn of_operator(cluster: &Cluster) -> Self {
        let user = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{DEPLOYMENT}");
        Self::new(cluster.audit_log(), user)
    }

    /// Only what has this text somewhere: the rest need not be understood.
    #[must_use]
    pub fn mentioning(self, text: &str) -> Self {
        Self {
            mentioning: text.to_owned(),
            ..self
        }
    }

    /// What was added since the last call, up to the last whole line.
    pub fn advance(&mut self) -> Result<Vec<Entry>> {
        let failed = || Error::io("read", &self.path);
        let mut file = std::fs::File::open(&self.path).map_err(failed())?;
        file.seek(SeekFrom::Start(self.offset)).map_err(failed())?;
        let mut file = BufReader::new(file);
        let (mut line, mut entries, mut read) = (String::new(), Vec::new(), 0);
        loop {
            line.clear();
            let length = file.read_line(&mut line).map_err(failed())?;
            if !line.ends_with('\n') {
                break;
            }
            read += u64::try_from(length).unwrap_or_default();
            entries.extend(self.entry(&line));
        }
        self.offset += read;
        Ok(entries)
    }

    fn entry(&self, line: &str) -> Option<Entry> {
        if !line.contains(&self.user) || !line.contains(&self.mentioning) {
            return None;
        }
        let entry: Entry = serde_json::from_str(line).ok()?;
        (entry.user.username == self.user).then_some(entry)
    }
}

impl Entry {
    /// Whether the answer was complete. Each request has a line for other stages, too.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.stage == "ResponseComplete"
    }

    /// What it is about, where it is about objects.
    #[must_use]
    pub fn object(&self) -> Option<&Object> {
        self.object_ref.as_ref()
    }

    /// Whether it writes.
    #[must_use]
    pub fn is_write(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch")
    }

    /// Whether the API server did it.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        let status = self.response_status.as_ref();
        status
            .and_then(|status| status.code)
            .is_some_and(|code| code < 400)
    }

    /// Whether the authorizer said no.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        let decision = self.annotations.get("authorization.k8s.io/decision");
        decision.is_some_and(|decision| decision == "forbid")
    }
}

impl Object {
    /// As in a rule, with its subresource: `databases/status`.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.clone()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }

    /// The resource alone: `databases`.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.resource
    }
}
