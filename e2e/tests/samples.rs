//! The samples as their two teams would apply them, and what Git and the cluster differ in once the operator has done its
//! work: nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

mod support {
    pub(crate) mod kustomize;
}

use std::path::{Path, PathBuf};

use e2e::cluster::Cluster;
use e2e::{clone_root, command};
use support::kustomize::Copy;

/// Production's team, as a test may apply it: its instances, namespace and SQL names are the demo's, which other tests use
/// and where a demo may have left its own, so that they are called otherwise here. All else is as in the samples.
const PLATFORM_ASIDE: &str = r"
resources: [../kustomize/samples/platform/production]
namePrefix: production-
patches:
  - target: {kind: Namespace}
    options: {allowNameChange: true}
    patch: |
      - {op: replace, path: /metadata/name, value: team-a-production}
  - target: {kind: DatabaseInstance}
    patch: |
      - {op: test, path: /spec/allowedNamespaces/names, value: [team-a]}
      - {op: replace, path: /spec/allowedNamespaces/names, value: [team-a-production]}
";
const OVERLAY_ASIDE: &str = r"
resources: [../kustomize/samples/overlays/production]
namespace: team-a-production
patches:
  - target: {kind: Database, name: orders}
    patch: |
      - {op: replace, path: /spec/instanceRef/name, value: production-postgres}
      - {op: add, path: /spec/name, value: orders_aside_production}
  - target: {kind: Database, name: invoices}
    patch: |
      - {op: replace, path: /spec/instanceRef/name, value: production-mariadb}
      - {op: add, path: /spec/name, value: invoices_aside_production}
  - target: {kind: Database, name: wiki}
    patch: |
      - {op: replace, path: /spec/instanceRef/name, value: production-mysql}
      - {op: replace, path: /spec/name, value: wiki_aside_production}
      - {op: replace, path: /spec/user, value: wiki_aside_production}
";

fn kubectl(arguments: &[&str]) -> Result<String, String> {
    let mut kubectl = Cluster::main().kubectl();
    kubectl.current_dir(clone_root()).args(arguments);
    command::output(&mut kubectl).map_err(|error| error.to_string())
}

fn overlay(environment: &str) -> String {
    format!("kustomize/samples/overlays/{environment}")
}

fn platform(environment: &str) -> String {
    format!("kustomize/samples/platform/{environment}")
}

/// An environment in the cluster, until this is dropped.
struct Applied {
    environment: &'static str,
    namespace: String,
    /// The platform team's folder, then the application team's.
    folders: [PathBuf; 2],
    _copies: Vec<Copy>,
}

impl Applied {
    fn as_it_is(environment: &'static str) -> Self {
        let folders = [platform(environment), overlay(environment)];
        Self::of(environment, folders.map(PathBuf::from), Vec::new())
    }

    fn production_aside() -> Self {
        let copies = [("platform", PLATFORM_ASIDE), ("overlay", OVERLAY_ASIDE)]
            .map(|(name, text)| Copy::with(&format!("production-{name}"), text));
        let folders = [copies[0].folder(), copies[1].folder()];
        Self::of("production", folders, copies.into())
    }

    fn of(environment: &'static str, folders: [PathBuf; 2], copies: Vec<Copy>) -> Self {
        let applied = Self {
            environment,
            namespace: format!("team-a-{environment}"),
            folders,
            _copies: copies,
        };
        applied.take_away();
        applied
    }

    fn in_namespace(&self, arguments: &[&str]) -> Result<String, String> {
        kubectl(&[&["-n", &self.namespace], arguments].concat())
    }

    /// Takes everything away, in the order that ends whatever state it is in; what is not there is no matter.
    fn take_away(&self) {
        for database in ["invoices", "orders", "wiki"] {
            // What would be kept or backed up first is gone with the test.
            let policy = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
            let _ =
                self.in_namespace(&["patch", "database", database, "--type=merge", "-p", policy]);
        }
        for folder in self.folders.iter().rev() {
            let delete = ["delete", "--ignore-not-found", "--timeout=90s", "-k"];
            let folder = [folder.to_str().unwrap()];
            kubectl(&[&delete[..], &folder].concat()).unwrap();
        }
    }
}

