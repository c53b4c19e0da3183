//! What came of a call: what was changed, how a login went, how far a removal got.

/// Something that differed and is now as desired: one sentence for an Event, such as `owner was legacy, is orders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change(pub String);

/// How a login as the database's own user went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Login {
    /// The credentials work.
    Accepted,
    /// The credentials work, but the role already has as many sessions as it may have.
    AtConnectionLimit,
    /// The server refused the user or the password.
    Refused(String),
    /// Wrong passwords, from anyone, have blocked the user: the server refuses the right one, too. Setting the password that it
    /// has ends that.
    Blocked(String),
    /// The server lets this user in by no password: a rule of its own for who may log in from where, and how (`pg_hba.conf`).
    Barred(String),
    /// The user and password work, but not for this database: it is missing, or the user has no privilege on it.
    NoDatabase(String),
    /// The user and password work, and the server then ends the session before its first statement. Says why.
    Ended(String),
    /// No client can log in with this password, whatever the server stores. Says why, without showing the password.
    Unusable(String),
}

/// How far a removal got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// Everything that was to be removed is gone.
    Done,
    /// Something is in the way. A sentence names it and says what to do; repeat the call.
    Blocked(String),
    /// Everything is gone except the role, because objects of others that we may not remove depend on it. The role can
    /// no longer do anything, and the provider drops it as soon as it can. Its claim has to be kept as released, so
    /// that no one gets the name by surprise. Says what is left, and what removes it.
    LeftOver(String),
}
