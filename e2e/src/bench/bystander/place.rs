//! A namespace of its own, and the objects in it. All of it goes when it is cleared.

use std::collections::BTreeMap;
use std::time::Duration;

use db_operator::api::{Backup, Database};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::environment::Environment;
use super::super::phase;
use super::super::timeline::Timeline;
use crate::testing::Session;
use crate::{Error, Result};

/// The instance that all Databases of the bench are on.
const INSTANCE: &str = "postgres";

/// Requests to the API server at a time.
pub(super) const AT_A_TIME: usize = 16;

/// How long thousands of Databases may take until they are created, or gone.
pub(super) const ALL_WITHIN: Duration = Duration::from_mins(20);

/// A namespace, and who watches the Databases in it.
pub(super) struct Place {
    pub(super) objects: Objects,
    pub(super) timeline: Timeline,
}

/// The objects of a namespace.
#[derive(Clone)]
pub(super) struct Objects {
    client: Client,
    /// What the names of all of them begin with, in the cluster and on the server.
    namespace: String,
}

impl Place {
    pub(super) async fn make(environment: &Environment<'_>, whose: &str) -> Result<Self> {
        let client = environment.client();
        let namespaces: Api<Namespace> = Api::all(client.clone());
        let wanted = json!({"metadata": {
            "generateName": format!("{}-{whose}-", phase::PREFIX),
            "labels": {"db-operator.dev/e2e": "true"},
        }});
        let wanted = serde_json::from_value(wanted).map_err(Error::trial("write a namespace"))?;
        let made = namespaces.create(&PostParams::default(), &wanted).await;
        let namespace = made.map_err(Error::trial("make a namespace"))?.name_any();
        Ok(Self {
            timeline: Timeline::of(&client, &namespace),
            objects: Objects { client, namespace },
        })
    }

    /// Many Databases alike; waits until all are created.
    pub(super) async fn databases(&self, count: u32, more: &Value) -> Result<Vec<String>> {
        let objects = &self.objects;
        let names: Vec<String> = (0..count).map(|number| objects.name(number)).collect();
        each(&names, |name| objects.database(name, more.clone())).await?;
        self.timeline
            .all_created(&objects.namespace, names.len(), ALL_WITHIN)
            .await?;
        Ok(names)
    }

    /// Deletes everything, and waits until it is gone, also from the server.
    pub(super) async fn clear(&self) -> Result<()> {
        let (all, now) = (ListParams::default(), DeleteParams::default());
        let doing = || Error::trial("delete what the bench made");
        let objects = &self.objects;
        let backups: Api<Backup> = objects.api();
        backups
            .delete_collection(&now, &all)
            .await
            .map_err(doing())?;
        let databases: Api<Database> = objects.api();
        databases
            .delete_collection(&now, &all)
            .await
            .map_err(doing())?;
        self.timeline
            .all_gone(&objects.namespace, ALL_WITHIN)
            .await?;
        let namespaces: Api<Namespace> = Api::all(objects.client.clone());
        let deleted = namespaces.delete(&objects.namespace, &now).await;
        deleted.map(drop).map_err(doing())
    }
}

impl Objects {
    /// A name of this place's own, also on the server: of an earlier run, something may be left there.
    pub(super) fn name(&self, name: impl std::fmt::Display) -> String {
        format!("{}-{name}", self.namespace)
    }

    pub(super) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub(super) async fn create<K>(&self, object: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + Serialize
            + DeserializeOwned,
    {
        let object = serde_json::from_value(object).map_err(Error::trial("write an object"))?;
        let (api, params) = (self.api::<K>(), PostParams::default());
        let made = api.create(&params, &object).await;
        made.map_err(Error::trial("make an object"))
    }

    /// A Database, with what `more` adds to its spec.
    pub(super) async fn database(&self, name: &str, more: Value) -> Result<()> {
        let mut spec = more;
        spec["instanceRef"] = json!({"name": INSTANCE});
        spec["deletionPolicy"] = json!("Delete");
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Database",
            "metadata": {"name": name}, "spec": spec,
        });
        self.create::<Database>(object).await.map(drop)
    }

    /// A Backup of a Database, with what `more` adds to its spec.
    pub(super) async fn backup(&self, name: &str, database: &str, more: Value) -> Result<()> {
        let mut spec = more;
        spec["databaseRef"] = json!({"name": database});
        let object = json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "Backup",
            "metadata": {"name": name}, "spec": spec,
        });
        self.create::<Backup>(object).await.map(drop)
    }

    /// Merges into many objects of a kind.
    pub(super) async fn merge<K>(&self, names: &[String], patch: &Value) -> Result<()>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned,
    {
        let (api, params) = (self.api::<K>(), PatchParams::default());
        let (api, params) = (&api, &params);
        each(names, |name| async move {
            let merged = api.patch(name, params, &Patch::Merge(patch)).await;
            merged.map(drop).map_err(Error::trial("patch an object"))
        })
        .await
    }

    /// A session of a Database's own user.
    pub(super) async fn session(&self, database: &str) -> Result<Session> {
        let secrets: Api<Secret> = self.api();
        let secret = secrets.get(database).await;
        let secret = secret.map_err(Error::trial("read a Secret"))?;
        let data = secret.data.unwrap_or_default().into_iter();
        let data: BTreeMap<String, String> = data
            .map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
            .collect();
        let opened = Session::open(&self.client, &data).await;
        opened.map_err(Error::trial("log in with a Secret"))
    }
}

/// Does something with each of many, a few at a time.
pub(super) async fn each<'a, F>(names: &'a [String], what: impl Fn(&'a str) -> F) -> Result<()>
where
    F: Future<Output = Result<()>>,
{
    stream::iter(names)
        .map(|name| what(name))
        .buffer_unordered(AT_A_TIME)
        .try_collect()
        .await
}
