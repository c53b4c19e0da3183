//! The operator's process: stands by, leads, stops.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Namespace;
use kube::runtime::events::{Recorder, Reporter};
use kube::{Api, Client, ResourceExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::api::{Backup, Database, DatabaseInstance, Restore};
use crate::backoff::{self, Failures};
use crate::config::{Config, ConfigError};
use crate::controller::cache::Cache;
use crate::controller::trigger::Triggers;
use crate::controller::written::Written;
use crate::controller::{self, Context};
use crate::health::{self, Health, ListenError};
use crate::job::image::OwnImage;
use crate::leader::{Leadership, LeaseThread, LeaseThreadError, LostLease, Settings};
use crate::metrics::Metrics;
use crate::provider::Fence;
use crate::queue::Queues;
use crate::server::connections::Connections;
use crate::server::registry::Instances;
use crate::store::Destinations;
use crate::telemetry::events::Events;
use crate::telemetry::failures::FailureLog;
use crate::watch::Watches;
use crate::{backup, client, database, instance, restore};

/// The name under which Events are reported.
const REPORTER: &str = "db-operator";
/// How long nothing of this process may have run before its lease goes to another one. Longer than any work that it gives
/// its threads, and than a kubelet needs to see that /healthz does not answer.
const GIVES_WAY: Duration = Duration::from_mins(1);

/// What is said to have ended if that thread did.
const LEASE_THREAD: &str = "the thread that keeps the lease";

/// Why the process ended without having been asked to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The settings contradict each other.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The address for probes and metrics is not to be had.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// There is no way to the API server.
    #[error("cannot find the API server: {0}; run in a pod, or set KUBECONFIG")]
    NoCluster(#[from] kube::config::InferConfigError),
    /// The client cannot be made: certificates, mostly.
    #[error("cannot prepare the client of the API server: {0}")]
    Client(#[from] kube::Error),
    /// Signals cannot be received.
    #[error("cannot listen to signals: {0}")]
    Signals(io::Error),
    /// The lease cannot be asked for.
    #[error(transparent)]
    LeaseThread(#[from] LeaseThreadError),
    /// This process does not lead any more.
    #[error("stopped leading: {0}; this process ends, so that nothing is done twice")]
    LostLease(#[from] LostLease),
    /// The probes cannot be answered any more.
    #[error("the server of /healthz, /readyz and /metrics ended: {0}")]
    HealthServer(io::Error),
    /// A database server knows a newer leader.
    #[error(
        "a database server knows a newer leader; this process ends, so that nothing is done twice"
    )]
    Superseded,
    /// A part of the process that must run ended.
    #[error("{part} ended unexpectedly")]
    Ended {
        /// Which one.
        part: &'static str,
    },
    /// A part of the process panicked. It is the operator's fault.
    #[error("a part of the operator failed: {0}; please report this")]
    Panicked(#[from] JoinError),
}

/// Runs until SIGTERM or SIGINT, which end it well, or until it must not go on.
pub async fn run(config: Config) -> Result<(), RunError> {
    config.validate()?;
    let stop = stop_on_signal()?;
    let metrics = Metrics::new();
    let health = Health::new(config.lease.ttl);
    let listener = health::listen(config.listen).await?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving /healthz, /readyz and /metrics");
    }
    let router = health.router().merge(metrics.router());
    let serving = axum::serve(listener, router).into_future();

    tokio::select! {
        ended = serving => Err(match ended {
            Ok(()) => RunError::Ended { part: "the server of the probes" },
            Err(error) => RunError::HealthServer(error),
        }),
        result = operate(config, stop, metrics, health) => result,
    }
}

/// Waits for the lease, leads, and gives the lease back.
async fn operate(
    config: Config,
    stop: CancellationToken,
    metrics: Metrics,
    health: Health,
) -> Result<(), RunError> {
    let cluster = client::infer().await?;
    let namespace = config
        .namespace
        .clone()
        .unwrap_or_else(|| cluster.default_namespace.clone());
    let identity = config.identity();
    let leadership = Leadership::new();
    let client = client::for_leader(cluster.clone(), leadership.clone(), &metrics)?;
    let of_lease = metrics.clone();
    let lease = LeaseThread::start(
        move |precondition, limit| client::for_lease(cluster, precondition, limit, &of_lease),
        Settings {
            name: config.lease.name.clone(),
            namespace: config
                .lease
                .namespace
                .clone()
                .unwrap_or_else(|| namespace.clone()),
            identity: identity.clone(),
            ttl: config.lease.ttl,
            renew: config.lease.renew,
            gives_way: GIVES_WAY,
        },
        leadership.clone(),
        health.clone(),
    );
    let mut lease = lease.await?;

    tracing::info!(version = env!("CARGO_PKG_VERSION"), %identity, %namespace, "standing by");
    tokio::select! {
        () = stop.cancelled() => {
            lease.step_down().await;
            return Ok(());
        }
        leads = lease.leads() => if !leads {
            return Err(RunError::Ended { part: LEASE_THREAD });
        }
    }

    metrics.leader.set(1);
    let reporter = Reporter {
        controller: REPORTER.to_owned(),
        instance: Some(identity),
    };
    let grace = config.shutdown_grace;
    let leader = Leader {
        config,
        namespace,
        events: Events::new(Recorder::new(client.clone(), reporter)),
        client,
        leadership,
        metrics: metrics.clone(),
        health,
    };
    let result = tokio::select! {
        lost = lease.lost() => return Err(match lost {
            Some(lost) => lost.into(),
            None => RunError::Ended { part: LEASE_THREAD },
        }),
        result = lead(leader, grace, &stop) => result,
    };
    metrics.leader.set(0);
    lease.step_down().await;
    result
}

/// What a process that leads has from before.
struct Leader {
    config: Config,
    namespace: String,
    client: Client,
    events: Events,
    leadership: Leadership,
    metrics: Metrics,
    health: Health,
}

/// What only the leader does: the controllers, until `stop`, and then what they have begun.
async fn lead(leader: Leader, grace: Duration, stop: &CancellationToken) -> Result<(), RunError> {
    let given = leader.config.cluster_id.clone();
    let cluster_id = if let Some(id) = given.filter(|id| !id.is_empty()) {
        id
    } else {
        tokio::select! {
            id = cluster_id(&leader.client) => id,
            () = stop.cancelled() => return Ok(()),
        }
    };
    tracing::info!(%cluster_id, "working");
    let superseded = CancellationToken::new();
    let mut controllers = spawn_controllers(leader, cluster_id, &superseded, stop);

    tokio::select! {
        () = stop.cancelled() => {}
        () = superseded.cancelled() => return Err(RunError::Superseded),
        Some(ended) = controllers.join_next() => {
            let part = ended?;
            // Some controllers stop faster than this task wakes up.
            if !stop.is_cancelled() {
                return Err(RunError::Ended { part });
            }
        }
    }
    tracing::info!(?grace, "stopping: finishing what has begun");
    let drained = timeout(grace, async {
        while let Some(ended) = controllers.join_next().await {
            ended?;
        }
        Ok(())
    });
    if let Ok(result) = drained.await {
        return result;
    }
    // States are persisted before their effects: the next leader continues from there.
    tracing::warn!("leaving unfinished work to the next leader");
    Ok(())
}

/// Starts the controller of each kind. Each task returns its name when it ends.
fn spawn_controllers(
    leader: Leader,
    cluster_id: String,
    superseded: &CancellationToken,
    stop: &CancellationToken,
) -> JoinSet<&'static str> {
    let Leader {
        config,
        namespace,
        client,
        events,
        leadership,
        metrics,
        health,
    } = leader;
    let watches = Watches::new(client.clone(), health, events.clone());
    let queues = Queues::new(config.concurrency);
    let instances = controller::watching::<DatabaseInstance>(&watches, &queues);
    let databases = controller::watching::<Database>(&watches, &queues);
    let backups = controller::watching::<Backup>(&watches, &queues);
    let restores = controller::watching::<Restore>(&watches, &queues);
    let fence = {
        let leadership = leadership.clone();
        Fence::new(cluster_id.clone(), move || leadership.is_held())
    };
    let context = Arc::new(Context {
        client,
        events,
        watches,
        cache: Cache {
            instances: instances.store(),
            databases: databases.store(),
            backups: backups.store(),
            restores: restores.store(),
        },
        triggers: Triggers::default(),
        metrics: metrics.clone(),
        namespace,
        cluster_id,
        resync: config.resync,
        deep_resync: config.deep_resync,
        instances: Instances::default(),
        connections: Connections::default(),
        destinations: Destinations::default(),
        queues,
        failures: Arc::new(Failures::default()),
        written: Written::default(),
        failure_log: FailureLog::default(),
        leadership,
        fence,
        superseded: superseded.clone(),
    });
    let shown = Arc::downgrade(&context);
    metrics.count_objects(move || {
        let context = shown.upgrade();
        context
            .map(|context| context.snapshot())
            .unwrap_or_default()
    });
    let of_databases = Arc::new(database::Context::new(Arc::clone(&context)));
    let of_backups = Arc::new(backup::Context::new(
        Arc::clone(&context),
        config.backup_limits(),
        config.keep_seconds(),
        OwnImage::new(config.image.clone(), config.identity.clone()),
    ));
    let of_restores = Arc::new(restore::Context::new(
        Arc::clone(&context),
        config.keep_seconds(),
        OwnImage::new(config.image.clone(), config.identity.clone()),
    ));

    let mut tasks = JoinSet::new();
    let (instances, databases, backups, restores) = (
        instance::run(instances, context, stop.clone()),
        database::run(databases, of_databases, stop.clone()),
        backup::run(backups, of_backups, stop.clone()),
        restore::run(restores, of_restores, stop.clone()),
    );
    tasks.spawn(named("the controller of instances", instances));
    tasks.spawn(named("the controller of databases", databases));
    tasks.spawn(named("the controller of backups", backups));
    tasks.spawn(named("the controller of restores", restores));
    tasks
}

async fn named(name: &'static str, task: impl Future<Output = ()>) -> &'static str {
    task.await;
    name
}

/// The UID of kube-system, which lives as long as the cluster. Asked for until there is an answer.
async fn cluster_id(client: &Client) -> String {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    for failures in 1.. {
        match namespaces.get("kube-system").await {
            Ok(namespace) => {
                if let Some(uid) = namespace.uid() {
                    return uid;
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot read the UID of kube-system, trying again (--cluster-id sets another id)");
            }
        }
        sleep(backoff::delay(failures, rand::random())).await;
    }
    unreachable!("the loop has no end")
}

/// A token that is cancelled by the first SIGTERM or SIGINT.
fn stop_on_signal() -> Result<CancellationToken, RunError> {
    let receive = |kind| signal(kind).map_err(RunError::Signals);
    let mut terminate: Signal = receive(SignalKind::terminate())?;
    let mut interrupt: Signal = receive(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "asked to stop");
        token.cancel();
    });
    Ok(stop)
}
