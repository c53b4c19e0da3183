//! For each rule: what passes, what is refused, and a part of the sentence that says what to write instead.

use serde_json::{Value, json};

/// One field, with values that pass and one that is refused.
pub struct Case {
    pub kind: &'static str,
    /// JSON pointer to the field in the fixture.
    pub field: &'static str,
    /// Where the rule is, if not at the field itself.
    rule: Option<&'static str>,
    good: Vec<Value>,
    pub bad: Value,
    pub sentence: &'static str,
    /// For a change: the object as it was, and its state.
    pub before: Value,
    pub state: Option<&'static str>,
}

fn case(kind: &'static str, field: &'static str, bad: Value, sentence: &'static str) -> Case {
    Case {
        kind,
        field,
        rule: None,
        good: Vec::new(),
        bad,
        sentence,
        before: fixture(kind),
        state: None,
    }
}

impl Case {
    fn good(mut self, good: impl IntoIterator<Item = Value>) -> Self {
        self.good.extend(good);
        self
    }

    fn rule(mut self, rule: &'static str) -> Self {
        self.rule = Some(rule);
        self
    }

    fn before(mut self, field: &str, value: Value) -> Self {
        set(&mut self.before, field, value);
        self
    }

    fn state(mut self, state: &'static str) -> Self {
        self.state = Some(state);
        self
    }

    /// The rule's path as the API server writes it: `/spec/adoptable/0/user` is `spec.adoptable[].user`.
    pub fn rule_field(&self) -> String {
        self.rule.map_or_else(
            || {
                let mut path = String::new();
                for part in self.field.split('/').skip(1) {
                    if part.parse::<usize>().is_ok() {
                        path.push_str("[]");
                    } else {
                        path.push('.');
                        path.push_str(part);
                    }
                }
                path.trim_start_matches('.').to_owned()
            },
            str::to_owned,
        )
    }

    pub fn passing(&self) -> Vec<(&Value, Value)> {
        self.good
            .iter()
            .map(|good| (good, self.with(good)))
            .collect()
    }

    pub fn refused(&self) -> Value {
        self.with(&self.bad)
    }

    fn with(&self, value: &Value) -> Value {
        let mut object = self.before.clone();
        set(&mut object, self.field, value.clone());
        object
    }

    pub fn passing_changes(&self) -> Vec<(&Value, Value)> {
        self.good
            .iter()
            .map(|good| (good, self.patch(good)))
            .collect()
    }

    pub fn refused_change(&self) -> Value {
        self.patch(&self.bad)
    }

    /// A merge patch that sets the field; null takes it away.
    fn patch(&self, value: &Value) -> Value {
        let mut patch = value.clone();
        for part in self.field.rsplit('/').filter(|part| !part.is_empty()) {
            patch = json!({part: patch});
        }
        patch
    }
}

/// Sets a field; null takes it away.
fn set(object: &mut Value, field: &str, value: Value) {
    let (parent, name) = field.rsplit_once('/').unwrap();
    let parent = object
        .pointer_mut(parent)
        .unwrap_or_else(|| panic!("the fixture has no {field}"));
    match (parent, value) {
        (Value::Object(parent), Value::Null) => drop(parent.remove(name)),
        (Value::Object(parent), value) => drop(parent.insert(name.to_owned(), value)),
        (Value::Array(parent), value) => parent[name.parse::<usize>().unwrap()] = value,
        (other, _) => panic!("{field} is in {other}"),
    }
}

