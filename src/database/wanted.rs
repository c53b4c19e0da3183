//! The part of the acts `Create` and `Maintain` that says what is asked for, as far as the server can do it.

use std::sync::Arc;

use super::blocked::Blocked;
use super::concerns::Notice;
use super::pass::Pass;
use super::spec;
use crate::api::{DatabaseInstance, DatabaseReason};
use crate::provider::{Desired, MysqlSettings, PostgresqlSettings};
use crate::server::Server;

/// What is asked for, as far as the server can do it, and why it cannot do the rest. Where a database is to be made, that
/// is an error: nothing is made of it. What stands there already is looked after all the same. `create`: it is to be made;
/// `ask`: the server is asked. Server required.
pub(super) async fn wanted(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Arc<Server>,
    create: bool,
    ask: bool,
) -> Result<(Desired, Option<Notice>), Blocked> {
    let desired = spec::desired(&pass.object, &instance.spec)
        .map_err(|error| Blocked::new(DatabaseReason::Unsupported, error.to_string()))?;
    let foreign = spec::foreign_block(&pass.object.spec, instance.spec.provider);
    if let Some(sentence) = foreign.clone().filter(|_| create) {
        return Err(Blocked::new(DatabaseReason::Unsupported, sentence));
    }
    let foreign = foreign.map(|sentence| (DatabaseReason::Unsupported, sentence));
    if !ask {
        return Ok((desired, foreign));
    }
    match validate(server, &desired, create).await? {
        Some(refused) => Ok((without_settings(desired), foreign.or(Some(refused)))),
        None => Ok((desired, foreign)),
    }
}

/// Why a server cannot do what is asked for, of a database that exists: it is looked after all the same. `create`: there is
/// none to look after. Server required.
async fn validate(
    server: &Arc<Server>,
    desired: &Desired,
    create: bool,
) -> Result<Option<Notice>, Blocked> {
    let validated = server.ask("validate", |provider| provider.validate(desired));
    let Err(error) = validated.await else {
        return Ok(None);
    };
    let blocked = Blocked::from(error);
    match blocked.reason {
        DatabaseReason::Unsupported | DatabaseReason::InTheWay if !create => {
            Ok(Some((blocked.reason, blocked.message)))
        }
        _ => Err(blocked),
    }
}

/// What is asked for but for the settings of its engine.
fn without_settings(desired: Desired) -> Desired {
    Desired {
        postgresql: PostgresqlSettings::default(),
        mysql: MysqlSettings::default(),
        ..desired
    }
}
