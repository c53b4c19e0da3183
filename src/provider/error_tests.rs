use super::*;

const SERVER: &str = "db.example:5432";

/// Errors of a server that is down, full or read-only.
fn of_a_server() -> Vec<ProviderError> {
    let (server, detail) = (SERVER.to_owned(), "its words".to_owned());
    vec![
        ProviderError::Unreachable {
            server: server.clone(),
            detail: detail.clone(),
        },
        ProviderError::Tls {
            server: server.clone(),
            detail: detail.clone(),
        },
        ProviderError::LoginRefused {
            server: server.clone(),
            detail: detail.clone(),
        },
        ProviderError::TooManyConnections {
            server: server.clone(),
            detail,
        },
        ProviderError::ReadOnly { server },
        ProviderError::Timeout {
            doing: "look at the schemas".to_owned(),
            limit: Duration::from_secs(60),
        },
    ]
}

#[test]
fn a_databases_fault_says_nothing_of_the_server() {
    for error in of_a_server() {
        assert!(error.is_server_down(), "{error}");
        let inside = error.clone().in_database("app");
        assert_eq!(inside.sign(), Sign::Nothing, "{inside}");
        assert!(!inside.is_server_down() && inside.is_retryable());
        assert_eq!(inside.category(), "InDatabase");
        let text = inside.to_string();
        assert!(text.starts_with("database \"app\": "), "{text}");
        for lie in [SERVER, "spec.", "primary", "administrator"] {
            assert!(!text.contains(lie), "{text}");
        }
        assert_eq!(*inside.cause(), error);
        assert_eq!(inside.clone().in_database("app"), inside);
    }
}

#[test]
fn what_the_server_answered_inside_is_an_answer() {
    let busy = ProviderError::Busy {
        doing: "create the schema".to_owned(),
        detail: "a lock".to_owned(),
    };
    let inside = busy.in_database("app");
    assert_eq!((inside.sign(), inside.category()), (Sign::Answers, "Busy"));
}

#[test]
fn what_is_true_everywhere_keeps_its_meaning_inside() {
    let changed = ProviderError::IdentityChanged {
        known: "one".to_owned(),
        found: "two".to_owned(),
    };
    let superseded = ProviderError::Superseded {
        mine: Some(1),
        newer: 2,
    };
    for error in [
        changed.clone(),
        superseded.clone(),
        ProviderError::NotLeading,
        ProviderError::Unsupported("why".to_owned()),
    ] {
        assert_eq!(error.clone().in_database("app"), error);
        // Also if it was wrapped without `in_database`.
        let inside = ProviderError::InDatabase {
            database: "app".to_owned(),
            source: Box::new(error.clone()),
        };
        assert_eq!(inside.sign(), error.sign());
        assert_eq!(inside.ends_process(), error.ends_process());
        assert_eq!(inside.is_retryable(), error.is_retryable());
        assert_eq!(inside.category(), error.category());
    }
    assert!(superseded.ends_process() && changed.is_server_down());
}
