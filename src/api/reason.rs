//! Every reason that a condition can have, with what it means and what it means for the object: the only list.
//! Documentation is made from it, alert rules depend on the words: add, but do not rename.

use std::fmt::Debug;

/// What a reason means for an object, in the terms of kstatus.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// It can be used: `Ready` is true.
    Ready,
    /// It is in progress, or waits and is retried: `Ready` is false, `Reconciling` true.
    Reconciling,
    /// Someone has to act: `Ready` is false, `Stalled` true. Reconciled at each resync and when something that it
    /// depends on changes.
    Stalled,
}

/// A word for the `reason` of a condition.
pub trait Reason: Copy + Debug + Eq + 'static {
    /// All of them, in the order of their documentation.
    const ALL: &'static [Self];

    /// The stable CamelCase word.
    fn as_str(self) -> &'static str;

    /// What it says about the object.
    fn outcome(self) -> Outcome;

    /// One sentence for the documentation.
    fn meaning(self) -> &'static str;
}

/// Makes the enum, its doc comments and [`Reason`] from one table.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($outcome:ident { $($word:ident: $meaning:literal,)+ })+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum $name {
            $($(#[doc = $meaning] $word,)+)+
        }

        impl Reason for $name {
            const ALL: &'static [Self] = &[$($(Self::$word,)+)+];

            fn as_str(self) -> &'static str {
                match self { $($(Self::$word => stringify!($word),)+)+ }
            }

            fn outcome(self) -> Outcome {
                match self { $($(Self::$word => Outcome::$outcome,)+)+ }
            }

            fn meaning(self) -> &'static str {
                match self { $($(Self::$word => $meaning,)+)+ }
            }
        }
    };
}

reasons! {
    /// Reasons in the conditions of a `DatabaseInstance`.
    InstanceReason {
        Ready {
            Connected: "The server answers, its TLS is as configured, and the administrator has all the rights that are needed.",
        }
        Reconciling {
            Checking: "The server has not been checked yet.",
            Unreachable: "The server does not answer, or not in time; it is retried every few seconds.",
            ReadOnly: "The server accepts no writes (a standby, or `read_only`); it is retried.",
            TooManyConnections: "The server has no connection left for the operator; it is retried.",
            InUse: "The instance is being deleted, and Databases refer to it; the message names the first ones.",
        }
        Stalled {
            Suspended: "spec.suspend is true: nothing is checked or changed on this server.",
            CredentialsMissing: "The Secret with the administrator's user name and password, or one of its keys, is missing.",
            LoginFailed: "The server refuses the administrator's user name or password.",
            TlsFailed: "The server has no TLS, or its certificate fails the check that spec.tls asks for.",
            TlsRequired: "MySQL's full authentication needs TLS: set spec.tls.mode to something other than disable.",
            UnsupportedVersion: "The server is older or newer than the supported versions.",
            MissingPrivileges: "The administrator lacks privileges; status.missingPrivileges has the SQL that grants them.",
            IdentityChanged: "A different server answers at this address; nothing is changed there until that is acknowledged.",
            ClaimsUnusable: "The operator's own database on the server cannot be created or read; the message says why.",
        }
    }
}

reasons! {
    /// Reasons in the conditions of a `Database`.
    DatabaseReason {
        Ready {
            Created: "The database and its user exist, and logging in with the Secret works.",
            Suspended: "spec.suspend is true: the database can be used, but is neither repaired nor backed up.",
        }
        Reconciling {
            Creating: "The user, the database and the Secret are being created.",
            InstanceNotFound: "The DatabaseInstance of spec.instanceRef does not exist (yet).",
            InstanceNotReady: "The DatabaseInstance is not ready; its own conditions say why.",
            ServerError: "The server answered with an error; it is retried with increasing pauses.",
            DatabaseError: "Something inside this database (a setting of the database or of its user, a lock) is in the way; the message says what, and it is retried with increasing pauses.",
            LoginFailed: "Logging in with the Secret's values does not work; the user's password is being set again.",
            WaitingForFinalBackup: "The database will be deleted after a final backup, which is under way.",
            Deleting: "The claim on the database is being released and, if the policy says so, the database dropped.",
            DeletionBlocked: "Something keeps the database or its user from being dropped (sessions, locks, objects in other databases); the message names it, and it is retried.",
        }
        Stalled {
            NamespaceNotAllowed: "The instance does not accept Databases from this namespace (spec.allowedNamespaces); nothing is changed on the server.",
            ClaimedByAnother: "The database or the user belongs to another Database; the message names it.",
            NotAdoptable: "The database or the user already exists and was not created by the operator; adopting it takes adoptionPolicy and the instance's list.",
            ReservedName: "The name belongs to the server, or the user has rights that an application's must not have.",
            Unsupported: "The server does not allow a name or a value (a limit, an encoding, a locale, a collation, an extension); the message says what it allows.",
            InTheWay: "Something is in the way that only a person can move; the message names it.",
            MissingPrivileges: "The administrator may not do this; the message has the SQL that allows it.",
            DatabaseMissing: "The database was dropped by hand: restore it, or ask for an empty one with the annotation db-operator.dev/recreate-requested-at.",
            ServerChanged: "The server that answers is not the one that holds this database; the instance's conditions say more.",
            SecretNotOurs: "A Secret of this name exists that the operator did not create: remove it, or label it db-operator.dev/adopt=true.",
            PasswordUnusable: "The password in the Secret cannot be used (too long, not text, characters that no client can send); the message says the limit.",
            SecretRefused: "The API server refuses the Secret (a quota, a policy, an immutable Secret); the message quotes it.",
            InvalidTemplate: "spec.secretTemplate cannot be rendered; the message says where.",
            Exposed: "Others have access to the database through rights that the operator did not grant (to everybody, or to a pattern of names); the message has the SQL that revokes them.",
            NoBackupDestination: "`deletionPolicy` is `BackupBeforeDelete`, and the instance has no spec.backup.",
        }
    }
}

