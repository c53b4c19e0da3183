//! What is set on a database from outside, as statements.

use serde_json::json;

use super::super::property_statements::listed;
use super::*;

fn properties(settings: &serde_json::Value) -> Properties {
    serde_json::from_value(json!({
        "bytes": 1, "limit": 5, "comment": "it's", "settings": settings,
        "grants": [
            {"grantee": "rep\"orts", "privilege": "CONNECT", "grantable": true},
            {"grantee": "x", "privilege": "SOMETHING; DROP", "grantable": false},
        ],
        "encoding": "UTF8", "collate": "C", "ctype": "C", "provider": "i", "locale": "de-DE", "icu_rules": null,
        "tablespace": {"name": "fast", "default": false, "allowed": false},
    }))
    .unwrap()
}

fn orders() -> SqlName {
    SqlName::new("orders").unwrap()
}

#[test]
fn lists_are_taken_apart_as_the_server_keeps_them() {
    for (value, names) in [
        ("", vec![]),
        ("public", vec!["public"]),
        ("\"$user\", public", vec!["$user", "public"]),
        ("\"\"", vec![""]),
        ("\"a,b\",  \"c\"\"d\" , e", vec!["a,b", "c\"d", "e"]),
        ("\"open", vec!["open"]),
        ("a,", vec!["a"]),
    ] {
        assert_eq!(listed(value), names, "{value}");
    }
}

#[test]
fn all_of_it_is_made_again() {
    let settings = json!([
        {"role": null, "entry": "search_path=\"$user\", audit", "allowed": true},
        {"role": null, "entry": "statement_timeout=5s", "allowed": true},
        {"role": "app", "entry": "auto_explain.log_format=it's = json", "allowed": true},
    ]);
    let properties = properties(&settings);
    let made = properties.make(&orders(), None);
    assert_eq!(
        made,
        [
            "ALTER DATABASE \"orders\" RESET ALL",
            "REVOKE ALL ON DATABASE \"orders\" FROM PUBLIC",
            "ALTER DATABASE \"orders\" SET \"search_path\" TO '$user', 'audit'",
            "ALTER DATABASE \"orders\" SET \"statement_timeout\" TO '5s'",
            "ALTER ROLE \"app\" IN DATABASE \"orders\" SET \"auto_explain\".\"log_format\" TO 'it''s = json'",
            "GRANT CONNECT ON DATABASE \"orders\" TO \"rep\"\"orts\" WITH GRANT OPTION",
            "ALTER DATABASE \"orders\" CONNECTION LIMIT 5",
            "COMMENT ON DATABASE \"orders\" IS 'it''s'",
        ]
    );
    // Neither a role's settings nor what would end it hinder a load.
    assert_eq!(properties.for_loading(&orders()), &made[2..3]);
    assert_eq!(
        properties.create(&orders(), 7),
        "CREATE DATABASE \"orders\" TEMPLATE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT 7 ENCODING 'UTF8' \
         LC_COLLATE 'C' LC_CTYPE 'C' LOCALE_PROVIDER 'icu' ICU_LOCALE 'de-DE' TABLESPACE \"fast\""
    );
}

#[test]
fn what_cannot_be_made_again_is_named() {
    let settings = json!([
        {"role": null, "entry": "log_statement=all", "allowed": false},
        {"role": "app", "entry": "log_statement=all", "allowed": false},
    ]);
    let obstacles = properties(&settings).obstacles(&orders());
    assert_eq!(obstacles.len(), 3, "{obstacles:?}");
    assert!(
        obstacles[0].ends_with("ALTER DATABASE \"orders\" RESET \"log_statement\""),
        "{obstacles:?}"
    );
    assert!(
        obstacles[1].contains("ALTER ROLE \"app\" IN DATABASE \"orders\" RESET"),
        "{obstacles:?}"
    );
    assert!(obstacles[2].contains("\"fast\""), "{obstacles:?}");
    // A database that is there already needs no place.
    let there = properties(&settings).not_copied(&orders());
    assert_eq!(there, &obstacles[..2]);
    let none = json!([]);
    let mut long = properties(&none);
    assert_eq!(long.too_long(&orders()), None);
    long.bytes = LONGEST + 1;
    let sentence = long.too_long(&orders()).unwrap();
    assert!(sentence.contains("shorten"), "{sentence}");
    assert_eq!(long.obstacles(&orders())[0], sentence);
}

#[test]
fn the_login_of_a_load_is_let_in_nowhere() {
    let none = json!([]);
    let made = properties(&none).make(&orders(), Some("rep\"orts"));
    assert!(
        !made.iter().any(|statement| statement.contains("GRANT")),
        "{made:?}"
    );
}

#[test]
fn what_others_had_is_taken_before_something_else_is_made() {
    let (then, now) = (
        json!([
            {"role": null, "entry": "work_mem=1MB", "allowed": true},
            {"role": "app", "entry": "work_mem=1MB", "allowed": true},
            {"role": "a\"pp", "entry": "auto_explain.log_format=json", "allowed": true},
        ]),
        json!([{"role": "app", "entry": "work_mem=2MB", "allowed": true}]),
    );
    let mut then = properties(&then);
    then.grants.insert(
        0,
        Grant {
            grantee: "rep\"orts".to_owned(),
            privilege: "CREATE".to_owned(),
            grantable: false,
        },
    );
    let mut now = properties(&now);
    now.comment = None;
    assert_eq!(
        then.unmake(&orders(), &now),
        [
            "REVOKE ALL ON DATABASE \"orders\" FROM \"rep\"\"orts\" CASCADE",
            "REVOKE ALL ON DATABASE \"orders\" FROM \"x\" CASCADE",
            "ALTER ROLE \"a\"\"pp\" IN DATABASE \"orders\" RESET \"auto_explain\".\"log_format\"",
        ]
    );
    let made = now.make(&orders(), None);
    assert_eq!(
        made.last().unwrap(),
        "COMMENT ON DATABASE \"orders\" IS NULL"
    );
}
