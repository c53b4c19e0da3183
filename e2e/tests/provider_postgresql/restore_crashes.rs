//! A restore whose process ends, or whose connection is cut, at each of its requests to the server: afterwards the old or
//! the new database has the name, never neither, and the next process finishes it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use db_operator::provider::restore::{Ended, Leftover, Load, LoadMode, Scratch};
use db_operator::provider::{Fence, Login, Provider, open};
use e2e::campaign::today;
use e2e::fault_proxy::{Effect, Fault, Faults, Moment, Tunnel};
use secrecy::SecretString;

use crate::fixture::{Fixture, desired, password};
use crate::restores::{MOST, done, load, make_and_fill, tables};

/// A step of a restore that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Make,
    Swap,
    Undo,
    DropLogin,
    DropFormer,
}

/// The way to the server, on which something goes wrong.
struct Way {
    tunnel: Arc<Tunnel>,
    faults: Faults,
}

impl Way {
    /// A process that is killed is one that no longer reaches anybody.
    async fn to(fixture: &Fixture) -> Self {
        let killed: Arc<OnceLock<Arc<Tunnel>>> = Arc::default();
        let faults = Faults::new({
            let killed = Arc::clone(&killed);
            move || {
                if let Some(tunnel) = killed.get() {
                    tunnel.cut();
                }
            }
        });
        let server = SocketAddr::from(([127, 0, 0, 1], fixture.server.port));
        let tunnel = Tunnel::to(server, "SQL", faults.clone()).await.unwrap();
        let tunnel = Arc::new(tunnel);
        assert!(killed.set(Arc::clone(&tunnel)).is_ok());
        Self { tunnel, faults }
    }

    fn provider(&self, fixture: &Fixture, cluster: &str) -> Arc<dyn Provider> {
        let mut config = fixture.config();
        config.port = self.tunnel.address().port();
        open(config, Fence::new(cluster, || true))
    }
}

/// One database, and a restore of it.
struct Trial<'a> {
    fixture: &'a Fixture,
    cluster: String,
    load: Load,
    secret: SecretString,
}

impl Trial<'_> {
    /// Everything up to the step.
    async fn prepare(&self, step: Step) -> Option<Scratch> {
        let provider = self.fixture.provider(&self.cluster);
        let wanted = &self.load.desired;
        self.fixture
            .make(&*provider, &self.cluster, wanted, &self.secret)
            .await;
        let database = wanted.names.database.as_str();
        if self.load.mode == LoadMode::Replace {
            let sql = format!(
                "SET ROLE {}; CREATE TABLE good ()",
                wanted.names.role.postgresql()
            );
            self.fixture.run(database, &sql).await;
        }
        let mut scratch = None;
        if step != Step::Make {
            scratch = Some(make_and_fill(self.fixture, &*provider, &self.load).await);
        }
        if let (Some(scratch), Step::Undo | Step::DropLogin | Step::DropFormer) = (&scratch, step) {
            done(provider.swap(&self.load, scratch, MOST).await.unwrap());
        }
        provider.close().await;
        scratch
    }

    /// The step, however it ends. Says whether it was done.
    async fn go(&self, provider: &dyn Provider, step: Step, scratch: Option<&Scratch>) -> bool {
        let load = &self.load;
        match step {
            Step::Make => {
                let verifier = provider.verifier(&password("load"));
                provider.make_scratch(load, &verifier).await.is_ok()
            }
            Step::Swap => {
                let swapped = provider.swap(load, scratch.unwrap(), MOST).await;
                swapped.is_ok_and(|swapped| done(swapped).0 < MOST)
            }
            Step::Undo => {
                let swapped = provider.undo(load, MOST).await;
                swapped.is_ok_and(|swapped| done(swapped).0 < MOST)
            }
            Step::DropLogin => {
                provider.drop_leftover(load, Leftover::Login).await == Ok(Ended::Done)
            }
            Step::DropFormer => {
                provider.drop_leftover(load, Leftover::Former).await == Ok(Ended::Done)
            }
        }
    }

    /// Whatever happened, the next process opens the database, finds old or new in it, and does the rest.
    async fn check(&self, step: Step, scratch: Option<&Scratch>, what: &str) {
        let names = &self.load.target;
        let database = names.database.as_str();
        let count = format!("SELECT count(*)::text FROM pg_database WHERE datname = '{database}'");
        assert_eq!(self.fixture.ask("postgres", &count).await, ["1"], "{what}");
        let provider = self.fixture.provider(&self.cluster);
        provider.reopen(&self.load).await.unwrap();
        assert_eq!(
            provider.login(names, &self.secret).await.unwrap(),
            Login::Accepted,
            "{what}"
        );
        let old: &[&str] = match self.load.mode {
            LoadMode::Replace => &["good"],
            LoadMode::Empty | LoadMode::Test => &[],
        };
        let found = tables(self.fixture, database).await;
        assert!(found == old || found == ["restored"], "{what}: {found:?}");
        assert!(self.go(&*provider, step, scratch).await, "{what}");
        if step == Step::Make {
            let scratch = make_and_fill(self.fixture, &*provider, &self.load).await;
            done(provider.swap(&self.load, &scratch, MOST).await.unwrap());
        }
        let found = tables(self.fixture, database).await;
        if step == Step::Undo {
            assert_eq!(found, old, "{what}");
        } else {
            assert_eq!(found, ["restored"], "{what}");
        }
        assert_eq!(
            provider.login(names, &self.secret).await.unwrap(),
            Login::Accepted,
            "{what}"
        );
        assert_eq!(
            provider.ensure_database(&self.load.desired).await.unwrap(),
            [],
            "{what}"
        );
        for which in [Leftover::Login, Leftover::Former] {
            assert_eq!(
                provider.drop_leftover(&self.load, which).await,
                Ok(Ended::Done),
                "{what}"
            );
        }
        let left = format!(
            "SELECT datname FROM pg_database WHERE datname LIKE '{database}\\_\\_%'
             UNION ALL SELECT rolname FROM pg_roles WHERE rolname LIKE '{database}\\_\\_%'"
        );
        let left = self.fixture.ask("postgres", &left).await;
        assert_eq!(left, Vec::<String>::new(), "{what}");
        provider.close().await;
    }
}

