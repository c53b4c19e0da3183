//! Why a Job has no pod, in the words of the API server, which the Job's Events repeat. Pure.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;

/// An Event that is older says nothing of now. Of one that repeats itself, the API server hears every five minutes.
const RECENT: SignedDuration = SignedDuration::from_mins(6);
/// How long a Job may have no pod before a refusal for a reason is believed.
const REFUSED: SignedDuration = SignedDuration::from_secs(15);
/// The same, although nothing was refused: a webhook that does not answer, an API server with an internal error.
const FAILED: SignedDuration = SignedDuration::from_secs(90);

/// What the newest of these Events says, if it is about now.
#[must_use]
pub fn newest(events: Vec<Event>, now: Timestamp) -> Option<String> {
    let newest = events
        .into_iter()
        .max_by_key(|event| last_seen(event).unwrap_or(Timestamp::MIN))?;
    let recent = last_seen(&newest).is_none_or(|at| now.duration_since(at) < RECENT);
    newest.message.filter(|_| recent)
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0);
    series
        .or_else(|| event.last_timestamp.as_ref().map(|time| time.0))
        .or_else(|| event.event_time.as_ref().map(|time| time.0))
        .or_else(|| event.first_timestamp.as_ref().map(|time| time.0))
}

/// How long it may be passing.
#[must_use]
pub fn grace(said: &str) -> SignedDuration {
    // A quota, a limit, Pod Security; a webhook's own judgement.
    let judged = ["is forbidden", "exceeded quota", "denied the request"];
    let failed = ["failed calling webhook", "Internal error"];
    let contains = |words: &[&str]| words.iter().any(|word| said.contains(word));
    if contains(&judged) && !contains(&failed) {
        REFUSED
    } else {
        FAILED
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn event(message: &str, last: i64) -> Event {
        serde_json::from_value(json!({
            "metadata": {}, "involvedObject": {}, "message": message, "lastTimestamp": at(last)}))
        .unwrap()
    }

    #[test]
    fn the_newest_word_counts_while_it_is_new() {
        let events = || {
            vec![
                event("older", 1_000),
                event("newer", 1_100),
                event("old", 9),
            ]
        };
        assert_eq!(newest(events(), at(1_120)).as_deref(), Some("newer"));
        assert_eq!(newest(events(), at(1_459)).as_deref(), Some("newer"));
        assert_eq!(newest(events(), at(1_460)), None);
        assert_eq!(newest(Vec::new(), at(0)), None);
    }

    #[test]
    fn a_webhook_that_does_not_answer_is_waited_for_longer_than_a_quota() {
        for (said, expected) in [
            (
                "pods \"b\" is forbidden: exceeded quota: q, requested: pods=1",
                REFUSED,
            ),
            (
                "pods \"b\" is forbidden: violates PodSecurity \"restricted:latest\"",
                REFUSED,
            ),
            ("admission webhook \"w\" denied the request: no", REFUSED),
            (
                "Internal error occurred: failed calling webhook \"w\": connection refused",
                FAILED,
            ),
            (
                "the server was unable to return a response in the time allotted",
                FAILED,
            ),
        ] {
            assert_eq!(grace(said), expected, "{said}");
        }
    }
}
