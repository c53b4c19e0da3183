//! The Restore that a Database begins with: the operator makes it, and no other object is taken for it.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{Api, PostParams};
use kube::{Resource, ResourceExt};
use rand::RngExt;
use sha2::{Digest, Sha256};

use super::super::blocked::Blocked;
use super::super::pass::Pass;
use crate::api::RestoreSpec;
use crate::api::database::{DatabaseInit, InitFrom, InitOutcome};
use crate::api::names::OBJECT_NAME_LENGTH;
use crate::api::{DATABASE_LABEL, Database, DatabaseReason, RECREATE_REQUESTED_AT, Restore};
use crate::client::ApiError;
use crate::controller::Error;

/// How long it may take, in seconds: as long as one may. What stands still ends sooner (`stallSeconds`).
const DEADLINE_SECONDS: i64 = 604_800;

/// A beginning with what is asked for now. Each try is another Restore: one that was done is never done again.
pub(super) fn begin(database: &Database) -> DatabaseInit {
    let mut random = rand::rng();
    let salt: String = (0..SALT_LENGTH)
        .map(|_| char::from(SALT[random.random_range(0..SALT.len())]))
        .collect();
    DatabaseInit {
        restore: format!("{}{salt}", stem(database)),
        request: request(database),
        ..DatabaseInit::default()
    }
}

/// What is noted of a database that is there, and stays as it is. One that began with what is asked for stays one that did,
/// whoever asked for it again meanwhile: its Restore was let in to an empty one that nobody else could log in to.
pub(super) fn left_as_it_is(database: &Database) -> DatabaseInit {
    let known = super::noted(database).filter(|init| {
        init.restore.starts_with(&stem(database))
            && (init.has_begun() || init.restore_uid.is_some())
    });
    match known {
        Some(init) => DatabaseInit {
            request: request(database),
            outcome: init.outcome.or(Some(InitOutcome::Loaded)),
            ..init.clone()
        },
        None => DatabaseInit {
            outcome: Some(InitOutcome::Existing),
            ..begin(database)
        },
    }
}

/// Whether a beginning is what is asked for now. A request that was taken back asks for nothing else.
pub(super) fn is_of_now(database: &Database, init: &DatabaseInit) -> bool {
    let request = request(database);
    init.restore.starts_with(&stem(database)) && (request.is_none() || request == init.request)
}

/// What all names of Restores for this object and this `initFrom` begin with: the Database's name, truncated so that the whole
/// fits into a label, and what tells it from others.
fn stem(database: &Database) -> String {
    let asked = serde_json::to_string(&database.spec.init_from).unwrap_or_default();
    let uid = database.uid().unwrap_or_default();
    let tail = format!("-init-{}-", digest(&format!("{uid}{asked}")));
    let room = OBJECT_NAME_LENGTH - tail.len() - SALT_LENGTH;
    let head: String = database.name_any().chars().take(room).collect();
    format!("{}{tail}", head.trim_end_matches(['-', '.']))
}

const SALT: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
const SALT_LENGTH: usize = 5;

/// The request that a beginning follows. Its value may be as long as an annotation.
fn request(database: &Database) -> Option<String> {
    let value = database.annotations().get(RECREATE_REQUESTED_AT);
    value.map(|value| digest(value))
}

fn digest(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(8);
    digits
}

/// The Restore as it is made.
fn wanted(database: &Database, name: &str, from: &InitFrom) -> Restore {
    let mut spec = RestoreSpec::new(from.source(), &database.name_any());
    spec.deadline_seconds = DEADLINE_SECONDS;
    let mut restore = Restore::new(name, spec);
    restore.metadata.namespace = database.namespace();
    let labels = [
        ("app.kubernetes.io/managed-by", "db-operator".to_owned()),
        (DATABASE_LABEL, database.name_any()),
    ];
    let labels: BTreeMap<_, _> = labels.map(|(key, value)| (key.to_owned(), value)).into();
    restore.metadata.labels = Some(labels);
    restore.metadata.owner_references = Some(vec![OwnerReference {
        api_version: Database::api_version(&()).into_owned(),
        kind: Database::kind(&()).into_owned(),
        name: database.name_any(),
        uid: database.uid().unwrap_or_default(),
        controller: Some(true),
        // The Database's own finalizer waits for what the Restore made.
        block_owner_deletion: None,
    }]);
    restore
}

/// Whether what stands under the name is what this process, or one before it, made.
fn is_ours(found: &Restore, wanted: &Restore) -> bool {
    let owner = |restore: &Restore| {
        let mut owners = restore.owner_references().iter();
        let own = owners.find(|owner| owner.controller == Some(true));
        own.map(|owner| (owner.kind.clone(), owner.uid.clone()))
    };
    found.spec == wanted.spec && owner(found) == owner(wanted)
}

