//! Objects as a team could write them: odd in one way or a few, always the same for a seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::TOO_LATE;
use crate::raw::{self, Kind};

/// The most bytes of an annotation, as the API server takes it; of other fields twice as much.
const LARGE: usize = 240_000;
/// One in so many objects is large.
const RARELY: u32 = 30;

/// An object, and what is written to it after it was made.
pub(crate) struct Odd {
    pub kind: Kind,
    pub name: String,
    pub object: Value,
    /// By the team.
    pub patches: Vec<Value>,
    /// By the cluster's administrator, who stands for an operator of another version.
    pub status: Option<Value>,
}

/// Makes objects up.
pub(crate) struct Source {
    random: StdRng,
    /// An instance that is there.
    pub instance: String,
    /// What the names of real databases begin with.
    pub prefix: String,
    /// A name that is worth pretending to be.
    pub envied: String,
}

impl Source {
    pub(crate) fn new(seed: u64, instance: &str, prefix: &str, envied: &str) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            instance: instance.to_owned(),
            prefix: prefix.to_owned(),
            envied: envied.to_owned(),
        }
    }

    fn one_in(&mut self, count: u32) -> bool {
        self.random.random_range(0..count) == 0
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.random.random_range(0..all.len())].clone()
    }

    /// The next object. Its name ends in the number.
    pub(crate) fn next(&mut self, number: usize) -> Odd {
        let kind = match self.random.random_range(0..100) {
            0..40 => Kind::Database,
            40..55 => Kind::Backup,
            55..70 => Kind::Job,
            70..78 => Kind::Pod,
            78..90 => Kind::Secret,
            _ => Kind::Event,
        };
        let name = format!("{}-f{number}", self.prefix);
        let mut object = self.plain(kind);
        object["metadata"]["name"] = json!(name);
        object["metadata"]["annotations"] = raw::managed()["metadata"]["annotations"].clone();
        for _ in 0..self.random.random_range(1..=3) {
            self.spoil(kind, &mut object);
        }
        let patches = (0..self.random.random_range(0..=2))
            .map(|_| self.patch(kind))
            .collect();
        let status = self.one_in(4).then(|| self.status(kind));
        Odd {
            kind,
            name,
            object,
            patches,
            status,
        }
    }

    fn plain(&mut self, kind: Kind) -> Value {
        match kind {
            Kind::Database => {
                let real = self.one_in(40);
                let instance = if real {
                    self.instance.clone()
                } else {
                    "nowhere".to_owned()
                };
                let policy = if real {
                    "Delete"
                } else {
                    self.pick(&["Retain", "Delete", "BackupBeforeDelete"])
                };
                json!({"metadata": {}, "spec": {
                    "instanceRef": {"name": instance}, "deletionPolicy": policy, "suspend": self.one_in(5)}})
            }
            Kind::Backup => {
                json!({"metadata": {}, "spec": {"databaseRef": {"name": self.other()}}})
            }
            Kind::Job => json!({"metadata": {}, "spec": {
                "suspend": true,
                "template": {"spec": {"restartPolicy": "Never", "containers": [
                    {"name": "dump", "image": "nowhere/nothing"}]}}}}),
            Kind::Pod => json!({"metadata": {}, "spec": {
                "nodeSelector": {"example.com/nowhere": "true"},
                "containers": [{"name": "dump", "image": "nowhere/nothing"}]}}),
            Kind::Secret => {
                json!({"metadata": {}, "stringData": {"password": "x".repeat(self.random.random_range(0..300))}})
            }
            Kind::Event => json!({
                "metadata": {}, "reason": "FailedCreate", "message": "odd", "type": "Warning",
                "involvedObject": {"kind": "Job", "name": self.other(), "uid": self.other()}}),
            Kind::ConfigMap => json!({"metadata": {}, "data": {}}),
        }
    }

    /// The name of another one of these objects, or of one that is worth it.
    fn other(&mut self) -> String {
        if self.one_in(5) {
            return self.envied.clone();
        }
        let number = self.random.random_range(0..200);
        format!("{}-f{number}", self.prefix)
    }

    /// Text that is awkward to show.
    fn text(&mut self) -> String {
        let words = [
            "",
            " ",
            "true",
            "\u{0}",
            "\u{1b}[2J",
            "\u{202e}abc",
            "ä→🦀",
            "{{password}}",
            "'; DROP",
            TOO_LATE,
        ];
        let word = self.pick(&words);
        let times = if self.one_in(RARELY) {
            LARGE / word.len().max(1)
        } else {
            self.random.random_range(1..4)
        };
        word.repeat(times)
    }

    /// Something of no type that is expected.
    fn garbage(&mut self) -> Value {
        self.pick(&[
            json!(null),
            json!(7),
            json!(-9_223_372_036_854_775_808_i64),
            json!(1e300),
            json!("HIBERNATING"),
            json!([]),
            json!({}),
            json!([{"a": [null]}]),
            json!(TOO_LATE),
        ])
    }

    fn spoil(&mut self, kind: Kind, object: &mut Value) {
        match self.random.random_range(0..9) {
            0 => object["metadata"]["ownerReferences"] = self.owners(),
            1 => object["metadata"]["finalizers"] = self.finalizers(),
            2 | 3 => {
                let key = self.pick(&[
                    "db-operator.dev/backup",
                    "db-operator.dev/database",
                    "db-operator.dev/adopt",
                    "app.kubernetes.io/name",
                    "batch.kubernetes.io/job-name",
                ]);
                let value = match self.random.random_range(0..4) {
                    0 => self.other(),
                    1 => "x".repeat(63),
                    2 => String::new(),
                    _ => "true".to_owned(),
                };
                object["metadata"]["labels"][key] = json!(value);
            }
            4 => {
                let key = self.pick(&[
                    "db-operator.dev/reconcile-requested-at",
                    "db-operator.dev/recreate-requested-at",
                    "db-operator.dev/release",
                    "example.com/large",
                ]);
                object["metadata"]["annotations"][key] = json!(self.text());
            }
            5 => object["metadata"]["labels"]["db-operator.dev/backup"] = json!(self.other()),
            6 => self.spoil_content(kind, object),
            7 => {
                let field =
                    self.pick(&["spec", "data", "status", "metadata", "template", "unknown"]);
                // It may be garbage already.
                if object[field].is_object() || object[field].is_null() {
                    object[field]["odd"] = self.garbage();
                }
            }
            _ => self.enlarge(kind, object),
        }
    }

    fn owners(&mut self) -> Value {
        let many = if self.one_in(RARELY) {
            3_000
        } else {
            self.random.random_range(1..4)
        };
        let owner = |source: &mut Self, number: usize| {
            let (version, kind) = source.pick(&[
                ("db-operator.dev/v1alpha1", "Backup"),
                ("db-operator.dev/v1alpha1", "Database"),
                ("batch/v1", "Job"),
                ("v1", "ConfigMap"),
            ]);
            json!({
                "apiVersion": version, "kind": kind, "name": source.other(),
                "uid": format!("00000000-0000-4000-8000-{number:012}"), "controller": number == 0,
            })
        };
        (0..many).map(|number| owner(self, number)).collect()
    }

    fn finalizers(&mut self) -> Value {
        let many = if self.one_in(RARELY) {
            10_000
        } else {
            self.random.random_range(1..4)
        };
        let name = |source: &mut Self, number: usize| match source.random.random_range(0..5) {
            0 => "db-operator.dev/finalizer".to_owned(),
            1 => "foregroundDeletion".to_owned(),
            2 => "orphan".to_owned(),
            _ => format!("example.com/f{number}"),
        };
        (0..many).map(|number| json!(name(self, number))).collect()
    }

    fn spoil_content(&mut self, kind: Kind, object: &mut Value) {
        let field = match kind {
            Kind::Database => self.pick(&[
                "deletionPolicy",
                "suspend",
                "secretTemplate",
                "connectionLimit",
                "postgresql",
                "name",
            ]),
            Kind::Backup => self.pick(&["databaseRef", "deadlineSeconds", "stallSeconds"]),
            Kind::Job => self.pick(&[
                "backoffLimit",
                "activeDeadlineSeconds",
                "template",
                "podFailurePolicy",
            ]),
            Kind::Pod => self.pick(&["containers", "activeDeadlineSeconds", "tolerations"]),
            Kind::Secret | Kind::ConfigMap => return object["data"] = self.garbage(),
            Kind::Event => {
                let field = self.pick(&[
                    "lastTimestamp",
                    "firstTimestamp",
                    "eventTime",
                    "series",
                    "count",
                ]);
                return object[field] = match field {
                    "eventTime" => json!("9999-12-31T23:59:59.999999Z"),
                    "series" => {
                        json!({"count": 2, "lastObservedTime": "9999-12-31T23:59:59.999999Z"})
                    }
                    "count" => self.garbage(),
                    _ => json!(TOO_LATE),
                };
            }
        };
        object["spec"][field] = self.garbage();
    }

    /// Half a megabyte, where the API server takes that.
    fn enlarge(&mut self, kind: Kind, object: &mut Value) {
        if !self.one_in(RARELY / 5) {
            return;
        }
        let large = "x".repeat(LARGE * 2);
        match kind {
            Kind::Job | Kind::Pod => {
                let pod = if kind == Kind::Job {
                    &mut object["spec"]["template"]
                } else {
                    object
                };
                // It may be garbage already.
                if let Some(container) = pod.pointer_mut("/spec/containers/0") {
                    container["args"] = json!([large]);
                }
            }
            Kind::Secret => object["stringData"]["large"] = json!(large),
            Kind::Database => {
                let keys = (0..8).map(|key| (format!("K{key}"), json!("x".repeat(8_000))));
                let keys: serde_json::Map<_, _> = keys.collect();
                object["spec"]["secretTemplate"] = json!({"data": keys});
            }
            Kind::Backup | Kind::Event | Kind::ConfigMap => {
                object["metadata"]["annotations"]["example.com/large"] = json!("x".repeat(LARGE));
            }
        }
    }

    fn patch(&mut self, kind: Kind) -> Value {
        match self.random.random_range(0..4) {
            0 | 1 => {
                let manager = self.pick(&[
                    "late",
                    "db-operator-database",
                    "db-operator-secret",
                    "kubectl",
                ]);
                let version = match kind {
                    Kind::Database | Kind::Backup => "db-operator.dev/v1alpha1",
                    Kind::Job => "batch/v1",
                    Kind::Pod | Kind::Secret | Kind::Event | Kind::ConfigMap => "v1",
                };
                let time = self.pick(&[
                    TOO_LATE,
                    "0001-01-01T00:00:00Z",
                    "9999-12-30T22:00:01Z",
                    "1600-02-29T00:00:00Z",
                ]);
                json!({"metadata": {
                    "managedFields": [{
                        "manager": manager, "operation": "Update", "apiVersion": version, "time": time, "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:metadata": {"f:annotations": {"f:example.com/late": {}}}},
                    }],
                }})
            }
            2 => {
                json!({"metadata": {"annotations": {"db-operator.dev/reconcile-requested-at": self.text()}}})
            }
            _ => {
                let mut object = json!({});
                self.spoil(kind, &mut object);
                object
            }
        }
    }

    /// What the schema of a status takes, and our types may not; and what neither takes.
    fn status(&mut self, kind: Kind) -> Value {
        let last = json!({"name": "b", "finishedAt": TOO_LATE, "destination": "s3://nowhere"});
        let condition = json!([{
            "type": "Ready", "status": "True", "reason": "Odd", "message": self.text(), "lastTransitionTime": TOO_LATE}]);
        match (kind, self.random.random_range(0..4)) {
            (_, 0) => json!({"state": self.garbage()}),
            (Kind::Database | Kind::Backup, 1) => json!({"conditions": condition}),
            (Kind::Database, _) => json!({"lastBackup": last}),
            (Kind::Backup, 2) => json!({"startedAt": TOO_LATE}),
            (Kind::Backup, _) => json!({"progress": {"lastAdvance": TOO_LATE}}),
            (Kind::Job, _) => json!({"startTime": TOO_LATE, "active": 1}),
            (Kind::Pod, _) => {
                json!({"startTime": TOO_LATE, "phase": self.pick(&["Running", "Perhaps"])})
            }
            (Kind::Secret | Kind::Event | Kind::ConfigMap, _) => json!({}),
        }
    }
}
