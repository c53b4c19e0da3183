//! The general log of MySQL and MariaDB.

use super::entry::{Act, Entry, What, quoted};

const READ_EPOCH: &str = "SELECT CAST(e.epoch AS SIGNED) AS epoch";
const RAISE_EPOCH: &str = "UPDATE db_operator.epochs SET epoch = ";
const REGISTER: &str = "INSERT INTO db_operator.sessions ";

/// Whether an entry begins with this line.
pub(super) fn begins(line: &str) -> bool {
    fields(line).is_some()
}

/// The entries of a text that begins at a line's begin.
pub(super) fn entries(text: &str) -> Vec<Entry> {
    let mut all: Vec<(u64, &str, String)> = Vec::new();
    for line in text.lines() {
        if let Some((session, command, text)) = fields(line) {
            all.push((session, command, text.to_owned()));
        } else if let Some((_, _, text)) = all.last_mut() {
            text.push(' ');
            text.push_str(line.trim());
        }
    }
    all.into_iter()
        .filter_map(|(session, command, text)| {
            let what = match command {
                "Connect" => What::Login {
                    user: text.split('@').next().unwrap_or_default().to_owned(),
                    client: String::new(),
                },
                "Query" | "Prepare" | "Execute" => What::Statement {
                    act: act(&text),
                    text,
                },
                "Quit" => What::End,
                _ => return None,
            };
            Some(Entry { session, what })
        })
        .collect()
}

/// A line of the log: an optional time, the connection's number and a command, and the command's text.
fn fields(line: &str) -> Option<(u64, &str, &str)> {
    let (_, rest) = line.split_once('\t')?;
    let rest = rest.strip_prefix('\t').unwrap_or(rest);
    let (entry, text) = rest.split_once('\t').unwrap_or((rest, ""));
    let (session, command) = entry.trim().split_once(' ')?;
    Some((session.parse().ok()?, command.trim(), text))
}

/// What is executed has its values in it; what is only prepared has none yet.
fn act(text: &str) -> Act {
    let values = quoted(text);
    let one = |place: usize| values.get(place).map(|value| (*value).to_owned());
    if text.starts_with(READ_EPOCH) {
        // … i.name = 'identity' … e.cluster_id = '…' WHERE m.name = 'layout'
        let cluster = Some(1).filter(|_| values.len() == 3).and_then(one);
        return Act::Look { cluster };
    }
    if text.starts_with(REGISTER) {
        // SELECT '<token>', … cluster_id = '…' AND epoch = 3 AND process = '…' …
        return match (one(1), number_after(text, "AND epoch = ")) {
            (Some(cluster), Some(epoch)) => Act::Register { cluster, epoch },
            _ => Act::Look { cluster: None },
        };
    }
    if text.starts_with(RAISE_EPOCH) {
        // SET epoch = 3, process = '…' WHERE cluster_id = '…' AND epoch = 2
        return match (one(1), number_after(text, "SET epoch = ")) {
            (Some(cluster), Some(epoch)) => Act::Raise { cluster, epoch },
            _ => Act::Other,
        };
    }
    // A session begins by pinning its settings.
    if text.starts_with("SET SESSION sql_mode") {
        return Act::Pin;
    }
    if text.starts_with("SELECT ") || text.starts_with("SHOW ") {
        return Act::Read;
    }
    Act::Other
}

fn number_after(text: &str, before: &str) -> Option<i64> {
    let (_, rest) = text.split_once(before)?;
    let end = rest.find(|c: char| !c.is_ascii_digit());
    rest[..end.unwrap_or(rest.len())].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_executed_has_its_values() {
        let log = "2026-11-23T23:23:08.000000Z\t   11 Connect\tadmin@10.0.0.1 on  using SSL/TLS
2026-11-23T23:23:08.000000Z\t   11 Prepare\tUPDATE db_operator.epochs SET epoch = ?, process = ? WHERE cluster_id = ? AND epoch = ?
261123 23:23:08\t    11 Execute\tUPDATE db_operator.epochs SET epoch = 3, process = 'p' WHERE cluster_id = 'c' AND epoch = 2
\t\t    11 Execute\tINSERT INTO db_operator.sessions (token, cluster_id, epoch, connection_id) SELECT 't', cluster_id, epoch, CONNECTION_ID() FROM db_operator.epochs WHERE cluster_id = 'c' AND epoch = 3 AND process = 'p'
\t\t    11 Query\tSHOW
GRANTS
\t\t    11 Close stmt\t
\t\t    11 Quit\t
";
        let acts: Vec<Act> = entries(log)
            .into_iter()
            .filter_map(|entry| match entry.what {
                What::Statement { act, .. } => Some(act),
                What::Login { .. } | What::End => None,
            })
            .collect();
        let cluster = || "c".to_owned();
        let expected = [
            Act::Other,
            Act::Raise {
                cluster: cluster(),
                epoch: 3,
            },
            Act::Register {
                cluster: cluster(),
                epoch: 3,
            },
            Act::Read,
        ];
        assert_eq!(acts, expected);
    }
}