reasons! {
    /// Reasons in the conditions of a `Backup`, and in `status.failure`.
    BackupReason {
        Ready {
            Completed: "The dump was complete, every part arrived, and the object in the store has its size and checksum.",
        }
        Reconciling {
            WaitingForTurn: "Another backup of this Database is active, or the operator's limit is reached; the oldest is next.",
            WaitingForDatabase: "The Database is not in the state CREATED yet, is suspended or being deleted, or its instance is not ready: see the instance.",
            Starting: "The upload has begun and the Job is being created.",
            BackingUp: "The Job is dumping and uploading; status.progress shows how far it is.",
            Committing: "The Job is done; its parts are compared and the upload is completed.",
            StoreUnreachable: "The object store does not answer, or refuses for a reason that may pass; it is retried.",
        }
        Stalled {
            DatabaseNotFound: "The Database of spec.databaseRef does not exist.",
            DatabaseDeleted: "The Database was deleted while the backup ran, and the backup was cancelled.",
            Cancelled: "The Backup was deleted while it ran; the Job is stopped and the upload aborted.",
            ForeignNamespace: "spec.databaseRef.namespace is not accepted here: leave it out.",
            NamespaceNotAllowed: "The Database's instance does not accept Databases from this namespace (spec.allowedNamespaces).",
            NoDestination: "The Database's instance has no spec.backup.",
            InvalidTemplate: "The template for the Job is missing or broken; the message says where.",
            ToolMismatch: "The image's dump tool is older than the server, or one for another kind of server.",
            MissingPrivileges: "The database's user may not read everything; the message names it, with the GRANT.",
            TooLarge: "The dump does not fit into the parts that the store allows.",
            ImageUnavailable: "An image of the Job could not be pulled.",
            JobRefused: "The Job's pod could not be created (quota, admission); the message says why.",
            JobDeleted: "The Job was deleted while it ran.",
            Evicted: "The Job's pod was evicted from its node.",
            OutOfMemory: "A process of the Job's pod was killed because it used more memory than its limit.",
            Terminated: "The Job's pod was asked to end before it was done.",
            Killed: "The Job's pod ended without reporting a result.",
            DeadlineExceeded: "The backup took longer than spec.deadlineSeconds, or than its instance allows.",
            NoProgress: "Nothing was dumped or uploaded for spec.stallSeconds, or for as long as its instance allows.",
            DumpFailed: "The dump tool failed; status.failure.lastLines has its output.",
            DumpIncomplete: "The dump tool ended without an error, but its output is incomplete.",
            UploadFailed: "Parts could not be uploaded.",
            UploadMismatch: "What the store received is not what the Job sent.",
            StoreRefused: "The object store refuses the upload; the message quotes it.",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What Kubernetes accepts as a reason, and what the documentation promises.
    fn check<R: Reason>() {
        let mut seen = BTreeSet::new();
        for reason in R::ALL {
            let word = reason.as_str();
            assert!(seen.insert(word), "{word} is there twice");
            assert!(word.chars().all(|c| c.is_ascii_alphabetic()), "{word}");
            assert!(word.starts_with(|c: char| c.is_ascii_uppercase()), "{word}");
            assert!(
                reason.meaning().ends_with('.') || reason.meaning().contains(':'),
                "{word}"
            );
        }
        for outcome in [Outcome::Ready, Outcome::Reconciling, Outcome::Stalled] {
            assert!(R::ALL.iter().any(|r| r.outcome() == outcome));
        }
    }

    #[test]
    fn reasons_are_words_with_a_meaning() {
        check::<InstanceReason>();
        check::<DatabaseReason>();
        check::<BackupReason>();
    }

    /// The rows of a section's table: the reason, and whether a person is needed.
    fn documented(section: &str) -> Vec<(String, bool)> {
        let page = include_str!("../../doc/how-to/troubleshoot.md");
        let heading = format!("\n## {section}\n");
        let (_, rest) = page.split_once(&heading).unwrap();
        let table = rest.split("\n## ").next().unwrap();
        let rows = table.lines().filter_map(|line| line.strip_prefix("| `"));
        rows.map(|row| {
            let (word, rest) = row.split_once('`').unwrap();
            (word.to_owned(), rest.starts_with(" **person** |"))
        })
        .collect()
    }

    /// Who is sent to the page by a reason finds it there, and nothing there is not a reason.
    #[test]
    fn the_page_for_troubles_has_each_reason_once() {
        fn check<R: Reason>(section: &str) {
            let mut listed = documented(section);
            let mut known: Vec<_> = R::ALL
                .iter()
                .map(|r| (r.as_str().to_owned(), r.outcome() == Outcome::Stalled))
                .collect();
            listed.sort();
            known.sort();
            assert_eq!(listed, known, "{section}");
        }
        check::<InstanceReason>("DatabaseInstance");
        check::<DatabaseReason>("Database");
        check::<BackupReason>("Backup");
    }
}