/// An object with every field, all of them right.
pub fn fixture(kind: &str) -> Value {
    match kind {
        "DatabaseInstance" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "provider": "postgresql",
                "host": "postgres.databases.svc",
                "port": 5432,
                "tls": {"mode": "verify-full", "ca": {"secretRef": {"name": "postgres-ca", "key": "ca.crt"}}},
                "adminSecretRef": {"name": "postgres-admin"},
                "allowedNamespaces": {"selector": {
                    "matchLabels": {"team": "a"},
                    "matchExpressions": [{"key": "tier", "operator": "In", "values": ["prod"]}],
                }},
                "adoptable": [{"database": "legacy", "user": "legacy", "namespace": "team-a", "drop": false}],
                "takeOverClaimsFrom": ["old-cluster"],
                "maxConnections": 4,
                "postgresql": {"maintenanceDatabase": "postgres", "allowedExtensions": ["postgis"]},
                "backup": {
                    "s3": {
                        "bucket": "backups", "prefix": "prod/databases", "region": "eu-west-1",
                        "endpoint": "https://minio.storage.svc:9000", "pathStyle": true,
                        "credentialsSecretRef": {"name": "backups-s3"},
                        "caSecretRef": {"name": "minio-ca", "key": "ca.crt"},
                        "serverSideEncryption": "aws:kms", "kmsKeyId": "alias/backups",
                        "maxParts": 1000, "equalParts": true, "conditionalWrites": false,
                    },
                    "job": {
                        "image": "registry.example:5000/postgres:17",
                        "templateRef": {"name": "my-templates", "key": "job.yaml.hbs"},
                    },
                },
                // The operator of the cluster, if one runs, shall leave it alone.
                "suspend": true,
            },
        }),
        "Database" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "instanceRef": {"name": "e2e-crds-none"},
                "name": "orders",
                "user": "orders-owner",
                "deletionPolicy": "Retain",
                "adoptionPolicy": "IfUnclaimed",
                "connectionLimit": 50,
                "postgresql": {
                    "encoding": "UTF8", "locale": "C.UTF-8",
                    "extensions": [{"name": "pg_trgm"}], "schemas": [{"name": "audit"}],
                },
                "secretTemplate": {
                    "labels": {"team": "a"}, "annotations": {"example.com/a": "b"},
                    "data": {"DATABASE_URL": "postgres://{{uriencode username}}@{{host}}"},
                },
                "suspend": true,
            },
        }),
        "Backup" => json!({
            "metadata": {"name": "e2e-crds-fixture"},
            "spec": {
                "databaseRef": {"name": "orders", "namespace": "team-a"},
                "deadlineSeconds": 21600,
                "stallSeconds": 600,
            },
        }),
        other => panic!("{other} is not a kind of db-operator"),
    }
}

/// Objects as they are created.
pub fn creations() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(object_names());
    cases.extend(instances());
    cases.extend(destinations());
    cases.extend(sql_names());
    cases.extend(databases());
    cases.extend(backups());
    cases.extend(limits());
    cases
}

/// Names of Kubernetes objects, their own and those that they refer to.
fn object_names() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in ["DatabaseInstance", "Database", "Backup"] {
        cases.push(
            case(
                kind,
                "/metadata/name",
                json!("a".repeat(64)),
                "at most 63 characters",
            )
            .good([json!("a".repeat(63)), json!("orders.eu-1")])
            .rule(""),
        );
    }
    let instance = "DatabaseInstance";
    for (kind, field) in [
        ("Database", "/spec/instanceRef/name"),
        ("Backup", "/spec/databaseRef/name"),
        (instance, "/spec/adminSecretRef/name"),
        (instance, "/spec/tls/ca/secretRef/name"),
        (instance, "/spec/backup/s3/credentialsSecretRef/name"),
        (instance, "/spec/backup/s3/caSecretRef/name"),
        (instance, "/spec/backup/job/templateRef/name"),
    ] {
        cases.push(
            case(
                kind,
                field,
                json!("Shared_Postgres"),
                "write the object's metadata.name",
            )
            .good([json!("shared-postgres"), json!("a.b")]),
        );
    }
    for (kind, field) in [
        ("Backup", "/spec/databaseRef/namespace"),
        (instance, "/spec/adoptable/0/namespace"),
    ] {
        cases.push(
            case(
                kind,
                field,
                json!("team.a"),
                "`kubectl get namespaces` lists",
            )
            .good([json!("team-b")]),
        );
    }
    for field in [
        "/spec/tls/ca/secretRef/key",
        "/spec/backup/s3/caSecretRef/key",
        "/spec/backup/job/templateRef/key",
    ] {
        cases.push(
            case(instance, field, json!("ca/crt"), "for example ca.crt").good([json!("CA_2.pem")]),
        );
    }
    cases
}

