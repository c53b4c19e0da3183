//! What is read from a Secret, whatever it contains.

use super::*;
use serde_json::{Value, json};

fn stored(secret: Value) -> RawSecret {
    serde_json::from_value(secret).unwrap()
}

#[test]
fn what_kubernetes_own_types_cannot_read_does_not_matter() {
    // The API server takes this time from whoever sends it, and gives it to everybody.
    let secret = stored(json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {
            "name": "orders", "uid": "u", "resourceVersion": "7", "creationTimestamp": "9999-12-31T23:59:59Z",
            "managedFields": [
                {"manager": "x", "operation": "Update", "time": "9999-12-31T23:59:59Z", "fieldsType": "FieldsV1"},
                {"operation": "Update", "fieldsV1": {"f:type": {}, "f:data": {"f:password": {}}}},
            ],
        },
        "data": {"password": "eA==", "huge": "A".repeat(1_000_000)},
    }));
    assert_eq!(secret.metadata.uid.as_deref(), Some("u"));
    assert_eq!(secret.value("password").as_deref(), Some(b"x".as_slice()));
    assert_eq!(secret.written_by("x", Part::Data).count(), 0);
}

#[test]
fn a_value_is_measured_without_being_read() {
    for bytes in 0..20 {
        let encoded = BASE64_STANDARD.encode(vec![7_u8; bytes]);
        let secret = stored(json!({"data": {"a": encoded}}));
        assert_eq!(secret.length("a"), Some(bytes));
        assert_eq!(secret.length("b"), None);
    }
    assert_eq!(stored(json!({})).length("a"), None);
    assert_eq!(stored(json!({"data": null})).length("a"), None);
}
