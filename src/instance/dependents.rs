//! The Databases that refer to an instance, and so keep it: pure.

use std::sync::Arc;

use kube::ResourceExt;

use crate::api::{Database, InstanceReason};
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
}

impl Dependents {
    /// What refers to the instance of this name, among all Databases.
    ///
    /// One that cannot be read may have a database on the server, so it keeps the instance that it names, and no other. (The
    /// API server stores no Database that names none.)
    pub(super) fn of(instance: &str, databases: &[Arc<Readable<Database>>]) -> Self {
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
        self.known.is_empty() && self.unreadable.is_empty()
    }

    /// What the conditions of an instance say that is being deleted, and is kept by these.
    pub(super) fn finding(&self) -> Finding {
        let message = if self.known.is_empty() {
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
        let dependents = Dependents::of("a", &all(&[on("a"), on("b"), on("a")]));
        assert_eq!(dependents.known, ["team/0", "team/2"]);
        assert!(!dependents.is_empty());
        assert!(Dependents::of("c", &all(&[on("a")])).is_empty());
        let many = Dependents::of("a", &all(&vec![on("a"); 7])).finding().1;
        assert!(
            many.starts_with("7 ") && many.contains("team/4 and 2 more;"),
            "{many}"
        );
    }

    #[test]
    fn what_cannot_be_read_keeps_the_instance_that_it_names() {
        let odd = [json!({"instanceRef": {"name": "a"}, "deletionPolicy": "Perhaps"})];
        let dependents = Dependents::of("a", &all(&odd));
        assert_eq!((dependents.count(), dependents.is_empty()), (0, false));
        let message = dependents.finding().1;
        assert!(message.contains("team/0"), "{message}");
        assert!(
            Dependents::of("b", &all(&odd)).is_empty(),
            "a team keeps no other"
        );
        // It is unknown which one this refers to.
        assert!(!Dependents::of("b", &all(&[json!({"instanceRef": 5})])).is_empty());
    }
}
