//! A backup brought back by hand: with the line that the documentation shows, and the vendor's client in a pod.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

use super::{Fixture, Server, eventually};
use crate::cluster::Cluster;
use crate::{clone_root, command};

/// Whose database a backup is restored into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Into<'a> {
    /// One of the same name and user as it was.
    ItsOwn,
    /// Another one, of another user. The SQL database that was dumped has this name.
    Another(&'a str),
}

/// How the lines of the documentation ended.
#[derive(Debug)]
pub struct RestoreEnded {
    /// All went well, or so they say.
    pub succeeded: bool,
    /// How long they took.
    pub took: Duration,
    /// Their messages.
    pub said: String,
}

/// How long a pod may take to start on a busy machine.
const STARTED: Duration = Duration::from_mins(1);

impl Fixture {
    /// Restores the bytes of an object into a Database, which is to be empty, as its user.
    pub async fn restore(&self, object: &[u8], database: &str, into: Into<'_>) {
        let secret = self.secret(database).await;
        let pod = self.client_pod(database).await;
        let folder = std::env::temp_dir().join(format!("db-operator-{database}"));
        std::fs::create_dir_all(&folder).unwrap();
        let (line, file) = documented(self.server, into);
        std::fs::write(folder.join(file), object).unwrap();
        let script = format!(
            "{}\n{}\n{}",
            forward(self.server, &self.namespace, &pod),
            format_args!("db-operator() {{ '{}' \"$@\"; }}", binary().display()),
            line.replace("{database}", &secret["database"])
                .replace("{user}", &secret["username"])
        );
        let uri = secret["uri"].clone();
        let at = folder.clone();
        let done = tokio::task::spawn_blocking(move || run(&script, &at, &uri)).await;
        std::fs::remove_dir_all(&folder).unwrap();
        done.unwrap().unwrap();
    }

    /// Loads an object with the lines of the documentation that do so from a pod, and returns how they ended.
    pub async fn restore_from_pod(&self, object: &[u8], database: &str) -> RestoreEnded {
        let secret = self.secret(database).await;
        let pod = self.client_pod(database).await;
        let folder = std::env::temp_dir().join(format!("db-operator-{pod}"));
        std::fs::create_dir_all(&folder).unwrap();
        let (lines, file) = documented_from_pod(self.server);
        std::fs::write(folder.join(file), object).unwrap();
        std::fs::write(folder.join("orders.list"), "").unwrap();
        let kubectl = Cluster::main().kubectl();
        let words = std::iter::once(kubectl.get_program()).chain(kubectl.get_args());
        let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
        let lines = lines
            .replace(
                " POD -- ",
                &format!(" --namespace {} {pod} -- ", self.namespace),
            )
            .replace(" wiki ", &format!(" {} ", secret["database"]));
        let script = format!(
            "kubectl() {{ command '{}' \"$@\"; }}\n{lines}",
            words.join("' '")
        );
        let at = folder.clone();
        let ended = tokio::task::spawn_blocking(move || {
            let began = Instant::now();
            let output = bash(&script, &at).output().unwrap();
            RestoreEnded {
                succeeded: output.status.success(),
                took: began.elapsed(),
                said: String::from_utf8_lossy(&output.stderr).into_owned(),
            }
        });
        let ended = ended.await;
        std::fs::remove_dir_all(&folder).unwrap();
        ended.unwrap()
    }

    /// A pod with the vendor's client and, in its folder, what a Database's Secret holds. It goes with the namespace.
    async fn client_pod(&self, database: &str) -> String {
        let secret = self.secret(database).await;
        let name = format!("{database}-client");
        let files = json!({"client.cnf": options(self.server, &secret), "ca.crt": secret["ca.crt"], "uri": secret["uri"]});
        self.make_secret(&name, json!({}), files).await;
        let pod = json!({"metadata": {"name": name}, "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [{
                "name": "client", "image": image(self.server), "imagePullPolicy": "Never",
                "command": ["sleep", "infinity"], "workingDir": "/client",
                "env": [
                    {"name": "URI", "valueFrom": {"secretKeyRef": {"name": name, "key": "uri"}}},
                    // The one thing that a URI cannot say without naming a file.
                    {"name": "PGSSLROOTCERT", "value": "/client/ca.crt"},
                ],
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                "volumeMounts": [{"name": "client", "mountPath": "/client"}],
            }],
            "volumes": [{"name": "client", "secret": {"secretName": name, "defaultMode": 0o440}}],
        }});
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let pod: Pod = serde_json::from_value(pod).unwrap();
        eventually("a pod is accepted", STARTED, async || {
            // A new namespace has its service account a moment later.
            let made = pods.create(&PostParams::default(), &pod).await;
            made.map_err(|error| error.to_string())
        })
        .await;
        eventually(&format!("pod {name} runs"), STARTED, async || {
            let status = pods.get(&name).await.unwrap().status.unwrap_or_default();
            let ready = status
                .container_statuses
                .iter()
                .flatten()
                .any(|it| it.ready);
            if ready {
                Ok(())
            } else {
                Err(format!("{status:?}"))
            }
        })
        .await;
        name
    }
}

/// The vendor's image, as a backup's Job uses it.
fn image(server: Server) -> &'static str {
    match server {
        Server::Postgres => "docker.io/library/postgres:17",
        Server::Mariadb => "docker.io/library/mariadb:11.8",
        Server::Mysql => "docker.io/library/mysql:9.7",
    }
}

