//! `doc/tutorial.md`, followed word by word: its commands in this cluster, from the server on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a failed test may panic"
)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use e2e::cluster::Cluster;
use e2e::{clone_root, command};

/// What a reader has: a server with its authority and administrator, a bucket with its keys.
const READER: &str = r#"
secret() { kubectl get secret "$1" -n db-operator-system -o go-template="{{index .data \"$2\" | base64decode}}"; }
export SERVER=postgres.databases.svc BUCKET=backups REGION=us-east-1
ADMIN=$(secret postgres-admin username)
ADMIN_PASSWORD=$(secret postgres-admin password)
KEY_ID=$(secret backups-s3 AWS_ACCESS_KEY_ID)
KEY=$(secret backups-s3 AWS_SECRET_ACCESS_KEY)
secret postgres-ca ca.crt > ca.crt
"#;

/// Where this cluster differs from the reader's: the administrator's name, and a store that is not AWS.
const DIFFERENCES: [(&str, &str); 2] = [
    ("username=dboperator ", "username=\"$ADMIN\" "),
    (
        "      region: $REGION\n",
        "      region: $REGION\n      endpoint: https://s3.databases.svc\n      pathStyle: true\n      \
         caSecretRef: {name: s3-ca, key: ca.crt}\n",
    ),
];

/// All that the page makes, for a run that ended in the middle.
const CLEARED: &str = "
kubectl delete databases,backups,restores --all -n first-steps --ignore-not-found --timeout=60s
kubectl delete namespace first-steps --ignore-not-found --timeout=60s
kubectl delete databaseinstance shared-postgres --ignore-not-found --timeout=60s
kubectl delete secret shared-postgres-admin shared-postgres-ca shared-postgres-s3 -n db-operator-system --ignore-not-found
";

/// The Restore of the page.
const RESTORE: &str = "shop-back-to-first";

/// The commands of the page from the server on; what comes before builds an image and installs it.
fn commands() -> String {
    let page = fs::read_to_string(clone_root().join("doc/tutorial.md")).unwrap();
    let (_, rest) = page.split_once("\n## A server\n").unwrap();
    let blocks = rest.split("```console\n").skip(1);
    let mut commands: String = blocks
        .map(|block| block.split("```").next().unwrap())
        .collect();
    for (theirs, ours) in DIFFERENCES {
        assert_eq!(commands.matches(theirs).count(), 1, "{theirs:?}");
        commands = commands.replace(theirs, ours);
    }
    commands
}

/// Runs a script in a folder of its own, with this cluster's kubectl.
struct Shell(PathBuf);

impl Shell {
    fn new() -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("tutorial");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn run(&self, script: &str) -> e2e::Result<String> {
        let cluster = Cluster::main();
        // Not on its standard input, which the commands read.
        let file = self.0.join("script");
        fs::write(&file, script).unwrap();
        let path = std::env::var("PATH").unwrap();
        let mut bash = Command::new("bash");
        bash.args(["-eu", "-o", "pipefail"])
            .arg(file)
            .current_dir(&self.0)
            .env("KUBECONFIG", cluster.kubeconfig())
            .env("PATH", format!("{}:{path}", cluster.tools_dir().display()));
        command::output(&mut bash)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.run(CLEARED);
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_tutorial_can_be_followed() {
    let shell = Shell::new();
    shell.run(CLEARED).unwrap();
    // A Restore is done once, and servers and buckets remember it: each run has one of its own.
    let restore = format!("shop-back-{}", jiff::Timestamp::now().as_millisecond());
    let commands = commands().replace(RESTORE, &restore);
    let said = shell.run(&format!("{READER}{commands}")).unwrap();
    let said = said.replace(&restore, RESTORE);
    for words in [
        "database.db-operator.dev/shop condition met",
        "database.db-operator.dev/rival condition met",
        "belong to Database first-steps/shop of cluster",
        "no claim of this object on database shop: nothing was dropped",
        "backup.db-operator.dev/shop-first condition met",
        "  1000\n(1 row)",
        "restore.db-operator.dev/shop-back-to-first condition met",
        "1000 rows in 1 table",
        "database shop and user shop were dropped",
        "namespace \"first-steps\" deleted",
    ] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
}
