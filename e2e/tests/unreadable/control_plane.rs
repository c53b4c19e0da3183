//! On a bare API server of the test's own: what is stored before the operator begins, and a kind that it may not list.

use std::net::SocketAddr;
use std::time::Duration;

use db_operator::api::RECONCILE_REQUESTED_AT;
use e2e::campaign::ControlPlane;
use e2e::campaign::Operator;
use e2e::campaign::operator::{NAMESPACE, Start};
use e2e::cluster::Cluster;
use e2e::sql_servers::Scratch;
use e2e::testing::eventually;
use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use crate::TOO_LATE;
use crate::raw::{self, Kind};

/// How long what takes a moment may take on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// An API server, an administrator, and an operator of this checkout.
struct Environment {
    client: Client,
    operator: Operator,
    control_plane: ControlPlane,
    _folder: Scratch,
}

impl Environment {
    async fn set() -> Self {
        let folder = Scratch::new("unreadable").unwrap();
        let control_plane = ControlPlane::start(&Cluster::main(), folder.path())
            .await
            .unwrap();
        for name in [NAMESPACE, "team", "other"] {
            control_plane.namespace(name).await.unwrap();
        }
        let operator = Self::operator(&control_plane, control_plane.kubeconfig());
        Self {
            client: control_plane.client().await.unwrap(),
            operator,
            control_plane,
            _folder: folder,
        }
    }

    fn operator(control_plane: &ControlPlane, kubeconfig: std::path::PathBuf) -> Operator {
        let times = ["--lease-ttl", "3s", "--lease-renew", "500ms"];
        Operator::new(Start {
            kubeconfig,
            identity: "a".to_owned(),
            cluster_id: "unreadable".to_owned(),
            arguments: times.map(ToOwned::to_owned).into(),
            environment: Vec::new(),
            folder: control_plane.folder().to_owned(),
        })
    }

    async fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let (code, answer) = ask(&self.client, method, path, body).await;
        assert!((200..300).contains(&code), "{method} {path}: {answer}");
        answer
    }

    /// Makes an object, and writes a time into it that is too late.
    async fn dated(&self, path: &str, object: Value) -> String {
        self.ask("POST", path, &object).await;
        let one = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
        self.date(&one).await;
        one
    }

    async fn date(&self, path: &str) {
        self.ask("PATCH", path, &raw::managed()).await;
        let stored = self.ask("PATCH", path, &raw::late(path)).await;
        assert!(
            stored["metadata"]["managedFields"]
                .to_string()
                .contains(TOO_LATE),
            "{stored}"
        );
    }

    /// What the process that was started last answers.
    async fn page(&self, path: &str) -> Result<(u16, String), String> {
        let log = self.operator.log();
        let (_, rest) = log.rsplit_once("address=").ok_or(log.as_str())?;
        let address: SocketAddr = rest.split_whitespace().next().unwrap().parse().unwrap();
        get(address, path).await.map_err(|error| error.to_string())
    }

    async fn answers(&self, path: &str, wanted: impl Fn(u16, &str) -> bool) -> String {
        eventually(path, SOON, async || {
            let (code, text) = self.page(path).await?;
            if wanted(code, &text) {
                Ok(text)
            } else {
                Err(format!("{code} {text}\n{}", self.operator.log()))
            }
        })
        .await
    }

    /// Waits until it leads and has read everything. One that stands by is ready, too.
    async fn leads(&self) {
        self.answers("/metrics", |_, text| {
            text.contains("\ndb_operator_leader 1\n")
        })
        .await;
        self.answers("/readyz", |code, _| code == 200).await;
    }

    /// Waits until the operator has said something of a Database.
    async fn is_told(&self, path: &str) {
        eventually(path, SOON, async || {
            let now = self.ask("GET", path, &Value::Null).await;
            let conditions = &now["status"]["conditions"];
            if conditions[0]["reason"].is_string() {
                Ok(())
            } else {
                Err(format!("{now}\n{}", self.operator.log()))
            }
        })
        .await;
    }
}

