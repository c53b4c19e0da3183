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
const DATABASE: &str = "orders";

/// What the templates say, without what names the pod's own files.
const MARIADB_OPTIONS: &str = "--default-character-set=utf8mb4 --max-allowed-packet=1G --single-transaction --quick --routines --events --triggers --hex-blob --no-tablespaces --verbose --loose-dump-history --skip-add-locks";

/// Whose database.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Engine {
    Postgresql,
    Mariadb,
}

impl Engine {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mariadb => "MariaDB",
        }
    }
}

/// A server with rows; it goes with its value.
pub(super) struct Source {
    pub(super) engine: Engine,
    server: Server,
    folder: PathBuf,
}

enum Server {
    Postgresql { server: Postgresql, bin: PathBuf },
    Mariadb(LocalMariadb),
}

impl Source {
    /// A new server with about so many bytes of rows.
    pub(super) async fn start(engine: Engine, bytes: u64) -> Result<Self> {
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
        let failed = || Error::trial("make the bench's rows");
        let mut session = match &self.server {
            Server::Postgresql { server, .. } => {
                let options = |database| {
                    PgConnectOptions::new_without_pgpass()
                        .host("localhost")
                        .port(server.port)
                        .username(SUPERUSER)
                        .password(SUPERUSER_PASSWORD)
                        .database(database)
                        .ssl_mode(PgSslMode::VerifyFull)
                        .ssl_root_cert_from_pem(server.certificates.ca.clone().into_bytes())
                };
                let root = options("postgres").connect().await.map_err(failed())?;
                let mut root = Session::Postgres(Box::new(root));
                let create = format!("CREATE DATABASE {DATABASE}");
                root.run(&create).await.map_err(failed())?;
                let session = options(DATABASE).connect().await.map_err(failed())?;
                Session::Postgres(Box::new(session))
            }
            Server::Mariadb(local) => {
                let root = local.server.root().await.map_err(failed())?;
                let mut session = Session::Mysql(Box::new(root));
                for sql in [
                    format!("CREATE DATABASE {DATABASE}"),
                    format!("USE {DATABASE}"),
                ] {
                    session.run(&sql).await.map_err(failed())?;
                }
                session
            }
        };
        dataset::grow(&mut session, bytes).await.map_err(failed())
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
    pub(super) fn user(&self) -> (&str, &str) {
        match &self.server {
            Server::Postgresql { .. } => (SUPERUSER, SUPERUSER_PASSWORD),
            Server::Mariadb(local) => (&local.server.superuser.0, &local.server.superuser.1),
        }
    }

    /// The dump tool's process.
    pub(super) fn process(&self) -> &'static str {
        match self.engine {
            Engine::Postgresql => "pg_dump",
            Engine::Mariadb => "mariadb-dump",
        }
    }

    /// The dump tool without compression, in short.
    pub(super) fn tool(&self) -> &'static str {
        match self.engine {
            Engine::Postgresql => "pg_dump -Fc -Z0",
            Engine::Mariadb => "mariadb-dump",
        }
    }

    /// The dump tool with the compression that people use with it, in short.
    pub(super) fn compressing(&self) -> &'static str {
        match self.engine {
            Engine::Postgresql => "pg_dump -Fc",
            Engine::Mariadb => "mariadb-dump | gzip",
        }
    }

    /// A shell's words for the dump tool without compression.
    pub(super) fn plain_words(&self) -> String {
        match &self.server {
            Server::Postgresql { bin, .. } => {
                format!("{}/pg_dump -Fc -Z0 --no-password", bin.display())
            }
            Server::Mariadb(_) => self.mariadb_words(),
        }
    }

    /// A shell's words for a compressed dump.
    pub(super) fn compressing_words(&self) -> String {
        match &self.server {
            Server::Postgresql { bin, .. } => {
                format!("{}/pg_dump -Fc --no-password", bin.display())
            }
            Server::Mariadb(_) => format!("{} | gzip", self.mariadb_words()),
        }
    }

    fn mariadb_words(&self) -> String {
        format!(
            "mariadb-dump --no-defaults --protocol=tcp --host=localhost --port={} --user={} --ssl-ca={} --ssl-verify-server-cert {MARIADB_OPTIONS} {DATABASE}",
            self.port(),
            self.user().0,
            self.folder.join("ca.crt").display()
        )
    }

    /// What the dump tool needs to log in, for a shell's command.
    pub(super) fn environment(&self, command: &mut Command) -> Result<()> {
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
    pub(super) fn task(&self) -> task::Source {
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
    pub(super) fn credentials(&self) -> [(&'static str, &str); 3] {
        let (user, password) = self.user();
        [
            ("username", user),
            ("password", password),
            ("ca.crt", self.ca()),
        ]
    }

    /// The dump command of a pod whose own files are in this folder.
    pub(super) fn command(&self, work: &Path) -> Vec<String> {
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
