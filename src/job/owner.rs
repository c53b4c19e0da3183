//! The objects that have Jobs: what they are, and what their Jobs are called.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};

use crate::api::{BACKUP_LABEL, Backup, RESTORE_LABEL};

/// The kinds of objects that have Jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A Backup: its Job dumps.
    Backup,
    /// A Restore: its Job loads.
    Restore,
}

impl Kind {
    /// The label that names the object on all that is made for it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Backup => BACKUP_LABEL,
            Self::Restore => RESTORE_LABEL,
        }
    }

    /// The container in which our process owns the tool, and our process's own command; a template may add other
    /// containers.
    #[must_use]
    pub const fn container(self) -> &'static str {
        match self {
            Self::Backup => "dump",
            Self::Restore => "restore",
        }
    }

    /// What its pods are called in sentences, and the first word of its Jobs' names.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Restore => "restore",
        }
    }
}

/// A kind whose objects have Jobs.
pub trait HasJobs: Resource<DynamicType = ()> {
    /// Which one.
    const KIND: Kind;
}

impl HasJobs for Backup {
    const KIND: Kind = Kind::Backup;
}

/// The object that asks for a Job, and owns it.
#[derive(Clone, Debug, PartialEq)]
pub struct Owner {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace, which is that of the Job, too.
    pub namespace: Option<String>,
    /// The name of its Database.
    pub database: String,
    /// The namespace of its Database, where that is another one.
    pub database_namespace: Option<String>,
    uid: String,
    attempt: Option<i32>,
    reference: Option<OwnerReference>,
}

impl Owner {
    /// A Backup.
    #[must_use]
    pub fn of_backup(backup: &Backup) -> Self {
        let database = &backup.spec.database_ref;
        let attempts = backup.status.as_ref().and_then(|status| status.attempts);
        Self {
            database_namespace: database.namespace.clone(),
            ..Self::of(backup, &database.name, attempts)
        }
    }

    /// An object of a kind that has Jobs, of the Database of this name beside it; its attempts count from one.
    #[must_use]
    pub fn of<K: HasJobs>(object: &K, database: &str, attempt: Option<i32>) -> Self {
        Self {
            kind: K::KIND,
            name: object.name_any(),
            namespace: object.namespace(),
            database: database.to_owned(),
            database_namespace: None,
            uid: object.uid().unwrap_or_default(),
            attempt,
            reference: object.controller_owner_ref(&()),
        }
    }

    /// One that has these names, for tests.
    #[cfg(test)]
    pub(super) fn named(
        kind: Kind,
        name: &str,
        namespace: &str,
        uid: &str,
        database: &str,
        reference: OwnerReference,
    ) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            namespace: Some(namespace.to_owned()),
            database: database.to_owned(),
            database_namespace: None,
            uid: uid.to_owned(),
            attempt: None,
            reference: Some(reference),
        }
    }

    /// The reference to it: a Job is not there without its owner.
    #[must_use]
    pub fn reference(&self) -> Option<OwnerReference> {
        self.reference.clone()
    }

    /// The name of its Job, and of the Secret with the Job's task: another one for each attempt, so that the former's log
    /// stays.
    #[must_use]
    pub fn job_name(&self) -> String {
        let (noun, uid) = (self.kind.noun(), &self.uid);
        match self.attempt {
            None | Some(..=1) => format!("{noun}-{uid}"),
            Some(attempt) => format!("{noun}-{uid}-{attempt}"),
        }
    }
}

/// The name of a Backup's Job, and of the Secret with its task.
#[must_use]
pub fn name(backup: &Backup) -> String {
    Owner::of_backup(backup).job_name()
}

/// Whether an attempt of the object with this UID has a Job of this name: the copy of the object may be older than the
/// attempt.
#[must_use]
pub fn is_name_of(kind: Kind, uid: &str, name: &str) -> bool {
    let first = format!("{}-{uid}", kind.noun());
    let number = |rest: &str| {
        rest.strip_prefix('-')
            .and_then(|number| number.parse::<u8>().ok())
    };
    name.strip_prefix(&first)
        .is_some_and(|rest| rest.is_empty() || number(rest).is_some())
}