async fn ask(client: &Client, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let kind = if method == "PATCH" {
        "application/merge-patch+json"
    } else {
        "application/json"
    };
    let body = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::CONTENT_TYPE, kind)
        .body(body.into());
    let answer = client.send(request.unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let text = answer.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&text).unwrap_or_default())
}

/// The least of HTTP that a probe needs.
async fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: operator\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let code = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let (_, text) = answer.split_once("\r\n\r\n").unwrap_or_default();
    Ok((code.unwrap_or_default(), text.to_owned()))
}

fn database(name: &str) -> Value {
    json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": name}, "spec": {"instanceRef": {"name": "nowhere"}},
    })
}

/// What was stored by whoever might, before and while the operator runs.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_stored_is_read_one_by_one() {
    let environment = Environment::set().await;
    let of_team = |kind: Kind| kind.path("team");
    let container = json!([{"name": "dump", "image": "nowhere/nothing"}]);
    let labels = json!({"db-operator.dev/backup": "b"});
    let dated = environment
        .dated(&of_team(Kind::Database), database("dated"))
        .await;
    let backup = json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
        "metadata": {"name": "b"}, "spec": {"databaseRef": {"name": "dated"}}});
    environment.dated(&of_team(Kind::Backup), backup).await;
    let job = json!({"metadata": {"name": "j", "labels": labels}, "spec": {
        "suspend": true, "template": {"spec": {"restartPolicy": "Never", "containers": container}}}});
    environment.dated(&of_team(Kind::Job), job).await;
    let pod =
        json!({"metadata": {"name": "p", "labels": labels}, "spec": {"containers": container}});
    let pod = environment.dated(&of_team(Kind::Pod), pod).await;
    // A word of another version, where the API server has no list of words; and times in a status.
    let status = json!({"status": {"phase": "Perhaps", "startTime": TOO_LATE}});
    environment
        .ask("PATCH", &format!("{pod}/status"), &status)
        .await;
    environment.date("/api/v1/namespaces/team").await;
    environment.date("/api/v1/namespaces/kube-system").await;
    let odd = of_team(Kind::Database);
    environment.ask("POST", &odd, &database("odd")).await;
    let odd = format!("{odd}/odd");
    let last = json!({"name": "b", "finishedAt": TOO_LATE, "destination": "s3://nowhere"});
    let last = json!({"status": {"lastBackup": last}});
    environment
        .ask("PATCH", &format!("{odd}/status"), &last)
        .await;

    let counted = "db_operator_unreadable_objects{kind=\"Database\"} 1";
    for round in ["first", "next"] {
        environment.operator.ensure().unwrap();
        environment.leads().await;
        let other = Kind::Database.path("other");
        environment.ask("POST", &other, &database(round)).await;
        environment.is_told(&format!("{other}/{round}")).await;
        environment.is_told(&dated).await;
        environment
            .answers("/metrics", |_, text| text.contains(counted))
            .await;
        environment.operator.kill();
    }

    environment.operator.ensure().unwrap();
    let events = "/apis/events.k8s.io/v1/namespaces/team/events";
    eventually("an Event", SOON, async || {
        let all = environment.ask("GET", events, &Value::Null).await;
        let all = all["items"].as_array().unwrap();
        let found = all.iter().any(|event| {
            event["reason"] == "Unreadable"
                && event["regarding"]["name"] == "odd"
                && event["note"]
                    .as_str()
                    .unwrap()
                    .contains("its status cannot be read")
        });
        if found {
            Ok(())
        } else {
            Err(format!("{all:?}"))
        }
    })
    .await;
    environment
        .answers("/metrics", |_, text| text.contains(counted))
        .await;
    let said = environment.operator.log();
    let named = said
        .lines()
        .filter(|line| line.contains("an object cannot be read") && line.contains("name=\"odd\""));
    assert_eq!(named.count(), 3, "once a process: {said}");
    // It is read again when it changes.
    let mended = json!({"status": {"lastBackup": null}});
    environment
        .ask("PATCH", &format!("{odd}/status"), &mended)
        .await;
    environment.is_told(&odd).await;
    // Each of the dated ones is asked for, and none by a request that fails for ever.
    let request = json!({"metadata": {"annotations": {RECONCILE_REQUESTED_AT: "now"}}});
    environment.ask("PATCH", &dated, &request).await;
    environment
        .answers("/metrics", |_, text| {
            text.contains("db_operator_unreadable_objects{kind=\"Database\"} 0")
        })
        .await;
    let (_, metrics) = environment.page("/metrics").await.unwrap();
    for kind in [
        "Database",
        "Backup",
        "DatabaseInstance",
        "Namespace",
        "Job",
        "Pod",
    ] {
        let works = format!("db_operator_watch_failing{{kind=\"{kind}\"}} 0");
        assert!(metrics.contains(&works), "{metrics}");
    }
}

