//! A Database whose backups go to a store of the test's own, through a proxy.

use std::time::Duration;

use db_operator::api::{BACKUP_LABEL, Backup, BackupState};
use db_operator::store::{Keys, Store, StoreConfig};
use e2e::campaign::backups::node::Process;
use e2e::dataset;
use e2e::fault_proxy::StoreProxy;
use e2e::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use e2e::testing::{Fixture, Session, catch, eventually};
use futures::future::{LocalBoxFuture, join_all};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};

pub(crate) const BUCKET: &str = "backups";

/// How long a backup may take to come to an end that no clock of its own decides, while others run.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);

/// Runs cases at the same time, each to its end; then the first that failed fails the test.
pub(crate) async fn all(cases: Vec<LocalBoxFuture<'_, ()>>) {
    let results = join_all(cases.into_iter().map(catch)).await;
    for result in results {
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Waits for a process of this name in a pod. The cluster's node is this machine.
pub(crate) async fn process(pod: &Pod, name: &str) -> Process {
    let uid = pod.uid().unwrap();
    eventually(
        &format!("{name} runs in {}", pod.name_any()),
        LIMIT,
        async || Process::find(&uid, name).ok_or_else(|| "not there".to_owned()),
    )
    .await
}

/// What the cases of one test share.
pub(crate) struct Ground<'a> {
    pub fixture: &'a Fixture,
    pub server: S3Server,
    keys: String,
}

impl<'a> Ground<'a> {
    /// With an empty bucket. The store ends with the test's thread.
    pub(crate) async fn new(fixture: &'a Fixture) -> Self {
        Self::new_in(fixture, "keys").await
    }

    /// Another one of the same test.
    pub(crate) async fn new_in(fixture: &'a Fixture, keys_name: &str) -> Self {
        let server = S3Server::start().unwrap();
        server.make_bucket(BUCKET).unwrap();
        let keys = json!({
            "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY});
        let keys = fixture.operator_secret(keys_name, keys).await;
        Self {
            fixture,
            server,
            keys,
        }
    }

    /// A Database of about so many bytes. `job` and `s3` are merged into the instance's `spec.backup`.
    pub(crate) async fn case<'g>(
        &'g self,
        name: &str,
        bytes: u64,
        job: Value,
        s3: Value,
    ) -> Case<'g> {
        let proxy = StoreProxy::in_cluster(&self.server).await.unwrap();
        let backup = self.destination(&proxy, job, &s3);
        let instance = self
            .fixture
            .make_instance(name, json!({"backup": backup}))
            .await;
        let spec = json!({"deletionPolicy": "Delete", "instanceRef": {"name": instance}});
        let database = self.fixture.make_usable(name, spec).await;
        let case = Case {
            ground: self,
            proxy,
            instance,
            database,
            name: name.to_owned(),
        };
        let mut session = case.session().await;
        dataset::grow(&mut session, bytes).await.unwrap();
        session.close().await;
        case
    }

    fn destination(&self, proxy: &StoreProxy, job: Value, s3: &Value) -> Value {
        let mut all = json!({"s3": {
            "bucket": BUCKET, "endpoint": proxy.endpoint(), "pathStyle": true,
            "credentialsSecretRef": {"name": self.keys}}});
        if !job.is_null() {
            all["job"] = job;
        }
        for (key, value) in s3.as_object().into_iter().flatten() {
            all["s3"][key] = value.clone();
        }
        all
    }

    /// The store, past all proxies.
    pub(crate) async fn store(&self) -> Store {
        Store::open(StoreConfig {
            s3: self.server.s3(BUCKET).unwrap(),
            keys: Keys::Static {
                access_key_id: ACCESS_KEY_ID.to_owned(),
                secret_access_key: SECRET_ACCESS_KEY.into(),
                session_token: None,
            },
            ca: None,
        })
        .await
        .unwrap()
    }
}

/// One thing that goes wrong.
pub(crate) struct Case<'g> {
    pub ground: &'g Ground<'g>,
    pub proxy: StoreProxy,
    pub instance: String,
    pub database: String,
    name: String,
}

impl Case<'_> {
    /// A session of the Database's own user.
    pub(crate) async fn session(&self) -> Session {
        let fixture = self.ground.fixture;
        let secret = fixture.secret(&self.database).await;
        Session::open(&fixture.client, &secret).await.unwrap()
    }

    /// Holds what a dump waits for, until the session ends.
    pub(crate) async fn hold(&self) -> Session {
        let lock = if self.ground.fixture.server.is_postgres() {
            "BEGIN; LOCK TABLE orders IN ACCESS EXCLUSIVE MODE"
        } else {
            "LOCK TABLES orders WRITE"
        };
        let mut holder = self.session().await;
        holder.run(lock).await.unwrap();
        holder
    }

    /// Asks for a backup that goes wrong. Returns its name.
    pub(crate) async fn back_up(&self, limits: Value) -> String {
        let name = format!("{}-bad", self.name);
        self.ground
            .fixture
            .back_up(&name, &self.database, limits)
            .await
    }

    /// Takes what made it go wrong from the instance's `spec.backup`.
    pub(crate) async fn without_job(&self) {
        let change = json!({"backup": {"job": null}});
        let fixture = self.ground.fixture;
        fixture.patch_instance(&self.instance, change).await;
        fixture.instance_is(&self.instance, "Connected").await;
    }

    /// The next backup works, and everything is as if nothing had happened before.
    pub(crate) async fn next_works(&self) {
        let name = format!("{}-good", self.name);
        let fixture = self.ground.fixture;
        let name = fixture.back_up(&name, &self.database, json!({})).await;
        self.completes(&name).await;
    }

    /// Waits until a backup is at its end.
    pub(crate) async fn ended(&self, backup: &str) -> Backup {
        let ended = |found: &Backup| found.state().is_some_and(BackupState::is_terminal);
        let fixture = self.ground.fixture;
        fixture.backup_until(backup, "ended", LIMIT, ended).await
    }

    /// The pod of a backup, when it is there.
    pub(crate) async fn pod(&self, backup: &str) -> Pod {
        let fixture = self.ground.fixture;
        let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let mine = ListParams::default().labels(&format!("{BACKUP_LABEL}={backup}"));
        eventually(&format!("{backup} has a pod"), LIMIT, async || {
            let found = pods.list(&mine).await.unwrap().items;
            found.into_iter().next().ok_or_else(|| "none".to_owned())
        })
        .await
    }

    /// The Job of a backup that has begun.
    pub(crate) async fn job(&self, backup: &Backup) -> Option<Job> {
        let fixture = self.ground.fixture;
        let jobs: Api<Job> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let name = db_operator::job::name(backup);
        jobs.get_opt(&name).await.unwrap()
    }

    /// A backup as it is.
    pub(crate) async fn read(&self, backup: &str) -> Backup {
        self.ground.fixture.backups().get(backup).await.unwrap()
    }

    /// What the pod of a backup logged.
    pub(crate) async fn log(&self, backup: &str) -> String {
        let fixture = self.ground.fixture;
        let pods: Api<Pod> = Api::namespaced(fixture.client.clone(), &fixture.namespace);
        let pod = self.pod(backup).await.name_any();
        pods.logs(&pod, &kube::api::LogParams::default())
            .await
            .unwrap_or_else(|error| error.to_string())
    }
}
