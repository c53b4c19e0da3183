//! What is in a database, and the backup that is restored.

use db_operator::api::BackupState;
use serde_json::json;

use super::super::backups::Fixture;
use super::super::server::Engine;
use crate::{Error, Result, dataset};

/// The size of what is backed up.
const SIZE: u64 = 256 << 10;

/// Everything that a database has, as lines that are equal for a true copy of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents(String);

impl Contents {
    /// Of what is not there.
    #[must_use]
    pub const fn nothing() -> Self {
        Self(String::new())
    }

    /// What is in a Database now, seen with the login of its Secret.
    pub async fn of(fixture: &Fixture, database: &str) -> Result<Self> {
        let mut session = fixture.session_of(database).await?;
        let found = dataset::fingerprint(&mut session).await;
        session.close().await;
        found
            .map(Self)
            .map_err(Error::trial(format!("look into Database {database}")))
    }

    /// The first lines in which another one differs, for a person.
    #[must_use]
    pub fn difference(&self, found: &Self) -> String {
        let lines = |of: &Self| of.0.lines().map(str::to_owned).collect::<Vec<_>>();
        let all = super::super::outcome::difference(&lines(self), &lines(found));
        all.chars().take(600).collect()
    }
}

/// Fills a Database with rows that say what they are.
pub async fn fill(fixture: &Fixture, database: &str, what: &str, bytes: u64) -> Result<()> {
    let failed = || Error::trial(format!("fill Database {database}"));
    let mut session = fixture.session_of(database).await?;
    let statements = [
        "CREATE TABLE marker (what varchar(20) PRIMARY KEY)".to_owned(),
        format!("INSERT INTO marker VALUES ('{what}')"),
    ];
    for sql in statements {
        session.run(&sql).await.map_err(failed())?;
    }
    dataset::grow(&mut session, bytes).await.map_err(failed())?;
    session.close().await;
    Ok(())
}

/// A backup on one server, which all its trials restore.
pub struct Source {
    /// The name of the Backup.
    pub backup: String,
    /// What a database has that was restored from it.
    pub contents: Contents,
}

impl Source {
    /// What `marker` says in it.
    pub const MARK: &'static str = "backed up";

    /// Makes a Database with rows and a backup of it, of this name. Both stay until the fixture goes.
    pub async fn make(fixture: &Fixture, engine: Engine, name: &str) -> Result<Self> {
        let name = format!("{name}-{}", engine.name());
        let sql_name = format!("{}_{name}", fixture.name).replace('-', "_");
        let spec = json!({"name": sql_name});
        fixture.make_database(&name, engine, spec).await?;
        fill(fixture, &name, Self::MARK, SIZE).await?;
        fixture.back_up_of(&name, &name).await?;
        let backup = fixture.ended(&name).await?;
        if backup.state() != Some(BackupState::Completed) {
            return Err(Error::trial("back the source up")(json!(backup.status)));
        }
        Ok(Self {
            contents: Contents::of(fixture, &name).await?,
            backup: name,
        })
    }
}
