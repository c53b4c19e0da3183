//! Telling people what was done, where `kubectl describe` shows it.

use kube::Resource;
use kube::runtime::events::{Event, EventType};

use crate::telemetry::events::Events;

/// The most bytes of an Event's note.
const NOTE_LIMIT: usize = 1024;

/// Records an Event about an object. Never fails: in a namespace that is going there are no Events.
pub async fn record<K: Resource<DynamicType = ()>>(
    events: &Events,
    about: &K,
    action: &'static str,
    kind: EventType,
    reason: &str,
    note: String,
) {
    tracing::info!(reason, note, "event");
    let event = Event {
        type_: kind,
        reason: reason.to_owned(),
        note: Some(shortened(note)),
        action: action.to_owned(),
        secondary: None,
    };
    if let Err(error) = events.publish(&event, &about.object_ref(&())).await {
        tracing::debug!(%error, "an Event was not published");
    }
}

/// A note that is not too long for the API server, cut between characters.
fn shortened(mut note: String) -> String {
    if note.len() > NOTE_LIMIT {
        note.truncate(note.floor_char_boundary(NOTE_LIMIT - '…'.len_utf8()));
        note.push('…');
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_characters() {
        assert_eq!(shortened("short".to_owned()), "short");
        let whole = "x".repeat(NOTE_LIMIT);
        assert_eq!(shortened(whole.clone()), whole);
        let long = shortened("ä".repeat(NOTE_LIMIT));
        assert!(long.len() <= NOTE_LIMIT && long.ends_with("ä…"), "{long}");
    }
}
