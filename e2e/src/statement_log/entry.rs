//! What a server writes down, whichever it is.

/// One thing that happened in one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The server's number of the session: a process id, or a connection's.
    pub(super) session: u64,
    pub(super) what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// It began, by this user. Only PostgreSQL knows the name that a client gives itself.
    Login { user: String, client: String },
    /// The server was told to do something, and what that means to the fence.
    Statement { text: String, act: Act },
    /// It ended. Not every server says so.
    End,
}

/// What a statement means to the fence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// The epoch of a cluster is raised to this, unless it has moved.
    Raise { cluster: String, epoch: i64 },
    /// The session is registered under an epoch, if that still stands.
    Register { cluster: String, epoch: i64 },
    /// The same for another session, which has this name.
    RegisterVisit {
        cluster: String,
        epoch: i64,
        client: String,
    },
    /// It asks for the epoch of this cluster, or something of that kind that writes nothing.
    Look { cluster: Option<String> },
    /// The session's settings are pinned, as the operator does it on MySQL and MariaDB.
    Pin,
    /// It reads. Only on MySQL and MariaDB is that told from a change, for sessions that never register.
    Read,
    /// Anything else.
    Other,
}

/// What stands between single quotes in a text.
pub(super) fn quoted(text: &str) -> Vec<&str> {
    text.split('\'').skip(1).step_by(2).collect()
}