impl Drop for Applied {
    fn drop(&mut self) {
        self.take_away();
    }
}

fn apply(folder: &Path) {
    let apply = ["apply", "--server-side", "--warnings-as-errors", "-k"];
    let folder = [folder.to_str().unwrap()];
    kubectl(&[&apply[..], &folder].concat()).unwrap();
}

fn works(applied: &Applied) {
    let environment = applied.environment;
    let ready = ["wait", "--for=condition=Ready", "--timeout=90s"];
    let wait = |what: &[&str]| applied.in_namespace(&[&ready, what].concat()).unwrap();
    let [platform, overlay] = &applied.folders;
    apply(platform);
    for server in ["postgres", "mariadb", "mysql"] {
        wait(&[&format!("databaseinstance/{environment}-{server}")]);
    }
    apply(overlay);
    wait(&["databases", "--all"]);
    for folder in [platform, overlay] {
        let folder = folder.to_str().unwrap();
        for diff in [
            &["diff", "-k", folder][..],
            &["diff", "--server-side", "-k", folder],
        ] {
            // It ends with an error where there is a difference.
            assert_eq!(kubectl(diff), Ok(String::new()), "{diff:?}");
        }
    }
    let columns = "custom-columns=N:.spec.name,I:.spec.instanceRef.name,L:.spec.connectionLimit,P:.spec.deletionPolicy";
    let shown = applied
        .in_namespace(&["get", "databases", "--no-headers", "-o", columns])
        .unwrap();
    for line in shown.lines() {
        assert!(line.contains(&format!("_{environment} ")), "{shown}");
        assert!(line.contains(&format!(" {environment}-")), "{shown}");
    }
    assert_eq!(shown.lines().count(), 3);
    if environment != "development" {
        // A Backup is Ready when it is complete; kubectl waits for the third kind as for the others.
        let tonight = ["create", "job", "tonight", "--from=cronjob/nightly-backup"];
        applied.in_namespace(&tonight).unwrap();
        let complete = [
            "wait",
            "--for=condition=Complete",
            "--timeout=90s",
            "job/tonight",
        ];
        applied.in_namespace(&complete).unwrap();
        wait(&["backups", "--all"]);
    }
}

#[test]
fn what_a_team_commits_is_what_it_has() {
    let environments = [
        || Applied::as_it_is("development"),
        || Applied::as_it_is("staging"),
        Applied::production_aside,
    ]
    .map(|applied| std::thread::spawn(move || works(&applied())));
    for environment in environments {
        if let Err(panic) = environment.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn every_overlay_is_valid_and_renders_the_same_twice() {
    for environment in ["development", "staging", "production"] {
        for folder in [overlay(environment), platform(environment)] {
            let rendered = kubectl(&["kustomize", &folder]).unwrap();
            assert_eq!(
                kubectl(&["kustomize", &folder]).unwrap(),
                rendered,
                "{folder}"
            );
            let dry = [
                "apply",
                "--dry-run=client",
                "--validate=strict",
                "-k",
                &folder,
            ];
            kubectl(&dry).unwrap();
        }
    }
}

/// The environments differ where they should.
#[test]
fn each_environment_has_its_own_policy_limits_and_instances() {
    let [development, staging, production] = ["development", "staging", "production"]
        .map(|name| kubectl(&["kustomize", &overlay(name)]).unwrap());
    assert!(!development.contains("kind: CronJob"));
    assert!(staging.contains("kind: CronJob") && production.contains("kind: CronJob"));
    for (text, policy, limit) in [
        (
            &development,
            "deletionPolicy: Delete\n",
            "connectionLimit: 5\n",
        ),
        (
            &staging,
            "deletionPolicy: BackupBeforeDelete\n",
            "connectionLimit: 20\n",
        ),
        (
            &production,
            "deletionPolicy: Retain\n",
            "connectionLimit: 50\n",
        ),
    ] {
        assert!(text.contains(policy) && text.contains(limit), "{text}");
    }
}
