//! The cluster itself, tried on a second small one of another name and address range beside whatever runs.
//!
//! Needs root, and the built programs in the cache.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end with a panic

mod snapshot;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::cache::Cache;
use e2e::cluster::{Cluster, Process, Settings, Up};
use e2e::command;
use e2e::lock::Lock;
use snapshot::Snapshot;

const PARTS: [&str; 8] = [
    "containerd",
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
];

/// The neighbour. `.config/nextest.toml` lets one of its tests run at a time. It is gone when this is dropped, however the test ends.
struct Neighbour {
    cluster: Cluster,
    _lock: Lock,
}

impl Neighbour {
    fn take() -> Self {
        let cluster = Cluster::new(Settings::neighbour());
        let lock = cluster.lock().unwrap();
        cluster.down().unwrap();
        Self {
            cluster,
            _lock: lock,
        }
    }

    fn processes(&self) -> BTreeMap<&'static str, Process> {
        PARTS
            .into_iter()
            .filter_map(|part| Some((part, self.cluster.process(part)?)))
            .collect()
    }

    fn kubectl(&self, arguments: &str) -> e2e::Result<String> {
        command::output(self.cluster.kubectl().args(arguments.split_whitespace()))
    }

    fn apply(&self, manifest: &str) -> e2e::Result<String> {
        command::output_with_input(self.cluster.kubectl().args(["apply", "-f", "-"]), manifest)
    }

    fn eventually(&self, what: &str, condition: impl Fn(&Self) -> bool) {
        command::wait_until(what, Duration::from_mins(1), None, || Ok(condition(self))).unwrap();
    }
}

impl Drop for Neighbour {
    fn drop(&mut self) {
        if let Err(error) = self.cluster.down() {
            // A panic here would hide the one that a failed test ends with.
            eprintln!("the neighbour is still there: {error}");
        }
    }
}

#[test]
fn a_cluster_works_heals_and_leaves_no_trace() {
    let main = Cluster::main();
    let main_before = PARTS.map(|part| main.process(part));
    let neighbour = Neighbour::take();
    let before = Snapshot::take();

    assert_eq!(neighbour.cluster.up().unwrap(), Up::Started);
    runs_pods(&neighbour);
    answers_names_of_its_own_only(&neighbour);
    keeps_to_itself(&neighbour);
    a_second_up_changes_nothing(&neighbour);
    every_part_that_was_killed_comes_back(&neighbour);
    another_clone_is_released(&neighbour);
    assert!(neighbour.cluster.status().unwrap().is_whole());

    neighbour.cluster.down().unwrap();
    before.assert_same(&Snapshot::take());
    assert_eq!(
        PARTS.map(|part| main.process(part)),
        main_before,
        "the machine's own cluster must not notice"
    );
}

#[test]
fn up_works_after_everything_was_killed_and_after_half_a_start() {
    let neighbour = Neighbour::take();
    let before = Snapshot::take();

    // As early as there is something to leave behind: the first process has no link yet, or just got it.
    half_a_start(&neighbour, "run/init.pid");
    // In the middle: the parts are being started.
    half_a_start(&neighbour, "run/etcd.pid");
    let up = neighbour.cluster.up().unwrap();
    assert!(matches!(up, Up::Started | Up::Repaired(_)), "{up:?}");
    assert_eq!(neighbour.processes().len(), PARTS.len());

    neighbour.cluster.init().unwrap().kill().unwrap();
    neighbour.eventually("everything ended with the first process", |neighbour| {
        neighbour.processes().is_empty()
    });
    assert_eq!(neighbour.cluster.up().unwrap(), Up::Started);

    // Without its records, `down` still finds all of it.
    std::fs::remove_dir_all(neighbour.cluster.state_dir().join("run")).unwrap();
    neighbour.cluster.down().unwrap();
    before.assert_same(&Snapshot::take());
    neighbour.cluster.down().unwrap();
}

#[test]
fn a_failed_start_leaves_nothing_but_its_logs() {
    let neighbour = Neighbour::take();
    let before = Snapshot::take();
    // A file where containerd wants its folder: it ends soon after its start.
    let images = Cache::open().unwrap().root().join("containerd/beside");
    let obstacle = images.join("tmpmounts");
    let _ = std::fs::remove_dir_all(&images);
    std::fs::create_dir_all(&images).unwrap();
    std::fs::write(&obstacle, "").unwrap();

    let error = neighbour.cluster.up().unwrap_err().to_string();
    std::fs::remove_file(&obstacle).unwrap();

    assert!(error.starts_with("containerd failed (it ended)"), "{error}");
    assert!(
        error.contains("\n  | "),
        "the last lines explain it: {error}"
    );
    let log = error
        .lines()
        .find_map(|line| line.trim().strip_prefix("the whole log: "))
        .map(PathBuf::from)
        .unwrap();
    assert!(
        std::fs::read_to_string(log)
            .unwrap()
            .contains("tmpmounts: not a directory")
    );
    before.assert_same(&Snapshot::take());
}

