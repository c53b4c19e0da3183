//! The samples as their two teams would apply them, and what Git and the cluster differ in once the operator has done its
//! work: nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use e2e::cluster::Cluster;
use e2e::{clone_root, command};

/// Those whose instances are their own. Production's are the demo's, which other tests use.
const APPLIED: [(&str, &str); 2] = [
    ("development", "team-a-development"),
    ("staging", "team-a-staging"),
];

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

/// Takes everything away, in the order that ends whatever state it is in; what is not there is no matter.
fn take_away(environment: &str, namespace: &str) {
    for databases in ["invoices", "orders", "wiki"] {
        // What would be kept or backed up first is gone with the test.
        let policy = r#"{"spec":{"deletionPolicy":"Delete"}}"#;
        let patch = [
            "patch",
            "database",
            databases,
            "-n",
            namespace,
            "--type=merge",
            "-p",
            policy,
        ];
        let _ = kubectl(&patch);
    }
    for folder in [overlay(environment), platform(environment)] {
        let delete = [
            "delete",
            "--ignore-not-found",
            "--timeout=90s",
            "-k",
            &folder,
        ];
        kubectl(&delete).unwrap();
    }
}

struct Applied(&'static str, &'static str);

impl Drop for Applied {
    fn drop(&mut self) {
        take_away(self.0, self.1);
    }
}

fn applied(environment: &'static str, namespace: &'static str) {
    take_away(environment, namespace);
    let _applied = Applied(environment, namespace);
    let wait = |what: &[&str]| {
        let ready = ["wait", "--for=condition=Ready", "--timeout=90s"];
        kubectl(&[&ready, what].concat()).unwrap();
    };
    let folders = [platform(environment), overlay(environment)];
    kubectl(&[
        "apply",
        "--server-side",
        "--warnings-as-errors",
        "-k",
        &folders[0],
    ])
    .unwrap();
    for server in ["postgres", "mariadb", "mysql"] {
        wait(&[&format!("databaseinstance/{environment}-{server}")]);
    }
    kubectl(&[
        "apply",
        "--server-side",
        "--warnings-as-errors",
        "-k",
        &folders[1],
    ])
    .unwrap();
    wait(&["databases", "--all", "-n", namespace]);
    for folder in &folders {
        // It ends with an error where there is a difference.
        let difference = kubectl(&["diff", "--server-side", "-k", folder]);
        assert_eq!(difference, Ok(String::new()), "{folder}");
    }
    let columns = "custom-columns=N:.spec.name,I:.spec.instanceRef.name,L:.spec.connectionLimit,P:.spec.deletionPolicy";
    let shown = kubectl(&[
        "get",
        "databases",
        "-n",
        namespace,
        "--no-headers",
        "-o",
        columns,
    ])
    .unwrap();
    for line in shown.lines() {
        assert!(line.contains(&format!("_{environment} ")), "{shown}");
        assert!(line.contains(&format!(" {environment}-")), "{shown}");
    }
    assert_eq!(shown.lines().count(), 3);
    if environment == "staging" {
        // A Backup is Ready when it is complete; kubectl waits for the third kind as for the others.
        kubectl(&[
            "create",
            "job",
            "tonight",
            "--from=cronjob/nightly-backup",
            "-n",
            namespace,
        ])
        .unwrap();
        let job = "job/tonight";
        kubectl(&[
            "wait",
            "--for=condition=Complete",
            "--timeout=90s",
            job,
            "-n",
            namespace,
        ])
        .unwrap();
        wait(&["backups", "--all", "-n", namespace]);
    }
}

#[test]
fn what_a_team_commits_is_what_it_has() {
    let environments = APPLIED.map(|(environment, namespace)| {
        std::thread::spawn(move || applied(environment, namespace))
    });
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
