//! The servers and their rows, and how each dump tool is called.

use std::path::{Path, PathBuf};
use std::process::Command;

use db_operator::agent::protocol::task::{self, Flavour};
use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::sql_servers::mariadb::LocalMariadb;
use crate::sql_servers::postgresql::{Postgresql, SUPERUSER, SUPERUSER_PASSWORD, programs};
use crate::testing::Session;
use crate::{Error, Result, dataset};

/// The series whose dump tools Debian 12 has, like the servers: a dump tool is no older than its server.
const POSTGRESQL: u32 = 15;
const MARIADB: &str = "10.11";

/// The database.
pub(in crate::bench) const DATABASE: &str = "orders";

/// What the templates say, without what names the pod's own files.
const MARIADB_OPTIONS: &str = "--default-character-set=utf8mb4 --max-allowed-packet=1G --single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces --verbose --loose-dump-history --skip-add-locks";

/// Whose database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::bench) enum Engine {
    Postgresql,
    Mariadb,
}

impl Engine {
    pub(in crate::bench) fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mariadb => "MariaDB",
        }
    }
}

/// A server with rows; it goes with its value.
pub(in crate::bench) struct Source {
    pub(in crate::bench) engine: Engine,
    server: Server,
    pub(in crate::bench) folder: PathBuf,
}

enum Server {
    Postgresql { server: Postgresql, bin: PathBuf },
    Mariadb(LocalMariadb),
}

