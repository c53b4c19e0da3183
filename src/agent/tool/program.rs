//! Which tool this is, and whether it fits the server: a tool that is older than the server may leave out what it does not
//! know, and one that is older than the tool that dumped may not understand the dump.

use crate::agent::protocol::task::{Flavour, Source};

/// What a tool is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// It dumps.
    Dump,
    /// It loads.
    Load,
}

/// A tool, according to its `--version`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Tool {
    /// The kind of server that it is made for.
    pub flavour: Flavour,
    /// What it is for.
    pub purpose: Purpose,
    /// Its series: `[17]`, `[11, 8]`, `[9, 7]`.
    pub series: Vec<u32>,
    /// The line that it printed, tidied up.
    pub version: String,
}

/// Why a tool does not fit.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Mismatch {
    /// It is not a known tool.
    #[error(
        "cannot tell what this tool is; it says: {said}. The template's command must begin with {expected} after \"--\""
    )]
    Unknown {
        /// What it says.
        said: String,
        /// The tools that are known.
        expected: &'static str,
    },
    /// It is older than the tool that dumped.
    #[error(
        "{tool} is older than the tool that made the dump, {dumped}, and may not understand it: use an image of series {series} or newer"
    )]
    OlderThanDump {
        /// What the tool is.
        tool: String,
        /// What the other one was.
        dumped: String,
        /// The other one's series.
        series: String,
    },
    /// The dump is of another kind of server.
    #[error("{tool} cannot load what {dumped} made")]
    Dump {
        /// What the tool is.
        tool: String,
        /// What the other one was.
        dumped: String,
    },
    /// It is made for another kind of server.
    #[error(
        "{tool} is no tool for a server of {server}: use the vendor's own image, whose tool is {expected}"
    )]
    Flavour {
        /// What the tool is.
        tool: String,
        /// The kind of server.
        server: &'static str,
        /// The tool for that kind of server.
        expected: &'static str,
    },
    /// It is older than the server.
    #[error(
        "{tool} is older than the server, {server}, and may leave out what it does not know: use an image of series {series} or newer"
    )]
    Older {
        /// What the tool is.
        tool: String,
        /// The server's version.
        server: String,
        /// The server's series.
        series: String,
    },
}

/// How many characters of a version are kept.
const LENGTH: usize = 200;

impl Tool {
    /// Recognises a tool by what `--version` printed.
    pub(crate) fn parse(printed: &str, purpose: Purpose) -> Result<Self, Mismatch> {
        let line = printed.lines().next().unwrap_or_default();
        let words = line.split_whitespace().collect::<Vec<_>>().join(" ");
        // It becomes part of a result of limited length.
        let version: String = words.chars().take(LENGTH).collect();
        let unknown = || Mismatch::Unknown {
            said: version.clone(),
            expected: match purpose {
                Purpose::Dump => "pg_dump, mysqldump or mariadb-dump",
                Purpose::Load => "pg_restore, mysql or mariadb",
            },
        };
        let (flavour, number) = recognise(&version, purpose).ok_or_else(unknown)?;
        let places = match flavour {
            Flavour::Postgresql => 1,
            Flavour::Mysql | Flavour::Mariadb => 2,
        };
        let series = series(number, places);
        if series.len() < places {
            return Err(unknown());
        }
        Ok(Self {
            flavour,
            purpose,
            series,
            version,
        })
    }

    /// Refuses a tool that is made for another kind of server than the one that dumped, or older.
    pub(crate) fn understands(&self, dumped: &Self) -> Result<(), Mismatch> {
        if self.flavour != dumped.flavour {
            return Err(Mismatch::Dump {
                tool: self.version.clone(),
                dumped: dumped.version.clone(),
            });
        }
        if self.series < dumped.series {
            let series: Vec<String> = dumped.series.iter().map(u32::to_string).collect();
            return Err(Mismatch::OlderThanDump {
                tool: self.version.clone(),
                dumped: dumped.version.clone(),
                series: series.join("."),
            });
        }
        Ok(())
    }

    /// Refuses a tool for another kind of server, and one that is older than the server's series.
    pub(crate) fn fits(&self, source: &Source) -> Result<(), Mismatch> {
        if self.flavour != source.flavour {
            return Err(Mismatch::Flavour {
                tool: self.version.clone(),
                server: source.flavour.name(),
                expected: expected(source.flavour, self.purpose),
            });
        }
        if self.series < series(&source.series, self.series.len()) {
            return Err(Mismatch::Older {
                tool: self.version.clone(),
                server: source.server_version.clone(),
                series: source.series.clone(),
            });
        }
        Ok(())
    }
    /// Whether it sets something in its sessions that the server does not know: `pg_restore` sets `transaction_timeout` from 17
    /// on, whatever the server, and goes on after that error unless it is told to end.
    pub(crate) fn sets_what_is_unknown(&self, server: &Source) -> bool {
        const SINCE: u32 = 17;
        let is_before = series(&server.series, 1)
            .first()
            .is_some_and(|series| *series < SINCE);
        self.flavour == Flavour::Postgresql
            && self.purpose == Purpose::Load
            && self.series.first() >= Some(&SINCE)
            && is_before
    }
}

