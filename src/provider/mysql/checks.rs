//! What has to be true at each step of a restore: this process leads, and the claim is the claimant's.
//!
//! Rows of our own tables are written by statements that check both themselves. Neither server has transactions with DDL:
//! before each of those statements both are checked, under a lock of the database's name that whoever writes its claim
//! takes too.

use std::time::Duration;

use super::claims::{self, Claimed};
use super::connect::ServerProfile;
use super::schema;
use super::session::{Session, Statement};
use crate::provider::fence::{Fence, Tenure};
use crate::provider::pool::Session as _;
use crate::provider::restore::Load;
use crate::provider::{Claim, ProviderError, SqlName};

/// What every step of a restore goes by.
#[derive(Clone, Copy)]
pub(super) struct Task<'a> {
    pub(super) profile: &'a ServerProfile,
    pub(super) fence: &'a Fence,
    pub(super) load: &'a Load,
    /// How long sessions may take to end.
    pub(super) end_within: Duration,
}

impl Task<'_> {
    /// Checks that this process leads, and says why nothing may be done if the claim is not the claimant's any more.
    pub(super) async fn changed_hands(
        &self,
        session: &mut Session,
    ) -> Result<Option<String>, ProviderError> {
        self.leads(session).await?;
        let claims = claims::claims(session, Some(&self.load.target)).await?;
        Ok(refusal(&claims, self.load))
    }

    /// Checks that this process leads. That is all that a test needs: nobody has a claim on what it makes.
    pub(super) async fn leads(&self, session: &mut Session) -> Result<(), ProviderError> {
        let standing = schema::standing(session, self.fence.cluster_id()).await?;
        match self
            .fence
            .tenure(self.profile.epoch, standing.epoch.as_ref())
        {
            Tenure::Held => Ok(()),
            Tenure::Superseded { newer } => Err(ProviderError::Superseded {
                mine: Some(self.profile.epoch),
                newer,
            }),
            Tenure::Forgotten => Err(ProviderError::Unexpected {
                doing: "checking who leads".to_owned(),
                detail: "the server has forgotten this process; it registers again".to_owned(),
            }),
        }
    }

    /// Like [`Self::changed_hands`], as an error.
    pub(super) async fn check(&self, session: &mut Session) -> Result<(), ProviderError> {
        match self.changed_hands(session).await? {
            None => Ok(()),
            Some(_) => Err(self.moved()),
        }
    }

    /// Why a statement with [`Self::if_it_stands`] did nothing.
    pub(super) async fn why_not(
        &self,
        session: &mut Session,
    ) -> Result<ProviderError, ProviderError> {
        self.check(session).await?;
        // It stands again.
        Ok(self.moved())
    }

    fn moved(&self) -> ProviderError {
        ProviderError::ClaimMoved {
            database: self.load.target.database.to_string(),
        }
    }

    /// The end of an INSERT … SELECT that selects one row if this process leads and the claim stands, and none otherwise.
    /// Its rows stay locked until the statement is done. [`Self::bind`] binds its parameters. `more` is joined.
    pub(super) fn if_it_stands(&self, more: &str) -> String {
        let others = ", ?".repeat(self.load.take_over_from.len());
        format!(
            "FROM db_operator.epochs e JOIN db_operator.claims c ON NOT c.released {more} \
             WHERE e.cluster_id = ? AND e.epoch = ? AND e.process = ? AND c.database_name = ? AND c.role_name = ? \
             AND (c.cluster_id IN (?{others})) AND c.namespace = ? AND c.name = ?"
        )
    }

    /// Binds the parameters of [`Self::if_it_stands`].
    pub(super) fn bind<'q>(&self, statement: Statement<'q>) -> Statement<'q> {
        let Load {
            target,
            claimant,
            take_over_from,
            ..
        } = self.load;
        let mut statement = statement
            .bind(self.fence.cluster_id().to_owned())
            .bind(self.profile.epoch)
            .bind(self.fence.process().to_owned())
            .bind(target.database.as_str().to_owned())
            .bind(target.role.as_str().to_owned())
            .bind(claimant.cluster_id.clone());
        for other in take_over_from {
            statement = statement.bind(other.clone());
        }
        statement
            .bind(claimant.namespace.clone())
            .bind(claimant.name.clone())
    }
}

/// Why nothing may be done: the claim on the target's names is not the claimant's, or is released.
fn refusal(claims: &[Claimed], load: &Load) -> Option<String> {
    let target = &load.target;
    let what = format!("database {:?} and user {:?}", target.database, target.role);
    let claim = claims
        .iter()
        .map(|claimed| &claimed.claim)
        .find(|claim| claim.names == *target);
    match claim {
        None => Some(format!("{what} are not claimed together any more")),
        Some(claim) if claim.released => {
            Some(format!("{what} were released by {}", claim.claimant))
        }
        Some(claim) if !owns(load, claim) => Some(format!("{what} belong to {}", claim.claimant)),
        Some(_) => None,
    }
}

