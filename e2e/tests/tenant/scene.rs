//! Who is who: a rival with a database that has a row in it, and a team in another namespace.

use std::collections::BTreeMap;

use e2e::testing::{Fixture, Server, Session, on_every_server, with_fixture};
use serde_json::json;

/// What every test has at hand.
pub(crate) struct Scene<'a> {
    /// The rival's place, as the cluster's administrator sees it.
    pub rival: &'a Fixture,
    /// The rival's Database.
    pub owner: String,
    /// The team's place, as the team sees it.
    pub team: Fixture,
    /// The same, as the cluster's administrator sees it.
    pub admin: Fixture,
    secret: BTreeMap<String, String>,
}

impl<'a> Scene<'a> {
    async fn set(fixture: &'a Fixture) -> Self {
        let admin = fixture.neighbour().await;
        let (owner, team) = tokio::join!(
            fixture.make_usable("rival", json!({"deletionPolicy": "Delete"})),
            admin.as_team()
        );
        let secret = fixture.secret(&owner).await;
        let mut session = Session::open(&fixture.client, &secret).await.unwrap();
        session.run("CREATE TABLE kept (x INT)").await.unwrap();
        session.run("INSERT INTO kept VALUES (7)").await.unwrap();
        session.close().await;
        Self {
            rival: fixture,
            owner,
            team,
            admin,
            secret,
        }
    }

    /// The rival's Secret is as it was, logs in, and finds its row.
    pub(crate) async fn rival_is_untouched(&self) {
        assert_eq!(self.rival.secret(&self.owner).await, self.secret);
        let mut session = self.log_in(&self.secret).await.unwrap();
        let found = session.column("SELECT x FROM kept").await.unwrap();
        assert_eq!(found, ["7"]);
        session.close().await;
        self.rival.usable(&self.owner).await;
    }

    /// Logs in with values as a Secret has them.
    pub(crate) async fn log_in(
        &self,
        values: &BTreeMap<String, String>,
    ) -> Result<Session, sqlx::Error> {
        Session::open(&self.admin.client, values).await
    }

    /// A Database of the team reached nothing of the rival's: it does not log in there, and does not read there.
    pub(crate) async fn is_no_way_in(&self, database: &str) {
        let own = self.admin.secret(database).await;
        let mut there = own.clone();
        there.insert("database".to_owned(), self.owner.clone());
        if let Ok(mut session) = self.log_in(&there).await {
            session.column("SELECT x FROM kept").await.unwrap_err();
            panic!("{database} logs in to {}", self.owner);
        }
        // MySQL and MariaDB name another database in a statement; PostgreSQL takes it for a schema.
        let mut session = self.log_in(&own).await.unwrap();
        let table = format!("{}.kept", self.rival.server.quote(&self.owner));
        for statement in [
            format!("INSERT INTO {table} VALUES (8)"),
            format!("DROP TABLE {table}"),
            format!(
                "GRANT ALL ON {table} TO {}",
                self.rival.server.user(database)
            ),
        ] {
            session.run(&statement).await.unwrap_err();
        }
        session
            .column(&format!("SELECT x FROM {table}"))
            .await
            .unwrap_err();
        session.close().await;
    }
}

/// Plays on one server, and sees at the end that the rival has what it had.
pub(crate) async fn played(server: Server, test: impl AsyncFn(&Scene<'_>)) {
    with_fixture(server, async |fixture| play(fixture, &test).await).await;
}

/// The same on each of the servers at the same time.
pub(crate) async fn played_on_every_server(test: impl AsyncFn(&Scene<'_>)) {
    on_every_server(async |fixture| play(fixture, &test).await).await;
}

async fn play(fixture: &Fixture, test: &impl AsyncFn(&Scene<'_>)) {
    let scene = Scene::set(fixture).await;
    test(&scene).await;
    scene.rival_is_untouched().await;
}
