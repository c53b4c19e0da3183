//! Real rows in the team's Databases, so that there is something to back up.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use crate::cluster::Cluster;
use crate::testing::Session;
use crate::{Error, Result, command, dataset};

/// The namespace of the samples, and their Databases.
const TEAM: &str = "team-a";
const DATABASES: [&str; 3] = ["orders", "invoices", "wiki"];
/// About as much as each dump has, in bytes: enough to be seen running.
const BYTES: u64 = 100_000_000;

/// Fills each Database that has no rows yet, as an application would: with the login of its Secret.
pub(super) fn fill(cluster: &Cluster) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(Error::trial("start a runtime"))?;
    command::say("Filling the Databases with rows");
    runtime.block_on(async {
        let client = client(cluster).await?;
        let [first, second, third] = DATABASES.map(|name| fill_one(&client, name));
        let (first, second, third) = tokio::join!(first, second, third);
        first.and(second).and(third)
    })
}

async fn fill_one(client: &Client, name: &str) -> Result<()> {
    let failed = || Error::trial::<sqlx::Error>(format!("fill {name} with rows"));
    let secret = secret(client, name).await?;
    let mut session = Session::open(client, &secret).await.map_err(failed())?;
    // An earlier demo left them.
    let there = session.column("select id from orders limit 1").await;
    if there.is_err() {
        let grown = dataset::grow(&mut session, BYTES).await;
        grown.map_err(failed())?;
    }
    session.close().await;
    Ok(())
}

async fn secret(client: &Client, name: &str) -> Result<BTreeMap<String, String>> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), TEAM);
    let secret = secrets.get(name).await;
    let secret = secret.map_err(Error::trial(format!("read the Secret {name}")))?;
    let data = secret.data.unwrap_or_default().into_iter();
    Ok(data
        .map(|(key, value)| (key, String::from_utf8_lossy(&value.0).into_owned()))
        .collect())
}

async fn client(cluster: &Cluster) -> Result<Client> {
    let path = cluster.kubeconfig();
    let trial = || format!("read {}", path.display());
    let file = Kubeconfig::read_from(&path).map_err(Error::trial(trial()))?;
    let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await;
    Client::try_from(config.map_err(Error::trial(trial()))?).map_err(Error::trial("make a client"))
}
