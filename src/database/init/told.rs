//! What a Database's conditions and Events say of its beginning.

use kube::ResourceExt;
use kube::runtime::events::EventType;

use super::super::blocked::Blocked;
use super::super::pass::Pass;
use crate::api::conditions::{READY, STALLED, is_true};
use crate::api::database::InitOutcome;
use crate::api::{DatabaseReason, Reason, Report, Restore};

/// Its Restore was made just now.
pub(super) fn begun() -> Report {
    let reason = DatabaseReason::Initializing;
    Report::new(reason, reason.meaning())
}

/// What is waited for. A Restore that waits for a person makes the Database wait for one.
pub(super) fn waits(restore: Option<&Restore>) -> Result<Report, Blocked> {
    let Some(restore) = restore else {
        return Ok(begun());
    };
    let name = restore.name_any();
    let status = restore.status.clone().unwrap_or_default();
    let message = if restore.is_unclean() {
        format!("what the Restore {name} left is removed before the next one begins")
    } else if restore.is_active() {
        let source = status.source.unwrap_or_default();
        let from = source.started_at;
        let from = from.map_or_else(String::new, |from| format!(" (from {from})"));
        format!(
            "backup {}{from} is being loaded by the Restore {name}, which says how far that is",
            source.backup
        )
    } else {
        let mut conditions = status.conditions.iter();
        let Some(ready) = conditions.find(|condition| condition.type_ == READY) else {
            return Ok(begun());
        };
        let says = format!("{}: {}", ready.reason, ready.message);
        if is_true(&status.conditions, STALLED) {
            let message = format!(
                "the Restore {name} waits, {says}; it goes on by itself when that is mended, and spec.initFrom can be changed"
            );
            return Err(Blocked::new(DatabaseReason::InitFailed, message));
        }
        format!("the Restore {name} waits, {says}")
    };
    Ok(Report::new(DatabaseReason::Initializing, message))
}

/// It failed, and nobody tries again by themselves.
pub(super) fn failed(restore: Option<&Restore>) -> Blocked {
    let name = restore.map(ResourceExt::name_any).unwrap_or_default();
    let failure = restore.and_then(|restore| restore.status.as_ref()?.failure.as_ref());
    let why = failure.map_or_else(String::new, |failure| {
        let message = failure.message.trim_end_matches('.');
        format!(", {}: {message}", failure.reason)
    });
    let message = format!(
        "the Restore {name} failed{why}. To try again, delete that Restore; or change spec.initFrom. Nobody can log in \
         meanwhile"
    );
    Blocked::new(DatabaseReason::InitFailed, message)
}

/// Tells how the database begins.
pub(super) async fn record(pass: &Pass<'_>, outcome: Option<InitOutcome>) {
    let database = pass.object.sql_name();
    let source = super::noted(&pass.object).and_then(|init| init.source.as_ref());
    let (reason, note) = match outcome {
        Some(InitOutcome::Loaded) => {
            let which = source.map_or_else(
                || "a backup, which had been loaded before".to_owned(),
                |source| format!("the backup {}", source.backup),
            );
            ("Loaded", format!("database {database} begins with {which}"))
        }
        Some(InitOutcome::Empty) => (
            "BeginsEmpty",
            format!(
                "database {database} begins empty: there is no backup, and spec.initFrom.otherwise is Empty"
            ),
        ),
        Some(InitOutcome::Existing) => (
            "InitFromIgnored",
            format!(
                "database {database} is there already, and stays as it is: spec.initFrom is for new ones"
            ),
        ),
        // The conditions say it, and so does the Event that goes with them.
        Some(InitOutcome::Failed) | None => return,
    };
    pass.record_event(EventType::Normal, reason, note).await;
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn restore(status: &Value) -> Restore {
        serde_json::from_value(json!({
            "metadata": {"name": "orders-init-0"},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
            "status": status,
        }))
        .unwrap()
    }

    fn condition(type_: &str, status: &str, reason: &str) -> Value {
        json!({"type": type_, "status": status, "reason": reason, "message": "why",
               "lastTransitionTime": "2026-11-24T02:00:00Z"})
    }

    #[test]
    fn a_restore_that_waits_for_a_person_makes_the_database_wait_for_one() {
        let conditions = [
            condition("Ready", "False", "SourceRefused"),
            condition("Stalled", "True", "SourceRefused"),
        ];
        let Err(blocked) = waits(Some(&restore(&json!({"conditions": conditions})))) else {
            panic!("a person is needed");
        };
        assert_eq!(blocked.reason, DatabaseReason::InitFailed);
        assert!(blocked.retry.is_none());
        for part in ["orders-init-0", "SourceRefused: why"] {
            assert!(blocked.message.contains(part), "{}", blocked.message);
        }
        let conditions = [
            condition("Ready", "False", "StoreUnreachable"),
            condition("Reconciling", "True", "StoreUnreachable"),
        ];
        let answer = waits(Some(&restore(&json!({"conditions": conditions}))));
        assert!(answer.is_ok());
        assert!(waits(Some(&restore(&Value::Null))).is_ok() && waits(None).is_ok());
    }

    #[test]
    fn what_failed_says_why_and_how_to_try_again() {
        let failure = json!({"reason": "CheckFailed", "message": "3 rows are missing."});
        let blocked = failed(Some(&restore(
            &json!({"state": "FAILED", "failure": failure}),
        )));
        for part in [
            "CheckFailed: 3 rows are missing. To try again",
            "delete that Restore",
            "spec.initFrom",
        ] {
            assert!(blocked.message.contains(part), "{}", blocked.message);
        }
    }
}
