//! The Jobs of restores: our own templates, and the same enforcement as for backups.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;

use super::*;

/// A Restore, as far as its Job depends on it.
fn restore() -> Owner {
    let reference: OwnerReference = serde_json::from_value(json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Restore", "name": "back", "uid": "0f1e", "controller": true,
    }))
    .unwrap();
    Owner::named(Kind::Restore, "back", "team-a", "0f1e", "orders", reference)
}

fn of(owner: &Owner, flavour: Flavour) -> Order<'_> {
    Order {
        location: "s3://backups/prod/orders.dump.zst",
        credentials_secret: "restore-0f1e-login",
        ..order(owner, flavour)
    }
}

fn with(changes: &[(&str, &str)]) -> Result<Job, JobError> {
    let mut template = RESTORE_POSTGRESQL.to_owned();
    for (old, new) in changes {
        assert!(template.contains(old), "{old}");
        template = template.replacen(old, new, 1);
    }
    let owner = restore();
    build(&Order {
        template: Some(&template),
        ..of(&owner, Flavour::Postgresql)
    })
}

#[test]
fn our_templates_say_what_runs() {
    let owner = restore();
    for flavour in FLAVOURS {
        let order = of(&owner, flavour);
        let template = if flavour == Flavour::Postgresql {
            RESTORE_POSTGRESQL
        } else {
            RESTORE_MYSQL
        };
        let yaml = template::render_yaml(template, &values::values(&order)).unwrap();
        let written = parse::job(&yaml).unwrap();
        let mut built = build(&order).unwrap();
        assert_eq!(built.metadata.name.as_deref(), Some("restore-0f1e"));
        let owner = built.metadata.owner_references.take().unwrap();
        assert_eq!(owner[0].kind, "Restore");
        let labels = built.metadata.labels.take().unwrap();
        assert_eq!(labels["db-operator.dev/restore"], "back");
        assert_eq!(labels["db-operator.dev/database"], "orders");
        assert_eq!(labels["app.kubernetes.io/name"], "db-operator-restore");
        assert!(!labels.contains_key("db-operator.dev/backup"));
        let template = &mut built.spec.as_mut().unwrap().template;
        assert_eq!(
            template.metadata.as_mut().unwrap().labels.take(),
            Some(labels)
        );
        assert_eq!(built, written, "{flavour:?}");
    }
}

#[test]
fn each_engine_has_its_own_command() {
    let owner = restore();
    let command = |flavour| {
        let job = build(&of(&owner, flavour)).unwrap();
        let command = container(&job, "restore").command.clone().unwrap();
        assert_eq!(
            command[..3],
            ["/db-operator/bin/db-operator", "restore", "--"]
        );
        command[3..].join(" ")
    };
    let common = "--defaults-extra-file=/db-operator/work/client.cnf --default-character-set=utf8mb4 --max-allowed-packet=1G";
    assert_eq!(command(Flavour::Postgresql), "pg_restore --no-password");
    assert_eq!(command(Flavour::Mysql), format!("mysql {common}"));
    assert_eq!(command(Flavour::Mariadb), format!("mariadb {common}"));
}

/// What a backup's pod cannot have, a restore's cannot either.
#[test]
fn the_same_is_enforced() {
    let volumes = "      volumes:\n";
    let containers = "      containers:\n";
    for (old, new, said) in [
        (
            volumes,
            format!("{volumes}        - name: x\n          hostPath: {{path: /}}\n"),
            "a volume of a restore's pod",
        ),
        (
            volumes,
            format!(
                "{volumes}        - name: x\n          secret: {{secretName: restore-0f1e-login}}\n"
            ),
            "only the container restore",
        ),
        (
            volumes,
            format!("{volumes}        - name: x\n          secret: {{secretName: restore-0f1e}}\n"),
            "only the container restore",
        ),
        (
            containers,
            format!("{containers}        - name: dump\n          image: x\n"),
            "is that of a backup",
        ),
        (
            "- restore\n            - \"--\"",
            "- dump\n            - \"--\"".to_owned(),
            "must begin with /db-operator/bin/db-operator, restore, \"--\"",
        ),
        (
            "        - name: restore\n",
            "        - name: load\n".to_owned(),
            "there is no container restore",
        ),
    ] {
        let error = with(&[(old, &new)]).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
    let changed = with(&[
        (
            "automountServiceAccountToken: false",
            "automountServiceAccountToken: true",
        ),
        ("sizeLimit: 80Mi", "sizeLimit: 1Gi"),
        ("runAsNonRoot: true", "runAsNonRoot: false"),
        (
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: false",
        ),
    ]);
    assert_eq!(changed.unwrap(), with(&[]).unwrap());
}