fn owns(load: &Load, claim: &Claim) -> bool {
    let (owner, claimant) = (&claim.claimant, &load.claimant);
    owner == claimant
        || load.take_over_from.contains(&owner.cluster_id)
            && owner.namespace == claimant.namespace
            && owner.name == claimant.name
}

/// The lock of a database's name. Any user of the server may take any lock, so its name is one that nobody can guess.
const LOCK: &str = "SELECT CAST(GET_LOCK(CONCAT('db_operator/', LEFT(SHA2(CONCAT(value, ?), 256), 32)), ?) AS SIGNED) AS \
                    got FROM db_operator.meta WHERE name = 'identity'";

const UNLOCK: &str = "SELECT CAST(RELEASE_LOCK(CONCAT('db_operator/', LEFT(SHA2(CONCAT(value, ?), 256), 32))) AS SIGNED) \
                      AS got FROM db_operator.meta WHERE name = 'identity'";

/// Takes the lock of a database's name, which ends with the session at the latest.
pub(super) async fn lock_name(
    session: &mut Session,
    schema: &SqlName,
    wait: Duration,
) -> Result<(), ProviderError> {
    let doing = "waiting for whoever else works on the database";
    let seconds = i64::try_from(wait.as_secs().max(1)).unwrap_or(i64::MAX);
    let query = sqlx::query(LOCK)
        .bind(schema.as_str().to_owned())
        .bind(seconds);
    let rows = session.rows(doing, query).await?;
    match rows.first() {
        Some(row) if row.flag("got")? => Ok(()),
        Some(_) | None => Err(ProviderError::Busy {
            doing: doing.to_owned(),
            detail: format!("database {schema} is not free after {wait:?}; it is tried again"),
        }),
    }
}

/// Gives the lock back. If that fails, the session is not used again, and the lock ends with it.
pub(super) async fn unlock_name(session: &mut Session, schema: &SqlName) {
    if !session.is_reusable() {
        return;
    }
    let query = sqlx::query(UNLOCK).bind(schema.as_str().to_owned());
    let _ = session.rows("giving back the lock of a name", query).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::provider::restore::{LoadMode, RestoreId};
    use crate::provider::{Claimant, Desired, MysqlSettings, Names, Origin, PostgresqlSettings};

    fn names(database: &str) -> Names {
        Names {
            database: SqlName::new(database).unwrap(),
            role: SqlName::new("orders").unwrap(),
        }
    }

    fn claimant(cluster_id: &str, name: &str) -> Claimant {
        Claimant {
            cluster_id: cluster_id.to_owned(),
            namespace: "team-a".to_owned(),
            name: name.to_owned(),
        }
    }

    fn claimed(database: &str, claimant: Claimant, released: bool) -> Claimed {
        Claimed {
            claim: Claim {
                names: names(database),
                claimant,
                uid: "1".to_owned(),
                database: Origin::Created,
                role: Origin::Created,
                drop_adopted: false,
                released,
            },
            database_begun: false,
            role_begun: false,
        }
    }

    #[test]
    fn only_the_claimant_goes_on() {
        let load = Load {
            restore: RestoreId {
                cluster_id: "c".to_owned(),
                namespace: "team-a".to_owned(),
                name: "r".to_owned(),
                uid: "1".to_owned(),
                spec_hash: String::new(),
            },
            target: names("orders"),
            claimant: claimant("c", "orders"),
            take_over_from: vec!["gone".to_owned()],
            extensions: Vec::new(),
            desired: Desired {
                names: names("orders"),
                connection_limit: None,
                postgresql: PostgresqlSettings::default(),
                mysql: MysqlSettings::default(),
            },
            mode: LoadMode::Empty,
        };
        let of = |claims: &[Claimed]| refusal(claims, &load);
        let own = claimant("c", "orders");
        assert_eq!(of(&[claimed("orders", own.clone(), false)]), None);
        let gone = claimant("gone", "orders");
        assert_eq!(of(&[claimed("orders", gone, false)]), None);
        for (claims, said) in [
            (vec![], "not claimed"),
            (vec![claimed("other", own.clone(), false)], "not claimed"),
            (vec![claimed("orders", own, true)], "were released by"),
            (
                vec![claimed("orders", claimant("c", "others"), false)],
                "belong to Database team-a/others",
            ),
            (
                vec![claimed("orders", claimant("d", "orders"), false)],
                "of cluster d",
            ),
        ] {
            let refused = of(&claims).unwrap();
            assert!(refused.contains(said), "{refused}");
        }
    }
}
