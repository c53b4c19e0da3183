//! Taking the machine's cluster over from another clone: its operator, CRDs and test namespaces go first.

use std::path::Path;
use std::time::Duration;

use super::Cluster;
use crate::lock::{self, Lock};
use crate::{Error, Result, clone_root, command};

/// The API group whose CRDs are the operator's.
const GROUP: &str = ".db-operator.dev";
/// The operator's namespace.
const OPERATOR_NAMESPACE: &str = "db-operator-system";
/// What every namespace that a test makes is labelled with.
const TEST_LABEL: &str = "db-operator.dev/e2e=true";
/// What the operator's cluster-wide objects are labelled with.
const OPERATOR_LABEL: &str = "app.kubernetes.io/part-of=db-operator";
const PATIENCE: Duration = Duration::from_mins(2);

impl Cluster {
    /// Takes the right to use this cluster, until the lock is dropped. Waits for as long as another process has it,
    /// saying who.
    pub fn lock(&self) -> Result<Lock> {
        crate::host::require_root()?;
        if let Some(folder) = self.lock_file().parent() {
            std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        }
        Lock::take(&self.lock_file())
    }

    /// Makes the running cluster this clone's: if another one used it last, what that one installed is removed.
    pub(super) fn take_over(&self) -> Result<()> {
        let previous = lock::last_clone(&self.clone_file());
        if let Some(previous) = previous.filter(|previous| previous != clone_root()) {
            self.release_previous(&previous)?;
            self.record_user()?;
        }
        Ok(())
    }

    /// Records that this clone uses the cluster now.
    pub(super) fn record_user(&self) -> Result<()> {
        lock::record_clone(&self.clone_file())
    }

    /// Removes what another clone installed.
    fn release_previous(&self, previous: &Path) -> Result<()> {
        command::say(&format!(
            "Taking the cluster over from {}: removing its operator, CRDs and test namespaces",
            previous.display()
        ));
        crate::gitops::take_away(self)?;
        // Without its controllers, the operator cannot put anything back.
        self.delete(&[
            "deployments,replicasets,jobs,pods",
            "--all",
            "-n",
            OPERATOR_NAMESPACE,
            "--force",
            "--grace-period=0",
        ])?;
        let definitions = command::output(self.kubectl().args([
            "get",
            "customresourcedefinitions",
            "-o",
            "name",
        ]))?;
        let definitions: Vec<&str> = definitions
            .lines()
            .filter(|name| name.ends_with(GROUP))
            .collect();
        for definition in &definitions {
            self.release_objects(
                definition
                    .rsplit_once('/')
                    .map_or(definition, |(_, name)| name),
            )?;
        }
        // Tests of the finalizer put it on these.
        self.release_objects("configmaps")?;
        for definition in &definitions {
            self.delete(&[definition, "--timeout=60s"])?;
        }
        for kinds in [
            "clusterroles,clusterrolebindings",
            "validatingadmissionpolicies,validatingadmissionpolicybindings",
        ] {
            self.delete(&[kinds, "-l", OPERATOR_LABEL])?;
        }
        self.delete(&["namespace", OPERATOR_NAMESPACE, "--wait=false"])?;
        self.delete(&["namespace", "-l", TEST_LABEL, "--wait=false"])?;
        command::wait_until(
            "The other clone's namespaces are gone",
            PATIENCE,
            None,
            || {
                let operator = self
                    .kubectl()
                    .args([
                        "get",
                        "namespace",
                        OPERATOR_NAMESPACE,
                        "--ignore-not-found",
                        "-o",
                        "name",
                    ])
                    .output();
                let tests = command::output(self.kubectl().args([
                    "get",
                    "namespaces",
                    "-l",
                    TEST_LABEL,
                    "-o",
                    "name",
                ]))?;
                Ok(tests.is_empty() && operator.is_ok_and(|operator| operator.stdout.is_empty()))
            },
        )
    }

    /// Strips the finalizers of all objects of a kind that have any: who would have acted on them is gone.
    fn release_objects(&self, definition: &str) -> Result<()> {
        let template = "{range .items[?(@.metadata.finalizers)]}{.metadata.namespace}/{.metadata.name}{\"\\n\"}{end}";
        let objects = command::output(self.kubectl().args([
            "get",
            definition,
            "--all-namespaces",
            "-o",
            &format!("jsonpath={template}"),
        ]))?;
        for object in objects.lines() {
            let (namespace, name) = object.split_once('/').unwrap_or(("", object));
            let mut patch = self.kubectl();
            patch.args([
                "patch",
                definition,
                name,
                "--type=merge",
                "--patch",
                r#"{"metadata":{"finalizers":null}}"#,
            ]);
            if !namespace.is_empty() {
                patch.args(["-n", namespace]);
            }
            match command::output(&mut patch) {
                Ok(_) => {}
                // It went while the others were released.
                Err(error) if is_not_found(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn delete(&self, arguments: &[&str]) -> Result<()> {
        command::output(
            self.kubectl()
                .arg("delete")
                .args(arguments)
                .arg("--ignore-not-found"),
        )
        .map(drop)
    }
}

/// Whether kubectl failed because what it was to change is not there.
fn is_not_found(error: &Error) -> bool {
    matches!(error, Error::Failed { tail, .. } if tail.contains("Error from server (NotFound)"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_told_from_what_fails() {
        let failed = |tail: &str| Error::Failed {
            what: "kubectl".to_owned(),
            status: "exit status: 1".to_owned(),
            tail: format!("    {tail}"),
        };
        assert!(is_not_found(&failed(
            r#"Error from server (NotFound): backups.db-operator.dev "wiki-today" not found"#
        )));
        for tail in [
            "Error from server (Forbidden): backups.db-operator.dev is forbidden",
            "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?",
        ] {
            assert!(!is_not_found(&failed(tail)), "{tail}");
        }
    }
}
