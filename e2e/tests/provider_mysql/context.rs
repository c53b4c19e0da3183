//! What every scenario needs: names of its own, an administrator, providers, and the removal of all of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use db_operator::provider::{
    Claim, Claimant, Desired, Engine, Fence, MysqlSettings, Names, Origin, PostgresqlSettings,
    Provider, ServerConfig, SqlName, Timeouts, TlsConfig, TlsMode, open,
};
use e2e::sql_servers::mariadb::LocalMariadb;
use e2e::sql_servers::mysql::MysqlServer;
use parking_lot::Mutex;
use secrecy::SecretString;
use sqlx::ConnectOptions;
use sqlx::mysql::MySqlConnection;

/// Stands in every password; never in a log.
pub(crate) const CANARY: &str = "kanarienvogel";

/// Everything that the tests make begins so.
const PREFIX: &str = "e2e";

/// One server with all that is made on it.
pub(crate) struct Context {
    pub server: MysqlServer,
    pub mariadb: bool,
    /// MySQL's `partial_revokes`: nothing in a GRANT is a wildcard.
    pub literal_grants: bool,
    /// The first two numbers of its version.
    pub series: (u32, u32),
    /// The process, on the server of the scenarios that run alone.
    pub process: tokio::sync::Mutex<Option<LocalMariadb>>,
    run: String,
    count: AtomicU32,
    made: Mutex<Vec<Names>>,
    administrators: Mutex<Vec<String>>,
}

/// An administrator with the least privileges.
#[derive(Clone, Debug)]
pub(crate) struct Administrator {
    pub user: String,
    pub password: String,
}

impl Context {
    pub(crate) async fn new(server: MysqlServer, process: Option<LocalMariadb>) -> Arc<Self> {
        server.wait(Duration::from_secs(10)).await.unwrap();
        server.log_to_table().await.unwrap();
        let version = server.value("SELECT VERSION()").await.unwrap().unwrap();
        let literal =
            "SHOW GLOBAL VARIABLES WHERE Variable_name = 'partial_revokes' AND Value = 'ON'";
        let literal = server.value(literal).await.unwrap();
        Arc::new(Self {
            mariadb: version.contains("MariaDB"),
            literal_grants: literal.as_deref() == Some("partial_revokes"),
            series: series(&version),
            server,
            process: tokio::sync::Mutex::new(process),
            run: format!("{:08x}", rand::random::<u32>()),
            count: AtomicU32::new(0),
            made: Mutex::new(Vec::new()),
            administrators: Mutex::new(Vec::new()),
        })
    }

    /// A name that nobody else has: at most 32 characters with a stem of at most 10.
    pub(crate) fn unique(&self, stem: &str) -> String {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        format!("{PREFIX}{}{number}{stem}", self.run)
    }

    /// A password with odd characters, and the canary.
    pub(crate) fn password(&self) -> SecretString {
        SecretString::from(format!("{CANARY}-{}'\"\\ \u{e9}%_`", self.unique("")))
    }

    /// The name of a database with underscores, in a GRANT that is for it alone.
    pub(crate) fn pattern(&self, database: &SqlName) -> String {
        if self.literal_grants {
            database.mysql()
        } else {
            database.mysql().replace('_', "\\_")
        }
    }

    /// Names that are removed at the end.
    pub(crate) fn names(&self, stem: &str) -> Names {
        let name = self.unique(stem);
        self.named(&name, &name)
    }

    /// These very names, which are removed at the end.
    pub(crate) fn named(&self, database: &str, role: &str) -> Names {
        let names = names(database, role);
        self.made.lock().push(names.clone());
        names
    }

    /// An administrator of its own, so that its lines in the log are known.
    pub(crate) async fn administrator(&self) -> Administrator {
        self.administrator_with(&self.least()).await
    }

    /// An administrator with these GRANTs, in each of which `{}` is the account.
    pub(crate) async fn administrator_with(&self, grants: &[String]) -> Administrator {
        let administrator = Administrator {
            user: self.unique("adm"),
            password: format!("{CANARY}'{}", self.unique("")),
        };
        self.administrators.lock().push(administrator.user.clone());
        let account = format!("'{}'@'%'", administrator.user);
        // By its hash, as the rest: the password itself stands in no statement.
        let secret = SecretString::from(administrator.password.clone());
        let mut statements = vec![format!(
            "CREATE USER {account} {}",
            self.identified(&secret)
        )];
        statements.extend(grants.iter().map(|grant| grant.replace("{}", &account)));
        self.server.run(&statements).await.unwrap();
        administrator
    }

    /// What CREATE USER says to set a password.
    pub(crate) fn identified(&self, password: &SecretString) -> String {
        use db_operator::provider::Verifier;
        use secrecy::ExposeSecret;
        if self.mariadb {
            let verifier = Verifier::mysql_native_password(password.expose_secret());
            format!(
                "IDENTIFIED VIA mysql_native_password USING '{}'",
                verifier.expose()
            )
        } else {
            let verifier = Verifier::caching_sha2_password(password.expose_secret());
            format!(
                "IDENTIFIED WITH caching_sha2_password AS '{}'",
                verifier.expose()
            )
        }
    }

