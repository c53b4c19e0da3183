//! Crashes of a restore between any two statements: another process completes it, or gives it up.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use db_operator::provider::restore::{Ended, Leftover, Swapped};
use db_operator::provider::{Fence, Login, Provider, ProviderError, TlsMode, open};
use e2e::fault_proxy::{Effect, Fault, Faults, Moment, Tunnel};

use crate::context::Context;
use crate::restore::{Scene, fill};

/// More requests than any step takes.
const REQUESTS: usize = 200;

/// How many of them are tried at the same time, each with a database of its own.
const AT_A_TIME: usize = 4;

/// Runs a trial that crashes after every request, a part of them each.
async fn each<F: Future<Output = Kept>>(trial: impl Fn(usize) -> F) -> Kept {
    let trials = (1..=AT_A_TIME).map(trial);
    let all = futures::future::join_all(trials).await;
    Kept {
        failed: all.iter().map(|kept| kept.failed).sum(),
        done: all.iter().map(|kept| kept.done).sum(),
        given_up: all.iter().map(|kept| kept.given_up).sum(),
    }
}

/// How often a crash made a step fail; how often something was loaded in the end, and how often it was not.
#[derive(Default)]
struct Kept {
    failed: usize,
    done: usize,
    given_up: usize,
}

impl Kept {
    /// Counts an outcome. Not every crash makes a step fail: the pool replaces a connection that was idle, and what was
    /// done stays so if the lock of the name cannot be given back.
    fn count<T: Debug>(&mut self, outcome: &Result<T, ProviderError>, crashed: bool, at: usize) {
        assert!(
            outcome.is_ok() || crashed,
            "after request {at}: {outcome:?}"
        );
        self.failed += usize::from(outcome.is_err());
    }
}

/// A process whose connection ends at a request.
struct Victim {
    faults: Faults,
    tunnel: Tunnel,
}

impl Victim {
    async fn new(context: &Context) -> Self {
        let (host, port) = (context.server.host.as_str(), context.server.port);
        let mut addresses = tokio::net::lookup_host((host, port)).await.unwrap();
        let server = addresses.find(SocketAddr::is_ipv4).unwrap();
        let faults = Faults::none();
        let tunnel = Tunnel::to(server, "restore", faults.clone()).await.unwrap();
        Self { faults, tunnel }
    }

    /// The next process. It has met the server, and its connection will end with the answer to this request.
    async fn process(&self, scene: &Scene, at: usize) -> Arc<dyn Provider> {
        let mut config = scene.context.config(&scene.administrator);
        "127.0.0.1".clone_into(&mut config.host);
        config.port = self.tunnel.address().port();
        config.tls.mode = TlsMode::VerifyCa;
        let process = open(config, Fence::new(&scene.cluster, || true));
        process.observe(scene.names()).await.unwrap();
        self.faults.arm(Some(Fault {
            at,
            moment: Moment::After,
            effect: Effect::Cut,
        }));
        process
    }

    /// Whether the crash happened.
    fn crashed(&self) -> bool {
        let happened = self.faults.happened();
        let _ = self.faults.disarm();
        happened
    }
}

/// Loads something with the password of the load.
async fn load(scene: &Scene) {
    let password = scene.make().await.unwrap();
    let mut loading = scene.session(&password).await.unwrap();
    fill(&scene.context, &mut loading).await;
}

async fn is_as_before(scene: &Scene, at: usize) {
    assert_eq!(scene.objects().await, [""; 0], "after request {at}");
    let login = scene.login(&scene.password).await;
    assert_eq!(login, Login::Accepted, "after request {at}");
}

/// Each time, the next process goes on with it, and the one after gives it up.
pub(crate) async fn a_load_that_is_begun_is_completed(context: Arc<Context>) {
    let kept = each(|first| begun(Arc::clone(&context), first)).await;
    assert!(kept.failed > 12, "{}", kept.failed);
}

async fn begun(context: Arc<Context>, first: usize) -> Kept {
    let mut scene = Scene::new(&context, "cr_make").await;
    let mut kept = Kept::default();
    let victim = Victim::new(&context).await;
    for at in (first..REQUESTS).step_by(AT_A_TIME) {
        let process = victim.process(&scene, at).await;
        let verifier = process.verifier(&context.password());
        let made = process.make_scratch(&scene.load, &verifier).await;
        let crashed = victim.crashed();
        kept.count(&made, crashed, at);
        scene.next_process();
        if at % 2 == 0 {
            load(&scene).await;
        }
        assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
        is_as_before(&scene, at).await;
        kept.given_up += 1;
        if !crashed {
            return kept;
        }
    }
    panic!("it takes ever more requests");
}

