//! What a session of a database's own user shows, beside that a login works.

use super::{Login, MissingPrivilege};

/// Which objects of others a question about a database is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// All, in a database that someone else made.
    Everything,
    /// Those in schemas of its user, and in `public`: there, another one's are in the way.
    OwnSchemas,
    /// None.
    Nothing,
}

/// What of a database's objects its own user cannot use. At most five owners in each list, each with five names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inaccessible {
    /// What it cannot even read, each with the SQL that gives it to the user.
    pub unreadable: Vec<MissingPrivilege>,
    /// What it can read and not change, each with the SQL that allows it.
    pub read_only: Vec<MissingPrivilege>,
    /// There is something that it can read.
    pub reads_some: bool,
}

/// What came of a login that also looked around.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// How the login went.
    pub login: Login,
    /// What the user sees inside; `None` where it could not look, or where there is nothing to look at.
    pub inside: Option<Inside>,
}

/// What a database's own user sees inside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// A schema or an extension is not as it is wanted: [`super::Provider::ensure_contents`] says more.
    pub differs: bool,
    /// What the user cannot use.
    pub inaccessible: Inaccessible,
}

impl From<Login> for Probe {
    fn from(login: Login) -> Self {
        Self {
            login,
            inside: None,
        }
    }
}