/// The tool for a kind of server.
fn expected(flavour: Flavour, purpose: Purpose) -> &'static str {
    match (flavour, purpose) {
        (Flavour::Postgresql, Purpose::Dump) => "pg_dump",
        (Flavour::Postgresql, Purpose::Load) => "pg_restore",
        (Flavour::Mysql, Purpose::Dump) => "mysqldump of MySQL",
        (Flavour::Mysql, Purpose::Load) => "mysql of MySQL",
        (Flavour::Mariadb, Purpose::Dump) => "mariadb-dump",
        (Flavour::Mariadb, Purpose::Load) => "mariadb",
    }
}

/// The kind of server, and the text from where the version's number begins.
fn recognise(version: &str, purpose: Purpose) -> Option<(Flavour, &str)> {
    let (postgresql, names): (_, &[&str]) = match purpose {
        Purpose::Dump => ("pg_dump (", &["mysqldump ", "mariadb-dump "]),
        Purpose::Load => ("pg_restore (", &["mysql ", "mariadb "]),
    };
    if let Some(rest) = version.strip_prefix(postgresql) {
        return Some((Flavour::Postgresql, rest.split_once(") ")?.1));
    }
    if !names.iter().any(|name| version.starts_with(name)) {
        return None;
    }
    if version.contains("MariaDB") {
        // Old: `mysqldump Ver 10.19 Distrib 10.11.19-MariaDB`; new: `mariadb-dump from 11.8.3-MariaDB, client 10.19`.
        let number = version
            .split_once(" from ")
            .or_else(|| version.split_once(" Distrib "))?
            .1;
        return Some((Flavour::Mariadb, number));
    }
    if version.starts_with("mariadb") {
        return None;
    }
    // `mysqldump Ver 9.7.0 for Linux`; 5.7: `mysqldump Ver 10.13 Distrib 5.7.44`.
    let number = version
        .split_once(" Distrib ")
        .or_else(|| version.split_once(" Ver "))?
        .1;
    Some((Flavour::Mysql, number))
}