    /// The GRANTs that an administrator needs, and no more.
    pub(crate) fn least(&self) -> Vec<String> {
        let schemas = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, \
                       CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE, CREATE VIEW, SHOW VIEW, CREATE ROUTINE, \
                       ALTER ROUTINE, EVENT, TRIGGER";
        if self.mariadb {
            // Needed only to take back what others gave with ALL PRIVILEGES.
            let newer = if self.series >= (11, 3) {
                ", SHOW CREATE ROUTINE"
            } else {
                ""
            };
            vec![format!(
                "GRANT {schemas}{newer}, DELETE HISTORY, CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO {{}} \
                 WITH GRANT OPTION"
            )]
        } else {
            vec![
                format!("GRANT {schemas}, CREATE USER, PROCESS ON *.* TO {{}} WITH GRANT OPTION"),
                "GRANT CONNECTION_ADMIN ON *.* TO {}".to_owned(),
            ]
        }
    }

    pub(crate) fn config(&self, administrator: &Administrator) -> ServerConfig {
        ServerConfig {
            engine: Engine::Mysql,
            host: self.server.host.clone(),
            port: self.server.port,
            tls: TlsConfig {
                mode: if self.server.verifies_host {
                    TlsMode::VerifyFull
                } else {
                    TlsMode::VerifyCa
                },
                ca: Some(self.server.ca.clone().into_bytes()),
            },
            username: administrator.user.clone(),
            password: SecretString::from(administrator.password.clone()),
            max_connections: 2,
            maintenance_database: SqlName::new("postgres").unwrap(),
            timeouts: Timeouts {
                lock: Duration::from_secs(2),
                ..Timeouts::default()
            },
        }
    }

    /// A fence that leads, of a cluster of its own.
    pub(crate) fn fence(&self) -> Fence {
        Fence::new(self.unique("cluster"), || true)
    }

    /// A provider with an administrator and a cluster id of its own.
    pub(crate) async fn provider(&self) -> Arc<dyn Provider> {
        self.provider_and_administrator().await.0
    }

    pub(crate) async fn provider_and_administrator(&self) -> (Arc<dyn Provider>, Administrator) {
        let administrator = self.administrator().await;
        (
            open(self.config(&administrator), self.fence()),
            administrator,
        )
    }

    /// A session with the database's own user.
    pub(crate) async fn tenant(
        &self,
        names: &Names,
        password: &SecretString,
    ) -> sqlx::Result<MySqlConnection> {
        use secrecy::ExposeSecret;
        self.server
            .options()
            .username(names.role.as_str())
            .password(password.expose_secret())
            .database(names.database.as_str())
            .connect()
            .await
    }

    /// Removes what the scenarios made.
    pub(crate) async fn clean(&self) -> Result<(), String> {
        let mut statements = Vec::new();
        for names in self.made.lock().iter() {
            let account = db_operator::provider::ident::mysql_account(names.role.as_str(), "%");
            statements.push(format!(
                "DROP DATABASE IF EXISTS {}",
                names.database.mysql()
            ));
            statements.push(format!("DROP USER IF EXISTS {account}"));
        }
        for user in self.administrators.lock().iter() {
            statements.push(format!("DROP USER IF EXISTS '{user}'@'%'"));
        }
        for table in ["claims", "epochs", "sessions", "scratch", "restores"] {
            statements.push(format!(
                "DELETE FROM db_operator.{table} WHERE cluster_id LIKE '{PREFIX}{}%'",
                self.run
            ));
        }
        statements.push("SET GLOBAL log_output = 'FILE'".to_owned());
        let canaries = self
            .server
            .log_mentions(CANARY)
            .await
            .map_err(|error| error.to_string())?;
        if canaries != 0 {
            return Err(format!(
                "{}: passwords stand in {canaries} lines of the log",
                self.server.name
            ));
        }
        statements.push("TRUNCATE TABLE mysql.general_log".to_owned());
        self.server
            .run(&statements)
            .await
            .map_err(|error| format!("{}: cleaning up: {error}", self.server.name))
    }
}

/// These very names.
pub(crate) fn names(database: &str, role: &str) -> Names {
    Names {
        database: SqlName::new(database).unwrap(),
        role: SqlName::new(role).unwrap(),
    }
}

fn series(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

/// The database of these names as a `Database` object with all defaults wants it.
pub(crate) fn desired(names: &Names) -> Desired {
    Desired {
        names: names.clone(),
        connection_limit: None,
        postgresql: PostgresqlSettings::default(),
        mysql: MysqlSettings::default(),
    }
}

/// A claim of this cluster on these names.
pub(crate) fn claim(names: &Names, cluster_id: &str) -> Claim {
    Claim {
        names: names.clone(),
        claimant: Claimant {
            cluster_id: cluster_id.to_owned(),
            namespace: "team-a".to_owned(),
            name: "orders".to_owned(),
        },
        uid: "5f0e".to_owned(),
        database: Origin::Created,
        role: Origin::Created,
        drop_adopted: false,
        released: false,
    }
}

/// Makes user and database as the controller does.
pub(crate) async fn create(provider: &dyn Provider, desired: &Desired, password: &SecretString) {
    let verifier = provider.verifier(password);
    provider
        .ensure_role(desired, Some(&verifier))
        .await
        .unwrap();
    provider.ensure_database(desired).await.unwrap();
}

/// A server from `HOST:PORT:SUPERUSER:PASSWORD:CA-FILE`.
pub(crate) fn given(text: &str) -> Option<MysqlServer> {
    let [host, port, user, password, ca] = text.split(':').collect::<Vec<_>>()[..] else {
        return None;
    };
    Some(MysqlServer {
        name: text.split(':').take(2).collect::<Vec<_>>().join(":"),
        host: host.to_owned(),
        port: port.parse().unwrap(),
        ca: std::fs::read_to_string(ca).unwrap(),
        verifies_host: false,
        superuser: (user.to_owned(), password.to_owned()),
    })
}
