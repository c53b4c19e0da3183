//! A leader that was frozen, and wakes up when another one leads: what the server's own log says that it did.

use std::time::Duration;

use e2e::campaign::{Engine, Operator, eventually};
use e2e::cluster::Cluster;
use e2e::statement_log::StatementLog;
use nix::sys::signal::Signal;

use super::STORM;
use super::environment::Environment;

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
    let environment = Environment::with(Engine::Postgres).await;
    let log =
        StatementLog::from_now(&Cluster::main(), &environment.server, &environment.prefix).unwrap();
    let first = environment.operator_with("first", environment.control_plane.kubeconfig(), first);
    environment.apply(0..COUNT).await;
    environment.until_created(3, STORM).await;
    first.signal(Signal::SIGSTOP).unwrap();
    assert!(
        environment.created().await < COUNT,
        "the storm was over too soon"
    );

    let second =
        environment.operator_with("second", environment.control_plane.kubeconfig(), second);
    eventually("the epoch is raised", STORM, async || {
        Ok((epoch(&environment).await == "2").then_some(()))
    })
    .await
    .unwrap();
    environment.until_created(COUNT / 2, STORM).await;
    first.signal(Signal::SIGCONT).unwrap();
    ends(&first).await;
    environment.until_created(COUNT, STORM).await;
    second.ensure().unwrap();
    environment.check_all(COUNT).await;

    environment.delete_all(STORM).await;
    drop((first, second));
    let terms = log.finish().unwrap();
    let (takeover, unregistered) = (terms.takeover(2), terms.unregistered());
    assert!(!takeover.ended.is_empty());
    assert!(takeover.forbidden.is_empty(), "{takeover:#?}");
    assert!(unregistered.is_empty(), "{unregistered:#?}");
    println!(
        "{} sessions of the frozen leader were ended; it opened {} more and did nothing in them",
        takeover.ended.len(),
        takeover.opened
    );
    environment.clear().await;
    takeover.opened
}

#[tokio::test]
async fn a_takeover_ends_no_session_of_another_cluster_or_of_a_person() {
    let environment = Environment::with(Engine::Postgres).await;
    let neighbour = format!("{}n", environment.prefix);
    let first = environment.operator("first", environment.control_plane.kubeconfig());
    environment.apply(0..3).await;
    environment.until_created(3, STORM).await;

    // Two people with the administrator's password; one of them counts as the operator of another cluster.
    let server = environment.server.clone();
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
        Ok((environment.server.ask("db_operator", sql).await?.len() == 2).then_some(()))
    })
    .await
    .unwrap();
    assert_eq!(
        environment
            .server
            .ask("db_operator", &register)
            .await
            .unwrap()
            .len(),
        1
    );
    environment.server.ask("db_operator", &claim).await.unwrap();

    first.kill();
    let second = environment.operator("second", environment.control_plane.kubeconfig());
    eventually("the epoch is raised", STORM, async || {
        Ok((epoch(&environment).await == "2").then_some(()))
    })
    .await
    .unwrap();
    for person in people {
        assert_eq!(person.await.unwrap().unwrap(), ["still here"]);
    }
    environment.delete_all(STORM).await;
    let kept = environment
        .server
        .facts(&neighbour, &neighbour)
        .await
        .unwrap();
    assert_eq!(kept.len(), 1, "{kept:?}");
    environment
        .server
        .sweep(&neighbour, &neighbour)
        .await
        .unwrap();
    drop((first, second));
    environment.clear().await;
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

async fn epoch(environment: &Environment) -> String {
    let sql = format!(
        "SELECT epoch::text FROM db_operator.epochs WHERE cluster_id = '{}'",
        environment.prefix
    );
    environment
        .server
        .ask("db_operator", &sql)
        .await
        .unwrap()
        .concat()
}
