//! The part of the acts `Create` and `Maintain` that is about the Secret: it is prepared before anything is claimed, and
//! written before the user on the server follows it.

use super::blocked::Blocked;
use super::concerns::Notice;
use super::pass::Pass;
use super::spec;
use crate::api::DatabaseInstance;
use crate::api::database::Credentials;
use crate::credentials::{CredentialsError, Generated, Stored};
use crate::server::Server;

/// What the Secret is going to be.
pub(super) enum Prepared {
    /// What is asked for.
    Generated(Box<Generated>),
    /// What it is, and why it cannot become what is asked for.
    Kept(Stored, Notice),
}

/// Reads the Secret and renders what it should hold. `create`: the database is being made, so there is none to look after
/// whatever becomes of the Secret. Client required.
pub(super) async fn prepare(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Server,
    create: bool,
) -> Result<Prepared, Blocked> {
    let connection = |password| spec::connection(&pass.object, instance, server, password);
    let flavour = server.flavour();
    match Generated::prepare(&pass.beside(), &pass.object, flavour, connection).await {
        Ok(generated) => Ok(Prepared::Generated(Box::new(generated))),
        Err(error) => {
            let (stored, why) = keep(pass, instance, server, create, error).await?;
            Ok(Prepared::Kept(stored, why))
        }
    }
}

/// Writes the Secret. Returns it, and what is to be said if it stays as it is. Client required.
pub(super) async fn store(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Server,
    create: bool,
    prepared: Prepared,
) -> Result<(Stored, Option<Notice>), Blocked> {
    let generated = match prepared {
        Prepared::Generated(generated) => *generated,
        Prepared::Kept(stored, why) => return Ok((stored, Some(why))),
    };
    match generated.store(&pass.beside(), known(pass)).await {
        Ok(stored) => Ok((stored, None)),
        Err(error) => {
            let (stored, why) = keep(pass, instance, server, create, error).await?;
            Ok((stored, Some(why)))
        }
    }
}

/// The Secret as it stands, and what is to be said of it, where it cannot become what is asked for: a database that can be
/// used is looked after all the same. Client required.
async fn keep(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    server: &Server,
    create: bool,
    error: CredentialsError,
) -> Result<(Stored, Notice), Blocked> {
    let keeps = !create && error.leaves_the_secret();
    let blocked = Blocked::from(error);
    if keeps {
        let (secrets, database) = (pass.beside(), &pass.object);
        let connection = |password| spec::connection(database, instance, server, password);
        let flavour = server.flavour();
        let stored = Stored::kept(&secrets, database, flavour, known(pass), connection).await?;
        if let Some(stored) = stored {
            return Ok((stored, (blocked.reason, blocked.message)));
        }
        // No Secret that works is left.
        return Err(Blocked {
            breaks: true,
            ..blocked
        });
    }
    Err(blocked)
}

/// The Secret that a login last worked with.
fn known<'p>(pass: &'p Pass<'_>) -> Option<&'p Credentials> {
    pass.status().and_then(|status| status.credentials.as_ref())
}
