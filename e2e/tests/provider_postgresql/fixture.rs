//! One server with an administrator who is no superuser, and short ways to what the scenarios do all the time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use db_operator::provider::claim::{Decision, Request, decide};
use db_operator::provider::{
    Change, Claim, Claimant, Desired, Engine, Fence, Login, MysqlSettings, Names, Origin,
    PostgresqlSettings, Provider, ServerConfig, SqlName, Timeouts, TlsConfig, TlsMode, open,
};
use e2e::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD};
use secrecy::SecretString;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{AssertSqlSafe, ConnectOptions, Row};

/// The administrator of the tests.
pub(crate) const ADMINISTRATOR: &str = "the-operator";

/// Every password of the tests holds this word, so that logs can be searched for it.
pub(crate) const CANARY: &str = "canary";

pub(crate) struct Fixture {
    pub server: Postgresql,
    /// The administrator's.
    pub password: String,
}

/// What a scenario asks for: a database and a role of the same name.
pub(crate) fn desired(name: &str) -> Desired {
    Desired {
        names: names(name, name),
        connection_limit: None,
        postgresql: PostgresqlSettings::default(),
        mysql: MysqlSettings::default(),
    }
}

pub(crate) fn names(database: &str, role: &str) -> Names {
    Names {
        database: SqlName::new(database).unwrap(),
        role: SqlName::new(role).unwrap(),
    }
}

pub(crate) fn claimant(cluster: &str, name: &str) -> Claimant {
    Claimant {
        cluster_id: cluster.to_owned(),
        namespace: "team-a".to_owned(),
        name: name.to_owned(),
    }
}

pub(crate) fn claim(cluster: &str, names: &Names) -> Claim {
    Claim {
        names: names.clone(),
        claimant: claimant(cluster, "object"),
        uid: "uid-1".to_owned(),
        database: Origin::Created,
        role: Origin::Created,
        drop_adopted: false,
        released: false,
    }
}

/// A password like no other, with [`CANARY`] in it.
pub(crate) fn password(rest: &str) -> SecretString {
    SecretString::from(format!("{CANARY}-{rest}"))
}

impl Fixture {
    pub(crate) fn start(series: u32) -> Self {
        Self::start_with(series, &[])
    }

    /// The same, with more arguments for initdb.
    pub(crate) fn start_with(series: u32, initdb_arguments: &[&str]) -> Self {
        Self {
            server: Postgresql::start_with(series, initdb_arguments).unwrap(),
            password: format!("{CANARY}-administrator-0"),
        }
    }

    pub(crate) fn series(&self) -> u32 {
        self.server.series
    }

    pub(crate) async fn make_administrator(&self) {
        let sql = format!("CREATE ROLE \"{ADMINISTRATOR}\" LOGIN CREATEDB CREATEROLE");
        self.run("postgres", &sql).await;
        self.set_administrators_password(&self.password).await;
        // Nobody else may log in to these, so that a forgotten PUBLIC shows.
        self.run("postgres", "CREATE ROLE stranger LOGIN").await;
        self.set_password("stranger", &format!("{CANARY}-stranger"))
            .await;
    }

    pub(crate) async fn set_administrators_password(&self, password: &str) {
        self.set_password(ADMINISTRATOR, password).await;
    }

    /// By its verifier, as no log may hold a password: not even the tests' own.
    pub(crate) async fn set_password(&self, role: &str, password: &str) {
        let verifier = db_operator::provider::Verifier::scram_sha_256(password);
        self.run(
            "postgres",
            &format!("ALTER ROLE \"{role}\" PASSWORD '{}'", verifier.expose()),
        )
        .await;
    }

    pub(crate) fn config(&self) -> ServerConfig {
        ServerConfig {
            engine: Engine::Postgresql,
            host: "localhost".to_owned(),
            port: self.server.port,
            tls: TlsConfig {
                mode: TlsMode::VerifyFull,
                ca: Some(self.server.certificates.ca.clone().into_bytes()),
            },
            username: ADMINISTRATOR.to_owned(),
            password: SecretString::from(self.password.clone()),
            max_connections: 4,
            maintenance_database: SqlName::new("postgres").unwrap(),
            timeouts: Timeouts {
                connect: Duration::from_secs(20),
                lock: Duration::from_secs(2),
                ..Timeouts::default()
            },
        }
    }

    /// A process of its own that leads the cluster of this id.
    pub(crate) fn provider(&self, cluster: &str) -> Arc<dyn Provider> {
        open(self.config(), Fence::new(cluster, || true))
    }

    /// A session of the superuser.
    pub(crate) async fn superuser(&self, database: &str) -> PgConnection {
        self.session(SUPERUSER, SUPERUSER_PASSWORD, database)
            .await
            .unwrap()
    }

    /// A session of anybody, with an application name that no provider has.
    pub(crate) async fn session(
        &self,
        user: &str,
        password: &str,
        database: &str,
    ) -> Result<PgConnection, sqlx::Error> {
        session_at(self.server.port, user, password, database).await
    }