/// `client.cnf`, as the documentation describes it.
fn options(server: Server, secret: &BTreeMap<String, String>) -> String {
    let verify = match server {
        Server::Mysql => "ssl-mode=VERIFY_IDENTITY",
        Server::Mariadb | Server::Postgres => "ssl-verify-server-cert",
    };
    let mut text = format!("[client]\nssl-ca=ca.crt\n{verify}\n");
    for (option, key) in [
        ("host", "host"),
        ("port", "port"),
        ("user", "username"),
        ("password", "password"),
    ] {
        text.extend([option, "=", &secret[key], "\n"]);
    }
    text
}

/// The operator's binary, which rewrites dumps.
fn binary() -> std::path::PathBuf {
    crate::campaign::operator::binary().unwrap()
}

/// The lines that restore in one stream, of the page for people, and the file that they read. The names of the database
/// and of its user are left open.
fn documented(server: Server, into: Into) -> (String, String) {
    let page = clone_root().join("doc/how-to/restore.md");
    let page = std::fs::read_to_string(page).unwrap();
    let (client, name) = match (server, into) {
        (Server::Postgres, Into::ItsOwn) => (
            "| pg_restore --use-list=orders.list --no-owner --no-tablespaces ",
            None,
        ),
        (Server::Postgres, Into::Another(_)) => (
            "| pg_restore --use-list=orders.list --no-owner --no-privileges ",
            None,
        ),
        (Server::Mariadb, Into::ItsOwn) => ("| mariadb ", Some(" invoices")),
        (Server::Mariadb, Into::Another(_)) => ("| mariadb ", Some(" invoices_copy")),
        (Server::Mysql, Into::ItsOwn) => ("| mysql ", Some(" wiki")),
        (Server::Mysql, Into::Another(_)) => ("| mysql ", Some(" wiki_copy")),
    };
    let line = page
        .lines()
        .filter(|line| line.starts_with("zstd -dc ") && line.contains(client))
        .find(|line| name.is_none_or(|name| line.ends_with(name)))
        .unwrap_or_else(|| panic!("doc/how-to/restore.md has no line with {client}, {name:?}"));
    let file = line.split(' ').nth(2).unwrap().to_owned();
    let mut line = name.map_or_else(
        || line.to_owned(),
        |name| format!("{} {{database}}", line.strip_suffix(name).unwrap()),
    );
    if let (Into::Another(from), Some(name)) = (into, name) {
        let name = name.trim();
        let shown = name.strip_suffix("_copy").unwrap();
        for (shown, real) in [
            (
                format!("--from-database={shown} "),
                format!("--from-database={from} "),
            ),
            (
                format!("--to-database={name} "),
                "--to-database={database} ".to_owned(),
            ),
            (format!("--user={name} "), "--user={user} ".to_owned()),
        ] {
            assert!(line.contains(&shown), "{line}: no {shown}");
            line = line.replace(&shown, &real);
        }
    }
    if server == Server::Postgres {
        let listed =
            |line: &&str| line.starts_with("LEFT_OUT=") || line.ends_with(" > orders.list");
        let list: Vec<&str> = page.lines().filter(listed).collect();
        assert_eq!(list.len(), 2, "doc/how-to/restore.md: {list:?}");
        return (format!("{}\n{line}", list.join("\n")), file);
    }
    (line, file)
}

/// The lines that load from a pod, of the page for people, and the file that they read.
fn documented_from_pod(server: Server) -> (String, &'static str) {
    let page = std::fs::read_to_string(clone_root().join("doc/how-to/restore.md")).unwrap();
    let block = page.split_once("**From a pod.**").unwrap().1;
    let block = block.split_once("```console\n").unwrap().1;
    let block = block.split_once("```").unwrap().0;
    let (of_mysql, of_postgresql) = block.split_once('\n').unwrap();
    for lines in [of_mysql, of_postgresql] {
        assert!(lines.contains(" | kubectl exec -i POD -- "), "{lines}");
    }
    match server {
        Server::Postgres => (of_postgresql.to_owned(), "orders.dump.zst"),
        Server::Mysql => (of_mysql.to_owned(), "wiki.sql.zst"),
        // The page shows the line once for both.
        Server::Mariadb => (of_mysql.replace("'mysql ", "'mariadb "), "wiki.sql.zst"),
    }
}

/// The client in the pod, under its own name in a shell.
fn forward(server: Server, namespace: &str, pod: &str) -> String {
    let kubectl = Cluster::main().kubectl();
    let words = std::iter::once(kubectl.get_program()).chain(kubectl.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let client = match server {
        Server::Postgres => "pg_restore",
        Server::Mariadb => "mariadb",
        Server::Mysql => "mysql",
    };
    // A client that gives up leaves its input unread, and `kubectl exec` would wait for ever for somebody to read it.
    let patient = "\"$@\"; code=$?; cat > /dev/null; exit $code";
    let exec = format!(
        "'{}' exec --stdin --namespace {namespace} {pod} --",
        words.join("' '")
    );
    // A list is a file beside the dump, and the client is in the pod.
    let list = "case \"$*\" in --use-list=*)";
    let sent = "sh -c 'cat > /tmp/orders.list' < orders.list ;; esac";
    let arguments = "\"${@/#--use-list=*/--use-list=/tmp/orders.list}\"";
    format!(
        "{client}() {{ {list} {exec} {sent}; {exec} sh -c '{patient}' sh {client} {arguments}; }}"
    )
}

fn run(script: &str, folder: &Path, uri: &str) -> crate::Result<String> {
    command::output(bash(script, folder).env("URI", uri))
}

fn bash(script: &str, folder: &Path) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-e", "-o", "pipefail", "-c", script])
        .current_dir(folder);
    bash
}
