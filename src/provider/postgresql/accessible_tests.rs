use super::*;
use serde_json::json;

fn described(owner: &serde_json::Value) -> Inaccessible {
    let answer: Answer = serde_json::from_value(json!({"reads_some": true, "more_unreadable": 2,
        "more_read_only": 2, "owners": [owner]}))
    .unwrap();
    answer.described(&SqlName::new("orders").unwrap())
}

fn owner(state: &str, elsewhere: bool) -> serde_json::Value {
    json!({"name": "legacy", "state": state, "count": 7, "elsewhere": elsewhere, "closed": [], "closed_by_others": [],
        "named": [{"schema": "public", "name": "a", "kind": "r"}, {"schema": "s", "name": "v\"w", "kind": "S"}]})
}

fn only(these: &[MissingPrivilege]) -> &MissingPrivilege {
    let [one] = these else {
        panic!("one owner: {these:?}")
    };
    one
}

#[test]
fn what_cannot_be_read_is_counted_named_and_given_away() {
    let found = described(&owner("unreadable", false));
    assert_eq!(found.read_only, []);
    let one = only(&found.unreadable);
    assert_eq!(
        one.needed_for,
        "7 objects of \"legacy\": \"public\".\"a\", \"s\".\"v\"\"w\" and 5 more (and those of 2 more owners)"
    );
    assert_eq!(one.grant, "REASSIGN OWNED BY \"legacy\" TO \"orders\"");
    assert_eq!(
        only(&described(&owner("unreadable", true)).unreadable).grant,
        "ALTER TABLE \"public\".\"a\" OWNER TO \"orders\"; ALTER SEQUENCE \"s\".\"v\"\"w\" OWNER TO \"orders\"; and \
         the same for the others"
    );
}

#[test]
fn what_can_be_read_does_not_change_hands() {
    let found = described(&owner("read_only", false));
    assert_eq!(found.unreadable, []);
    assert_eq!(
        only(&found.read_only).grant,
        "GRANT INSERT, UPDATE, DELETE ON \"public\".\"a\" TO \"orders\"; GRANT USAGE ON SEQUENCE \"s\".\"v\"\"w\" TO \
         \"orders\"; and the same for the others"
    );
}

#[test]
fn where_only_the_schema_is_closed_nothing_changes_hands() {
    let mut closed = owner("closed", false);
    closed["closed"] = json!(["public", "s"]);
    let found = described(&closed);
    assert_eq!(found.read_only, []);
    assert_eq!(
        only(&found.unreadable).grant,
        "GRANT USAGE ON SCHEMA \"public\" TO \"orders\"; GRANT USAGE ON SCHEMA \"s\" TO \"orders\""
    );
}

#[test]
fn what_changes_hands_in_a_closed_schema_can_be_got_at_afterwards() {
    let mut theirs = owner("unreadable", false);
    theirs["closed"] = json!(["s", "theirs"]);
    theirs["closed_by_others"] = json!(["s"]);
    assert_eq!(
        only(&described(&theirs).unreadable).grant,
        "REASSIGN OWNED BY \"legacy\" TO \"orders\"; GRANT USAGE ON SCHEMA \"s\" TO \"orders\""
    );
    theirs["elsewhere"] = json!(true);
    let grant = only(&described(&theirs).unreadable).grant.clone();
    assert!(
        grant.starts_with(
            "GRANT USAGE ON SCHEMA \"s\" TO \"orders\"; GRANT USAGE ON SCHEMA \"theirs\" TO \"orders\"; ALTER TABLE"
        ),
        "{grant}"
    );
}

#[test]
fn a_statement_that_cannot_be_read_is_not_told() {
    let odd = "a\u{202e}b\nc";
    let mut theirs = owner("unreadable", true);
    theirs["named"][0]["name"] = json!(odd);
    let found = described(&theirs);
    let one = only(&found.unreadable);
    assert!(
        one.needed_for.contains("\"a\u{fffd}b\u{fffd}c\"") && is_printable(&one.needed_for),
        "{one:?}"
    );
    assert_eq!(
        one.grant,
        "ALTER SEQUENCE \"s\".\"v\"\"w\" OWNER TO \"orders\"; and the same for the others"
    );
    theirs["state"] = json!("read_only");
    let grant = only(&described(&theirs).read_only).grant.clone();
    assert!(
        grant.starts_with("GRANT USAGE ON SEQUENCE") && is_printable(&grant),
        "{grant}"
    );
    theirs["elsewhere"] = json!(false);
    theirs["state"] = json!("unreadable");
    theirs["name"] = json!(odd);
    let found = described(&theirs);
    let one = only(&found.unreadable);
    assert_eq!(one.grant, WITHHELD);
    assert!(is_printable(&one.needed_for), "{one:?}");
}
