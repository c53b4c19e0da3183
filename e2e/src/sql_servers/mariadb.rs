//! A MariaDB server as a process of its own: Debian's package, without the service that it would start.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;

use super::mysql::MysqlServer;
use super::{Certificates, Process, Scratch, as_nobody, free_port};
use crate::cache::Cache;
use crate::{Error, Result, command, host};

/// Debian's server and the program that makes its data, and the script that keeps apt from starting services.
const PROGRAM: &str = "/usr/sbin/mariadbd";
const INSTALL_DB: &str = "/usr/bin/mariadb-install-db";
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// A running MariaDB; stopped, with its data removed, when dropped.
#[derive(Debug)]
pub struct LocalMariadb {
    /// How to reach it.
    pub server: MysqlServer,
    /// Dropped before its folder.
    process: Option<Process>,
    arguments: Vec<String>,
    scratch: Scratch,
}

impl LocalMariadb {
    /// Makes and starts a server on a free port of loopback, with further arguments for `mariadbd`.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        install()?;
        let scratch = Scratch::new("mariadb")?;
        let certificates = Certificates::new()?;
        let server = MysqlServer {
            name: "mariadb 10.11 (local)".to_owned(),
            host: "localhost".to_owned(),
            port: free_port()?,
            ca: certificates.ca.clone(),
            verifies_host: true,
            superuser: ("superuser".to_owned(), "superuser".to_owned()),
        };
        scratch.write("ca.crt", &certificates.ca)?;
        scratch.write("tls.crt", &certificates.certificate)?;
        scratch.write("tls.key", &certificates.key)?;
        scratch.write("init.sql", &init_sql(&server.superuser))?;
        let mut arguments: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        // A server that starts removes the temporary tables of all servers that share its folder for them.
        arguments.push(format!("--tmpdir={}", scratch.path().display()));
        let mut local = Self {
            server,
            process: None,
            arguments,
            scratch,
        };
        let mut install_db = as_nobody(None, Path::new(INSTALL_DB));
        install_db
            .args([
                "--no-defaults",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ])
            .args(&local.arguments)
            .arg(local.path_option("datadir", "data"));
        command::output(&mut install_db)?;
        local.launch().await?;
        Ok(local)
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.stop())
    }

    /// Starts the process and waits until it answers.
    pub async fn launch(&mut self) -> Result<()> {
        let log = self.scratch.path().join("error.log");
        let mut arguments = vec![
            "--no-defaults".to_owned(),
            format!("--port={}", self.server.port),
        ];
        arguments.extend(
            [
                ("datadir", "data"),
                ("socket", "socket"),
                ("pid-file", "pid"),
                ("ssl-cert", "tls.crt"),
                ("ssl-key", "tls.key"),
                ("ssl-ca", "ca.crt"),
                ("init-file", "init.sql"),
                ("general-log-file", "general.log"),
            ]
            .map(|(option, name)| self.path_option(option, name)),
        );
        arguments.extend(
            [
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--general-log=1",
                "--innodb-buffer-pool-size=32M",
                "--innodb-flush-log-at-trx-commit=0",
            ]
            .map(str::to_owned),
        );
        arguments.extend(self.arguments.iter().cloned());
        // Nothing is worth keeping, so it is ended the quick way.
        let process = Process::start(Path::new(PROGRAM), &arguments, &log, Signal::SIGKILL)?;
        self.process = Some(process);
        let answered = self.server.wait(Duration::from_secs(30)).await;
        answered.map_err(|error| Error::Precondition(format!("{error}{}", command::tail(&log))))
    }

    /// The server's own log of statements, as it is written.
    #[must_use]
    pub fn general_log(&self) -> PathBuf {
        self.scratch.path().join("general.log")
    }

    fn path_option(&self, option: &str, name: &str) -> String {
        format!("--{option}={}", self.scratch.path().join(name).display())
    }
}

/// Runs at each start, so it has to be right the second time too. It takes one statement a line.
fn init_sql((name, password): &(String, String)) -> String {
    format!(
        "CREATE USER IF NOT EXISTS '{name}'@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{name}'@'%' WITH GRANT OPTION;\n"
    )
}

/// Installs Debian's package if its server is missing, without starting it.
fn install() -> Result<()> {
    if Path::new(PROGRAM).is_file() {
        return Ok(());
    }
    let policy = Path::new(POLICY);
    let made = !policy.exists();
    if made {
        // Debian's convention: this script's answer 101 forbids the start of services.
        fs::write(policy, "#!/bin/sh\nexit 101\n").map_err(Error::io("write", policy))?;
        fs::set_permissions(policy, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("write", policy))?;
    }
    let installed = host::install(&Cache::open()?, &["mariadb-server"]);
    if made {
        fs::remove_file(policy).map_err(Error::io("remove", policy))?;
    }
    installed
}
