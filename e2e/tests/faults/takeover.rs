//! A leader that was frozen, and wakes up when another one leads: what the server's own log says that it did.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use e2e::campaign::{Engine, Operator, eventually};
use e2e::cluster::Cluster;
use e2e::{command, servers};
use nix::sys::signal::Signal;

use super::stage::Stage;
use super::{STORM, TURN};

/// The databases of the storm.
const COUNT: usize = 20;

#[tokio::test]
async fn a_leader_that_was_frozen_does_nothing_more() {
    let short: [&str; 0] = [];
    takeover(&short, &short).await;
}

/// The lease does not help here: the one who was frozen holds a long one, and the other leads by another. The server
/// alone has to stop it.
#[tokio::test]
async fn a_leader_that_was_frozen_is_stopped_by_the_server_alone() {
    let long = ["--lease-ttl", "10m"];
    let newcomers = takeover(&long, &["--lease-name", "another"]).await;
    assert!(newcomers > 0, "it did not even try");
}

/// Freezes a leader in a storm, lets another process take over, wakes the first, and reads the server's log. Returns how
/// many sessions the first began then.
async fn takeover(first: &[&str], second: &[&str]) -> usize {
    let _turn = TURN.lock().await;
    let stage = Stage::with(Engine::Postgres).await;
    let begin = log_size();
    let first = stage.operator_with("first", stage.plane.kubeconfig(), first);
    stage.apply(0..COUNT).await;
    stage.until_created(3, STORM).await;
    first.signal(Signal::SIGSTOP).unwrap();
    assert!(stage.created().await < COUNT, "the storm was over too soon");
    let frozen: HashSet<String> = sessions(&stage, 1).await;
    assert!(!frozen.is_empty());

    let second = stage.operator_with("second", stage.plane.kubeconfig(), second);
    eventually("the epoch is raised", STORM, async || {
        Ok((epoch(&stage).await == "2").then_some(()))
    })
    .await
    .unwrap();
    stage.until_created(COUNT / 2, STORM).await;
    first.signal(Signal::SIGCONT).unwrap();
    ends(&first).await;
    stage.until_created(COUNT, STORM).await;
    second.ensure().unwrap();
    stage.check_all(COUNT).await;

    let log = Log::since(begin);
    let takeover = log.raised(&stage.prefix);
    for pid in &frozen {
        let said = log.statements(pid, takeover);
        assert!(
            said.is_empty(),
            "a session of the frozen leader went on: {said:#?}"
        );
    }
    let mut newcomers = 0;
    for pid in log.strangers(&stage.prefix, takeover) {
        newcomers += 1;
        for statement in log.statements(&pid, takeover) {
            assert!(is_a_look_at_the_epoch(&statement), "{pid}: {statement}");
        }
    }
    println!(
        "{} sessions of the frozen leader were ended; it opened {newcomers} more and did nothing in them",
        frozen.len()
    );
    stage.delete_all(STORM).await;
    drop((first, second));
    stage.clear().await;
    newcomers
}

