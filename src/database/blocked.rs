//! Why a pass over a Database could not do what it was about, in the words of its conditions.

use crate::api::{DatabaseReason, Outcome, Reason};
use crate::client::ApiError;
use crate::controller::{self, Error};
use crate::credentials::CredentialsError;
use crate::provider::ProviderError;
use crate::server::ServerError;

/// Why a pass over a Database could not do what it was about.
pub(super) type Blocked = controller::Blocked<DatabaseReason>;

impl From<Error> for Blocked {
    fn from(error: Error) -> Self {
        Self::retried(DatabaseReason::ServerError, error.to_string(), error)
    }
}

impl From<ApiError> for Blocked {
    fn from(error: ApiError) -> Self {
        Error::Api(error).into()
    }
}

impl From<ServerError> for Blocked {
    fn from(error: ServerError) -> Self {
        let reason = match error.provider() {
            Some(ProviderError::NotPermitted { .. }) => DatabaseReason::MissingPrivileges,
            Some(ProviderError::Unsupported(_)) => DatabaseReason::Unsupported,
            Some(ProviderError::InTheWay(_)) => DatabaseReason::InTheWay,
            Some(
                ProviderError::Unreachable { .. }
                | ProviderError::Tls { .. }
                | ProviderError::TlsRequired { .. }
                | ProviderError::LoginRefused { .. }
                | ProviderError::TooManyConnections { .. }
                | ProviderError::ReadOnly { .. }
                | ProviderError::IdentityChanged { .. },
            )
            | None => DatabaseReason::InstanceNotReady,
            Some(ProviderError::InDatabase { .. }) => DatabaseReason::DatabaseError,
            Some(
                ProviderError::Timeout { .. }
                | ProviderError::AllInUse { .. }
                | ProviderError::Busy { .. }
                | ProviderError::ClaimMoved { .. }
                | ProviderError::Unexpected { .. }
                | ProviderError::Superseded { .. }
                | ProviderError::NotLeading,
            ) => DatabaseReason::ServerError,
        };
        let message = error.to_string();
        if reason.outcome() == Outcome::Stalled {
            Self::new(reason, message)
        } else {
            Self::retried(reason, message, error)
        }
    }
}

impl From<CredentialsError> for Blocked {
    fn from(error: CredentialsError) -> Self {
        let message = error.to_string();
        let reason = match error {
            CredentialsError::Api(error) => return error.into(),
            // What the API server refuses stays refused until a person changes something: a quota, a policy, what is
            // asked for.
            CredentialsError::NotWritten { source, exists } if source.is_refusal() => {
                return Self {
                    // The Secret that is there still works.
                    breaks: !exists,
                    ..Self::new(DatabaseReason::SecretRefused, message)
                };
            }
            CredentialsError::NotWritten { source, .. } => return source.into(),
            CredentialsError::Foreign { .. } => DatabaseReason::SecretNotOurs,
            // Trying again does not change it.
            CredentialsError::Password { .. } => DatabaseReason::PasswordUnusable,
            CredentialsError::Template(_) => DatabaseReason::InvalidTemplate,
            CredentialsError::Immutable { .. } => DatabaseReason::SecretRefused,
        };
        Self::new(reason, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_inside_a_database_does_not_point_at_its_instance() {
        let server = "db.example:5432".to_owned();
        let failed = |source| {
            Blocked::from(ServerError::Failed {
                instance: "main".to_owned(),
                source,
            })
        };
        let read_only = ProviderError::ReadOnly { server };
        let blocked = failed(read_only.clone().in_database("orders"));
        assert_eq!(blocked.reason, DatabaseReason::DatabaseError);
        assert!(blocked.retry.is_some(), "it is tried again");
        assert!(
            blocked.message.starts_with("database \"orders\": "),
            "{}",
            blocked.message
        );
        assert!(!blocked.message.contains("main"), "{}", blocked.message);
        let blocked = failed(read_only);
        assert_eq!(blocked.reason, DatabaseReason::InstanceNotReady);
        assert!(
            blocked.message.starts_with("instance main: "),
            "{}",
            blocked.message
        );
    }

    fn not_written(code: u16, reason: &str, message: &str, exists: bool) -> Blocked {
        let status = kube::core::Status {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..kube::core::Status::default()
        };
        let source = ApiError::of("write the Secret")(kube::Error::Api(Box::new(status)));
        CredentialsError::NotWritten { source, exists }.into()
    }

    #[test]
    fn what_a_person_has_to_change_is_not_tried_again_by_itself() {
        let quota =
            "secrets \"orders\" is forbidden: exceeded quota: none, requested: count/secrets=1";
        for (code, reason, message, refused) in [
            (403, "Forbidden", quota, true),
            (
                422,
                "Invalid",
                "data: Forbidden: field is immutable when `immutable` is set",
                true,
            ),
            (
                400,
                "BadRequest",
                "admission webhook denied the request",
                true,
            ),
            (409, "AlreadyExists", "", false),
            (500, "InternalError", "failed calling webhook", false),
            (503, "ServiceUnavailable", "", false),
        ] {
            for exists in [false, true] {
                let blocked = not_written(code, reason, message, exists);
                assert_eq!(blocked.retry.is_none(), refused, "{code}");
                if refused {
                    assert_eq!(blocked.reason, DatabaseReason::SecretRefused);
                    assert!(blocked.is_final());
                    assert_eq!(blocked.breaks, !exists);
                    assert!(blocked.message.contains(message), "{}", blocked.message);
                    assert!(!blocked.message.contains("rbac"), "{}", blocked.message);
                }
            }
        }
    }

    #[test]
    fn an_unusable_password_is_said_with_its_limit_and_what_to_do() {
        let unusable =
            crate::provider::password::too_long(crate::provider::Flavour::Mysql, 120_000);
        let name = "orders".to_owned();
        let blocked = Blocked::from(CredentialsError::Password { name, unusable });
        assert!(blocked.is_final());
        assert!(blocked.retry.is_none());
        for part in ["Secret orders", "120000", "at most 255"] {
            assert!(blocked.message.contains(part), "{}", blocked.message);
        }
    }
}