#[test]
fn addresses_in_use_are_refused_in_a_sentence() {
    let neighbour = Neighbour::take();
    let route = ["unreachable", "10.214.77.0/24"];
    command::output(Command::new("ip").args(["route", "add"]).args(route)).unwrap();
    let error = neighbour.cluster.up().map_err(|error| error.to_string());
    command::output(Command::new("ip").args(["route", "delete"]).args(route)).unwrap();
    let error = error.unwrap_err();
    assert!(
        error.contains("10.214.0.0/16") && error.contains("unreachable 10.214.77.0/24"),
        "{error}"
    );
    assert!(!neighbour.cluster.state_dir().exists());
}

#[test]
fn a_second_command_waits_and_says_for_whom() {
    let neighbour = Neighbour::take();
    let said = std::env::temp_dir().join(format!("second-command-{}", std::process::id()));
    let file = std::fs::File::create(&said).unwrap();
    // Adopted by someone else before it begins: a child of the holder's would work under the holder's lock.
    let mut second = Command::new("setsid");
    second.args([
        "--fork",
        "sh",
        "-c",
        "read -r _; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_xtask"),
        "down",
    ]);
    let mut second = second
        .args(["--cluster", "beside"])
        .stdin(Stdio::piped())
        .stderr(file)
        .spawn()
        .unwrap();
    let mut begin = second.stdin.take().unwrap();
    assert!(second.wait().unwrap().success());
    begin.write_all(b"go\n").unwrap();
    let says = |text: &str| std::fs::read_to_string(&said).unwrap().contains(text);
    let holder = format!("(process {},", std::process::id());
    neighbour.eventually("it waits", |_| says("Waiting: ") && says(&holder));
    assert!(!says("is down"));
    drop(neighbour);
    command::wait_until("it goes on", Duration::from_mins(1), None, || {
        Ok(says("is down"))
    })
    .unwrap();
    std::fs::remove_file(&said).unwrap();
}

fn runs_pods(neighbour: &Neighbour) {
    neighbour.kubectl("create namespace tried").unwrap();
    let pod = |name: &str, more: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: {name}, namespace: tried}}, spec: {{{more} containers: [{{
               name: it, image: 'db-operator.dev/pause:1', resources: {{limits: {{memory: 16Mi}}}}, volumeMounts: [
               {{name: secret, mountPath: /secret}}]}}], volumes: [{{name: secret, secret: {{secretName: it}}}}]}}}}"
        )
    };
    neighbour
        .kubectl("create secret generic it --namespace=tried --from-literal=key=value")
        .unwrap();
    neighbour.apply(&pod("one", "")).unwrap();
    neighbour
        .kubectl("wait pod/one --namespace=tried --for=condition=Ready --timeout=60s")
        .unwrap();
    neighbour
        .kubectl("exec one --namespace=tried -- /sleep 0")
        .unwrap();
    neighbour.kubectl("logs one --namespace=tried").unwrap();

    neighbour
        .kubectl("label namespace tried pod-security.kubernetes.io/enforce=restricted")
        .unwrap();
    let refused = neighbour
        .apply(&pod("two", "hostNetwork: true,"))
        .unwrap_err()
        .to_string();
    assert!(refused.contains("violates PodSecurity"), "{refused}");

    let audit = std::fs::read_to_string(neighbour.cluster.audit_log()).unwrap();
    assert!(
        audit
            .lines()
            .any(|line| line.contains(r#""resource":"secrets","namespace":"tried","name":"it""#))
    );
    assert!(
        !audit.contains("dmFsdWU="),
        "a Secret's content must not be in the audit log"
    );
}

fn answers_names_of_its_own_only(neighbour: &Neighbour) {
    let settings = neighbour.cluster.settings();
    let ask = |name: &str| {
        let mut nslookup = Command::new("busybox");
        command::output(nslookup.args(["nslookup", name, &settings.node_address().to_string()]))
    };
    let answer = ask("kubernetes.default.svc.cluster.local").unwrap();
    assert!(
        answer.contains(&settings.api_service_address().to_string()),
        "{answer}"
    );
    let outside = Command::new("busybox")
        .args([
            "nslookup",
            "example.com",
            &settings.node_address().to_string(),
        ])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&outside.stdout).contains("NXDOMAIN"));
}

