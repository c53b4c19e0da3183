//! Why a watch failed, in words. Pure.

use std::error::Error;

use kube::core::Status;
use kube::runtime::watcher;

use crate::causes;

/// The API server's own words where it has spoken, and what to do about the usual causes; otherwise all that the client
/// knows. Never empty.
pub(super) fn text(error: &watcher::Error) -> String {
    match status(error) {
        Some(status) => answer(status),
        None => with_causes(error),
    }
}

fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => None,
    }
}

fn answer(status: &Status) -> String {
    let hint = match status.code {
        404 => " (are the CustomResourceDefinitions installed? kubectl apply -k kustomize/crds)",
        403 => " (compare the operator's ClusterRole with kustomize/base/rbac.yaml)",
        _ => "",
    };
    // Not every answer has words: a proxy's, or that of an API server that just begins.
    let (code, reason, message) = (status.code, &status.reason, &status.message);
    match (message.is_empty(), reason.is_empty()) {
        (false, _) => format!("{message}{hint}"),
        (true, false) => format!("the API server answered {code} {reason}{hint}"),
        (true, true) => format!("the API server answered {code}{hint}"),
    }
}

/// An error and what caused it. Some errors say nothing.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let text = causes::in_words(error);
    if text.trim().is_empty() {
        format!("{error:?}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: u16, reason: &str, message: &str) -> String {
        let status = Status {
            code,
            reason: reason.to_owned(),
            message: message.to_owned(),
            ..Status::default()
        };
        text(&watcher::Error::InitialListFailed(kube::Error::Api(
            Box::new(status),
        )))
    }

    #[test]
    fn an_answer_without_words_is_named_by_its_number() {
        assert_eq!(refused(410, "Expired", "too old"), "too old");
        assert_eq!(
            refused(503, "", ""),
            "the API server answered 503",
            "an empty text says nothing"
        );
        let forbidden = refused(403, "Forbidden", "");
        assert!(
            forbidden.starts_with("the API server answered 403 Forbidden (compare"),
            "{forbidden}"
        );
    }

    #[test]
    fn all_causes_are_told_and_each_once() {
        let broken = serde_json::from_str::<u8>("x").unwrap_err();
        let why = broken.to_string();
        let told = text(&watcher::Error::InitialListFailed(kube::Error::SerdeError(
            broken,
        )));
        assert_eq!(told.matches(&why).count(), 1, "{told}");

        let cause = std::io::Error::other("connection reset");
        let service = kube::Error::Service(Box::new(cause));
        let told = text(&watcher::Error::WatchStartFailed(service));
        assert!(told.contains("connection reset"), "{told}");
    }
}