/// The first `places` numbers of a version.
fn series(version: &str, places: usize) -> Vec<u32> {
    version
        .split('.')
        .take(places)
        .map_while(|part| {
            let end = part
                .find(|char: char| !char.is_ascii_digit())
                .unwrap_or(part.len());
            part[..end].parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(flavour: Flavour, series: &str) -> Source {
        Source {
            flavour,
            series: series.to_owned(),
            server_version: format!("{series}.1"),
            host: String::new(),
            port: 0,
            tls: String::new(),
            database: String::new(),
        }
    }

    /// What real tools print.
    const PRINTED: &[(&str, Flavour, &[u32])] = &[
        (
            "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n",
            Flavour::Postgresql,
            &[15],
        ),
        (
            "pg_dump (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)",
            Flavour::Postgresql,
            &[17],
        ),
        ("pg_dump (PostgreSQL) 18beta2", Flavour::Postgresql, &[18]),
        ("pg_dump (PostgreSQL) 14.19", Flavour::Postgresql, &[14]),
        (
            "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
            Flavour::Mariadb,
            &[10, 11],
        ),
        (
            "mariadb-dump from 11.8.6-MariaDB, client 10.19 for debian-linux-gnu (x86_64)",
            Flavour::Mariadb,
            &[11, 8],
        ),
        (
            "mysqldump  Ver 9.7.0 for Linux on x86_64 (MySQL Community Server - GPL)",
            Flavour::Mysql,
            &[9, 7],
        ),
        (
            "mysqldump  Ver 8.0.46-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))",
            Flavour::Mysql,
            &[8, 0],
        ),
        (
            "mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)",
            Flavour::Mysql,
            &[5, 7],
        ),
    ];

    #[test]
    fn real_tools_are_known() {
        for &(printed, flavour, series) in PRINTED {
            let tool = Tool::parse(printed, Purpose::Dump).unwrap();
            assert_eq!(
                (tool.flavour, &tool.series[..]),
                (flavour, series),
                "{printed}"
            );
        }
        for printed in [
            "",
            "busybox",
            "pg_dump (PostgreSQL) x",
            "pg_restore (PostgreSQL) 17.6",
        ] {
            assert!(Tool::parse(printed, Purpose::Dump).is_err(), "{printed}");
        }
    }

    #[test]
    fn an_older_tool_or_another_kind_is_refused_with_a_sentence() {
        let fits = |printed: &str, flavour, series| {
            Tool::parse(printed, Purpose::Dump)
                .unwrap()
                .fits(&source(flavour, series))
                .map_err(|error| error.to_string())
        };
        let (old, new) = ("pg_dump (PostgreSQL) 16.4", "pg_dump (PostgreSQL) 18.0");
        assert_eq!(fits(new, Flavour::Postgresql, "17"), Ok(()));
        assert_eq!(fits(old, Flavour::Postgresql, "16"), Ok(()));
        let said = fits(old, Flavour::Postgresql, "17").unwrap_err();
        assert!(said.contains("older") && said.contains("17.1"), "{said}");

        let mariadb = "mariadb-dump from 11.8.6-MariaDB, client 10.19 for debian-linux-gnu";
        assert_eq!(fits(mariadb, Flavour::Mariadb, "10.11"), Ok(()));
        assert_eq!(fits(mariadb, Flavour::Mariadb, "11.8"), Ok(()));
        assert!(fits(mariadb, Flavour::Mariadb, "12.0").is_err());
        let said = fits(mariadb, Flavour::Mysql, "9.7").unwrap_err();
        assert!(said.contains("mysqldump of MySQL"), "{said}");
        let mysql = "mysqldump  Ver 8.4.6 for Linux on x86_64 (MySQL Community Server - GPL)";
        assert!(fits(mysql, Flavour::Mysql, "9.7").is_err());
        assert!(fits(mysql, Flavour::Mariadb, "10.11").is_err());
    }

    #[test]
    fn a_tool_that_sets_more_than_the_server_knows_is_known() {
        let sets = |printed: &str, flavour, series: &str| {
            let tool = Tool::parse(printed, Purpose::Load).unwrap();
            tool.sets_what_is_unknown(&source(flavour, series))
        };
        for (tool, server, expected) in [
            ("16.9", "14", false),
            ("17.0", "14", true),
            ("17.6", "16", true),
            ("18.1", "15", true),
            ("17.6", "17", false),
            ("18.1", "17", false),
        ] {
            let printed = format!("pg_restore (PostgreSQL) {tool}");
            let told = sets(&printed, Flavour::Postgresql, server);
            assert_eq!(told, expected, "{tool} {server}");
        }
        let mariadb = "mariadb from 11.8.6-MariaDB, client 15.2 for debian-linux-gnu";
        assert!(!sets(mariadb, Flavour::Mariadb, "10.11"));
    }

    #[test]
    fn a_tool_that_loads_is_not_older_than_the_one_that_dumped() {
        let load = |printed: &str| Tool::parse(printed, Purpose::Load);
        let dump = |printed: &str| Tool::parse(printed, Purpose::Dump).unwrap();
        for (printed, flavour, series) in [
            (
                "pg_restore (PostgreSQL) 17.6 (Debian 17.6-0+deb13u1)",
                Flavour::Postgresql,
                &[17][..],
            ),
            (
                "mysql  Ver 9.7.0 for Linux on x86_64 (MySQL Community Server - GPL)",
                Flavour::Mysql,
                &[9, 7],
            ),
            (
                "mysql  Ver 15.1 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64) using  EditLine wrapper",
                Flavour::Mariadb,
                &[10, 11],
            ),
            (
                "mariadb from 11.8.6-MariaDB, client 15.2 for debian-linux-gnu (x86_64) using  EditLine wrapper",
                Flavour::Mariadb,
                &[11, 8],
            ),
        ] {
            let tool = load(printed).unwrap();
            assert_eq!((tool.flavour, &tool.series[..]), (flavour, series));
        }
        assert!(load("pg_dump (PostgreSQL) 17.6").is_err());
        assert!(load("mysqldump  Ver 9.7.0 for Linux").is_err());
        let tool = load("pg_restore (PostgreSQL) 17.0").unwrap();
        assert_eq!(tool.understands(&dump("pg_dump (PostgreSQL) 17.6")), Ok(()));
        assert_eq!(tool.understands(&dump("pg_dump (PostgreSQL) 15.1")), Ok(()));
        let said = tool.understands(&dump("pg_dump (PostgreSQL) 18.0"));
        assert!(said.unwrap_err().to_string().contains("series 18 or newer"));
        let other = "mysqldump  Ver 9.7.0 for Linux on x86_64 (MySQL Community Server - GPL)";
        assert!(tool.understands(&dump(other)).is_err());
    }
}
