//! Looks at the target of a load: what is in it, and what would stand in the way.

use super::catalog::{ANY_HOST, Which};
use super::connect::ServerProfile;
use super::contained::contained;
use super::dependents::referenced;
use super::dialect::Dialect;
use super::everybody::grantee;
use super::lockout;
use super::restore_tables::Stage;
use super::rows::Grant;
use super::session::Session;
use super::{administrator, catalog, validate};
use crate::provider::ident::mysql_identifier;
use crate::provider::restore::{Load, TargetFacts};
use crate::provider::{Names, ProviderError, SqlName};

const SIZE: &str = "SELECT CAST(COALESCE(SUM(COALESCE(DATA_LENGTH, 0) + COALESCE(INDEX_LENGTH, 0)), 0) AS SIGNED) AS bytes \
     FROM information_schema.TABLES WHERE TABLE_SCHEMA = ? AND CAST(TABLE_SCHEMA AS BINARY) = CAST(? AS BINARY)";

/// The privileges with which something comes into a schema, or goes.
const CHANGING: [&str; 13] = [
    "INSERT",
    "UPDATE",
    "DELETE",
    "CREATE",
    "DROP",
    "INDEX",
    "ALTER",
    "CREATE VIEW",
    "CREATE ROUTINE",
    "ALTER ROUTINE",
    "EVENT",
    "TRIGGER",
    "DELETE HISTORY",
];

/// How many others are named.
const NAMED: usize = 5;

/// Looks at it, and changes nothing. What a load left that was broken off does not count: the next one removes it. One that
/// is not there is an error: nobody can say that nothing is in it.
pub(super) async fn look(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
) -> Result<TargetFacts, ProviderError> {
    let Names { database, role } = &load.target;
    let stage = lockout::look(session, profile, load).await?.stage;
    let mut facts = TargetFacts {
        half_loaded: stage == Stage::Loading,
        bytes: bytes(session, database).await?,
        free_connections: free_connections(session).await?,
        ..TargetFacts::default()
    };
    if stage != Stage::Loading {
        facts.contents = contained(session, &profile.dialect, database)
            .await?
            .names();
    }
    facts.obstacles.extend(referenced(session, database).await?);
    facts
        .obstacles
        .extend(others(session, profile, &load.target).await?);
    for schema in catalog::schemas(session, &profile.dialect, Some(database)).await? {
        if schema.read_only {
            facts.obstacles.push(format!(
                "the database {database} accepts no writes, because its option READ ONLY is on; run: ALTER DATABASE {} READ \
                 ONLY = 0",
                database.mysql()
            ));
        }
    }
    facts
        .obstacles
        .extend(cannot_end_sessions(session, profile, role).await?);
    Ok(facts)
}

/// Who else may change what is in the target. A load does not lock them out, and what they put into the database meanwhile would
/// be taken for the load's: dropped with it, or counted with it.
async fn others(
    session: &mut Session,
    profile: &ServerProfile,
    target: &Names,
) -> Result<Vec<String>, ProviderError> {
    let Names { database, role } = target;
    let read = Which::Concerning(database, role);
    let grants = catalog::grants(session, &profile.dialect, &[], read).await?;
    Ok(in_the_way(&profile.dialect, &grants, target))
}

fn in_the_way(dialect: &Dialect, grants: &[Grant], target: &Names) -> Vec<String> {
    let Names { database, role } = target;
    let is_own = |grant: &Grant| grant.user == role.as_str() && grant.host == ANY_HOST;
    let all: Vec<(&Grant, String)> = grants
        .iter()
        .filter(|grant| !is_own(grant) && dialect.reaches(&grant.pattern, database.as_str()))
        .map(|grant| {
            let changing = grant.held.iter().filter(|held| CHANGING.contains(held));
            (grant, changing.copied().collect::<Vec<_>>().join(", "))
        })
        .filter(|(_, changing)| !changing.is_empty())
        .collect();
    all.iter()
        .take(NAMED)
        .map(|(grant, changing)| {
            let who = grantee(dialect, &grant.holder());
            let on = mysql_identifier(&grant.pattern);
            format!(
                "{who} may change what is in the database {database}, and what it puts there while a backup is loaded would be lost with a load that \
                 fails; until the restore is done, run: REVOKE {changing} ON {on}.* FROM {who}"
            )
        })
        .collect()
}

