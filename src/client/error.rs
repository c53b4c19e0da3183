//! How a request to the Kubernetes API fails, and what follows from that.

use kube::core::Status;

/// Why the Kubernetes API did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// A request failed.
    #[error("cannot {doing}: {}", explain(.source))]
    Failed {
        /// What was being done: a verb and its object, as in "write the status".
        doing: &'static str,
        /// What the client says.
        source: Box<kube::Error>,
    },
    /// An object cannot be written as JSON. It is the operator's fault.
    #[error("cannot {doing}: {source}; please report this")]
    Encode {
        /// What was being done.
        doing: &'static str,
        /// What does not fit.
        source: serde_json::Error,
    },
    /// The object changed between being read and being written. It is read again.
    #[error("cannot {doing}: the object has changed meanwhile")]
    Changed {
        /// What was being done.
        doing: &'static str,
    },
}

impl ApiError {
    /// Turns a client's error into ours; to be used with `map_err`.
    pub fn of(doing: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| match status(&source) {
            Some(status) if status.code == 409 && !status.is_already_exists() => {
                Self::Changed { doing }
            }
            Some(_) | None => Self::Failed {
                doing,
                source: Box::new(source),
            },
        }
    }

    /// The HTTP status, if it was the API server that refused.
    #[must_use]
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Failed { source, .. } => status(source).map(|status| status.code),
            Self::Changed { .. } => Some(409),
            Self::Encode { .. } => None,
        }
    }

    /// Whether the API server answered with an object that cannot be read.
    fn is_unreadable(&self) -> bool {
        matches!(self, Self::Failed { source, .. } if matches!(**source, kube::Error::SerdeError(_)))
    }

    /// A stable `CamelCase` word.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Failed { .. } => match self.code() {
                Some(401 | 403) => "ApiServerForbids",
                Some(404) => "NotFound",
                Some(429 | 500..) => "ApiServerBusy",
                Some(_) => "ApiServerRefused",
                None if self.is_unreadable() => "Unreadable",
                None => "ApiServerUnreachable",
            },
            Self::Encode { .. } => "InternalError",
            Self::Changed { .. } => "ObjectChanged",
        }
    }

    /// Whether the API server understood and refuses what it was sent (a quota, a policy, a field that cannot be so), so
    /// that a person has to change something.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let Self::Failed { source, .. } = self else {
            return false;
        };
        status(source).is_some_and(|status| match status.code {
            // A namespace that goes takes its objects along.
            403 => !has_cause(status, "NamespaceTerminating"),
            401 | 404 | 408 | 409 | 410 | 429 => false,
            code => (400..500).contains(&code),
        })
    }

    /// Whether the request is refused for good: by a quota, an admission, or because the namespace goes. What the operator
    /// itself may not do is mended by its administrators.
    #[must_use]
    pub fn is_final_refusal(&self) -> bool {
        let Self::Failed { source, .. } = self else {
            return false;
        };
        status(source).is_some_and(|status| {
            matches!(status.code, 400 | 403 | 422) && !is_unauthorized(&status.message)
        })
    }

    /// Whether a retry may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            // The API server understood, and refuses what it was sent.
            Self::Failed { .. } => !matches!(self.code(), Some(400 | 422)),
            Self::Encode { .. } => false,
            Self::Changed { .. } => true,
        }
    }
}

/// What the API server said, if it was it that refused.
fn status(error: &kube::Error) -> Option<&Status> {
    match error {
        kube::Error::Api(status) => Some(status),
        _ => None,
    }
}

fn has_cause(status: &Status, reason: &str) -> bool {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    causes.into_iter().any(|cause| cause.reason == reason)
}

/// Whether the operator lacks a permission, as its authorizer says it. A quota and a policy forbid in other words.
fn is_unauthorized(message: &str) -> bool {
    message.contains("User \"") && message.contains(" cannot ")
}

fn explain(error: &kube::Error) -> String {
    match status(error) {
        Some(status) if status.code == 403 && is_unauthorized(&status.message) => format!(
            "{} (compare the operator's ClusterRole with kustomize/base/rbac.yaml)",
            status.message
        ),
        Some(status) => status.message.clone(),
        None => match error {
            // What is wrong with it may be a line of a Secret.
            kube::Error::SerdeError(source) => format!(
                "what the API server answered cannot be read (line {}, column {}): somebody wrote what db-operator does not \
                 know into that object",
                source.line(),
                source.column()
            ),
            _ => format!("the API server cannot be asked: {error}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, reason: &str) -> ApiError {
        let status = Status {
            code,
            reason: reason.to_owned(),
            ..Status::default()
        };
        ApiError::of("try it")(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn answers_have_reasons() {
        for (code, reason, retryable) in [
            (403, "ApiServerForbids", true),
            (404, "NotFound", true),
            (409, "ObjectChanged", true),
            (422, "ApiServerRefused", false),
            (429, "ApiServerBusy", true),
            (503, "ApiServerBusy", true),
        ] {
            let error = refused(code, "");
            assert_eq!(error.reason(), reason, "{code}");
            assert_eq!(error.is_retryable(), retryable, "{code}");
        }
    }

    /// Who is sent to the operator's ClusterRole finds the fault there.
    #[test]
    fn only_a_missing_permission_is_the_operators_role() {
        let said = |message: &str| {
            let status = Status {
                code: 403,
                message: message.to_owned(),
                ..Status::default()
            };
            ApiError::of("write it")(kube::Error::Api(Box::new(status))).to_string()
        };
        let rbac = r#"secrets "x" is forbidden: User "system:serviceaccount:db-operator:db-operator" cannot patch resource "secrets" in API group "" in the namespace "team-a""#;
        assert!(said(rbac).contains("rbac.yaml"));
        let quota = r#"secrets "x" is forbidden: exceeded quota: none, requested: count/secrets=1, used: count/secrets=0, limited: count/secrets=0"#;
        assert!(!said(quota).contains("rbac.yaml"));
    }

    #[test]
    fn a_refusal_is_what_a_person_has_to_mend() {
        for (code, refusal) in [
            (400, true),
            (401, false),
            (403, true),
            (404, false),
            (409, false),
            (413, true),
            (422, true),
            (429, false),
            (500, false),
        ] {
            assert_eq!(refused(code, "").is_refusal(), refusal, "{code}");
        }
        let going = serde_json::json!({"code": 403, "status": "Failure", "message": "", "reason": "Forbidden",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]}});
        let going: Status = serde_json::from_value(going).unwrap();
        assert!(!ApiError::of("try")(kube::Error::Api(Box::new(going))).is_refusal());
    }

    #[test]
    fn an_object_that_cannot_be_read_is_no_fault_of_the_way_to_the_api_server() {
        let broken = serde_json::from_str::<u8>("\"secret\"").unwrap_err();
        let error = ApiError::of("read the Secret")(kube::Error::SerdeError(broken));
        assert_eq!(error.reason(), "Unreadable");
        let text = error.to_string();
        assert!(text.starts_with("cannot read the Secret: what"), "{text}");
        assert!(!text.contains("\"secret\""), "{text}");
    }

    #[test]
    fn what_exists_already_has_not_changed() {
        assert_eq!(refused(409, "AlreadyExists").reason(), "ApiServerRefused");
    }
}
