//! Whether a server can take what a backup holds, and a Restore may ask for what it asks for: refused before anything is
//! made. Pure.

use crate::agent::protocol::task::Flavour;
use crate::api::backup::size;
use crate::api::instance::RestoreSettings;
use crate::api::restore::{CheckLevel, RestoreOnly};
use crate::api::{RestoreMode, RestoreReason};
use crate::restore::failure::Failure;

/// What a Restore asks for that a kind of server may not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// What may be in the database before.
    pub mode: RestoreMode,
    /// The name that was written to confirm a replacement.
    pub confirm: Option<&'a str>,
    /// What is to be compared.
    pub level: CheckLevel,
    /// What is to be loaded, if that is not all.
    pub only: Option<&'a RestoreOnly>,
}

/// Refuses what this kind of server cannot do, and a replacement of another database than the one that is named.
/// `database` is the SQL database.
pub(super) fn asked(asked: Asked<'_>, flavour: Flavour, database: &str) -> Result<(), Failure> {
    let refuse = |message: String| Err(Failure::new(RestoreReason::Unsupported, message));
    if flavour != Flavour::Postgresql {
        if asked.mode == RestoreMode::Replace {
            return refuse(format!(
                "{flavour} cannot give a database another name, so mode Replace is not possible there: restore into a \
                 new, empty Database (mode Empty) and point the application to it, or empty this one first"
            ));
        }
        if asked.level == CheckLevel::Digest {
            return refuse(format!(
                "backups of {flavour} have no digests of rows: set spec.check.level to Rows"
            ));
        }
    }
    if let Some(only) = asked.only {
        if flavour != Flavour::Postgresql {
            return refuse(format!(
                "a dump of {flavour} is loaded as a whole: leave out spec.only, and drop what is not wanted afterwards"
            ));
        }
        if asked.mode == RestoreMode::Replace {
            return refuse(
                "mode Replace puts all of a backup in the place of what is there: leave out spec.only, or restore into an \
                 empty Database (mode Empty), or try it out (mode Test)"
                    .to_owned(),
            );
        }
        // The API server refuses these as well, if it has the rules.
        if only.table_names().any(|name| name.is_none()) {
            let message =
                "spec.only.tables names each table with its schema, for example public.invoices";
            return refuse(message.to_owned());
        }
        if only.schemas.is_empty() && only.tables.is_empty() {
            let message = "spec.only names nothing: write schemas or tables, or leave it out";
            return refuse(message.to_owned());
        }
    }
    let confirm = asked.confirm.unwrap_or("not set");
    match asked.mode {
        RestoreMode::Replace if asked.confirm != Some(database) => {
            let message = format!(
                "spec.confirm is {confirm}, and the SQL database that would be replaced is {database}: make another \
                 Restore with confirm: {database}, if that is the one"
            );
            Err(Failure::new(RestoreReason::WrongConfirm, message))
        }
        RestoreMode::Replace | RestoreMode::Empty | RestoreMode::Test => Ok(()),
    }
}

/// Refuses a Restore that names no place to go to, or two. The API server does so, too, if it has the rules.
pub(super) fn nowhere() -> Failure {
    let message = "spec names neither a Database (databaseRef, with mode Empty or Replace) nor an instance to be tested on \
                   (instanceRef, with mode: Test), or both: make another Restore with one of them";
    Failure::new(RestoreReason::ContradictoryTarget, message)
}

/// Where a backup comes from, or goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Of<'a> {
    /// The kind of server.
    pub flavour: Flavour,
    /// The series: `17`, `11.8`. `None` in manifests of earlier versions, whose full version tells.
    pub series: Option<&'a str>,
    /// The version in its own words.
    pub version: &'a str,
}

/// Refuses a backup of another kind of server, or of a newer one than this: what it holds may not exist here.
pub(super) fn server(source: Of<'_>, target: Of<'_>) -> Result<(), Failure> {
    let refuse = |message: String| Err(Failure::new(RestoreReason::Unsupported, message));
    if source.flavour != target.flavour {
        return refuse(format!(
            "the backup is of {}, and this server is {}: restore it on a server of the same kind",
            source.flavour, target.flavour
        ));
    }
    let (from, to) = (numbers(source), numbers(target));
    if from > to {
        return refuse(format!(
            "the backup is of {} {}, and this server is older ({}): restore it on a server that is not",
            source.flavour, source.version, target.version
        ));
    }
    Ok(())
}

/// Refuses a backup that is larger than what may be restored on an instance.
pub(super) fn bytes(
    dumped_bytes: u64,
    settings: &RestoreSettings,
    instance: &str,
) -> Result<(), Failure> {
    let Some(most) = settings
        .effective_max_bytes()
        .filter(|most| *most < dumped_bytes)
    else {
        return Ok(());
    };
    let shown = |bytes: u64| size(i64::try_from(bytes).unwrap_or(i64::MAX));
    let limit = settings.max_bytes.clone();
    let message = format!(
        "the backup has {} before compression, and on the instance {instance} only backups of at most {} are restored (its \
         spec.restore.maxBytes): restore it into a Database on another instance, or ask the platform team to raise that limit",
        shown(dumped_bytes),
        limit.unwrap_or_else(|| shown(most))
    );
    Err(Failure::new(RestoreReason::TooLarge, message))
}