#[tokio::test]
async fn a_takeover_ends_no_session_of_another_cluster_or_of_a_person() {
    let _turn = TURN.lock().await;
    let stage = Stage::with(Engine::Postgres).await;
    let neighbour = format!("{}n", stage.prefix);
    let first = stage.operator("first", stage.plane.kubeconfig());
    stage.apply(0..3).await;
    stage.until_created(3, STORM).await;

    // Two people with the administrator's password; one of them counts as the operator of another cluster.
    let server = stage.server.clone();
    let people = ["as a person", "as a neighbour"].map(|name| {
        let server = server.clone();
        tokio::spawn(async move {
            let sql = format!("SELECT 'still here' /* {name} */ FROM pg_sleep(15)");
            server.ask_as(&server.admin, "db_operator", &sql).await
        })
    });
    let register = format!(
        "INSERT INTO db_operator.epochs (cluster_id, epoch, process) VALUES ('{neighbour}', 1, 'neighbour');
         INSERT INTO db_operator.sessions SELECT '{neighbour}', 1, pid, backend_start FROM pg_stat_activity
         WHERE query LIKE '%/* as a neighbour */%' AND pid <> pg_backend_pid() RETURNING pid::text"
    );
    let claim = format!(
        "INSERT INTO db_operator.claims VALUES ('{neighbour}', '{neighbour}', '{neighbour}', 'a', 'b', 'c', true, true, false, false)"
    );
    eventually("both are connected", STORM, async || {
        let sql = "SELECT pid::text FROM pg_stat_activity WHERE query LIKE 'SELECT ''still here''%' AND state = 'active'";
        Ok((stage.server.ask("db_operator", sql).await?.len() == 2).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(
        stage
            .server
            .ask("db_operator", &register)
            .await
            .unwrap()
            .len(),
        1
    );
    stage.server.ask("db_operator", &claim).await.unwrap();

    first.kill();
    let second = stage.operator("second", stage.plane.kubeconfig());
    eventually("the epoch is raised", STORM, async || {
        Ok((epoch(&stage).await == "2").then_some(()))
    })
    .await
    .unwrap();
    for person in people {
        assert_eq!(person.await.unwrap().unwrap(), ["still here"]);
    }
    stage.delete_all(STORM).await;
    let kept = stage.server.facts(&neighbour, &neighbour).await.unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    stage.server.sweep(&neighbour, &neighbour).await.unwrap();
    drop((first, second));
    stage.clear().await;
}

async fn ends(operator: &Operator) {
    let ended = eventually(
        "the former leader ends",
        Duration::from_secs(20),
        async || Ok(operator.ended()),
    );
    let status = ended.await.unwrap();
    assert!(!status.success(), "{status}");
}

async fn epoch(stage: &Stage) -> String {
    let sql = format!(
        "SELECT epoch::text FROM db_operator.epochs WHERE cluster_id = '{}'",
        stage.prefix
    );
    stage
        .server
        .ask("db_operator", &sql)
        .await
        .unwrap()
        .concat()
}

/// The server's processes that are registered with this epoch.
async fn sessions(stage: &Stage, epoch: u32) -> HashSet<String> {
    let sql = format!(
        "SELECT pid::text FROM db_operator.sessions WHERE cluster_id = '{}' AND epoch = {epoch}",
        stage.prefix
    );
    let pids = stage.server.ask("db_operator", &sql).await.unwrap();
    pids.into_iter().collect()
}

/// What a process that was superseded finds out: that it is. Registering is a look at the epoch, which writes only
/// where it is still the same.
fn is_a_look_at_the_epoch(statement: &str) -> bool {
    [
        "SELECT m.schema_version, e.epoch, e.process",
        "INSERT INTO db_operator.sessions (cluster_id, epoch, pid, backend_start, role_oid, server_start)",
    ]
    .iter()
    .any(|look| statement.starts_with(look))
}

fn in_pod(script: &str) -> String {
    let mut exec = Cluster::main().kubectl();
    exec.args([
        "exec",
        "--namespace",
        servers::NAMESPACE,
        "deployment/postgres",
        "--",
    ])
    .args(["sh", "-c", script]);
    command::output(&mut exec).unwrap()
}

fn log_size() -> u64 {
    let size = in_pod(&format!("stat -c %s {}", servers::STATEMENTS));
    size.trim().parse().unwrap()
}

/// A part of the server's log: what each process said, in order.
struct Log(Vec<Entry>);

struct Entry {
    pid: String,
    /// `user@database` and everything behind.
    text: String,
}

impl Log {
    fn since(offset: u64) -> Self {
        let text = in_pod(&format!("tail -c +{} {}", offset + 1, servers::STATEMENTS));
        let mut entries: Vec<Entry> = Vec::new();
        for line in text.lines() {
            // 2026-01-01 00:00:00.000 UTC [123] user@database from host(port) as name: LOG:  statement: …
            match line
                .split_once(" [")
                .and_then(|(_, rest)| rest.split_once("] "))
            {
                Some((pid, text)) if !line.starts_with('\t') => entries.push(Entry {
                    pid: pid.to_owned(),
                    text: text.to_owned(),
                }),
                _ => {
                    if let Some(last) = entries.last_mut() {
                        last.text.push(' ');
                        last.text.push_str(line.trim());
                    }
                }
            }
        }
        Self(entries)
    }

    /// Where this cluster's epoch was raised to 2.
    fn raised(&self, cluster_id: &str) -> usize {
        let parameters = format!("$1 = '{cluster_id}', $2 = '2'");
        let found = self
            .0
            .iter()
            .position(|entry| entry.text.contains(&parameters));
        found.expect("raising the epoch is in the log")
    }

    /// What a process was told after this position.
    fn statements(&self, pid: &str, after: usize) -> Vec<String> {
        let entries = self.0.iter().skip(after + 1);
        entries
            .filter(|entry| entry.pid == pid && !entry.text.contains("DETAIL:"))
            .filter_map(|entry| {
                let (_, statement) = entry
                    .text
                    .split_once("LOG:  execute ")
                    .and_then(|(_, rest)| rest.split_once(": "))
                    .or_else(|| entry.text.split_once("LOG:  statement: "))?;
                Some(statement.to_owned())
            })
            .collect()
    }

    /// The administrator's sessions that began after this position and that the new leader did not register.
    fn strangers(&self, cluster_id: &str, after: usize) -> HashSet<String> {
        let mut began: HashMap<&str, &str> = HashMap::new();
        let mut by_new_leader = HashSet::new();
        let mut registers: HashMap<&str, bool> = HashMap::new();
        for (place, entry) in self.0.iter().enumerate() {
            if entry.text.contains("connection authorized")
                && place > after
                && entry.text.contains("application_name=db-operator")
                && entry.text.contains("user=dboperator_admin")
            {
                began.insert(&entry.pid, &entry.text);
            }
            if entry.text.contains("LOG:  ") {
                let is = entry.text.contains("INSERT INTO db_operator.sessions");
                registers.insert(&entry.pid, is);
            }
            if entry.text.contains("DETAIL:") && registers.get(entry.pid.as_str()) == Some(&true) {
                let parameters: Vec<&str> = entry.text.split('\'').skip(1).step_by(2).collect();
                let is_former =
                    parameters.first() == Some(&cluster_id) && parameters.get(1) == Some(&"1");
                if !is_former {
                    by_new_leader.insert(entry.pid.as_str());
                    // A visit is registered by another session, which knows it by its name.
                    if let Some(name) = parameters.get(3) {
                        let visits = began.iter().filter(|(_, text)| text.contains(name));
                        by_new_leader.extend(visits.map(|(pid, _)| *pid));
                    }
                }
            }
        }
        began
            .into_keys()
            .filter(|pid| !by_new_leader.contains(pid))
            .map(str::to_owned)
            .collect()
    }
}
