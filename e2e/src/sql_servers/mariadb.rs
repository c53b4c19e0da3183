//! A MariaDB server as a process of its own: Debian's package, without the service that it would start.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::mysql::MysqlServer;
use crate::cluster::Authority;
use crate::{Error, Result, command};

/// Debian's server, the user that its package makes, and a script that keeps apt from starting services.
const PROGRAM: &str = "/usr/sbin/mariadbd";
const USER: &str = "mysql";
const POLICY: &str = "/usr/sbin/policy-rc.d";

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A running MariaDB; stopped, with its data removed, when dropped.
#[derive(Debug)]
pub struct LocalMariadb {
    /// How to reach it.
    pub server: MysqlServer,
    folder: PathBuf,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl LocalMariadb {
    /// Makes and starts a server on a free port of loopback, with further arguments for `mariadbd`.
    pub async fn start(arguments: &[&str]) -> Result<Self> {
        install()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!(
            "db-operator-mariadb-{}-{number}",
            std::process::id()
        ));
        let port = free_port()?;
        let authority = Authority::open(&folder.join("authority"), "mariadb")?;
        let identity = authority.server(&["localhost", "127.0.0.1"])?;
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755))
            .map_err(Error::io("open", &folder))?;
        let mut local = Self {
            server: MysqlServer {
                name: "mariadb 10.11 (local)".to_owned(),
                host: "127.0.0.1".to_owned(),
                port,
                ca: authority.certificate()?,
                verifies_host: true,
                superuser: ("superuser".to_owned(), "superuser".to_owned()),
            },
            folder,
            arguments: arguments
                .iter()
                .map(|&argument| argument.to_owned())
                .collect(),
            process: None,
        };
        let data = local.folder.join("server");
        fs::create_dir_all(&data).map_err(Error::io("create", &data))?;
        for (name, content) in [
            ("tls.crt", &identity.certificate),
            ("tls.key", &identity.key),
            ("ca.crt", &local.server.ca),
            ("init.sql", &init_sql(&local.server.superuser)),
        ] {
            let path = data.join(name);
            fs::write(&path, content).map_err(Error::io("write", &path))?;
        }
        command::output(Command::new("chown").arg("-R").arg(USER).arg(&data))?;
        let mut install_db = as_user("mariadb-install-db");
        install_db
            .args([
                "--no-defaults",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
            ])
            .args(local.layout_arguments())
            .arg(format!("--datadir={}", data.join("data").display()));
        command::output(&mut install_db)?;
        local.launch().await?;
        Ok(local)
    }

    /// Ends the process at once, as a crash would, and starts it again on the same data and port.
    pub async fn restart(&mut self) -> Result<()> {
        self.stop();
        self.launch().await
    }

    /// Ends the process at once.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // It is ours and not yet waited for, so the id is still its own.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts the process and waits until it answers.
    pub async fn launch(&mut self) -> Result<()> {
        let data = self.folder.join("server");
        let path = |option: &str, name: &str| format!("--{option}={}", data.join(name).display());
        let log = fs::File::create(data.join("error.log")).map_err(Error::io("create", &data))?;
        let mut command = as_user(PROGRAM);
        command
            .arg("--no-defaults")
            .args([
                path("datadir", "data"),
                path("socket", "socket"),
                path("pid-file", "pid"),
                path("ssl-cert", "tls.crt"),
                path("ssl-key", "tls.key"),
                path("ssl-ca", "ca.crt"),
                path("init-file", "init.sql"),
                path("general-log-file", "general.log"),
                format!("--port={}", self.server.port),
            ])
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--general-log=1",
                "--innodb-buffer-pool-size=32M",
                "--innodb-flush-log-at-trx-commit=0",
            ])
            .args(self.layout_arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let child = command.spawn().map_err(|source| Error::Spawn {
            program: PROGRAM.to_owned(),
            source,
        })?;
        self.process = Some(child);
        let answered = self.server.wait(Duration::from_secs(30)).await;
        answered.map_err(|error| {
            let tail = command::tail(&data.join("error.log"));
            Error::Precondition(format!("{error}{tail}"))
        })
    }

    /// The server's own log of statements, as it is written.
    #[must_use]
    pub fn general_log(&self) -> PathBuf {
        self.folder.join("server/general.log")
    }

    fn layout_arguments(&self) -> &[String] {
        &self.arguments
    }
}

impl Drop for LocalMariadb {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Runs at each start, so it has to be right the second time too. It takes one statement a line.
fn init_sql((name, password): &(String, String)) -> String {
    format!(
        "CREATE USER IF NOT EXISTS '{name}'@'%' IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON *.* TO '{name}'@'%' WITH GRANT OPTION;\n"
    )
}

/// A program under the user of Debian's package; the server refuses to run as root.
fn as_user(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args([
        &format!("--reuid={USER}"),
        &format!("--regid={USER}"),
        "--clear-groups",
        program,
    ]);
    command
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .map_err(Error::io("listen on", Path::new("127.0.0.1")))?;
    let address = listener
        .local_addr()
        .map_err(Error::io("ask for the port of", Path::new("127.0.0.1")))?;
    Ok(address.port())
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
    let installed = command::output(
        Command::new("apt-get")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args([
                "-o",
                "DPkg::Lock::Timeout=120",
                "install",
                "--yes",
                "--no-install-recommends",
                "mariadb-server",
            ]),
    );
    if made {
        fs::remove_file(policy).map_err(Error::io("remove", policy))?;
    }
    installed.map(drop)
}
