//! The newest backup of a Database, by the manifests in a bucket. Reads only.

use kube::ResourceExt;

use super::Pass;
use super::blocked::Blocked;
use super::prerequisites::destination;
use super::readable::{not_shared, readable};
use super::source::Chosen;
use crate::api::restore::LatestBackup;
use crate::api::{DatabaseInstance, RestoreReason};
use crate::store::{Folder, FoundBackup, NoBackup, Readable};

/// Chooses it, of all clusters whose backups may be read, unless one is asked for. Client and store required.
pub(super) async fn newest(
    pass: &Pass<'_>,
    instance: &DatabaseInstance,
    latest: &LatestBackup,
) -> Result<Chosen, Blocked> {
    let namespace = pass.namespace();
    let readable = readable(pass, instance, &namespace);
    let folders = folders(latest, &readable, &pass.context.cluster_id);
    if let Some(refused) = folders.iter().find(|folder| !readable.may_read(**folder)) {
        let message = not_shared(
            &pass.object.spec,
            *refused,
            &namespace,
            &instance.name_any(),
        );
        return Err(Blocked::new(RestoreReason::SourceRefused, message));
    }
    let destination = destination(pass.context, instance).await?;
    let mut newest = Newest::default();
    for folder in folders {
        let found = destination.store.latest(&readable, folder, latest.before);
        newest.note(found.await)?;
    }
    Ok(Chosen {
        instance: instance.name_any(),
        found: newest.found()?,
        destination,
    })
}

/// Where the backups that are asked for are. Never empty, and whether they may be read is yet to be asked.
fn folders<'a>(
    latest: &'a LatestBackup,
    readable: &Readable<'a>,
    own_cluster: &'a str,
) -> Vec<Folder<'a>> {
    let namespace = latest.database.namespace.as_deref();
    let in_cluster = |cluster_id| Folder {
        cluster_id,
        namespace: namespace.unwrap_or(readable.namespace),
        database: &latest.database.name,
    };
    if let Some(asked) = latest.cluster_id.as_deref() {
        return vec![in_cluster(asked)];
    }
    let own = in_cluster(own_cluster);
    if own.namespace == readable.namespace {
        // A cluster that was made anew goes on where the former one ended. What another one shares is asked for by its id:
        // it does not change which the newest of one's own is.
        return readable
            .cluster_ids
            .iter()
            .copied()
            .map(in_cluster)
            .collect();
    }
    let mut shared: Vec<Folder<'a>> = Vec::new();
    for folder in &readable.shared {
        let is_it = (folder.namespace, folder.database) == (own.namespace, own.database);
        if is_it && !shared.contains(folder) {
            shared.push(*folder);
        }
    }
    if shared.is_empty() {
        shared.push(own);
    }
    shared
}

/// The newest backup of several folders. There is none only if each of them was listed completely and has none.
#[derive(Default)]
struct Newest {
    found: Option<FoundBackup>,
    without: Vec<String>,
    any: bool,
}

impl Newest {
    fn note(&mut self, of_folder: Result<FoundBackup, NoBackup>) -> Result<(), NoBackup> {
        match of_folder {
            Ok(found) => {
                let is_newer = |newest: &FoundBackup| newest.key.started < found.key.started;
                if self.found.as_ref().is_none_or(is_newer) {
                    self.found = Some(found);
                }
            }
            Err(NoBackup::None { message, any }) => {
                self.without.push(message);
                self.any |= any;
            }
            // A newest backup that is damaged is not passed over for an older one.
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn found(self) -> Result<FoundBackup, NoBackup> {
        self.found.ok_or_else(|| NoBackup::None {
            message: self.without.join(", and "),
            any: self.any,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;
    use serde_json::json;

    fn none(any: bool) -> Result<FoundBackup, NoBackup> {
        let message = "there is none".to_owned();
        Err(NoBackup::None { message, any })
    }

    #[test]
    fn there_is_no_backup_only_if_every_folder_says_so() {
        let of = |folders: Vec<Result<FoundBackup, NoBackup>>| {
            let mut newest = Newest::default();
            for folder in folders {
                newest.note(folder)?;
            }
            newest.found()
        };
        let is_none = |answer| matches!(answer, Err(NoBackup::None { any: false, .. }));
        assert!(is_none(of(vec![none(false), none(false)])));
        assert!(!is_none(of(vec![none(false), none(true)])));
        for error in [
            NoBackup::Missing("its object is gone".to_owned()),
            NoBackup::Refused("it lies".to_owned()),
            NoBackup::Store(StoreError::NoBucket),
        ] {
            let answer = of(vec![none(false), Err(error)]);
            assert!(answer.is_err() && !is_none(answer));
        }
    }

    #[test]
    fn the_folders_are_ones_own_of_all_clusters_or_what_is_shared() {
        let of = |latest: serde_json::Value, shared: &[(&str, &str)]| -> Vec<String> {
            let latest: LatestBackup = serde_json::from_value(latest).unwrap();
            let shared = shared.iter().map(|(cluster_id, namespace)| Folder {
                cluster_id,
                namespace,
                database: "orders",
            });
            let readable = Readable {
                prefix: None,
                cluster_ids: vec!["c1", "c0"],
                namespace: "lab",
                shared: shared.collect(),
            };
            let all = folders(&latest, &readable, "c1").into_iter();
            all.map(|it| format!("{}/{}/{}", it.cluster_id, it.namespace, it.database))
                .collect()
        };
        let own = json!({"database": {"name": "orders"}});
        let shared = [
            ("c1", "team-a"),
            ("c9", "team-a"),
            ("c9", "team-a"),
            ("c9", "lab"),
        ];
        assert_eq!(of(own.clone(), &shared), ["c1/lab/orders", "c0/lab/orders"]);
        let named = json!({"database": {"name": "orders"}, "clusterId": "c9"});
        assert_eq!(of(named, &shared), ["c9/lab/orders"]);
        let other = json!({"database": {"name": "orders", "namespace": "team-a"}});
        assert_eq!(
            of(other.clone(), &shared),
            ["c1/team-a/orders", "c9/team-a/orders"]
        );
        // Nothing is shared: it is refused by this one.
        assert_eq!(of(other, &[]), ["c1/team-a/orders"]);
    }
}