fn instances() -> Vec<Case> {
    let kind = "DatabaseInstance";
    vec![
        case(
            kind,
            "/spec/host",
            json!("postgres.databases.svc:5432"),
            "the port goes into spec.port",
        )
        .good([
            json!("10.0.0.1"),
            json!("fd00::1"),
            json!("::1"),
            json!("my_db.example.com"),
        ]),
        case(
            kind,
            "/spec/host",
            json!("postgres://db"),
            "a DNS name or an IP address alone",
        ),
        case(
            kind,
            "/spec/host",
            json!("db.example.com/orders"),
            "a DNS name or an IP address alone",
        ),
        case(
            kind,
            "/spec/provider",
            json!("mysql"),
            "is for provider postgresql",
        )
        .rule("spec"),
        case(
            kind,
            "/spec/tls/mode",
            json!("require"),
            "set tls.mode to verify-full or verify-ca",
        )
        .good([json!("verify-ca")])
        .rule("spec.tls"),
        case(
            kind,
            "/spec/tls",
            json!({"mode": "disable", "ca": {"secretRef": {"name": "a", "key": "b"}}}),
            "take tls.ca away",
        )
        .good([
            json!({"mode": "disable"}),
            json!({"mode": "require"}),
            json!({"mode": "verify-full"}),
            json!({}),
            Value::Null,
        ]),
        case(
            kind,
            "/spec/allowedNamespaces",
            json!({"all": true, "names": ["team-a"]}),
            "write exactly one of",
        )
        .good([
            json!({"all": true}),
            json!({"names": []}),
            json!({"names": ["team-a", "team-b"]}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces",
            json!({}),
            "write exactly one of",
        ),
        case(
            kind,
            "/spec/allowedNamespaces",
            json!({"all": false}),
            "write names: []",
        )
        .rule("spec.allowedNamespaces.all"),
        case(
            kind,
            "/spec/allowedNamespaces/selector",
            json!({}),
            "all: true in the place of selector",
        )
        .good([
            json!({"matchLabels": {"team": "a"}}),
            json!({"matchExpressions": [{"key": "team", "operator": "Exists"}]}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces/selector",
            json!({"matchLabels": {}}),
            "all: true in the place of selector",
        ),
        case(
            kind,
            "/spec/allowedNamespaces/selector/matchExpressions/0",
            json!({"key": "team", "operator": "In"}),
            "operators In and NotIn need values",
        )
        .good([
            json!({"key": "team", "operator": "NotIn", "values": ["b"]}),
            json!({"key": "team", "operator": "DoesNotExist"}),
        ]),
        case(
            kind,
            "/spec/allowedNamespaces/selector/matchExpressions/0",
            json!({"key": "team", "operator": "Exists", "values": ["a"]}),
            "Exists and DoesNotExist have none",
        ),
        case(
            kind,
            "/spec/takeOverClaimsFrom",
            json!(["old cluster"]),
            "write the --cluster-id of its operator",
        )
        .good([
            json!(["old-cluster", "0f1e2d3c-aaaa-bbbb-cccc-000000000000"]),
            json!([]),
        ]),
    ]
}

fn destinations() -> Vec<Case> {
    let kind = "DatabaseInstance";
    vec![
        case(
            kind,
            "/spec/backup/s3/bucket",
            json!("s3://backups"),
            "the bucket's name alone",
        )
        .good([json!("my.backups-2")]),
        case(
            kind,
            "/spec/backup/s3/bucket",
            json!("backups/prod"),
            "a folder in it goes into prefix",
        ),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("/prod/"),
            "with single slashes between",
        )
        .good([json!("prod"), json!("env=prod/a_b/c.d"), Value::Null]),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("prod//databases"),
            "with single slashes between",
        ),
        case(
            kind,
            "/spec/backup/s3/prefix",
            json!("prod/../other"),
            "with single slashes between",
        ),
        case(
            kind,
            "/spec/backup/s3/region",
            json!("EU (Ireland)"),
            "for example eu-west-1",
        )
        .good([json!("auto"), json!("us-gov-west-1")]),
        case(
            kind,
            "/spec/backup/s3/endpoint",
            json!("minio.storage.svc:9000"),
            "with scheme and port",
        )
        .good([
            json!("https://s3.example.com"),
            json!("https://[fd00::1]:9000"),
        ]),
        case(
            kind,
            "/spec/backup/s3/endpoint",
            json!("https://minio:9000/backups"),
            "the bucket goes into bucket",
        ),
        case(
            kind,
            "/spec/backup/s3/endpoint",
            json!("http://minio:9000"),
            "set endpoint to its https:// address",
        )
        .rule("spec.backup.s3"),
        case(
            kind,
            "/spec/backup/s3",
            json!({"bucket": "backups"}),
            "write region",
        )
        .good([
            json!({"bucket": "backups", "region": "eu-west-1"}),
            json!({"bucket": "backups", "endpoint": "http://minio:9000"}),
            json!({"bucket": "backups", "region": "eu-west-1", "serverSideEncryption": "AES256"}),
        ]),
        case(
            kind,
            "/spec/backup/s3/serverSideEncryption",
            json!("AES256"),
            "set serverSideEncryption: aws:kms",
        )
        .good([json!("aws:kms:dsse")])
        .rule("spec.backup.s3"),
        case(
            kind,
            "/spec/backup/job/image",
            json!("postgres 17"),
            "without white space",
        )
        .good([
            json!("docker.io/library/postgres:17@sha256:0123456789abcdef"),
            Value::Null,
        ]),
    ]
}

/// Names of SQL databases, users and schemas.
fn sql_names() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, field) in [
        ("Database", "/spec/name"),
        ("Database", "/spec/user"),
        ("DatabaseInstance", "/spec/adoptable/0/database"),
        ("DatabaseInstance", "/spec/adoptable/0/user"),
        ("DatabaseInstance", "/spec/postgresql/maintenanceDatabase"),
        ("Database", "/spec/postgresql/schemas/0/name"),
    ] {
        cases.push(
            // 32 letters of two bytes: not too long for the schema, which counts characters.
            case(kind, field, json!("é".repeat(32)), "has at most 63 bytes").good([
                json!("é".repeat(31)),
                json!("a".repeat(63)),
                json!("Mixed Case"),
                json!("quote'\"`\\back"),
                json!("select"),
                json!("数据库"),
                json!("per%cent_under"),
            ]),
        );
        for bad in ["a\u{0}b", "tab\tbed", " leading", "trailing ", "line\n"] {
            cases.push(case(kind, field, json!(bad), "no control characters"));
        }
    }
    for (kind, field) in [
        ("Database", "/spec/name"),
        ("Database", "/spec/user"),
        ("DatabaseInstance", "/spec/adoptable/0/database"),
        ("DatabaseInstance", "/spec/adoptable/0/user"),
    ] {
        for bad in [
            "postgres",
            "Template1",
            "template0",
            "mysql",
            "INFORMATION_SCHEMA",
            "performance_schema",
            "sys",
            "ndbinfo",
            "root",
            "mysql.session",
            "mariadb.sys",
            "db_operator",
            "pg_monitor",
            "rdsadmin",
            "cloudsqlsuperuser",
            "azure_pg_admin",
            "#mysql50#orders",
            "public",
            "none",
        ] {
            cases.push(case(kind, field, json!(bad), "choose another one"));
        }
        cases.push(
            case(kind, field, json!("root"), "choose another one").good([
                json!("postgres_app"),
                json!("mypg_"),
                json!("systems"),
                json!("rootless"),
            ]),
        );
    }
    for bad in ["pg_temp", "information_schema", "db_operator"] {
        cases.push(
            case(
                "Database",
                "/spec/postgresql/schemas/0/name",
                json!(bad),
                "are not an application's",
            )
            .good([json!("app_pg")]),
        );
    }
    // The name that the SQL database has when none is given.
    for bad in [
        "postgres",
        "root",
        "rds-orders",
        "mysql.orders",
        "mariadb.sys",
    ] {
        cases.push(
            case(
                "Database",
                "/metadata/name",
                json!(bad),
                "set spec.name to another one",
            )
            .good([json!("orders"), json!("postgres-app")])
            .before("/spec/name", Value::Null)
            .rule(""),
        );
    }
    cases
}

