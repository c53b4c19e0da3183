//! Another server answers where the known one was: nothing is made there, and nothing there is believed, until somebody
//! says that it is meant.

use std::net::{Ipv4Addr, SocketAddr};

use db_operator::api::{
    ACKNOWLEDGE_IDENTITY, Condition, ConditionStatus, Database, DatabaseInstance,
};
use e2e::campaign::server::text;
use e2e::campaign::{Engine, Server, eventually};
use e2e::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD};
use e2e::testing::condition;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use super::STORM;
use super::environment::Environment;

/// What there is on a server besides what it came with: databases and roles.
const MADE: &str = "SELECT datname::text FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')
    UNION ALL SELECT rolname::text FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' AND NOT rolsuper ORDER BY 1";

#[tokio::test]
async fn another_server_at_the_same_address_is_left_alone_until_it_is_acknowledged() {
    let environment = Environment::with(Engine::Postgres).await;
    let scene = Scene::of(&environment);
    // The other server has a certificate of its own.
    scene
        .patch(json!({"spec": {"tls": {"mode": "require", "ca": null}}}))
        .await;
    let operator = environment.operator("operator", environment.control_plane.kubeconfig());
    environment.apply(0..2).await;
    environment.until_created(2, STORM).await;
    let first = scene.identity().await;

    let other = Postgresql::start(15).unwrap();
    let there = There::of(&environment, &other);
    let (name, password) = (
        text(&environment.server.admin, "username"),
        text(&environment.server.admin, "password"),
    );
    let quoted = password.replace('\'', "''");
    there
        .ask(&format!(
            "CREATE ROLE {name} LOGIN CREATEDB CREATEROLE PASSWORD '{quoted}'"
        ))
        .await;
    let system = "SELECT system_identifier::text FROM pg_control_system()";
    let second = there.ask(system).await.concat();

    environment.tunnel.lead_to(there.0.address);
    environment.apply(2..3).await;
    let said = scene.stalled("IdentityChanged").await;
    assert!(said.contains(&first) && said.contains(&second), "{said}");
    scene.waits("db-2", "Reconciling", "InstanceNotReady").await;
    // What was on the first server is not here. That is no outage, and nothing that an application can wait for.
    for name in ["db-0", "db-1"] {
        scene.waits(name, "Stalled", "ServerChanged").await;
        assert!(!scene.is_ready(name).await, "{name}");
    }
    assert_eq!(there.ask(MADE).await, [name]);

    environment.tunnel.mend();
    environment.until_created(3, STORM).await;
    environment.check_all(3).await;

    // It is meant now. What was on the first server is missing here, and is not made again as if it were nothing.
    environment.tunnel.lead_to(there.0.address);
    scene.acknowledge(&second).await;
    scene.connected(&second).await;
    scene.look_at("db-0").await;
    scene.waits("db-0", "Stalled", "DatabaseMissing").await;
    assert_eq!(there.ask(MADE).await, ["db_operator", name]);

    // And back. The operator goes on where it was.
    environment.tunnel.mend();
    scene.acknowledge(&first).await;
    scene.connected(&first).await;
    scene.look_at("db-0").await;
    environment.until_created(3, STORM).await;
    environment.check_all(3).await;
    environment.delete_all(STORM).await;
    operator.ensure().unwrap();
    drop((operator, other));
    environment.clear().await;
}

/// The other server, past all tunnels.
struct There(Server);

impl There {
    fn of(environment: &Environment, other: &Postgresql) -> Self {
        let mut server = environment.server.clone();
        server.address = SocketAddr::from((Ipv4Addr::LOCALHOST, other.port));
        Self(server)
    }

    /// What its superuser is told.
    async fn ask(&self, sql: &str) -> Vec<String> {
        let superuser = [("username", SUPERUSER), ("password", SUPERUSER_PASSWORD)];
        let superuser = superuser.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let there = self.0.entrance();
        let said = self.0.ask_as(&superuser.into(), there, sql).await;
        said.unwrap()
    }
}

/// The objects that the test looks at.
struct Scene {
    instances: Api<DatabaseInstance>,
    databases: Api<Database>,
}

impl Scene {
    fn of(environment: &Environment) -> Self {
        Self {
            instances: Api::all(environment.client.clone()),
            databases: environment.databases(),
        }
    }

    async fn patch(&self, change: Value) {
        self.instances
            .patch("server", &PatchParams::default(), &Patch::Merge(change))
            .await
            .unwrap();
    }

    async fn acknowledge(&self, identity: &str) {
        self.patch(json!({"metadata": {"annotations": {ACKNOWLEDGE_IDENTITY: identity}}}))
            .await;
    }

    /// Which server the instance is said to be.
    async fn identity(&self) -> String {
        let status = self.instances.get("server").await.unwrap().status;
        status.unwrap().identity.unwrap().known
    }

    /// Waits until the instance says this, and returns its message.
    async fn stalled(&self, reason: &str) -> String {
        eventually(&format!("the instance is {reason}"), STORM, async || {
            let status = self.instances.get("server").await.unwrap().status;
            Ok(message(
                &status.unwrap_or_default().conditions,
                "Stalled",
                reason,
            ))
        })
        .await
        .unwrap()
    }

    async fn connected(&self, identity: &str) {
        eventually("the instance is connected", STORM, async || {
            let status = self.instances.get("server").await.unwrap().status;
            let status = status.unwrap_or_default();
            let ready = message(&status.conditions, "Ready", "Connected");
            let known = status.identity.is_some_and(|it| it.known == identity);
            Ok(ready.filter(|_| known))
        })
        .await
        .unwrap();
    }

    /// Asks for a look at a Database now.
    async fn look_at(&self, name: &str) {
        let now = jiff::Timestamp::now().to_string();
        let annotations = json!({db_operator::api::RECONCILE_REQUESTED_AT: now});
        let change = json!({"metadata": {"annotations": annotations}});
        self.databases
            .patch(name, &PatchParams::default(), &Patch::Merge(change))
            .await
            .unwrap();
    }

    async fn is_ready(&self, name: &str) -> bool {
        let status = self.databases.get(name).await.unwrap().status.unwrap();
        let ready = condition(&status.conditions, "Ready").unwrap();
        ready.status == ConditionStatus::True
    }

    async fn waits(&self, name: &str, kind: &str, reason: &str) {
        eventually(&format!("{name} is {reason}"), STORM, async || {
            let status = self.databases.get(name).await.unwrap().status;
            Ok(message(
                &status.unwrap_or_default().conditions,
                kind,
                reason,
            ))
        })
        .await
        .unwrap();
    }
}

/// What a condition says that is true for this reason.
fn message(conditions: &[Condition], kind: &str, reason: &str) -> Option<String> {
    condition(conditions, kind)
        .filter(|it| it.status == ConditionStatus::True && it.reason == reason)
        .map(|it| it.message.clone())
}