/// The same where a former load has left something.
pub(crate) async fn a_load_that_is_begun_anew_is_completed(context: Arc<Context>) {
    let kept = each(|first| begun_anew(Arc::clone(&context), first)).await;
    assert!(kept.failed > 12, "{}", kept.failed);
}

async fn begun_anew(context: Arc<Context>, first: usize) -> Kept {
    let mut scene = Scene::new(&context, "cr_anew").await;
    let mut kept = Kept::default();
    let victim = Victim::new(&context).await;
    for at in (first..REQUESTS).step_by(AT_A_TIME) {
        load(&scene).await;
        let process = victim.process(&scene, at).await;
        let verifier = process.verifier(&context.password());
        let made = process.make_scratch(&scene.load, &verifier).await;
        let crashed = victim.crashed();
        kept.count(&made, crashed, at);
        scene.next_process();
        if at % 2 == 0 {
            scene.make().await.unwrap();
            assert_eq!(scene.objects().await, [""; 0], "after request {at}");
        } else {
            assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
            is_as_before(&scene, at).await;
        }
        kept.given_up += 1;
        if !crashed {
            return kept;
        }
    }
    panic!("it takes ever more requests");
}

/// Either the restore is recorded and the user gets at what was loaded, or nothing was done.
pub(crate) async fn a_swap_is_done_or_not(context: Arc<Context>) {
    let kept = each(|first| swapped(Arc::clone(&context), first)).await;
    assert!(
        kept.done > 3 && kept.given_up > 3,
        "{} {}",
        kept.done,
        kept.given_up
    );
}

async fn swapped(context: Arc<Context>, first: usize) -> Kept {
    let mut scene = Scene::new(&context, "cr_swap").await;
    let victim = Victim::new(&context).await;
    let mut kept = Kept::default();
    for at in (first..REQUESTS).step_by(AT_A_TIME) {
        scene.load.restore.name = format!("back-{at}");
        load(&scene).await;
        let process = victim.process(&scene, at).await;
        let swapped = process
            .swap(&scene.load, &scene.scratch(), Duration::from_secs(5))
            .await;
        let crashed = victim.crashed();
        kept.count(&swapped, crashed, at);
        scene.next_process();
        let restored = scene.provider.restored(&scene.load.restore, &[]).await;
        let is_recorded = restored.unwrap().is_some();
        match at % 3 {
            0 => assert!(matches!(scene.swap().await.unwrap(), Swapped::Done { .. })),
            1 => scene.provider.reopen(&scene.load).await.unwrap(),
            _ => {}
        }
        let is_kept = is_recorded || at % 3 == 0;
        assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
        if is_kept {
            kept.done += 1;
            let objects = scene.objects().await;
            assert!(
                objects.contains(&"parent".to_owned()),
                "after request {at}: {objects:?}"
            );
            let login = scene.login(&scene.password).await;
            assert_eq!(login, Login::Accepted, "after request {at}");
            // An empty one for the next time.
            let schema = scene.names().database.mysql();
            let again = [
                format!("DROP DATABASE {schema}"),
                format!("CREATE DATABASE {schema}"),
            ];
            context.server.run(&again).await.unwrap();
        } else {
            kept.given_up += 1;
            is_as_before(&scene, at).await;
        }
        if !crashed {
            return kept;
        }
    }
    panic!("it takes ever more requests");
}

/// Nothing is let in to half of it.
pub(crate) async fn a_load_that_is_given_up_is_given_up(context: Arc<Context>) {
    let kept = each(|first| given_up(Arc::clone(&context), first)).await;
    assert!(kept.failed > 12, "{}", kept.failed);
}

async fn given_up(context: Arc<Context>, first: usize) -> Kept {
    let mut scene = Scene::new(&context, "cr_drop").await;
    let mut kept = Kept::default();
    let victim = Victim::new(&context).await;
    for at in (first..REQUESTS).step_by(AT_A_TIME) {
        load(&scene).await;
        let process = victim.process(&scene, at).await;
        let which = Leftover::Scratch;
        let ended = process.drop_leftover(&scene.load, which).await;
        let crashed = victim.crashed();
        kept.count(&ended, crashed, at);
        scene.next_process();
        let is_let_in = scene.login(&scene.password).await == Login::Accepted;
        assert!(
            !is_let_in || scene.objects().await.is_empty(),
            "after request {at}"
        );
        assert_eq!(scene.give_up().await.unwrap(), Ended::Done);
        is_as_before(&scene, at).await;
        kept.given_up += 1;
        if !crashed {
            return kept;
        }
    }
    panic!("it takes ever more requests");
}