fn databases() -> Vec<Case> {
    let kind = "Database";
    vec![
        case(
            kind,
            "/spec/mysql",
            json!({"characterSet": "utf8mb4"}),
            "keep the block of its kind",
        )
        .rule("spec"),
        case(
            kind,
            "/spec/postgresql/encoding",
            json!("UTF 8"),
            "for example UTF8",
        )
        .good([json!("LATIN1"), json!("SQL_ASCII")]),
        case(
            kind,
            "/spec/postgresql/locale",
            json!("C'; DROP"),
            "for example C.UTF-8",
        )
        .good([json!("de_DE.UTF-8"), json!("ca_ES@valencia")]),
        case(
            kind,
            "/spec/postgresql/extensions/0/name",
            json!("pg_trgm;"),
            "for example pg_trgm",
        )
        .good([json!("uuid-ossp")]),
        case(
            kind,
            "/spec/mysql",
            json!({"characterSet": "utf8 mb4"}),
            "SHOW CHARACTER SET lists",
        )
        .good([
            json!({"characterSet": "utf8mb4", "collation": "utf8mb4_0900_ai_ci"}),
            json!({}),
        ])
        .before("/spec/postgresql", Value::Null)
        .rule("spec.mysql.characterSet"),
        case(
            kind,
            "/spec/mysql",
            json!({"collation": "utf8mb4-bin"}),
            "SHOW COLLATION lists",
        )
        .before("/spec/postgresql", Value::Null)
        .rule("spec.mysql.collation"),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"password": "hunter2"}),
            "are the operator's: choose other ones",
        )
        .good([
            json!({"PASSWORD": "{{password}}", "db.url": "{{uri}}"}),
            json!({}),
            Value::Null,
        ]),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"ca.crt": ""}),
            "are the operator's: choose other ones",
        ),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"DATABASE URL": ""}),
            "for example DATABASE_URL",
        ),
        case(
            kind,
            "/spec/secretTemplate/data",
            json!({"a".repeat(254): ""}),
            "at most 253 of them",
        )
        .good([json!({"a".repeat(253): ""})]),
        case(
            kind,
            "/spec/secretTemplate/labels",
            json!({"db-operator.dev/adopt": "true"}),
            "are the operator's: choose other ones",
        )
        .good([json!({"example.com/db-operator.dev": "x"})]),
        case(
            kind,
            "/spec/secretTemplate/annotations",
            json!({"db-operator.dev/x": "y"}),
            "are the operator's: choose other ones",
        )
        .good([json!({"reloader.example.com/match": "true"})]),
    ]
}

