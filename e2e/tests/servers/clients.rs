//! A pod in a namespace of its own with every client, as an application would have them.

use std::collections::BTreeMap;

use e2e::cluster::Cluster;
use e2e::{Result, command, objects, servers};
use serde_json::{Value, json};

const IMAGES: [(&str, &str); 3] = [
    ("postgres", "docker.io/library/postgres:17"),
    ("mariadb", "docker.io/library/mariadb:11.8"),
    ("mysql", "docker.io/library/mysql:9.7"),
];

/// The pod. Its namespace goes when this is dropped.
pub(crate) struct Clients {
    cluster: Cluster,
    namespace: String,
}

impl Clients {
    /// Starts the pod: under `/clients` are the authority, another one that signed nothing, and each administrator's password.
    pub(crate) fn start(purpose: &str) -> Self {
        let cluster = Cluster::main();
        let namespace = format!("e2e-servers-{purpose}-{}", std::process::id());
        let namespace_object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": namespace,
            "labels": {"db-operator.dev/e2e": "true", "pod-security.kubernetes.io/enforce": "restricted"},
        }});
        objects::apply(&cluster, &[namespace_object]).unwrap();
        let clients = Self { cluster, namespace };

        let mut files = BTreeMap::from([
            (
                "ca.crt".to_owned(),
                clients.cluster.ca().unwrap().certificate().unwrap(),
            ),
            ("other-ca.crt".to_owned(), crate::other_authority()),
        ]);
        let mut items = vec![
            json!({"key": "ca.crt", "path": "ca.crt"}),
            json!({"key": "other-ca.crt", "path": "other-ca.crt"}),
        ];
        for server in servers::DATABASES {
            let mut get = clients.cluster.kubectl();
            get.args([
                "get",
                "secret",
                &format!("{server}-admin"),
                "-n",
                servers::OPERATOR_NAMESPACE,
            ])
            .args(["-o", "go-template={{.data.password | base64decode}}"]);
            files.insert(server.to_owned(), command::output(&mut get).unwrap());
            items.push(json!({"key": server, "path": format!("{server}/password")}));
        }
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "stringData": files,
            "metadata": {"name": "clients", "namespace": clients.namespace}});
        objects::apply(&clients.cluster, &[secret, clients.pod(&items)]).unwrap();
        let mut wait = clients.kubectl();
        wait.args([
            "wait",
            "pod/clients",
            "--for=condition=Ready",
            "--timeout=60s",
        ]);
        command::output(&mut wait).unwrap();
        clients
    }

    /// Runs a shell line in the container of this client; an error holds what it wrote to stderr.
    pub(crate) fn run(&self, client: &str, line: &str) -> Result<String> {
        let mut exec = self.kubectl();
        exec.args(["exec", "clients", "-c", client, "--", "sh", "-c", line]);
        command::output(&mut exec)
    }

    fn kubectl(&self) -> std::process::Command {
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["--namespace", &self.namespace]);
        kubectl
    }

    fn pod(&self, items: &[Value]) -> Value {
        let containers: Vec<Value> = IMAGES
            .iter()
            .map(|(name, image)| {
                json!({
                    "name": name, "image": image, "imagePullPolicy": "Never", "command": ["sleep", "infinity"],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "clients", "mountPath": "/clients"}],
                })
            })
            .collect();
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "clients", "namespace": self.namespace}, "spec": {
            "terminationGracePeriodSeconds": 0, "automountServiceAccountToken": false, "enableServiceLinks": false,
            "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": containers,
            "volumes": [{"name": "clients", "secret": {"secretName": "clients", "items": items}}],
        }})
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        let mut delete = self.cluster.kubectl();
        delete.args([
            "delete",
            "namespace",
            &self.namespace,
            "--ignore-not-found",
            "--wait=false",
        ]);
        if let Err(error) = command::output(&mut delete) {
            eprintln!("{error}");
        }
    }
}