/// What the operator may not list is named by its probe, and delays nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_fails_is_named_and_stops_no_other() {
    let environment = Environment::set().await;
    let listed = ["databases", "databaseinstances", "backups", "jobs", "pods"];
    for (path, object) in [
        (
            "/api/v1/namespaces/team/serviceaccounts",
            json!({"metadata": {"name": "limited"}}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            json!({"metadata": {"name": "limited"}, "rules": [
                {"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "watch", "create", "patch"]},
                {"apiGroups": ["*"], "resources": listed, "verbs": ["list"]}]}),
        ),
        (
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            json!({"metadata": {"name": "limited"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "limited"},
                "subjects": [{"kind": "ServiceAccount", "name": "limited", "namespace": "team"}]}),
        ),
    ] {
        environment.ask("POST", path, &object).await;
    }
    let token = "/api/v1/namespaces/team/serviceaccounts/limited/token";
    let token = environment
        .ask(
            "POST",
            token,
            &json!({"spec": {"audiences": [], "expirationSeconds": 3600}}),
        )
        .await;
    let limited = environment.control_plane.folder().join("limited");
    let config = Kubeconfig::read_from(environment.control_plane.kubeconfig()).unwrap();
    let mut config = serde_json::to_value(&config).unwrap();
    config["users"][0]["user"] = json!({"token": token["status"]["token"]});
    std::fs::write(&limited, config.to_string()).unwrap();
    // The token is good.
    let check = Kubeconfig::read_from(&limited).unwrap();
    let check = kube::Config::from_custom_kubeconfig(check, &KubeConfigOptions::default()).await;
    let check = Client::try_from(check.unwrap()).unwrap();
    let (code, answer) = ask(&check, "GET", &Kind::Database.path("team"), &Value::Null).await;
    assert_eq!(code, 200, "{answer}");

    let environment = Environment {
        operator: Environment::operator(&environment.control_plane, limited),
        ..environment
    };
    environment.operator.ensure().unwrap();
    let said = environment
        .answers("/readyz", |code, text| {
            code == 503 && text.contains("Namespace (")
        })
        .await;
    assert!(said.contains("namespaces is forbidden"), "{said}");
    let failing = "db_operator_watch_failing{kind=\"Namespace\"} 1";
    environment
        .answers("/metrics", |_, text| text.contains(failing))
        .await;
    let other = Kind::Database.path("other");
    for name in ["a", "b", "c"] {
        environment.ask("POST", &other, &database(name)).await;
        environment.is_told(&format!("{other}/{name}")).await;
    }
    let log = environment.operator.log();
    let lines: Vec<_> = log
        .lines()
        // An API server that has just learnt a kind says for a moment that it is not ready to list it.
        .filter(|line| line.contains("cannot watch") && line.contains("Namespace"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("namespaces is forbidden"), "{lines:?}");
}