fn backups() -> Vec<Case> {
    vec![
        case(
            "Backup",
            "/spec/stallSeconds",
            json!(21_601),
            "must not be more than deadlineSeconds",
        )
        .good([json!(21_600), json!(30)])
        .rule("spec"),
    ]
}

/// Limits and choices of the schema itself.
fn limits() -> Vec<Case> {
    vec![
        case(
            "Database",
            "/spec/instanceRef",
            Value::Null,
            "Required value",
        ),
        case(
            "Database",
            "/spec/deletionPolicy",
            json!("Drop"),
            "\"Retain\", \"Delete\", \"BackupBeforeDelete\"",
        )
        .good([
            json!("Retain"),
            json!("Delete"),
            json!("BackupBeforeDelete"),
        ]),
        case(
            "Database",
            "/spec/adoptionPolicy",
            json!("Always"),
            "\"Never\", \"IfUnclaimed\"",
        )
        .good([json!("Never")]),
        case(
            "Database",
            "/spec/connectionLimit",
            json!(0),
            "greater than or equal to 1",
        )
        .good([json!(1), json!(262_143)]),
        case("Database", "/spec/name", json!(""), "at least 1 chars"),
        case(
            "Database",
            "/spec/name",
            json!("a".repeat(64)),
            "may not be more than 63 bytes",
        ),
        case(
            "Database",
            "/spec/postgresql/schemas",
            json!([{"name": "a"}, {"name": "a"}]),
            "Duplicate value",
        )
        .rule("spec.postgresql.schemas[]"),
        case("Backup", "/spec/databaseRef", Value::Null, "Required value"),
        case(
            "Backup",
            "/spec/deadlineSeconds",
            json!(59),
            "greater than or equal to 60",
        )
        .good([json!(604_800)]),
        case(
            "Backup",
            "/spec/stallSeconds",
            json!(29),
            "greater than or equal to 30",
        ),
        case(
            "DatabaseInstance",
            "/spec/provider",
            json!("oracle"),
            "\"postgresql\", \"mysql\"",
        ),
        case(
            "DatabaseInstance",
            "/spec/adminSecretRef",
            Value::Null,
            "Required value",
        ),
        case(
            "DatabaseInstance",
            "/spec/allowedNamespaces",
            Value::Null,
            "Required value",
        ),
        case(
            "DatabaseInstance",
            "/spec/port",
            json!(65_536),
            "less than or equal to 65535",
        )
        .good([json!(1), Value::Null]),
        case(
            "DatabaseInstance",
            "/spec/maxConnections",
            json!(0),
            "greater than or equal to 1",
        )
        .good([json!(100)]),
        case(
            "DatabaseInstance",
            "/spec/tls/mode",
            json!("prefer"),
            "\"disable\", \"require\", \"verify-ca\", \"verify-full\"",
        ),
        case(
            "DatabaseInstance",
            "/spec/backup/s3/maxParts",
            json!(10_001),
            "less than or equal to 10000",
        )
        .good([json!(10_000)]),
        case(
            "DatabaseInstance",
            "/spec/adoptable",
            json!([
                {"database": "a", "user": "a", "namespace": "team-a"},
                {"database": "a", "user": "b", "namespace": "team-b"},
            ]),
            "Duplicate value",
        )
        .rule("spec.adoptable[]"),
    ]
}

