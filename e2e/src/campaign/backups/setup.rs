//! The objects of a trial in the cluster: a namespace, an instance with its Secrets, and a Database with rows.

use db_operator::api::{Database, DatabaseInstance};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};

use super::super::operator::NAMESPACE;
use super::super::{eventually, fixture as objects};
use super::fixture::{BUCKET, Fixture, LIMIT};
use crate::dataset;
use crate::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use crate::{Error, Result};

/// The Database's size, so that its dump can be killed in the middle.
const SIZE: u64 = 24 << 20;

impl Fixture {
    /// Makes it.
    pub(super) async fn set_up(&self, endpoint: &str) -> Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let labels = json!({"db-operator.dev/e2e": "true"});
        create(
            &namespaces,
            json!({"metadata": {"name": self.name, "labels": labels}}),
        )
        .await?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        let name = &self.name;
        for (part, data) in [
            ("admin", json!(self.sql.admin)),
            ("ca", json!({"ca.crt": self.sql.ca})),
            (
                "keys",
                json!({"AWS_ACCESS_KEY_ID": ACCESS_KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY}),
            ),
        ] {
            let secret =
                json!({"metadata": {"name": format!("{name}-{part}")}, "stringData": data});
            create(&secrets, secret).await?;
        }
        let instances: Api<DatabaseInstance> = Api::all(self.client.clone());
        create(&instances, json!({
            "apiVersion": "db-operator.dev/v1alpha1", "kind": "DatabaseInstance", "metadata": {"name": name},
            "spec": {
                // Its address: its name is known in the cluster alone.
                "provider": self.sql.engine.provider(), "host": self.sql.address.ip().to_string(),
                "tls": {"mode": "verify-ca", "ca": {"secretRef": {"name": format!("{name}-ca"), "key": "ca.crt"}}},
                "adminSecretRef": {"name": format!("{name}-admin")},
                "allowedNamespaces": {"all": true},
                "backup": {"s3": {"bucket": BUCKET, "endpoint": endpoint, "pathStyle": true,
                    "credentialsSecretRef": {"name": format!("{name}-keys")}}},
            },
        }))
        .await?;
        self.operator.ensure()?;
        let spec = json!({"instanceRef": {"name": name}, "deletionPolicy": "Delete"});
        objects::apply(&self.client, name, name, spec).await?;
        eventually("the Database is created", LIMIT, async || {
            self.operator.ensure()?;
            Ok(self.rests().await?.then_some(()))
        })
        .await?;
        let mut session = self.session().await?;
        dataset::grow(&mut session, SIZE)
            .await
            .map_err(Error::trial("fill the Database"))?;
        session.close().await;
        Ok(())
    }

    /// Takes it away; what is on the server goes with the Database.
    pub(super) async fn take_away(&self) -> Result<()> {
        let _ = self.faults.disarm();
        let databases: Api<Database> = Api::namespaced(self.client.clone(), &self.name);
        delete(&databases, &self.name).await?;
        eventually("the Database is gone", LIMIT, async || {
            self.operator.ensure()?;
            let left = databases.get_opt(&self.name).await;
            Ok(left
                .map_err(Error::trial("read the Database"))?
                .is_none()
                .then_some(()))
        })
        .await?;
        let instances: Api<DatabaseInstance> = Api::all(self.client.clone());
        delete(&instances, &self.name).await?;
        eventually("the DatabaseInstance is gone", LIMIT, async || {
            self.operator.ensure()?;
            let left = instances.get_opt(&self.name).await;
            Ok(left
                .map_err(Error::trial("read the instance"))?
                .is_none()
                .then_some(()))
        })
        .await?;
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        delete(&namespaces, &self.name).await?;
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), NAMESPACE);
        for part in ["admin", "ca", "keys"] {
            delete(&secrets, &format!("{}-{part}", self.name)).await?;
        }
        Ok(())
    }
}

/// Makes an object.
pub(super) async fn create<K>(api: &Api<K>, object: Value) -> Result<()>
where
    K: serde::de::DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    let object: K = serde_json::from_value(object).map_err(Error::trial("write an object"))?;
    api.create(&PostParams::default(), &object)
        .await
        .map(drop)
        .map_err(Error::trial("make an object"))
}

async fn delete<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: serde::de::DeserializeOwned + Clone + std::fmt::Debug,
{
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(()),
        Err(error) => Err(Error::trial(format!("delete {name}"))(error)),
    }
}
