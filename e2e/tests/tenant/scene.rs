//! Who is who: a rival with a database that has a row in it, and a team in another namespace.

use std::collections::BTreeMap;

use e2e::testing::{Bed, Server, Session, in_bed, on_every_server};
use serde_json::json;

/// What every test has at hand.
pub struct Scene<'a> {
    /// The rival's place, as the cluster's administrator sees it.
    pub rival: &'a Bed,
    /// The rival's Database.
    pub owner: String,
    /// The team's place, as the team sees it.
    pub team: Bed,
    /// The same, as the cluster's administrator sees it.
    pub admin: Bed,
    secret: BTreeMap<String, String>,
}

impl<'a> Scene<'a> {
    async fn set(bed: &'a Bed) -> Self {
        let admin = bed.neighbour().await;
        let (owner, team) = tokio::join!(
            bed.make_usable("rival", json!({"deletionPolicy": "Delete"})),
            admin.as_team()
        );
        let secret = bed.secret(&owner).await;
        let mut session = Session::open(&bed.client, &secret).await.unwrap();
        session.run("CREATE TABLE kept (x INT)").await.unwrap();
        session.run("INSERT INTO kept VALUES (7)").await.unwrap();
        session.close().await;
        Self {
            rival: bed,
            owner,
            team,
            admin,
            secret,
        }
    }

    /// The rival's Secret is as it was, logs in, and finds its row.
    pub async fn rival_is_untouched(&self) {
        assert_eq!(self.rival.secret(&self.owner).await, self.secret);
        let mut session = self.log_in(&self.secret).await.unwrap();
        let found = session.column("SELECT x FROM kept").await.unwrap();
        assert_eq!(found, ["7"]);
        session.close().await;
        self.rival.usable(&self.owner).await;
    }

    /// Logs in with values as a Secret has them.
    pub async fn log_in(&self, values: &BTreeMap<String, String>) -> Result<Session, sqlx::Error> {
        Session::open(&self.admin.client, values).await
    }

    /// A Database of the team reached nothing of the rival's: it does not log in there, and does not read there.
    pub async fn is_no_way_in(&self, database: &str) {
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
pub async fn played(server: Server, test: impl AsyncFn(&Scene<'_>)) {
    in_bed(server, async |bed| play(bed, &test).await).await;
}

/// The same on each of the servers at the same time.
pub async fn played_on_every_server(test: impl AsyncFn(&Scene<'_>)) {
    on_every_server(async |bed| play(bed, &test).await).await;
}

async fn play(bed: &Bed, test: &impl AsyncFn(&Scene<'_>)) {
    let scene = Scene::set(bed).await;
    test(&scene).await;
    scene.rival_is_untouched().await;
}
