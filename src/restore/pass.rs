//! What a pass over a Restore knows of it, beside what every pass knows of its object.

use jiff::{SignedDuration, Timestamp};
use kube::{Api, Client, ResourceExt};

use super::blocked::Blocked;
use crate::api::restore::{RestoreJobRef, RestoreTarget, RestoredFrom};
use crate::api::{
    Condition, Restore, RestoreReason, RestoreState, RestoreStatus, UNDO_REQUESTED_AT,
};
use crate::controller::{self, Error, Reports};

/// A Restore in the course of a pass.
pub(super) type Pass<'a> = controller::Pass<'a, Restore>;

impl Reports for Restore {
    const MANAGER: &'static str = "db-operator-restore";
    const ACTION: &'static str = "Restore";

    fn api(&self, client: &Client) -> Api<Self> {
        Api::namespaced(client.clone(), &self.namespace().unwrap_or_default())
    }

    fn reported(status: &mut RestoreStatus) -> (&mut Vec<Condition>, &mut Option<i64>) {
        (&mut status.conditions, &mut status.observed_generation)
    }

    fn has_ended(status: &RestoreStatus) -> Option<bool> {
        Some(status.state.is_some_and(RestoreState::is_terminal))
    }
}

impl Pass<'_> {
    /// Where it is in its life.
    pub(super) fn state(&self) -> Option<RestoreState> {
        self.object.state()
    }

    /// Where it goes, as it was persisted. A restore that began has a target, unless somebody edited its status.
    pub(super) fn target(&self) -> Result<RestoreTarget, Blocked> {
        let target = self.status().and_then(|status| status.target.clone());
        target.ok_or_else(|| edited("target"))
    }

    /// The backup that was chosen, as it was persisted.
    pub(super) fn source(&self) -> Result<RestoredFrom, Blocked> {
        let source = self.status().and_then(|status| status.source.clone());
        source.ok_or_else(|| edited("source"))
    }

    /// The Job that was created for it, as it was persisted.
    pub(super) fn job(&self) -> Option<&RestoreJobRef> {
        self.status()?.job.as_ref()
    }

    /// When it began.
    pub(super) fn started_at(&self) -> Timestamp {
        let begun = self.status().and_then(|status| status.started_at);
        begun.unwrap_or_else(Timestamp::now)
    }

    /// When one of the figures of its progress last grew, as it was persisted.
    pub(super) fn last_advance(&self) -> Option<Timestamp> {
        self.status()?.progress.as_ref()?.last_advance
    }

    /// The instance that it was begun on.
    pub(super) fn instance(&self) -> Option<&str> {
        let target = self.status()?.target.as_ref()?;
        Some(&target.instance)
    }

    /// How much longer to wait until the switch, or the undoing, is tried again.
    pub(super) fn retry_in(&self, now: Timestamp) -> Option<SignedDuration> {
        let at = self.status()?.target.as_ref()?.retry_at?;
        let left = at.duration_since(now);
        left.is_positive().then_some(left)
    }

    /// The value of the annotation that asks for the former database, if that was not answered yet.
    pub(super) fn undo_requested(&self) -> Option<&String> {
        undo_requested(&self.object)
    }

    /// The client asks nothing once this process does not lead; this is for what does not go through it.
    pub(super) fn check_leadership(&self) -> Result<(), Error> {
        if self.context.leadership.is_held() {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }
}

/// The value of the annotation that asks for the former database, if that was not answered yet.
pub(super) fn undo_requested(restore: &Restore) -> Option<&String> {
    let value = restore.annotations().get(UNDO_REQUESTED_AT)?;
    let handled = restore.status.as_ref()?.handled.get(UNDO_REQUESTED_AT);
    (handled != Some(value)).then_some(value)
}

fn edited(field: &str) -> Blocked {
    let message = format!("status.{field} is gone: the status is the operator's alone");
    Blocked::new(RestoreReason::ChangedHands, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_undo_is_asked_for_once_per_value() {
        let restore = |annotation: &str, handled: &str| -> Restore {
            serde_json::from_value(json!({
                "metadata": {"name": "r", "annotations": {UNDO_REQUESTED_AT: annotation}},
                "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "d"}},
                "status": {"state": "COMPLETED", "handled": {UNDO_REQUESTED_AT: handled}},
            }))
            .unwrap()
        };
        assert!(undo_requested(&restore("1", "")).is_some());
        assert!(undo_requested(&restore("1", "1")).is_none());
        assert!(undo_requested(&restore("2", "1")).is_some());
    }
}
