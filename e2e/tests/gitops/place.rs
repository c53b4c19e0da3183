//! A test's branch and Applications, beside its namespace. None of it is left.

use std::time::Duration;

use e2e::gitops::{GIT, NAMESPACE, REPOSITORY};
use e2e::testing::{Fixture, SOON, Server, catch, eventually, with_fixture};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use crate::application::{Application, Status};
use crate::repository::Repository;

/// How long a sync with all that follows from it may take on a busy machine.
pub(crate) const SYNCED: Duration = Duration::from_mins(2);

/// With it, what an Application applied is deleted before the Application is gone; each is a way to delete.
pub(crate) const FOREGROUND: &str = "resources-finalizer.argocd.argoproj.io/foreground";
pub(crate) const BACKGROUND: &str = "resources-finalizer.argocd.argoproj.io/background";

/// Whose an Application is.
const LABEL: &str = "db-operator.dev/e2e-of";

pub(crate) struct Place<'a> {
    pub fixture: &'a Fixture,
    pub repository: Repository,
}

/// Runs a test on one server with a branch and Applications of its own.
pub(crate) async fn in_place(server: Server, test: impl AsyncFn(&Place<'_>)) {
    with_fixture(server, async |fixture| {
        let place = Place::new(fixture).await;
        let result = catch(test(&place)).await;
        place.leave(result.is_err()).await;
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
    })
    .await;
}

/// A Database as it is committed.
pub(crate) fn database(name: &str, spec: &Value) -> String {
    let object = json!({
        "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
        "metadata": {"name": name}, "spec": spec,
    });
    serde_yaml_ng::to_string(&object).unwrap()
}

impl<'a> Place<'a> {
    async fn new(fixture: &'a Fixture) -> Self {
        let services: Api<Service> = Api::namespaced(fixture.client.clone(), NAMESPACE);
        let git = services.get(GIT).await.unwrap().spec.unwrap();
        let url = format!("git://{}/{REPOSITORY}", git.cluster_ip.unwrap());
        Self {
            fixture,
            repository: Repository::new(&fixture.prefix, &url),
        }
    }

    pub(crate) fn applications(&self) -> Api<Application> {
        Api::namespaced(self.fixture.client.clone(), NAMESPACE)
    }

    /// Makes an Application of a folder of the branch, which syncs by itself. `finalizer` may be empty: then what it applied
    /// stays when it is deleted. Returns its name.
    pub(crate) async fn application(
        &self,
        path: &str,
        namespace: &str,
        finalizer: &str,
        options: &[&str],
    ) -> String {
        let name = self.fixture.name(&path.replace('/', "-"));
        let mut options = options.to_vec();
        options.push("ServerSideApply=true");
        let finalizers: Vec<_> = Some(finalizer)
            .filter(|it| !it.is_empty())
            .into_iter()
            .collect();
        let object = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "labels": {LABEL: self.fixture.prefix}, "finalizers": finalizers},
            "spec": {
                "project": "default",
                "source": {
                    "repoURL": format!("git://{GIT}.{NAMESPACE}.svc/{REPOSITORY}"),
                    "targetRevision": self.repository.branch(),
                    "path": path,
                },
                "destination": {"server": "https://kubernetes.default.svc", "namespace": namespace},
                "syncPolicy": {
                    "automated": {"prune": true, "selfHeal": true},
                    "syncOptions": options,
                    // A deletion waits for the last attempt: one that puts back what just went with its namespace.
                    "retry": {"limit": 5, "backoff": {"duration": "1s", "factor": 1}},
                },
            },
        });
        let object = serde_json::from_value(object).unwrap();
        self.applications()
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        name
    }

    /// Commits, and waits until an Application is as that commit says, whatever its health.
    pub(crate) async fn commit(&self, message: &str, application: &str) {
        let commit = self.repository.push(message);
        self.refresh(application).await;
        self.until(application, "synced to the commit", SYNCED, |status| {
            status.sync.status == "Synced" && status.sync.revision == commit
        })
        .await;
    }

    /// Has Argo CD look at Git and at the cluster now, and waits until it did.
    pub(crate) async fn refresh(&self, application: &str) {
        const REFRESH: &str = "argocd.argoproj.io/refresh";
        let ask = json!({"metadata": {"annotations": {REFRESH: "normal"}}});
        let applications = self.applications();
        let params = PatchParams::default();
        applications
            .patch(application, &params, &Patch::Merge(ask))
            .await
            .unwrap();
        eventually("Argo CD has looked", SYNCED, async || {
            let found = applications.get(application).await.unwrap();
            let asked = found.annotations().get(REFRESH).cloned();
            asked.map_or(Ok(()), |_| Err(format!("{:?}", found.status)))
        })
        .await;
    }

    /// Waits until what Argo CD says about an Application is as wanted.
    pub(crate) async fn until(
        &self,
        application: &str,
        what: &str,
        limit: Duration,
        wanted: impl Fn(&Status) -> bool,
    ) -> Status {
        eventually(&format!("{application}: {what}"), limit, async || {
            let found = self.applications().get(application).await;
            let now = found.map_err(|error| error.to_string())?.now();
            if wanted(&now) {
                Ok(now)
            } else {
                Err(serde_json::to_string(&now).unwrap())
            }
        })
        .await
    }

    /// Waits until an Application is synced and healthy, with nothing left to do.
    pub(crate) async fn healthy(&self, application: &str) {
        eventually(&format!("{application} is healthy"), SYNCED, async || {
            let found = self.applications().get(application).await;
            let found = found.map_err(|error| error.to_string())?;
            if found.is_at_rest() {
                Ok(())
            } else {
                Err(serde_json::to_string(&found.status).unwrap())
            }
        })
        .await;
    }

    /// Asks for the deletion of an Application.
    pub(crate) async fn delete(&self, application: &str) {
        self.applications()
            .delete(application, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Waits until an Application is gone.
    pub(crate) async fn gone(&self, application: &str, limit: Duration) {
        eventually(&format!("{application} is gone"), limit, async || {
            let left = self.applications().get_opt(application).await.unwrap();
            left.map_or(Ok(()), |left| {
                Err(serde_json::to_string(&left.status).unwrap())
            })
        })
        .await;
    }

    /// Takes the test's Applications away, but not what they applied: the fixture does that.
    pub(crate) async fn leave(&self, failed: bool) {
        let applications = self.applications();
        let own = ListParams::default().labels(&format!("{LABEL}={}", self.fixture.prefix));
        for application in applications.list(&own).await.unwrap() {
            let name = application.name_any();
            if failed {
                let status = serde_json::to_string(&application.status).unwrap();
                eprintln!("--- Application {name}: {status}");
            }
            let without = Patch::Merge(json!({"metadata": {"finalizers": null}}));
            // It may be gone by now.
            let _ = applications
                .patch(&name, &PatchParams::default(), &without)
                .await;
            let _ = applications.delete(&name, &DeleteParams::default()).await;
            self.gone(&name, SOON).await;
        }
    }
}
