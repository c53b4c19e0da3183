//! What refers to an instance, and so keeps it: Databases, and tests of backups that have something on its server. Pure.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{Database, InstanceReason, Restore};
use crate::client::lenient::Readable;
use crate::server::Finding;

/// How many Databases the message of an instance in use names.
const NAMED: usize = 5;

/// What may refer to an instance, each as `namespace/name`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dependents {
    /// Databases that refer to it.
    known: Vec<String>,
    /// Databases that cannot be read, and may refer to it.
    unreadable: Vec<String>,
    /// Restores with mode `Test` that have begun there, and are not cleaned up.
    tests: Vec<String>,
}

impl Dependents {
    /// What refers to the instance of this name, among all Databases.
    ///
    /// One that cannot be read may have a database on the server, so it keeps the instance that it names, and no other. (The
    /// API server stores no Database that names none.) A Restore that cannot be read does not: what it has left of a test, if
    /// anything, is dropped as soon as it can be read and its server be reached.
    pub(super) fn of(
        instance: &str,
        databases: &[Arc<Readable<Database>>],
        restores: &[Arc<Readable<Restore>>],
    ) -> Self {
        let mut dependents = Self::default();
        for guarded in databases {
            let list = match &guarded.0 {
                Ok(database) if database.spec.instance_ref.name != instance => continue,
                Ok(_) => &mut dependents.known,
                Err(unreadable) => match unreadable.refers_to.instance.as_deref() {
                    Some(other) if other != instance => continue,
                    Some(_) | None => &mut dependents.unreadable,
                },
            };
            list.push(format!(
                "{}/{}",
                guarded.namespace().unwrap_or_default(),
                guarded.name_any()
            ));
        }
        let known = restores
            .iter()
            .filter_map(|guarded| guarded.0.as_ref().ok());
        dependents.tests = known
            .filter(|restore| is_test_on(restore, instance))
            .map(|test| {
                format!(
                    "{}/{}",
                    test.namespace().unwrap_or_default(),
                    test.name_any()
                )
            })
            .collect();
        dependents.tests.sort();
        dependents.known.sort();
        dependents.unreadable.sort();
        dependents
    }

    /// How many refer to it for certain.
    pub(super) fn count(&self) -> usize {
        self.known.len()
    }

    /// Whether nothing keeps it.
    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.unreadable.is_empty() && self.tests.is_empty()
    }

    /// What the conditions of an instance say that is being deleted, and is kept by these.
    pub(super) fn finding(&self) -> Finding {
        let message = if self.known.is_empty() && self.unreadable.is_empty() {
            format!(
                "{} Restore(s) with mode Test have not removed yet what they made there: {}; it is deleted when they have",
                self.tests.len(),
                some(&self.tests)
            )
        } else if self.known.is_empty() {
            format!(
                "{} Database(s) that may refer to it cannot be read: {}; it is deleted when they are gone or can be read (their \
                 Event Unreadable says what is wrong; does their CustomResourceDefinition belong to this version?)",
                self.unreadable.len(),
                some(&self.unreadable)
            )
        } else {
            format!(
                "{} Database(s) refer to it: {}; it is deleted when they are gone",
                self.known.len(),
                some(&self.known)
            )
        };
        (InstanceReason::InUse, message)
    }
}

/// Whether this is a test that has begun on this instance, and may have something there.
fn is_test_on(restore: &Restore, instance: &str) -> bool {
    let status = restore.status.as_ref();
    let target = status.and_then(|status| status.target.as_ref());
    let begun_here = target.is_some_and(|target| target.instance == instance);
    begun_here && restore.is_test() && (restore.is_active() || restore.is_unclean_test())
}

/// The first few of a list, and how many more there are.
fn some(names: &[String]) -> String {
    let first = names[..names.len().min(NAMED)].join(", ");
    match names.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn all(specs: &[Value]) -> Vec<Arc<Readable<Database>>> {
        let guarded = specs.iter().enumerate().map(|(number, spec)| {
            let object = json!({
                "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
                "metadata": {"name": number.to_string(), "namespace": "team"}, "spec": spec,
            });
            Arc::new(serde_json::from_value(object).unwrap())
        });
        guarded.collect()
    }

    #[test]
    fn only_what_refers_to_it_counts() {
        let on = |name: &str| json!({"instanceRef": {"name": name}});
        let dependents = Dependents::of("a", &all(&[on("a"), on("b"), on("a")]), &[]);
        assert_eq!(dependents.known, ["team/0", "team/2"]);
        assert!(!dependents.is_empty());
        assert!(Dependents::of("c", &all(&[on("a")]), &[]).is_empty());
        let many = Dependents::of("a", &all(&vec![on("a"); 7]), &[])
            .finding()
            .1;
        assert!(
            many.starts_with("7 ") && many.contains("team/4 and 2 more;"),
            "{many}"
        );
    }

    #[test]
    fn what_cannot_be_read_keeps_the_instance_that_it_names() {
        let odd = [json!({"instanceRef": {"name": "a"}, "deletionPolicy": "Perhaps"})];
        let dependents = Dependents::of("a", &all(&odd), &[]);
        assert_eq!((dependents.count(), dependents.is_empty()), (0, false));
        let message = dependents.finding().1;
        assert!(message.contains("team/0"), "{message}");
        assert!(
            Dependents::of("b", &all(&odd), &[]).is_empty(),
            "a team keeps no other"
        );
        // It is unknown which one this refers to.
        assert!(!Dependents::of("b", &all(&[json!({"instanceRef": 5})]), &[]).is_empty());
    }

    #[test]
    fn a_test_keeps_the_instance_until_it_has_cleaned_up() {
        let restore = |mode: &str, state: &str, finalizers: &[&str]| -> Arc<Readable<Restore>> {
            let reference = if mode == "Test" {
                "instanceRef"
            } else {
                "databaseRef"
            };
            let object = json!({
                "apiVersion": "db-operator.dev/v1alpha1", "kind": "Restore",
                "metadata": {"name": "weekly", "namespace": "team", "finalizers": finalizers},
                "spec": {"source": {"backupRef": {"name": "b"}}, "mode": mode, reference: {"name": "a"}},
                "status": {"state": state, "target": {"instance": "a", "database": "d", "user": "u",
                                                      "serverIdentity": "s"}},
            });
            Arc::new(serde_json::from_value(object).unwrap())
        };
        let keeps = |instance: &str, restore: Arc<Readable<Restore>>| {
            !Dependents::of(instance, &[], &[restore]).is_empty()
        };
        let held: &[&str] = &[crate::api::FINALIZER];
        assert!(keeps("a", restore("Test", "LOADING", held)));
        assert!(keeps("a", restore("Test", "COMPLETED", held)));
        assert!(!keeps("a", restore("Test", "COMPLETED", &[])));
        assert!(!keeps("b", restore("Test", "LOADING", held)));
        assert!(!keeps("a", restore("Empty", "LOADING", held)));
        let tests = [restore("Test", "LOADING", held)];
        let message = Dependents::of("a", &[], &tests).finding().1;
        assert!(message.contains("team/weekly"), "{message}");
    }
}