impl Source {
    /// A new server with about so many bytes of rows.
    pub(in crate::bench) async fn start(engine: Engine, bytes: u64) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!(
            "db-operator-bench-{}-{}",
            engine.name().to_lowercase(),
            std::process::id()
        ));
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let server = match engine {
            Engine::Postgresql => Server::Postgresql {
                server: Postgresql::start(POSTGRESQL)?,
                bin: programs(POSTGRESQL)?,
            },
            // All of it stays in memory, as it does in PostgreSQL's case in the system's.
            Engine::Mariadb => {
                let more = [
                    "--innodb-buffer-pool-size=2G",
                    "--innodb-log-file-size=512M",
                ];
                Server::Mariadb(LocalMariadb::start(&more).await?)
            }
        };
        let source = Self {
            engine,
            server,
            folder,
        };
        source.fill(bytes).await?;
        Ok(source)
    }

    async fn fill(&self, bytes: u64) -> Result<()> {
        self.run(&format!("CREATE DATABASE {DATABASE}")).await?;
        let mut session = self.session(Some(DATABASE)).await?;
        let grown = dataset::grow(&mut session, bytes).await;
        grown.map_err(Error::trial("make the bench's rows"))
    }

    /// Runs SQL as superuser, in no database of the bench's.
    pub(in crate::bench) async fn run(&self, sql: &str) -> Result<()> {
        let mut session = self.session(None).await?;
        let ran = session.run(sql).await;
        ran.map_err(Error::trial(format!("run {sql}")))
    }

    /// A superuser's session in this database.
    async fn session(&self, database: Option<&str>) -> Result<Session> {
        let failed = || Error::trial("log in to the bench's server");
        match &self.server {
            Server::Postgresql { server, .. } => {
                let options = PgConnectOptions::new_without_pgpass()
                    .host("localhost")
                    .port(server.port)
                    .username(SUPERUSER)
                    .password(SUPERUSER_PASSWORD)
                    .database(database.unwrap_or("postgres"))
                    .ssl_mode(PgSslMode::VerifyFull)
                    .ssl_root_cert_from_pem(server.certificates.ca.clone().into_bytes());
                let session = options.connect().await.map_err(failed())?;
                Ok(Session::Postgres(Box::new(session)))
            }
            Server::Mariadb(local) => {
                let root = local.server.root().await.map_err(failed())?;
                let mut session = Session::Mysql(Box::new(root));
                if let Some(database) = database {
                    let enter = format!("USE {database}");
                    session.run(&enter).await.map_err(failed())?;
                }
                Ok(session)
            }
        }
    }

    fn port(&self) -> u16 {
        match &self.server {
            Server::Postgresql { server, .. } => server.port,
            Server::Mariadb(local) => local.server.port,
        }
    }

    fn ca(&self) -> &str {
        match &self.server {
            Server::Postgresql { server, .. } => &server.certificates.ca,
            Server::Mariadb(local) => &local.server.ca,
        }
    }

    /// Name and password.
    pub(in crate::bench) fn user(&self) -> (&str, &str) {
        match &self.server {
            Server::Postgresql { .. } => (SUPERUSER, SUPERUSER_PASSWORD),
            Server::Mariadb(local) => (&local.server.superuser.0, &local.server.superuser.1),
        }
    }

    /// The dump tool's process.
    pub(in crate::bench) fn process(&self) -> &'static str {
        match self.engine {
            Engine::Postgresql => "pg_dump",
            Engine::Mariadb => "mariadb-dump",
        }
    }

    /// The dump tool without compression, in short.
    pub(in crate::bench) fn tool(&self) -> &'static str {
        match self.engine {
            Engine::Postgresql => "pg_dump -Fc -Z0",
            Engine::Mariadb => "mariadb-dump",
        }
    }

    /// The dump tool with the compression that people use with it, in short.
    pub(in crate::bench) fn compressing(&self) -> &'static str {
        match self.engine {
            Engine::Postgresql => "pg_dump -Fc",
            Engine::Mariadb => "mariadb-dump | gzip",
        }
    }

    /// A shell's words for the dump tool without compression.
    pub(in crate::bench) fn plain_words(&self) -> String {
        match &self.server {
            Server::Postgresql { bin, .. } => {
                format!("{}/pg_dump -Fc -Z0 --no-password", bin.display())
            }
            Server::Mariadb(_) => self.mariadb_words(),
        }
    }

    /// A shell's words for a compressed dump.
    pub(in crate::bench) fn compressing_words(&self) -> String {
        match &self.server {
            Server::Postgresql { bin, .. } => {
                format!("{}/pg_dump -Fc --no-password", bin.display())
            }
            Server::Mariadb(_) => format!("{} | gzip", self.mariadb_words()),
        }
    }

    fn mariadb_words(&self) -> String {
        let login = self.mariadb_login();
        format!("mariadb-dump {login} {MARIADB_OPTIONS} {DATABASE}")
    }

    /// How a program of MariaDB is told where the server is.
    pub(in crate::bench) fn mariadb_login(&self) -> String {
        format!(
            "--no-defaults --protocol=tcp --host=localhost --port={} --user={} --ssl-ca={} --ssl-verify-server-cert",
            self.port(),
            self.user().0,
            self.folder.join("ca.crt").display()
        )
    }

    /// A program of PostgreSQL.
    pub(in crate::bench) fn program(&self, name: &str) -> String {
        match &self.server {
            Server::Postgresql { bin, .. } => bin.join(name).display().to_string(),
            Server::Mariadb(_) => name.to_owned(),
        }
    }

    /// What the dump tool needs to log in, for a shell's command.
    pub(in crate::bench) fn environment(&self, command: &mut Command) -> Result<()> {
        let ca = self.folder.join("ca.crt");
        std::fs::write(&ca, self.ca()).map_err(Error::io("write", &ca))?;
        let (user, password) = self.user();
        match self.engine {
            Engine::Postgresql => command
                .env("PGHOST", "localhost")
                .env("PGPORT", self.port().to_string())
                .env("PGDATABASE", DATABASE)
                .env("PGUSER", user)
                .env("PGPASSWORD", password)
                .env("PGSSLMODE", "verify-full")
                .env("PGSSLROOTCERT", ca),
            Engine::Mariadb => command.env("MYSQL_PWD", password),
        };
        Ok(())
    }

    /// For the task of a pod.
    pub(in crate::bench) fn task(&self) -> task::Source {
        let (flavour, series) = match self.engine {
            Engine::Postgresql => (Flavour::Postgresql, POSTGRESQL.to_string()),
            Engine::Mariadb => (Flavour::Mariadb, MARIADB.to_owned()),
        };
        task::Source {
            flavour,
            server_version: format!("{series}.0"),
            series,
            host: "localhost".to_owned(),
            port: self.port(),
            tls: "verify-full".to_owned(),
            database: DATABASE.to_owned(),
        }
    }

    /// The database's Secret, as files.
    pub(in crate::bench) fn credentials(&self) -> [(&'static str, &str); 3] {
        let (user, password) = self.user();
        [
            ("username", user),
            ("password", password),
            ("ca.crt", self.ca()),
        ]
    }

    /// The dump command of a pod whose own files are in this folder.
    pub(in crate::bench) fn command(&self, work: &Path) -> Vec<String> {
        let mut words = match &self.server {
            Server::Postgresql { bin, .. } => vec![
                bin.join("pg_dump").display().to_string(),
                "--format=custom".to_owned(),
                "--compress=0".to_owned(),
                "--no-password".to_owned(),
                "--verbose".to_owned(),
            ],
            Server::Mariadb(_) => {
                let file = work.join("client.cnf");
                vec![
                    "mariadb-dump".to_owned(),
                    format!("--defaults-extra-file={}", file.display()),
                ]
            }
        };
        if self.engine == Engine::Mariadb {
            words.extend(MARIADB_OPTIONS.split(' ').map(str::to_owned));
            words.push(DATABASE.to_owned());
        }
        words
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        // What cannot be removed is below the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
