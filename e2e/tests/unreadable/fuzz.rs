//! A few thousand odd objects of one team, while another team's Database is asked for once a second; then another leader, which
//! reads all of them anew.
//!
//! `DB_OPERATOR_FUZZ_SEED` repeats a run, `DB_OPERATOR_FUZZ_OBJECTS` makes it longer.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use e2e::testing::{Fixture, SOON, Server, catch, eventually, with_fixture};
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::odd::{Odd, Source};
use crate::raw::Kind;
use crate::{bystander, raw};

/// How many objects a run has that is part of all tests.
const OBJECTS: usize = 2_000;
/// Requests at a time.
const AT_A_TIME: usize = 12;
/// How long the bystander is asked for after each of both parts.
const AFTERWARDS: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn odd_objects_delay_nobody_also_not_under_the_next_leader() {
    let seed = number("DB_OPERATOR_FUZZ_SEED").unwrap_or_else(rand::random);
    let objects = number("DB_OPERATOR_FUZZ_OBJECTS");
    let objects = objects.map_or(OBJECTS, |count| usize::try_from(count).unwrap());
    println!("DB_OPERATOR_FUZZ_SEED={seed}, {objects} objects");
    with_fixture(Server::Postgres, async |fixture| {
        let admin = fixture.neighbour().await;
        let team = admin.as_team().await;
        let result = catch(flood(fixture, &team, seed, objects)).await;
        let cleared = catch(raw::clear(&admin)).await;
        if let Err(panic) = result.and(cleared) {
            eprintln!("--- again with DB_OPERATOR_FUZZ_SEED={seed}");
            resume_unwind(panic);
        }
    })
    .await;
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|error| panic!("{variable}: {error}")),
    )
}

async fn flood(fixture: &Fixture, team: &Fixture, seed: u64, objects: usize) {
    let own = fixture
        .make_usable("bystander", json!({"deletionPolicy": "Delete"}))
        .await;
    let mut source = Source::new(seed, fixture.server.instance(), &fixture.prefix, &own);
    let odd: Vec<Odd> = (0..objects).map(|number| source.next(number)).collect();

    let began = Instant::now();
    let answers = meanwhile(fixture, &own, write_all(fixture, team, odd)).await;
    println!("{answers:?} after {:?}", began.elapsed());
    let taken: usize = answers.range(200..300).map(|(_, count)| count).sum();
    assert!(taken * 3 > objects, "hardly any was taken: {answers:?}");
    let failed: usize = answers.range(500..).map(|(_, count)| count).sum();
    assert!(failed * 100 < objects, "the API server failed: {answers:?}");
    bystander::makes_another(fixture, "during").await;

    fixture.kill_the_leader().await;
    meanwhile(fixture, &own, bystander::makes_another(fixture, "after")).await;
    eventually("the leader is ready", SOON, async || {
        match fixture.leader_says("readyz").await {
            (200, _) => Ok(()),
            (code, text) => Err(format!("{code} {text}")),
        }
    })
    .await;
    let (_, metrics) = fixture.leader_says("metrics").await;
    let told = metrics.lines().filter(|line| {
        line.starts_with("db_operator_unreadable_objects{")
            || line.starts_with("db_operator_watch_failing{")
    });
    println!("{}", told.collect::<Vec<_>>().join("\n"));
    let unreadable = "db_operator_unreadable_objects{kind=\"Database\"} ";
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix(unreadable))
        .unwrap();
    assert_ne!(
        count, "0",
        "no status was one that cannot be read: the run shows little"
    );
    fixture.both_replicas_are_ready().await;
}

/// Does something while the bystander's Database is asked for, and a while longer.
async fn meanwhile<T>(fixture: &Fixture, own: &str, act: impl Future<Output = T>) -> T {
    let (stop, stopped) = watch::channel(false);
    let acting = async {
        let done = act.await;
        tokio::time::sleep(AFTERWARDS).await;
        stop.send(true).unwrap();
        done
    };
    let (done, mut times) = tokio::join!(acting, bystander::asks(fixture, own, &stopped));
    times.sort();
    let last = times.len() - 1;
    println!(
        "{} answers: half within {:?}, 99 of 100 within {:?}",
        times.len(),
        times[last / 2],
        times[last * 99 / 100]
    );
    done
}

/// Writes all objects. Returns how often the API server answered with which code.
async fn write_all(admin: &Fixture, team: &Fixture, odd: Vec<Odd>) -> BTreeMap<u16, usize> {
    let answers = futures::stream::iter(odd)
        .map(|odd| write(admin, team, odd))
        .buffer_unordered(AT_A_TIME)
        .collect::<Vec<_>>()
        .await;
    let mut counts = BTreeMap::new();
    for code in answers.into_iter().flatten() {
        *counts.entry(code).or_default() += 1;
    }
    counts
}

async fn write(admin: &Fixture, team: &Fixture, mut odd: Odd) -> Vec<u16> {
    odd.kind.introduced(&mut odd.object);
    if odd.kind == Kind::Event {
        // Whatever else it says: an Event is of its own namespace.
        odd.object["involvedObject"]["namespace"] = json!(team.namespace);
    }
    let path = odd.kind.path(&team.namespace);
    let ask = async |who: &Fixture, method: &str, path: &str, body: &Value| {
        let (code, text) = who.ask(method, path, body).await;
        assert_ne!(code, 403, "the team may not: {text}");
        code
    };
    let mut codes = vec![ask(team, "POST", &path, &odd.object).await];
    if codes[0] >= 300 {
        return codes;
    }
    let one = format!("{path}/{}", odd.name);
    for patch in &odd.patches {
        codes.push(ask(team, "PATCH", &one, patch).await);
    }
    if let Some(status) = odd.status {
        let path = format!("{one}/status");
        codes.push(ask(admin, "PATCH", &path, &json!({"status": status})).await);
    }
    codes
}
