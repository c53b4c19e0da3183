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
            InUse: "The instance is being deleted, and Databases refer to it, or tests of backups have not removed yet what they made there; the message names the first ones.",
        }
        Stalled {
            Suspended: "spec.suspend is true: nothing is checked or changed on this server.",
            CredentialsMissing: "The Secret with the administrator's user name and password, or one of its keys, is missing.",
            LoginFailed: "The server refuses the administrator's user name or password.",
            TlsFailed: "The server has no TLS, or its certificate fails the check that spec.tls asks for.",
            TlsRequired: "The server takes no login without TLS (MySQL, whose full authentication needs it, or `require_secure_transport`): set spec.tls.mode to something other than disable.",
            UnsupportedVersion: "The server is older or newer than the supported versions.",
            MissingPrivileges: "The administrator lacks privileges; status.missingPrivileges has the SQL that grants them.",
            UnsuitableSettings: "A setting of the server keeps users from logging in; status.unsuitableSettings has the SQL that changes it.",
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
            Initializing: "The backup of spec.initFrom is being loaded, or waited for; the message names the Restore that does it.",
            InstanceNotFound: "The DatabaseInstance of spec.instanceRef does not exist (yet).",
            InstanceNotReady: "The DatabaseInstance is not ready; its own conditions say why.",
            ServerError: "The server answered with an error; it is retried with increasing pauses.",
            DatabaseError: "Something inside this database (a setting of the database or of its user, a lock) is in the way; the message says what, and it is retried with increasing pauses.",
            LoginFailed: "Logging in with the Secret's values does not work; the message says why. Where setting the password helps, it is set again.",
            Restoring: "A restore is at work on the database itself: it takes the place of the former one, or (MySQL, MariaDB) is being loaded, or what a failed one left is being removed; its user cannot log in meanwhile.",
            WaitingForFinalBackup: "The database will be deleted after a final backup, which is under way.",
            Deleting: "The claim on the database is being released and, if the policy says so, the database dropped.",
            DeletionBlocked: "Something keeps the database or its user from being dropped (sessions, locks, objects in other databases); the message names it, and it is retried.",
        }
        Stalled {
            NamespaceNotAllowed: "The instance does not accept Databases from this namespace (spec.allowedNamespaces); nothing is changed on the server.",
            ClaimedByAnother: "The database or the user belongs to another Database; the message names it.",
            NotAdoptable: "The database or the user already exists and was not created by the operator; adopting it takes adoptionPolicy and the instance's list.",
            ReservedName: "The name belongs to the server, or the user has rights that an application's must not have.",
            Unsupported: "The server does not allow a name or a value (a limit, an encoding, a locale, a collation, an extension), or is of another kind than the block postgresql or mysql is for; the message says what it allows.",
            InTheWay: "Something is in the way that only a person can move; the message names it.",
            MissingPrivileges: "The administrator may not do this; the message has the SQL that allows it.",
            InitFailed: "The database cannot begin with the backup of spec.initFrom; the message has the reason of the Restore that tried, and its words.",
            DatabaseMissing: "The database was dropped by hand: restore it, or ask for a new one, which is empty or begins with spec.initFrom, with the annotation db-operator.dev/recreate-requested-at.",
            ServerChanged: "The server that answers is not the one that holds this database; the instance's conditions say more.",
            SecretNotOurs: "A Secret of this name exists that the operator did not create: remove it, or label it db-operator.dev/adopt=true.",
            PasswordUnusable: "The password in the Secret cannot be used (too long, not text, characters that no client can send); the message says the limit.",
            SecretRefused: "The API server refuses the Secret (a quota, a policy, an immutable Secret); the message quotes it.",
            InvalidTemplate: "spec.secretTemplate cannot be rendered; the message says where.",
            Exposed: "Others have access to the database through rights that the operator did not grant (to everybody, or to a pattern of names); the message has the SQL that revokes them.",
            OptionsDiffer: "The database exists with other options of creation (encoding, locale, locale provider) than spec.postgresql asks for, and they cannot be changed; the message says which.",
            ObjectsNotAccessible: "The user may not read or write objects of others in the database (one that someone else made, or in schemas of its own); the message names some of them, with the SQL that changes it. While `Ready` is true, the rest can be used.",
            ReadOnly: "A setting of the database or of its user makes every session read-only; the message has the SQL that takes it back.",
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

reasons! {
    /// Reasons in the conditions of a `Restore`, and in `status.failure`.
    RestoreReason {
        Ready {
            Completed: "The backup was loaded, what was to be checked is equal, and the database has its name. With mode Test: what was loaded is dropped again.",
            DoneBefore: "This Restore was done before, as the server or the bucket remembers; nothing was done again.",
            Undone: "The replacement was undone: the former database has its name back.",
        }
        Reconciling {
            WaitingForTurn: "A backup or another restore of this Database is active, or as many restores run on the instance as it allows.",
            WaitingForDatabase: "The Database is not in the state CREATED yet, is suspended or being deleted, or its instance is not ready: see the instance.",
            WaitingForBackup: "The Backup of spec.source.backupRef has not completed, or does not exist (yet).",
            Preparing: "The target is being looked at, and the place to load into and the Job are being made.",
            Loading: "The Job is loading the backup; status.progress shows how far it is.",
            Checking: "The Job is comparing what it loaded with the backup.",
            Switching: "The restored database is taking the place of the other one.",
            SwitchBlocked: "Someone keeps the database from being switched; the message names them, and it is tried again with increasing pauses.",
            StoreUnreachable: "The object store does not answer, or refuses for a reason that may pass; it is retried.",
        }
        Stalled {
            DatabaseNotFound: "The Database of spec.databaseRef does not exist.",
            DatabaseDeleted: "The Database was deleted while the restore ran, and the restore was cancelled.",
            InstanceWithdrawn: "The instance of spec.instanceRef was deleted, or accepts this namespace no more, while the test ran, and the test was cancelled.",
            Cancelled: "The Restore was deleted while it ran, and what it had made is removed; or its Database begins with something else by now.",
            NamespaceNotAllowed: "The instance does not accept Databases from this namespace (spec.allowedNamespaces).",
            NoDestination: "The instance has no spec.backup, or its bucket cannot be opened.",
            BackupFailed: "The Backup of spec.source.backupRef failed: choose another one.",
            BackupNotFound: "There is no such manifest or object in the bucket; the message says what was looked for.",
            NoBackups: "The list of the bucket is complete, and has no manifest of the Database at all.",
            SourceRefused: "The key is not one that this Restore may read, or the manifest is not that of the object: the message says which rule.",
            Unsupported: "The backup is of another kind of server or of a newer one, or this kind of server cannot do what is asked for; the message says what to do instead.",
            WrongConfirm: "spec.confirm is not the name of the SQL database that would be replaced.",
            NotEmpty: "Something is in the database, and mode Empty loads only where nothing is; the message names some of it.",
            InTheWay: "Something on the server keeps the database from being switched later (a replication slot, a subscription, a prepared transaction); the message names it.",
            NoRoom: "The server has not enough room or connections for the restore, in numbers.",
            ContradictoryTarget: "The Restore names neither a Database nor an instance to be tested on, or both, or its mode is one for the other: make another one.",
            NameUsed: "A Restore of this name, with another spec, was done before: give this one another name.",
            ChangedHands: "The database or its claim on the server is not what it was when the restore began; nothing was done.",
            SwitchFailed: "Someone kept the database from being switched each time that it was tried; the message names them.",
            InvalidTemplate: "The template for the Job is missing or broken; the message says where.",
            ToolMismatch: "The image's tool is older than the server or than the one that made the dump, or one for another kind of server.",
            MissingPrivileges: "The administrator may not do this; the message has the SQL that allows it.",
            ImageUnavailable: "An image of the Job could not be pulled.",
            JobRefused: "The Job's pod could not be created (quota, admission); the message says why.",
            JobDeleted: "The Job was deleted while it ran.",
            Evicted: "The Job's pod was evicted from its node.",
            OutOfMemory: "A process of the Job's pod was killed because it used more memory than its limit.",
            Terminated: "The Job's pod was asked to end before it was done.",
            Killed: "The Job's pod ended without reporting a result.",
            DeadlineExceeded: "The restore took longer than spec.deadlineSeconds, or than its instance allows.",
            NoProgress: "Nothing was loaded for spec.stallSeconds, or for as long as its instance allows.",
            FetchFailed: "The object could not be read from the store.",
            ObjectMismatch: "The object is not what its manifest says (size or SHA-256).",
            NotADump: "The object is no dump, or holds what a restore does not load.",
            TooLarge: "The backup has more bytes before compression than the instance allows (spec.restore.maxBytes), or more tables or large objects than a restore's pod takes; the message says which.",
            ExtensionData: "The backup has rows of extensions' own tables, which only an administrator may write: accept: [ExtensionData] leaves them out.",
            OnlyRefused: "spec.only names what is not in the backup, or what needs something that it does not name; the message lists it.",
            LoadFailed: "The tool failed; status.failure.lastLines has its output.",
            CheckFailed: "What was loaded is not what was backed up, or a query was not answered with true; status.report says more.",
            StoreRefused: "The object store refuses to be read; the message quotes it.",
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
        check::<RestoreReason>();
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
        check::<RestoreReason>("Restore");
    }
}