    /// Runs SQL as the superuser.
    pub(crate) async fn run(&self, database: &str, sql: &str) {
        let mut session = self.superuser(database).await;
        run(&mut session, sql)
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error}"));
        sqlx::Connection::close(session).await.unwrap();
    }

    /// The first column of a query of the superuser, as text.
    pub(crate) async fn ask(&self, database: &str, sql: &str) -> Vec<String> {
        let mut session = self.superuser(database).await;
        let answer = ask(&mut session, sql).await;
        sqlx::Connection::close(session).await.unwrap();
        answer
    }

    /// Everything from nothing to a login, as a controller would.
    pub(crate) async fn make(
        &self,
        provider: &dyn Provider,
        cluster: &str,
        desired: &Desired,
        password: &SecretString,
    ) -> Vec<Change> {
        let observed = provider.observe(&desired.names).await.unwrap();
        let claimant = claimant(cluster, "object");
        let request = Request {
            names: &desired.names,
            claimant: &claimant,
            uid: "uid-1",
            take_over_from: &[],
            adopts: false,
            adoptable: None,
        };
        match decide(&request, &observed) {
            Decision::Continue(_) => {}
            Decision::Write {
                claim, standing, ..
            } => {
                provider
                    .write_claim(&claim, standing.as_ref())
                    .await
                    .unwrap();
            }
            Decision::Refuse(sentence) => panic!("{sentence}"),
        }
        let verifier = provider.verifier(password);
        let mut changes = provider
            .ensure_role(desired, Some(&verifier))
            .await
            .unwrap();
        changes.extend(provider.ensure_database(desired).await.unwrap());
        changes.extend(provider.ensure_contents(desired).await.unwrap());
        assert_eq!(
            provider.login(&desired.names, password).await.unwrap(),
            Login::Accepted
        );
        changes
    }

    /// The statements that the administrator's sessions ran since `mark`, in order.
    pub(crate) fn statements_since(&self, mark: usize) -> Vec<String> {
        let log = self.server.log().unwrap();
        let mut statements: Vec<String> = Vec::new();
        for line in log[mark..].lines() {
            let fields: Vec<&str> = line.splitn(5, '|').collect();
            let [process, user, _, application, message] = fields.as_slice() else {
                // A line of a statement that has several.
                if let Some(last) = statements.last_mut() {
                    last.push('\n');
                    last.push_str(line.strip_prefix('\t').unwrap_or(line));
                }
                continue;
            };
            if process.parse::<u32>().is_err()
                || *user != ADMINISTRATOR
                || *application != "db-operator"
            {
                continue;
            }
            let Some(message) = message.strip_prefix("LOG:  ") else {
                continue;
            };
            if let Some(statement) = message.strip_prefix("statement: ") {
                statements.push(statement.to_owned());
            } else if message.starts_with("execute ")
                && let Some((_, statement)) = message.split_once(": ")
            {
                statements.push(statement.to_owned());
            }
        }
        statements
    }

    /// A position in the log for [`Self::statements_since`].
    pub(crate) fn mark(&self) -> usize {
        self.server.log().unwrap().len()
    }

    /// No membership of the administrator is left but the one that creating a role brings with it.
    pub(crate) async fn assert_no_membership_left(&self) {
        let useful = if self.series() >= 16 {
            "(m.inherit_option OR m.set_option)"
        } else {
            "true"
        };
        let left = self
            .ask(
                "postgres",
                &format!(
                    "SELECT g.rolname FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
                     JOIN pg_roles r ON r.oid = m.member WHERE r.rolname = '{ADMINISTRATOR}' AND {useful}"
                ),
            )
            .await;
        assert_eq!(left, Vec::<String>::new(), "memberships left behind");
    }
}

/// The same, for a task that outlives the borrow of the fixture.
pub(crate) async fn session_at(
    port: u16,
    user: &str,
    password: &str,
    database: &str,
) -> Result<PgConnection, sqlx::Error> {
    PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username(user)
        .password(password)
        .database(database)
        .ssl_mode(PgSslMode::Disable)
        .application_name("fixture")
        .connect()
        .await
}

pub(crate) async fn run(session: &mut PgConnection, sql: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .execute(session)
        .await
        .map(|_| ())
}

pub(crate) async fn ask(session: &mut PgConnection, sql: &str) -> Vec<String> {
    let rows = sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
        .fetch_all(session)
        .await
        .unwrap();
    rows.iter()
        .map(|row| {
            row.try_get::<Option<String>, _>(0)
                .unwrap()
                .unwrap_or_default()
        })
        .collect()
}

/// Waits until an answer is this one.
pub(crate) async fn eventually<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition().await {
        assert!(Instant::now() < deadline, "{what} did not come true");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn texts(changes: &[Change]) -> Vec<&str> {
    changes.iter().map(|change| change.0.as_str()).collect()
}