/// Objects as they are changed.
pub fn updates() -> Vec<Case> {
    let own_name = fixture("Database")["metadata"]["name"].clone();
    vec![
        case(
            "DatabaseInstance",
            "/spec/provider",
            json!("mysql"),
            "make another DatabaseInstance",
        )
        .good([json!("postgresql")]),
        case(
            "Database",
            "/spec/instanceRef/name",
            json!("other"),
            "make another Database on the other instance",
        )
        .good([json!("e2e-crds-none")])
        .rule("spec.instanceRef"),
        case(
            "Database",
            "/spec/name",
            json!("other"),
            "spec.name, by default metadata.name",
        )
        .good([json!("orders")])
        .rule(""),
        // Taken away, the name would be metadata.name.
        case(
            "Database",
            "/spec/name",
            Value::Null,
            "spec.name, by default metadata.name",
        )
        .rule(""),
        // Without a name it is metadata.name: saying so changes nothing, another one does.
        case(
            "Database",
            "/spec/name",
            json!("other"),
            "spec.name, by default metadata.name",
        )
        .before("/spec/name", Value::Null)
        .good([own_name.clone()])
        .rule(""),
        case(
            "Database",
            "/spec/user",
            json!("other"),
            "spec.user, by default the database's name",
        )
        .good([json!("orders-owner")])
        .rule(""),
        case(
            "Database",
            "/spec/user",
            Value::Null,
            "spec.user, by default the database's name",
        )
        .rule(""),
        case(
            "Database",
            "/spec/user",
            json!("other"),
            "spec.user, by default the database's name",
        )
        .before("/spec/user", Value::Null)
        .good([json!("orders")])
        .rule(""),
        case(
            "Database",
            "/spec/postgresql/encoding",
            json!("LATIN1"),
            "the encoding of a PostgreSQL database that exists",
        )
        .state("CREATED")
        .good([json!("UTF8")])
        .rule(""),
        case(
            "Database",
            "/spec/postgresql",
            Value::Null,
            "the locale of a PostgreSQL database that exists",
        )
        .state("BACKUP_IN_PROGRESS")
        .rule(""),
        // Before the database exists a wrong one can be corrected (another rule refuses the last value).
        case(
            "Database",
            "/spec/postgresql/encoding",
            json!("UTF 8"),
            "for example UTF8",
        )
        .state("CREATING")
        .good([json!("LATIN1")]),
        case(
            "Backup",
            "/spec/stallSeconds",
            json!(601),
            "a Backup's spec cannot be changed",
        )
        .good([json!(600)])
        .rule("spec"),
        case(
            "Backup",
            "/spec/databaseRef/namespace",
            Value::Null,
            "a Backup's spec cannot be changed",
        )
        .rule("spec"),
    ]
}
