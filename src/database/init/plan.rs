//! What follows for a Database that is to begin with a backup: from what its status notes, and what became of its Restore. Pure.

use super::restore::is_of_now;
use crate::api::database::InitOutcome;
use crate::api::{Database, Restore, RestoreState};

/// What is done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Nothing has to be loaded, or it was.
    Create,
    /// What is noted is not asked for any more.
    Forget,
    /// A beginning is noted, with the name of its Restore. `due`: that the database is to be loaded was decided before, and
    /// what is there now is no reason to leave it so.
    Begin {
        /// See above.
        due: bool,
    },
    /// User, database and Restore are made.
    Make,
    /// This came of it.
    Conclude(InitOutcome),
    /// The Restore is waited for.
    Wait,
    /// It failed: a person has to act.
    Failed,
}

/// What is done next. `restore` is the one that `status.init` names by its UID.
pub(super) fn plan(database: &Database, restore: Option<&Restore>) -> Plan {
    let init = super::noted(database);
    let at_work =
        restore.is_some_and(|restore| restore.is_unfinished() || has_turn(database, restore));
    if database.spec.init_from.is_none() {
        return match (init, at_work) {
            (None, _) => Plan::Create,
            (Some(_), true) => Plan::Wait,
            (Some(_), false) => Plan::Forget,
        };
    }
    let Some(init) = init else {
        return Plan::Begin { due: false };
    };
    if !is_of_now(database, init) {
        return match restore {
            _ if at_work => Plan::Wait,
            // It was asked for anew in the middle of that, and what is there by now is a reason to leave it so.
            Some(restore) if has_completed(restore) && !init.has_begun() => completed(restore),
            Some(_) | None => Plan::Begin {
                due: !init.has_begun(),
            },
        };
    }
    match (init.outcome, restore) {
        (Some(InitOutcome::Loaded | InitOutcome::Empty | InitOutcome::Existing), _) => Plan::Create,
        (Some(InitOutcome::Failed), Some(_)) => Plan::Failed,
        // Whoever deletes a Restore that failed asks for another try.
        (Some(InitOutcome::Failed), None) => Plan::Begin { due: true },
        (None, None) => Plan::Make,
        (None, Some(restore)) => follow(database, restore),
    }
}

/// What became of the Restore.
fn follow(database: &Database, restore: &Restore) -> Plan {
    match restore.state() {
        None
        | Some(
            RestoreState::Preparing
            | RestoreState::Loading
            | RestoreState::Checking
            | RestoreState::Switching,
        ) => Plan::Wait,
        Some(RestoreState::Completed) => completed(restore),
        Some(RestoreState::Failed) if restore.found_no_backups() && database.may_begin_empty() => {
            Plan::Conclude(InitOutcome::Empty)
        }
        Some(RestoreState::Failed) => Plan::Conclude(InitOutcome::Failed),
    }
}

fn has_completed(restore: &Restore) -> bool {
    restore.state() == Some(RestoreState::Completed)
}

/// What follows from one that is done. That a bucket remembers one of its name says nothing of a server that was lost since:
/// what is there decides.
fn completed(restore: &Restore) -> Plan {
    if restore.was_done_before() {
        Plan::Begin { due: false }
    } else {
        Plan::Conclude(InitOutcome::Loaded)
    }
}

