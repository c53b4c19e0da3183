//! The statements of a swap and of its way back.

use serde_json::json;

use super::*;
use crate::provider::restore::RestoreId;
use crate::provider::{Claimant, Desired, MysqlSettings, Names, PostgresqlSettings, SqlName};

fn load() -> Load {
    let name = |text: &str| SqlName::new(text).unwrap();
    let target = Names {
        database: name("orders"),
        role: name("orders"),
    };
    Load {
        restore: RestoreId {
            cluster_id: "c".to_owned(),
            namespace: "n".to_owned(),
            name: "monday".to_owned(),
            uid: "u".to_owned(),
            spec_hash: "5bec".to_owned(),
        },
        target: target.clone(),
        claimant: Claimant {
            cluster_id: "c".to_owned(),
            namespace: "n".to_owned(),
            name: "orders".to_owned(),
        },
        take_over_from: Vec::new(),
        extensions: Vec::new(),
        desired: Desired {
            names: target,
            connection_limit: None,
            postgresql: PostgresqlSettings::default(),
            mysql: MysqlSettings::default(),
        },
        mode: LoadMode::Replace,
    }
}

fn properties(bytes: i64, grantee: &str) -> Properties {
    serde_json::from_value(json!({
        "bytes": bytes, "limit": 5, "comment": null, "settings": [],
        "grants": [{"grantee": grantee, "privilege": "CONNECT", "grantable": false}],
        "encoding": "UTF8", "collate": "C", "ctype": "C", "provider": null, "locale": null, "icu_rules": null,
        "tablespace": {"name": "pg_default", "default": true, "allowed": true},
    }))
    .unwrap()
}

fn row(purpose: &str, database: &str, login: Option<&str>) -> ScratchRow {
    serde_json::from_value(json!({
        "database_name": database, "role_name": login, "purpose": purpose, "uid": "u", "target_id": "1.2/3",
        "other_name": "orders__other", "database_id": "1.2/4", "database_mark": null,
        "role_id": login.map(|_| "1.2/9"), "adopted": false, "locked": true, "kept": true,
        "found": null, "found_role": login.map(|_| "1.2/9"),
    }))
    .unwrap()
}

fn state() -> RestoreState {
    serde_json::from_value(json!({
        "claim": {"created_database": true, "drop_adopted": false, "database_id": "1.2/3"},
        "target": null, "assumable": true, "made": false, "rows": [], "record": null,
    }))
    .unwrap()
}

fn position(statements: &[String], start: &str) -> usize {
    statements
        .iter()
        .position(|statement| statement.starts_with(start))
        .unwrap_or_else(|| panic!("{start}: {statements:#?}"))
}

#[test]
fn the_login_of_a_load_keeps_nothing_of_either_database() {
    let (load, state) = (load(), state());
    let claimed = Claimed::by(&load);
    let row = row("load", "orders__r", Some("lg"));
    let properties = properties(1, "lg");
    let forward = Forward::new(&load, &claimed, &row, &state, &properties).unwrap();
    assert_eq!(forward.refused(), None);
    let statements = forward.statements(160_000);
    assert_eq!(
        statements[0],
        "REVOKE ALL ON DATABASE \"orders\" FROM \"lg\" CASCADE"
    );
    assert!(
        !statements
            .iter()
            .any(|one| one.starts_with("GRANT CONNECT")),
        "{statements:#?}"
    );
    // A clock may go back.
    let record = &statements[position(&statements, "INSERT INTO db_operator.restores")];
    assert!(record.contains("greatest(0, coalesce("), "{record}");
}

#[test]
fn nothing_is_swapped_whose_settings_were_not_read() {
    let (load, state) = (load(), state());
    let claimed = Claimed::by(&load);
    let row = row("load", "orders__r", None);
    let properties = properties(i64::MAX, "x");
    let forward = Forward::new(&load, &claimed, &row, &state, &properties).unwrap();
    assert!(forward.refused().unwrap().contains("shorten"));
}

#[test]
fn an_undo_makes_what_is_set_now() {
    let load = load();
    let claimed = Claimed::by(&load);
    let row = row("former", "orders__was", None);
    let record: Record = serde_json::from_value(json!({
        "uid": "u", "restored_id": "1.2/4", "downtime_ms": 1, "undone": false, "undo_downtime_ms": null, "newest": true,
    }))
    .unwrap();
    let (now, then) = (properties(1, "reports"), properties(1, "shut_out"));
    let back = Back {
        load: &load,
        claimed: &claimed,
        row: &row,
        former_id: "1.2/3",
        spare: "orders__other",
        record: &record,
        assumable: true,
        now: &now,
        then: &then,
    };
    let statements = back.statements(160_000);
    let order = [
        "ALTER DATABASE \"orders__other\" RENAME TO",
        "REVOKE ALL ON DATABASE \"orders\" FROM \"shut_out\"",
        "GRANT CONNECT ON DATABASE \"orders\" TO \"reports\"",
        "ALTER DATABASE \"orders\" ALLOW_CONNECTIONS true",
    ]
    .map(|start| position(&statements, start));
    assert!(order.is_sorted(), "{statements:#?}");
}
