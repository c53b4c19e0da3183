//! The key of an object in the bucket.

use jiff::Timestamp;

use crate::agent::protocol::task::Flavour;

/// The key of a backup:
/// `<prefix>/<cluster id>/<namespace>/<Database>/<UTC time>-<Backup>-<8 of its UID>.dump.zst`, with `.sql.zst` for MySQL
/// and MariaDB. It sorts by time, and no two Backups share one.
#[must_use]
#[expect(clippy::too_many_arguments, reason = "each is a piece of the key")]
pub fn key(
    prefix: Option<&str>,
    cluster_id: &str,
    namespace: &str,
    database_object: &str,
    started: Timestamp,
    backup_name: &str,
    backup_uid: &str,
    flavour: Flavour,
) -> String {
    let folder = cluster_prefix(prefix, cluster_id);
    let time = started.strftime("%Y%m%dT%H%M%SZ");
    let uid: String = backup_uid.chars().take(8).collect();
    let extension = extension(flavour);
    format!("{folder}{namespace}/{database_object}/{time}-{backup_name}-{uid}.{extension}")
}

/// What all keys of this cluster, and of no other, begin with: `<prefix>/<cluster id>/`.
#[must_use]
pub fn cluster_prefix(prefix: Option<&str>, cluster_id: &str) -> String {
    let id = safe(cluster_id);
    match prefix {
        Some(prefix) => format!("{prefix}/{id}/"),
        None => format!("{id}/"),
    }
}

/// The extension of an object's name, which says how to read it.
#[must_use]
pub const fn extension(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Postgresql => "dump.zst",
        Flavour::Mysql | Flavour::Mariadb => "sql.zst",
    }
}

/// A cluster's id, in which everything but letters, digits, `-` and inner dots is replaced, byte by byte, with `_` and two
/// hexadecimal digits. Different ids stay different, as a cluster must not mistake another's uploads for its own.
fn safe(id: &str) -> String {
    if id.is_empty() {
        return "_".to_owned();
    }
    let escaped = |(at, byte): (usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => char::from(byte).to_string(),
        b'.' if at > 0 => ".".to_owned(),
        _ => format!("_{byte:02X}"),
    };
    id.bytes().enumerate().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key_of(prefix: Option<&str>, cluster: &str, flavour: Flavour) -> String {
        let started = "2026-11-24T02:00:00.7+00:00".parse().unwrap();
        let uid = "0f1e2d3c-aaaa-bbbb-cccc-000000000000";
        key(
            prefix, cluster, "team-a", "orders", started, "nightly", uid, flavour,
        )
    }

    #[test]
    fn a_key_says_where_when_and_what() {
        let expected =
            |kind| format!("prod/c1/team-a/orders/20261124T020000Z-nightly-0f1e2d3c.{kind}.zst");
        assert_eq!(
            key_of(Some("prod"), "c1", Flavour::Postgresql),
            expected("dump")
        );
        assert_eq!(key_of(Some("prod"), "c1", Flavour::Mysql), expected("sql"));
        assert_eq!(
            key_of(Some("prod"), "c1", Flavour::Mariadb),
            expected("sql")
        );
        assert!(key_of(None, "c1", Flavour::Mysql).starts_with("c1/team-a/"));
    }

    #[test]
    fn a_cluster_is_a_folder_of_its_own() {
        assert_eq!(cluster_prefix(Some("a/b"), "c1"), "a/b/c1/");
        assert_eq!(cluster_prefix(None, "eu/west 1"), "eu_2Fwest_201/");
        assert_eq!(cluster_prefix(None, ".."), "_2E./");
        assert_eq!(cluster_prefix(None, ""), "_/");
        let eleven = key_of(None, "c11", Flavour::Mysql);
        assert!(!eleven.starts_with(&cluster_prefix(None, "c1")));
    }

    proptest! {
        #[test]
        fn two_clusters_never_share_a_folder(one in "\\PC{0,12}", other in "[a-c_/.%]{0,4}", third in "[a-c_/.%]{0,4}") {
            prop_assert_eq!(one == other, safe(&one) == safe(&other));
            prop_assert_eq!(third == other, safe(&third) == safe(&other));
            prop_assert!(!safe(&one).contains('/') && safe(&one).is_ascii());
        }
    }
}
