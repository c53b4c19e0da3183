//! Kind and version of a server, and the one text that a Backup's status holds them in: `PostgreSQL 17.6`.

use std::fmt;

use crate::agent::protocol::task::Flavour;
use crate::store;

/// Kind and version of a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct ServerVersion {
    /// Which dump tool it needs.
    pub flavour: Flavour,
    /// Its version, as the server says it.
    pub version: String,
}

impl ServerVersion {
    /// Reads it from a status. Where that does not say the kind, the object's key does.
    #[must_use]
    pub(super) fn read(text: &str, key: &str) -> Self {
        let (kind, version) = text.split_once(' ').unwrap_or_default();
        let all = [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb];
        let named = all.into_iter().find(|flavour| flavour.name() == kind);
        let by_key = || {
            if key.ends_with(store::extension(Flavour::Mysql)) {
                Flavour::Mysql
            } else {
                Flavour::Postgresql
            }
        };
        Self {
            flavour: named.unwrap_or_else(by_key),
            version: version.to_owned(),
        }
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.flavour.name(), self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_status_says_is_what_was_written() {
        for flavour in [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb] {
            let written = ServerVersion {
                flavour,
                version: "11.8.2-MariaDB ubu2404".to_owned(),
            };
            assert_eq!(ServerVersion::read(&written.to_string(), ""), written);
        }
    }

    #[test]
    fn where_the_status_does_not_say_it_the_key_does() {
        let flavour = |key: &str| ServerVersion::read("", key).flavour;
        let sql = format!("orders{}", store::extension(Flavour::Mysql));
        assert_eq!(flavour(&sql), Flavour::Mysql);
        assert_eq!(flavour("orders.dump.zst"), Flavour::Postgresql);
    }
}