/// Nothing of it can leave the machine, and nothing of the machine is its own to change.
fn keeps_to_itself(neighbour: &Neighbour) {
    let init = neighbour.cluster.init().unwrap().pid.to_string();
    let inside = |arguments: &[&str]| {
        command::output(
            Command::new("nsenter")
                .args(["--net", "--target", &init, "ip"])
                .args(arguments),
        )
        .unwrap()
    };
    assert_eq!(inside(&["route", "show", "default"]), "");
    assert_eq!(inside(&["-6", "route", "show", "default"]), "");
    // Without its link, the machine would send what is for the cluster by its default route, were it not for the guard.
    let routes =
        command::output(Command::new("ip").args(["route", "show", "exact", "10.214.0.0/16"]))
            .unwrap();
    assert!(routes.contains("unreachable"), "{routes}");
    let rules = command::output(Command::new("nft").args(["list", "tables"])).unwrap();
    assert!(
        !rules.contains("kube-proxy"),
        "kube-proxy's rules belong into the cluster's namespace: {rules}"
    );
}

fn a_second_up_changes_nothing(neighbour: &Neighbour) {
    let processes = neighbour.processes();
    assert_eq!(processes.len(), PARTS.len());
    assert_eq!(neighbour.cluster.up().unwrap(), Up::AlreadyRunning);
    assert_eq!(neighbour.processes(), processes);
}

fn every_part_that_was_killed_comes_back(neighbour: &Neighbour) {
    for part in PARTS {
        let process = neighbour.cluster.process(part).unwrap();
        process.kill().unwrap();
        neighbour.eventually(part, |_| !process.is_alive());
        assert_eq!(neighbour.cluster.up().unwrap(), Up::Repaired(vec![part]));
    }
    // The pod has outlived all of them, the runtime included.
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}{.status.phase}";
    let state = neighbour
        .kubectl(&format!("get pod one --namespace=tried -o {restarts}"))
        .unwrap();
    assert_eq!(state, "0Running");
}

fn another_clone_is_released(neighbour: &Neighbour) {
    let crd = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: things.db-operator.dev},
        spec: {group: db-operator.dev, scope: Namespaced, names: {kind: Thing, plural: things}, versions: [
        {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}";
    neighbour.apply(crd).unwrap();
    neighbour
        .kubectl("wait crd/things.db-operator.dev --for=condition=Established --timeout=60s")
        .unwrap();
    for namespace in ["db-operator-system", "theirs", "kept"] {
        neighbour
            .kubectl(&format!("create namespace {namespace}"))
            .unwrap();
    }
    neighbour
        .kubectl("label namespace theirs db-operator.dev/e2e=true")
        .unwrap();
    let thing = "{apiVersion: db-operator.dev/v1, kind: Thing, metadata: {name: it, namespace: theirs, finalizers: [db-operator.dev/x]}}";
    neighbour.eventually("the new kind is served", |neighbour| {
        neighbour.apply(thing).is_ok()
    });

    // Nothing happens while the cluster is this clone's own.
    neighbour.cluster.up().unwrap();
    neighbour
        .kubectl("get thing it --namespace=theirs")
        .unwrap();
    std::fs::write(
        neighbour.cluster.state_dir().join("run/clone"),
        "/another/clone\n",
    )
    .unwrap();
    neighbour.cluster.up().unwrap();

    let namespaces = neighbour.kubectl("get namespaces -o name").unwrap();
    assert!(
        !namespaces.contains("theirs") && !namespaces.contains("db-operator-system"),
        "{namespaces}"
    );
    assert!(namespaces.contains("kept"), "{namespaces}");
    assert_eq!(neighbour.kubectl("get crds -o name").unwrap(), "");
}

/// Kills `xtask up` as soon as the file is there, then lets it run again to its end only if that is what the caller does.
fn half_a_start(neighbour: &Neighbour, file: &str) {
    let file = neighbour.cluster.state_dir().join(file);
    let mut up = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["up", "--cluster", "beside"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let seen = command::wait_until("half a start", Duration::from_mins(1), None, || {
        Ok(file.is_file())
    });
    up.kill().unwrap();
    up.wait().unwrap();
    seen.unwrap();
}