/// What goes wrong at a request on a server. Each day, something does at each request on one of the five: the process ends, or
/// the connection is cut, which take turns by the day.
fn fault(at: usize, series: u32, day: usize) -> Option<Fault> {
    let turn = (at + usize::try_from(series).unwrap() + day) % 10;
    let moments = [Moment::Before, Moment::After];
    let effect = match turn {
        0 => Effect::Kill,
        5 => Effect::Cut,
        _ => return None,
    };
    let moment = moments[(at + day / 10) % 2];
    Some(Fault { at, moment, effect })
}

pub(crate) async fn a_restore_survives_an_end_at_each_request(fixture: &mut Fixture) {
    let (series, day) = (fixture.series(), usize::try_from(today()).unwrap());
    eprintln!("day {day}");
    for (step, mode) in [
        (Step::Make, LoadMode::Replace),
        (Step::Swap, LoadMode::Replace),
        (Step::Swap, LoadMode::Empty),
        (Step::Undo, LoadMode::Replace),
        (Step::DropLogin, LoadMode::Replace),
        (Step::DropFormer, LoadMode::Replace),
    ] {
        let (requests, _) = trial(fixture, step, mode, None).await;
        let mut faults = 0;
        for at in 1..=requests {
            if let Some(fault) = fault(at, series, day) {
                // It took fewer requests than before if it does not happen.
                faults += u32::from(trial(fixture, step, mode, Some(fault)).await.1);
            }
        }
        eprintln!("{step:?} {mode:?}: {requests} requests, {faults} faults");
        assert!(faults > 0, "{step:?} {mode:?}");
    }
    fixture.assert_no_membership_left().await;
}

/// One step of one restore, with something that goes wrong, or nothing. Returns how many requests it took, and whether it went
/// wrong.
async fn trial(
    fixture: &Fixture,
    step: Step,
    mode: LoadMode,
    fault: Option<Fault>,
) -> (usize, bool) {
    let at = fault.map_or(0, |fault| fault.at);
    let name = format!("crash_{step:?}_{mode:?}_{at}").to_lowercase();
    let wanted = desired(&name);
    let trial = Trial {
        fixture,
        cluster: name.clone(),
        load: load(&name, &wanted, "restore", mode),
        secret: password(&name),
    };
    let what = fault.map_or_else(
        || format!("{step:?} {mode:?}"),
        |fault| format!("{step:?} {mode:?}: {fault}"),
    );
    let scratch = trial.prepare(step).await;
    let way = Way::to(fixture).await;
    let provider = way.provider(fixture, &name);
    way.faults.arm(fault);
    let went = trial.go(&*provider, step, scratch.as_ref()).await;
    assert!(went || fault.is_some(), "{what}");
    let happened = way.faults.happened();
    let requests = way.faults.disarm().len();
    way.tunnel.cut();
    provider.close().await;
    trial.check(step, scratch.as_ref(), &what).await;
    (requests, happened)
}
