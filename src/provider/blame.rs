//! Whose fault it is that a session inside one database, or as its user, failed.

use super::{ProviderError, SqlName};

/// Decides whose fault an error inside a database is. Its owners can set what ends sessions, and hold locks that a
/// login waits for. So it is the server's fault only if the server does not answer outside of the database either.
pub(super) fn blame(
    database: &SqlName,
    inside: ProviderError,
    outside: Option<ProviderError>,
) -> ProviderError {
    match (inside, outside) {
        (_, Some(outside)) if outside.is_server_down() || outside.ends_process() => outside,
        // No one inside the database can cause these, whatever they may do there.
        (
            inside @ (ProviderError::LoginRefused { .. }
            | ProviderError::Tls { .. }
            | ProviderError::TooManyConnections { .. }),
            _,
        ) => inside,
        (inside, _) => inside.in_database(database.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Sign;

    fn unreachable() -> ProviderError {
        ProviderError::Unreachable {
            server: "host:1".to_owned(),
            detail: "it hung up".to_owned(),
        }
    }

    #[test]
    fn what_fails_inside_only_is_the_databases() {
        let database = SqlName::new("orders").unwrap();
        let error = blame(&database, unreachable(), None);
        assert_eq!(error.sign(), Sign::Nothing);
        let text = error.to_string();
        assert!(
            text.contains("database \"orders\"") && text.contains("it hung up"),
            "{text}"
        );
        assert!(!text.contains("spec.host"), "{text}");

        let busy = ProviderError::AllInUse {
            limit: std::time::Duration::ZERO,
        };
        let error = blame(&database, unreachable(), Some(busy));
        assert_eq!(error.sign(), Sign::Nothing);
    }

    #[test]
    fn what_fails_outside_too_is_the_servers() {
        let database = SqlName::new("orders").unwrap();
        let superseded = ProviderError::Superseded {
            mine: Some(1),
            newer: 2,
        };
        for outside in [unreachable(), superseded] {
            assert_eq!(
                blame(&database, unreachable(), Some(outside.clone())),
                outside
            );
        }
    }
}
