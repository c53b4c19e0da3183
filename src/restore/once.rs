//! Whether a Restore was done before: the server and the bucket remember, and either one suffices. Reads only.

use jiff::Timestamp;
use kube::ResourceExt;

use super::Pass;
use super::blocked::Blocked;
use super::failure::Failure;
use super::load;
use super::observe::{Before, Found};
use super::prerequisites::{Prerequisites, destination, readable};
use crate::api::{Database, RestoreReason};

/// What is remembered of a Restore of this name: that it was done, or another one was; `None` if nothing is. Where either
/// cannot be read, it is not known, and the restore waits. Server and store required, once per process.
pub(super) async fn look(
    pass: &Pass<'_>,
    prerequisites: &Prerequisites,
    database: &Database,
) -> Result<Option<Found>, Blocked> {
    if pass.context.remembered.is_known_new(&pass.uid()) {
        return Ok(None);
    }
    let id = load::id(&pass.object, &pass.context.cluster_id);
    let former_ids = &prerequisites.instance.spec.take_over_claims_from;
    let server = &prerequisites.server;
    let restored = server
        .ask("restored", |provider| provider.restored(&id, former_ids))
        .await?;
    let target = || prerequisites.target(database);
    if let Some(restored) = restored {
        if restored.spec_hash != id.spec_hash {
            return Ok(Some(name_used(&database.name_any())));
        }
        return Ok(Some(Found::DoneBefore(Box::new(Before {
            target: target(),
            at: Timestamp::from_second(restored.at).unwrap_or(Timestamp::UNIX_EPOCH),
            former: restored.former.map(|name| name.to_string()),
        }))));
    }
    if prerequisites.instance.spec.backup.is_some() {
        let store = destination(pass.context, &prerequisites.instance)
            .await?
            .store;
        let namespace = pass.namespace();
        let readable = readable(pass.context, &prerequisites.instance, &namespace);
        let name = database.name_any();
        let note = store.restore_note(&readable, &name, &id.name).await?;
        if let Some(note) = note {
            if note.spec_hash != id.spec_hash {
                return Ok(Some(name_used(&name)));
            }
            return Ok(Some(Found::DoneBefore(Box::new(Before {
                target: target(),
                at: note.at,
                former: None,
            }))));
        }
    }
    pass.context.remembered.is_new(&pass.uid());
    Ok(None)
}

fn name_used(database: &str) -> Found {
    let message = format!(
        "a Restore of this name into Database {database} was done before, and asked for something else: give this one \
         another name"
    );
    Found::Failed(Box::new(Failure::new(RestoreReason::NameUsed, message)))
}
