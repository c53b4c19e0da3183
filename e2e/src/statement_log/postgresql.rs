//! The log of PostgreSQL, with `log_line_prefix = '%m [%p] %u@%d from %r as %a: '`.

use super::entry::{Act, Entry, What, quoted};

const READ_EPOCH: &str = "SELECT m.schema_version, e.epoch, e.process";
const READ_IDENTITY: &str = "SELECT system_identifier::text AS identity";
const RAISE_EPOCH: &str = "UPDATE db_operator.epochs SET epoch = $2";
const REGISTER: &str = "INSERT INTO db_operator.sessions ";

/// Whether an entry begins with this line. A statement's parameters are on another line, and part of it.
pub(super) fn begins(line: &str) -> bool {
    !line.starts_with('\t') && message(line).is_some() && !line.contains(": DETAIL:  ")
}

/// The entries of a text that begins at a line's begin.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let mut all: Vec<Lines> = Vec::new();
    for line in text.lines() {
        match message(line) {
            Some((session, message)) if !line.starts_with('\t') => all.push(Lines {
                session,
                message: message.to_owned(),
            }),
            _ => {
                if let Some(last) = all.last_mut() {
                    last.message.push(' ');
                    last.message.push_str(line.trim());
                }
            }
        }
    }
    let mut rest = all.iter().peekable();
    let mut entries = Vec::new();
    while let Some(lines) = rest.next() {
        let detail = rest
            .peek()
            .filter(|next| next.session == lines.session)
            .and_then(|next| next.message.split_once("DETAIL:  "))
            .map_or("", |(_, detail)| detail);
        if let Some(what) = what(&lines.message, &quoted(detail)) {
            entries.push(Entry {
                session: lines.session,
                what,
            });
        }
    }
    entries
}

struct Lines {
    session: u64,
    /// Everything behind the process id: `user@database from host(port) as name: LOG:  …`.
    message: String,
}

/// `2026-01-01 00:00:00.000 UTC [123] user@database from host(port) as name: LOG:  statement: …`
fn message(line: &str) -> Option<(u64, &str)> {
    let (_, rest) = line.split_once(" [")?;
    let (session, message) = rest.split_once("] ")?;
    Some((session.parse().ok()?, message))
}

fn what(message: &str, parameters: &[&str]) -> Option<What> {
    let (prefix, said) = message.split_once(": LOG:  ")?;
    if said.starts_with("connection authorized: ") {
        let (_, client) = said.split_once("application_name=").unwrap_or_default();
        let client = client.split(" SSL enabled").next().unwrap_or_default();
        return Some(What::Login {
            user: prefix.split('@').next().unwrap_or_default().to_owned(),
            client: client.to_owned(),
        });
    }
    if said.starts_with("disconnection: ") {
        return Some(What::End);
    }
    let executed = said
        .strip_prefix("execute ")
        .and_then(|said| Some(said.split_once(": ")?.1));
    let text = executed.or_else(|| said.strip_prefix("statement: "))?;
    Some(What::Statement {
        act: act(text, parameters),
        text: text.to_owned(),
    })
}

fn act(text: &str, parameters: &[&str]) -> Act {
    let cluster = parameters.first().map(|cluster| (*cluster).to_owned());
    let epoch = parameters.get(1).and_then(|epoch| epoch.parse().ok());
    match (cluster, epoch) {
        (cluster, _) if text.starts_with(READ_EPOCH) => Act::Look { cluster },
        _ if text.starts_with(READ_IDENTITY) => Act::Look { cluster: None },
        (Some(cluster), Some(epoch)) if text.starts_with(RAISE_EPOCH) => {
            Act::Raise { cluster, epoch }
        }
        (Some(cluster), Some(epoch)) if text.starts_with(REGISTER) => match parameters.get(3) {
            Some(client) => Act::RegisterVisit {
                cluster,
                epoch,
                client: (*client).to_owned(),
            },
            None => Act::Register { cluster, epoch },
        },
        _ => Act::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_has_its_lines_and_its_parameters() {
        let log = "\
2026-11-23 23:22:24.000 GMT [7] admin@b from 10.0.0.1(1) as [unknown]: LOG:  connection authorized: user=admin database=b application_name=db-operator visit 01 SSL enabled (protocol=TLSv1.3)
2026-11-23 23:22:24.000 GMT [7] admin@b from 10.0.0.1(1) as db-operator: LOG:  execute sqlx_s_1: INSERT INTO db_operator.sessions (cluster_id)
\tSELECT e.cluster_id
2026-11-23 23:22:24.000 GMT [7] admin@b from 10.0.0.1(1) as db-operator: DETAIL:  Parameters: $1 = 'c', $2 = '3', $3 = 'p'
2026-11-23 23:22:24.000 GMT [7] admin@b from 10.0.0.1(1) as db-operator: LOG:  statement: BEGIN;
2026-11-23 23:22:24.000 GMT [7] admin@b from 10.0.0.1(1) as db-operator: FATAL:  terminating connection due to administrator command
2026-11-23 23:22:24.000 GMT [7] admin@b from 10.0.0.1(1) as db-operator: LOG:  disconnection: session time: 0:00:00.012
";
        let statement = |text: &str, act| What::Statement {
            text: text.to_owned(),
            act,
        };
        let expected = [
            What::Login {
                user: "admin".to_owned(),
                client: "db-operator visit 01".to_owned(),
            },
            statement(
                "INSERT INTO db_operator.sessions (cluster_id) SELECT e.cluster_id",
                Act::Register {
                    cluster: "c".to_owned(),
                    epoch: 3,
                },
            ),
            statement("BEGIN;", Act::Other),
            What::End,
        ];
        let found = entries(log);
        assert!(found.iter().all(|entry| entry.session == 7));
        let found: Vec<What> = found.into_iter().map(|entry| entry.what).collect();
        assert_eq!(found, expected);
    }
}