/// Looks at what the server would not take for a test, and changes nothing.
pub(super) async fn look_for_trial(
    session: &mut Session,
    profile: &ServerProfile,
    load: &Load,
) -> Result<TargetFacts, ProviderError> {
    validate::text_settings(session, &profile.dialect, &load.desired).await?;
    let obstacles = cannot_end_sessions(session, profile, &load.target.role).await?;
    Ok(TargetFacts {
        obstacles: obstacles.into_iter().collect(),
        free_connections: free_connections(session).await?,
        ..TargetFacts::default()
    })
}

/// Why the sessions of a load could not be ended, if they could not.
async fn cannot_end_sessions(
    session: &mut Session,
    profile: &ServerProfile,
    role: &SqlName,
) -> Result<Option<String>, ProviderError> {
    if profile.held.may_kill(&profile.dialect) || profile.kills_by_procedure {
        return Ok(None);
    }
    let (account, _) = administrator::privileges(session).await?;
    Ok(Some(format!(
        "the administrator may not end sessions of the user {role}, which a restore does; run: GRANT {} ON *.* TO {account}",
        profile.dialect.kill_privilege()
    )))
}

async fn bytes(session: &mut Session, database: &SqlName) -> Result<u64, ProviderError> {
    let schema = database.as_str();
    let query = sqlx::query(SIZE).bind(schema).bind(schema);
    let rows = session
        .rows("measuring the database", query)
        .await
        .map_err(|failure| failure.error.in_database(schema))?;
    let bytes = rows.first().map_or(Ok(0), |row| row.number("bytes"))?;
    Ok(u64::try_from(bytes).unwrap_or_default())
}

/// How many more sessions the server lets in. The one that it keeps for administrators does not count.
async fn free_connections(session: &mut Session) -> Result<Option<u32>, ProviderError> {
    let number = |text: Option<&String>| text.and_then(|text| text.parse::<u32>().ok());
    let most = session
        .variables(
            "asking how many connections the server lets in",
            "SHOW GLOBAL VARIABLES WHERE Variable_name = 'max_connections'",
        )
        .await?;
    let used = session
        .variables(
            "asking how many connections the server has",
            "SHOW GLOBAL STATUS WHERE Variable_name = 'Threads_connected'",
        )
        .await?;
    let most = number(most.get("max_connections"));
    let used = number(used.get("Threads_connected"));
    Ok(most.zip(used).map(|(most, used)| most.saturating_sub(used)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn who_else_may_change_the_target_is_named() {
        let dialect = Dialect::new("10.11.19-MariaDB", "", false, false).unwrap();
        let target = Names {
            database: SqlName::new("or_ders").unwrap(),
            role: SqlName::new("orders").unwrap(),
        };
        let of = |user: &str, host: &str, pattern: &str, held: &[&'static str]| {
            let grant = Grant {
                user: user.to_owned(),
                host: host.to_owned(),
                pattern: pattern.to_owned(),
                held: held.to_vec(),
                lacking: Vec::new(),
                with_option: false,
            };
            in_the_way(&dialect, &[grant], &target)
        };
        let exact = "or\\_ders";
        let reads = ["SELECT", "SHOW VIEW", "EXECUTE", "CREATE TEMPORARY TABLES"];
        for (user, host, pattern, held) in [
            ("orders", "%", exact, &["CREATE"][..]),
            ("reader", "%", exact, &reads),
            ("other", "%", "others", &["CREATE"]),
            ("nothing", "%", exact, &[]),
        ] {
            assert_eq!(of(user, host, pattern, held), [""; 0], "{user}");
        }
        let told = of("migrations", "%", exact, &["SELECT", "CREATE", "DROP"]);
        assert!(
            told[0].ends_with("run: REVOKE CREATE, DROP ON `or\\_ders`.* FROM 'migrations'@'%'"),
            "{told:?}"
        );
        // Another account of the same user's name has a password of its own.
        assert_eq!(of("orders", "10.%", "or%", &["INSERT"]).len(), 1);
    }
}