/// Whether it has been let in and may begin at any moment.
fn has_turn(database: &Database, restore: &Restore) -> bool {
    restore.state().is_none()
        && restore.metadata.deletion_timestamp.is_none()
        && database.names_restore(restore)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::restore::begin;
    use super::*;
    use crate::api::database::DatabaseInit;
    use crate::api::{FINALIZER, RECREATE_REQUESTED_AT};

    fn database(otherwise: &str, init: &Value) -> Database {
        serde_json::from_value(json!({
            "metadata": {"name": "orders", "namespace": "team", "uid": "d"},
            "spec": {"instanceRef": {"name": "i"}, "initFrom": {
                "latest": {"database": {"name": "orders"}}, "otherwise": otherwise,
            }},
            "status": {"state": "CREATING", "init": init},
        }))
        .unwrap()
    }

    fn restore(state: &Value, reason: &str, unclean: bool) -> Restore {
        let finalizers: &[&str] = if unclean { &[FINALIZER] } else { &[] };
        serde_json::from_value(json!({
            "metadata": {"name": "r", "uid": "r", "finalizers": finalizers},
            "spec": {"source": {"backupRef": {"name": "b"}}, "databaseRef": {"name": "orders"}},
            "status": {"state": state, "failure": {"reason": reason, "message": "why"},
                       "startedAt": "2026-11-24T02:00:00Z"},
        }))
        .unwrap()
    }

    /// The plan for one whose Restore is like this, and what is noted besides its name.
    fn of(otherwise: &str, outcome: &Value, restore: Option<&Restore>) -> Plan {
        let mut database = database(otherwise, &Value::Null);
        let init = DatabaseInit {
            restore_uid: Some("r".to_owned()),
            outcome: serde_json::from_value(outcome.clone()).unwrap(),
            ..begin(&database)
        };
        database.status.as_mut().unwrap().init = Some(init);
        plan(&database, restore)
    }

    #[test]
    fn without_the_wish_a_database_is_created_at_once() {
        let mut plain = database("Fail", &Value::Null);
        assert_eq!(plan(&plain, None), Plan::Begin { due: false });
        plain.spec.init_from = None;
        assert_eq!(plan(&plain, None), Plan::Create);
        // The wish was taken back.
        let init = json!({"restore": "r", "restoreUid": "r"});
        plain.status.as_mut().unwrap().init = serde_json::from_value(init).unwrap();
        assert_eq!(plan(&plain, None), Plan::Forget);
        let waits = restore(&Value::Null, "", false);
        assert_eq!(plan(&plain, Some(&waits)), Plan::Forget);
        let runs = restore(&json!("LOADING"), "", true);
        assert_eq!(plan(&plain, Some(&runs)), Plan::Wait);
    }

    #[test]
    fn it_is_created_only_with_what_it_was_to_begin_with() {
        let none = Value::Null;
        assert_eq!(of("Fail", &none, None), Plan::Make);
        for state in [
            Value::Null,
            json!("PREPARING"),
            json!("LOADING"),
            json!("CHECKING"),
            json!("SWITCHING"),
        ] {
            let runs = restore(&state, "", false);
            assert_eq!(of("Empty", &none, Some(&runs)), Plan::Wait, "{state}");
        }
        let done = restore(&json!("COMPLETED"), "", true);
        let loaded = Plan::Conclude(InitOutcome::Loaded);
        assert_eq!(of("Fail", &none, Some(&done)), loaded);
        for outcome in ["Loaded", "Empty", "Existing"] {
            assert_eq!(of("Fail", &json!(outcome), None), Plan::Create);
        }
    }

    #[test]
    fn one_that_was_done_before_is_believed_by_what_is_there() {
        let mut done = restore(&json!("COMPLETED"), "", false);
        done.status.as_mut().unwrap().started_at = None;
        let looks = Plan::Begin { due: false };
        assert_eq!(of("Fail", &Value::Null, Some(&done)), looks);
        for outcome in ["Loaded", "Existing"] {
            assert_eq!(of("Fail", &json!(outcome), Some(&done)), Plan::Create);
        }
    }

    #[test]
    fn what_was_loaded_is_not_loaded_over_where_it_is_asked_for_meanwhile() {
        let mut asked = database("Fail", &Value::Null);
        let mut init = DatabaseInit {
            restore_uid: Some("r".to_owned()),
            ..begin(&asked)
        };
        asked.status.as_mut().unwrap().init = Some(init.clone());
        let again = [(RECREATE_REQUESTED_AT.to_owned(), "1".to_owned())];
        asked.metadata.annotations = Some(again.into());
        let done = restore(&json!("COMPLETED"), "", false);
        let loaded = Plan::Conclude(InitOutcome::Loaded);
        assert_eq!(plan(&asked, Some(&done)), loaded);
        let failed = restore(&json!("FAILED"), "LoadFailed", false);
        assert_eq!(plan(&asked, Some(&failed)), Plan::Begin { due: true });
        // Then it is looked whether it is still there.
        init.outcome = Some(InitOutcome::Loaded);
        asked.status.as_mut().unwrap().init = Some(init);
        assert_eq!(plan(&asked, Some(&done)), Plan::Begin { due: false });
    }

    #[test]
    fn it_begins_empty_only_where_there_is_no_backup_at_all_and_that_is_wanted() {
        let none = Value::Null;
        let failed = |reason: &str| restore(&json!("FAILED"), reason, false);
        let (empty, failed_) = (
            Plan::Conclude(InitOutcome::Empty),
            Plan::Conclude(InitOutcome::Failed),
        );
        assert_eq!(of("Empty", &none, Some(&failed("NoBackups"))), empty);
        assert_eq!(of("Fail", &none, Some(&failed("NoBackups"))), failed_);
        for reason in [
            "BackupNotFound",
            "StoreRefused",
            "StoreUnreachable",
            "SourceRefused",
            "ObjectMismatch",
            "CheckFailed",
            "Cancelled",
            "DeadlineExceeded",
        ] {
            assert_eq!(
                of("Empty", &none, Some(&failed(reason))),
                failed_,
                "{reason}"
            );
        }
    }

    #[test]
    fn one_that_failed_is_tried_again_when_a_person_asks() {
        let failed = restore(&json!("FAILED"), "LoadFailed", false);
        let noted = json!("Failed");
        assert_eq!(of("Fail", &noted, Some(&failed)), Plan::Failed);
        // Its Restore was deleted.
        assert_eq!(of("Fail", &noted, None), Plan::Begin { due: true });
        // Something else is asked for.
        let init = json!({"restore": "orders-init-other", "restoreUid": "r", "outcome": "Failed"});
        let mut other = database("Fail", &init);
        assert_eq!(plan(&other, Some(&failed)), Plan::Begin { due: true });
        // Not before what it left is removed.
        let unclean = restore(&json!("FAILED"), "LoadFailed", true);
        assert_eq!(plan(&other, Some(&unclean)), Plan::Wait);
        // The same, asked for again.
        let name = begin(&other).restore;
        other
            .status
            .as_mut()
            .unwrap()
            .init
            .as_mut()
            .unwrap()
            .restore = name;
        assert_eq!(plan(&other, Some(&failed)), Plan::Failed);
        let again = [(RECREATE_REQUESTED_AT.to_owned(), "1".to_owned())];
        other.metadata.annotations = Some(again.into());
        assert_eq!(plan(&other, Some(&failed)), Plan::Begin { due: true });
    }

    #[test]
    fn one_that_waits_is_replaced_and_one_that_was_let_in_is_not() {
        let init = json!({"restore": "orders-init-other", "restoreUid": "r"});
        let mut other = database("Fail", &init);
        let waits = restore(&Value::Null, "", false);
        assert_eq!(plan(&other, Some(&waits)), Plan::Begin { due: true });
        let named = json!({"name": "r", "uid": "r"});
        other.status.as_mut().unwrap().restore = serde_json::from_value(named).unwrap();
        assert_eq!(plan(&other, Some(&waits)), Plan::Wait);
    }
}
