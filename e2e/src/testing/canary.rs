//! Passwords and keys, and everything in which they must not show.

use super::{Fixture, audit};
use crate::cluster::Cluster;
use crate::{command, servers};

/// The forms in which a password may show.
fn forms(password: &str) -> Vec<String> {
    let bytes = password.as_bytes();
    let percent: String = bytes
        .iter()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(*byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let base64 = serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap();
    let mut forms = vec![
        password.to_owned(),
        percent,
        base64.as_str().unwrap().to_owned(),
    ];
    forms.dedup();
    forms
}

/// Everything that the API shows of what happened in a namespace, without its Secrets.
pub async fn shown(fixture: &Fixture) -> String {
    let cluster = Cluster::main();
    let namespace = fixture.namespace.clone();
    tokio::task::spawn_blocking(move || {
        let kinds = "databases,backups,databaseinstances,events,pods,configmaps,jobs";
        let mut all = String::new();
        for namespace in [namespace.as_str(), servers::OPERATOR_NAMESPACE] {
            let mut get = cluster.kubectl();
            get.args(["get", kinds, "-o", "yaml", "-n", namespace]);
            all += &command::output(&mut get).unwrap();
        }
        all
    })
    .await
    .unwrap()
}

/// Looks for each of the passwords, in each of its forms, in all that was written about a Database.
pub fn shows_nowhere(instance: &str, name: &str, shown: &str, passwords: &[(&str, String)]) {
    let cluster = Cluster::main();
    let log = audit::operator_log(&cluster);
    let requests = std::fs::read_to_string(cluster.audit_log()).unwrap();
    let places = [
        ("log", log.as_str()),
        ("objects", shown),
        ("audit log", &requests),
    ];
    // They are about this test: what is not found is not there.
    for (place, text) in places {
        assert!(text.contains(name), "{place}");
    }
    assert!(servers::statements_with(&cluster, instance, name).unwrap() > 0);
    let mut admin = cluster.kubectl();
    admin.args([
        "get",
        "secret",
        &format!("{instance}-admin"),
        "-n",
        servers::NAMESPACE,
    ]);
    let admin = admin.args(["-o", "go-template={{.data.password | base64decode}}"]);
    let admin = command::output(admin).unwrap();
    let admin = [("administrator's", admin)];
    for (which, password) in passwords.iter().chain(&admin) {
        for form in forms(password) {
            for (place, text) in places {
                assert!(
                    !text.contains(&form),
                    "the {which} password is in the {place}"
                );
            }
            let lines = servers::statements_with(&cluster, instance, &form).unwrap();
            assert_eq!(lines, 0, "the {which} password is in the log of {instance}");
        }
    }
}