/// Makes the Restore, or finds the one that was made before a crash. Client required.
pub(super) async fn create(pass: &Pass<'_>, name: &str) -> Result<Restore, Blocked> {
    const DOING: &str = "create the Restore that the Database begins with";
    let Some(from) = &pass.object.spec.init_from else {
        let error = Error::changed(DOING);
        return Err(Blocked::retried(
            DatabaseReason::Initializing,
            error.to_string(),
            error,
        ));
    };
    let wanted = wanted(&pass.object, name, from);
    let api: Api<Restore> = pass.beside();
    let made = api.create(&PostParams::default(), &wanted).await;
    let error = match made.map_err(ApiError::of(DOING)) {
        Ok(made) => return Ok(made),
        Err(error) => error,
    };
    if error.code() != Some(409) {
        return Err(not_made(name, error));
    }
    let found = api.get_opt(name).await;
    match found.map_err(Error::api("read the Restore"))? {
        Some(found) if found.metadata.deletion_timestamp.is_some() => Err(not_made(name, error)),
        Some(found) if is_ours(&found, &wanted) => Ok(found),
        Some(_) => {
            let message = format!(
                "there is a Restore {name} that the operator did not make, and it has the name of the one that is to load the \
                 backup of spec.initFrom: delete it"
            );
            Err(Blocked::new(DatabaseReason::InTheWay, message))
        }
        None => Err(not_made(name, error)),
    }
}

/// What the API server does not let in stays out until somebody changes that.
fn not_made(name: &str, error: ApiError) -> Blocked {
    let message = format!("the Restore {name} cannot be created: {error}");
    if error.is_final_refusal() {
        Blocked::new(DatabaseReason::InitFailed, message)
    } else {
        Blocked::retried(DatabaseReason::Initializing, message, error)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn database() -> Database {
        serde_json::from_value(json!({
            "metadata": {"name": "orders", "namespace": "team", "uid": "d"},
            "spec": {"instanceRef": {"name": "i"}, "initFrom": {"backupRef": {"name": "b"}}},
        }))
        .unwrap()
    }

    #[test]
    fn a_beginning_is_for_what_is_asked_for() {
        let mut database = database();
        let first = begin(&database);
        assert!(is_of_now(&database, &first));
        assert_ne!(begin(&database).restore, first.restore, "another try");
        let again = [(RECREATE_REQUESTED_AT.to_owned(), "1".to_owned())];
        database.metadata.annotations = Some(again.into());
        let second = begin(&database);
        assert!(is_of_now(&database, &second) && !is_of_now(&database, &first));
        database.metadata.annotations = None;
        assert!(is_of_now(&database, &second), "it was asked for");
        let mut other = database.clone();
        other
            .spec
            .init_from
            .as_mut()
            .unwrap()
            .backup_ref
            .as_mut()
            .unwrap()
            .name = "c".to_owned();
        assert!(!is_of_now(&other, &second));
        other.metadata.uid = Some("e".to_owned());
        assert!(!is_of_now(&other, &begin(&database)));
        database.metadata.name = Some("a".repeat(63));
        assert_eq!(begin(&database).restore.len(), 63);
    }

    #[test]
    fn a_database_that_is_there_keeps_what_it_began_with() {
        let mut database = database();
        assert_eq!(
            left_as_it_is(&database).outcome,
            Some(InitOutcome::Existing)
        );
        let let_in = |outcome, database: &Database| DatabaseInit {
            restore_uid: Some("u".to_owned()),
            outcome,
            ..begin(database)
        };
        for (outcome, expected) in [
            (None, InitOutcome::Loaded),
            (Some(InitOutcome::Loaded), InitOutcome::Loaded),
            (Some(InitOutcome::Empty), InitOutcome::Empty),
        ] {
            database.metadata.annotations = None;
            let init = let_in(outcome, &database);
            database.status = Some(crate::api::database::DatabaseStatus {
                init: Some(init.clone()),
                ..Default::default()
            });
            let again = [(RECREATE_REQUESTED_AT.to_owned(), "1".to_owned())];
            database.metadata.annotations = Some(again.into());
            let left = left_as_it_is(&database);
            assert_eq!(left.outcome, Some(expected));
            assert_eq!(left.restore, init.restore);
            assert!(!is_of_now(&database, &init) && is_of_now(&database, &left));
        }
        // Something else is asked for by now.
        let other = database.spec.init_from.as_mut().unwrap();
        other.backup_ref.as_mut().unwrap().name = "c".to_owned();
        let left = left_as_it_is(&database);
        assert_eq!(left.outcome, Some(InitOutcome::Existing));
        assert!(is_of_now(&database, &left));
    }

    #[test]
    fn what_a_tenant_puts_there_is_not_ours() {
        let database = database();
        let from = database.spec.init_from.clone().unwrap();
        let made = wanted(&database, "r", &from);
        assert!(is_ours(&made, &made) && made.is_for_beginning());
        let change = |change: fn(&mut Restore)| {
            let mut other = made.clone();
            change(&mut other);
            is_ours(&other, &made)
        };
        assert!(!change(|it| it.metadata.owner_references = None));
        assert!(!change(|it| {
            it.metadata.owner_references.as_mut().unwrap()[0].uid = "e".to_owned();
        }));
        assert!(!change(|it| it.spec.jobs = 8));
        assert!(change(|it| it.metadata.labels = None));
    }
}
