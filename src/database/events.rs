//! Telling people what was done, where `kubectl describe` shows it.

use kube::Resource;
use kube::runtime::events::{Event, EventType};

use super::pass::Pass;

/// The most bytes of an Event's note.
const NOTE_LIMIT: usize = 1024;

impl Pass<'_> {
    /// Tells a person what was done. Never fails: in a namespace that is going there are no Events.
    pub async fn tell(&self, kind: EventType, reason: &str, note: String) {
        tracing::info!(reason, note, "event");
        let event = Event {
            type_: kind,
            reason: reason.to_owned(),
            note: Some(shortened(note)),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = self
            .context
            .events
            .publish(&event, &self.database.object_ref(&()))
            .await
        {
            tracing::debug!(%error, "an Event was not published");
        }
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