/// The numbers of a series, to be compared: PostgreSQL's has one, the others have two.
fn numbers(of: Of<'_>) -> Vec<u32> {
    let text = of.series.unwrap_or(of.version);
    let digits = text.split(|c: char| !c.is_ascii_digit());
    let all = digits.map_while(|number| number.parse().ok());
    let count = match of.flavour {
        Flavour::Postgresql => 1,
        Flavour::Mysql | Flavour::Mariadb => 2,
    };
    all.take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replacement_needs_postgresql_and_the_right_name() {
        let of = |mode, confirm, flavour| {
            let level = CheckLevel::Rows;
            let asked_for = Asked {
                mode,
                confirm,
                level,
                only: None,
            };
            asked(asked_for, flavour, "orders").map_err(|failure| failure.reason)
        };
        let (replace, empty) = (RestoreMode::Replace, RestoreMode::Empty);
        let (postgresql, mysql) = (Flavour::Postgresql, Flavour::Mysql);
        assert_eq!(of(empty, None, mysql), Ok(()));
        assert_eq!(of(replace, Some("orders"), postgresql), Ok(()));
        assert_eq!(
            of(replace, Some("Orders"), postgresql),
            Err(RestoreReason::WrongConfirm)
        );
        // The API server refuses it as well, if it has the rule.
        assert_eq!(
            of(replace, None, postgresql),
            Err(RestoreReason::WrongConfirm)
        );
        for flavour in [mysql, Flavour::Mariadb] {
            assert_eq!(
                of(replace, Some("orders"), flavour),
                Err(RestoreReason::Unsupported)
            );
        }
    }

    #[test]
    fn a_part_is_loaded_on_postgresql_into_an_empty_database() {
        let of = |flavour, mode, tables: &[&str]| {
            let only = RestoreOnly {
                schemas: Vec::new(),
                tables: tables.iter().map(ToString::to_string).collect(),
            };
            let asked_for = Asked {
                mode,
                confirm: Some("orders"),
                level: CheckLevel::Rows,
                only: Some(&only),
            };
            asked(asked_for, flavour, "orders").map_err(|failure| failure.message)
        };
        let (postgresql, empty) = (Flavour::Postgresql, RestoreMode::Empty);
        assert_eq!(of(postgresql, empty, &["public.invoices"]), Ok(()));
        for (flavour, mode, tables, says) in [
            (Flavour::Mysql, empty, &["a.b"][..], "leave out spec.only"),
            (Flavour::Mariadb, empty, &["a.b"], "leave out spec.only"),
            (postgresql, RestoreMode::Replace, &["a.b"], "mode Empty"),
            (postgresql, empty, &["invoices"], "with its schema"),
            (postgresql, empty, &[], "names nothing"),
        ] {
            let message = of(flavour, mode, tables).unwrap_err();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn digests_are_postgresqls() {
        let of = |flavour| {
            let asked_for = Asked {
                mode: RestoreMode::Empty,
                confirm: None,
                level: CheckLevel::Digest,
                only: None,
            };
            asked(asked_for, flavour, "orders").is_ok()
        };
        assert!(of(Flavour::Postgresql) && !of(Flavour::Mysql) && !of(Flavour::Mariadb));
    }

    #[test]
    fn a_backup_goes_to_the_same_kind_of_server_that_is_not_older() {
        let fits = |from: (Flavour, Option<&str>, &str), to: (Flavour, &str)| {
            let (flavour, series, version) = from;
            let source = Of {
                flavour,
                series,
                version,
            };
            let (flavour, version) = to;
            let target = Of {
                flavour,
                series: None,
                version,
            };
            server(source, target).is_ok()
        };
        let (pg, my, maria) = (Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb);
        for (from, to, expected) in [
            ((pg, Some("17"), "17.6"), (pg, "17.2"), true),
            ((pg, Some("17"), "17.6"), (pg, "18.0"), true),
            ((pg, Some("18"), "18.0"), (pg, "17.6"), false),
            ((pg, None, "16.4 (Debian 16.4-1)"), (pg, "16.1"), true),
            ((my, Some("8.4"), "8.4.3"), (my, "9.7.0"), true),
            ((my, Some("9.7"), "9.7.0"), (my, "8.4.3"), false),
            ((maria, Some("11.8"), "11.8.2"), (maria, "11.4.5"), false),
            ((maria, Some("10.11"), "10.11.9"), (maria, "11.4.5"), true),
            (
                (maria, None, "11.8.2-MariaDB"),
                (maria, "11.8.1-MariaDB"),
                true,
            ),
            ((my, Some("8.4"), "8.4.3"), (maria, "11.8.2"), false),
            ((pg, Some("17"), "17.6"), (my, "9.7.0"), false),
        ] {
            assert_eq!(fits(from, to), expected, "{from:?} {to:?}");
        }
    }

    #[test]
    fn a_backup_is_no_larger_than_the_instance_allows() {
        let settings = |max_bytes: Option<&str>| RestoreSettings {
            max_bytes: max_bytes.map(str::to_owned),
            ..RestoreSettings::default()
        };
        assert_eq!(bytes(u64::MAX, &settings(None), "main"), Ok(()));
        assert_eq!(bytes(1 << 30, &settings(Some("1Gi")), "main"), Ok(()));
        let refused = bytes((1 << 30) + 1, &settings(Some("1Gi")), "main").unwrap_err();
        assert_eq!(refused.reason, RestoreReason::TooLarge);
        let message = refused.message;
        assert!(
            message.contains("instance main") && message.contains("maxBytes"),
            "{message}"
        );
    }
}
