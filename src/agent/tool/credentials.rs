//! How the tool logs in: with files in memory that only this process may read, and an environment without secrets.
//!
//! For a process that is not root to read a Secret, it has to be mounted with mode 0440. libpq refuses password files of that
//! mode, so files of our own are written here, with mode 0600.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::Tool;
use crate::agent::protocol::task::{Flavour, Source};

/// What is wrong with the mounted files, and what to do about it. It never holds a password.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read {path}: {error}; the Secret of the database must be mounted there")]
    Read {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {path}: {error}; an emptyDir in memory must be mounted there")]
    Write {
        /// The file.
        path: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// A value cannot be passed to the tool.
    #[error("the {0} of the database's Secret has a character that the tool cannot read")]
    Unusable(&'static str),
    /// There is nothing to verify the server's certificate with.
    #[error(
        "the server's certificate is to be verified, but this image has no list of authorities: give the instance its authority in spec.tls.ca"
    )]
    NoAuthorities,
    /// The task names an unknown way to protect the connection.
    #[error("\"{0}\" is no way to protect a connection")]
    Tls(String),
}

/// The tool's environment, all of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Environment(pub Vec<(OsString, OsString)>);

/// How the connection is protected.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Protection {
    Off,
    Encrypted,
    Authority,
    Full,
}

impl Protection {
    fn of(source: &Source) -> Result<Self, CredentialsError> {
        match source.tls.as_str() {
            "disable" => Ok(Self::Off),
            "require" => Ok(Self::Encrypted),
            "verify-ca" => Ok(Self::Authority),
            "verify-full" => Ok(Self::Full),
            other => Err(CredentialsError::Tls(other.to_owned())),
        }
    }

    fn verifies(self) -> bool {
        matches!(self, Self::Authority | Self::Full)
    }
}

/// Where distributions keep their list of authorities.
const AUTHORITIES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// The variables that a tool keeps; others could change where and how it connects.
const KEPT: &[&str] = &[
    "PATH",
    "LD_LIBRARY_PATH",
    "TZ",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// Writes the tool's files into `work`, from the Secret that is mounted at `secret`. Returns the tool's environment.
pub(crate) fn prepare(
    source: &Source,
    tool: &Tool,
    application: &str,
    secret: &Path,
    work: &Path,
) -> Result<Environment, CredentialsError> {
    let username = read(secret, "username")?;
    let password = read(secret, "password")?;
    let protection = Protection::of(source)?;
    let authority = protection.verifies().then(|| authority(secret));
    let mut environment = base(work, &username);
    match source.flavour {
        Flavour::Postgresql => {
            let file = work.join("pgpass");
            write(&file, &pgpass(&password)?)?;
            let root = match authority {
                Some(None) if tool.series >= vec![16] => Some(PathBuf::from("system")),
                Some(None) => return Err(CredentialsError::NoAuthorities),
                Some(Some(path)) => Some(path),
                None => None,
            };
            environment.extend(libpq(source, application, &username, &file, root));
        }
        Flavour::Mysql | Flavour::Mariadb => {
            let root = match authority {
                Some(None) => return Err(CredentialsError::NoAuthorities),
                Some(path) => path,
                None => None,
            };
            let options = options(source, protection, &username, &password, root.as_deref())?;
            write(&work.join("client.cnf"), &options)?;
        }
    }
    Ok(Environment(environment))
}

/// What every tool gets: where its programs are, and a home without configuration files that could interfere.
#[must_use]
pub(crate) fn base(work: &Path, username: &str) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = KEPT
        .iter()
        .filter_map(|&name| Some((name.into(), std::env::var_os(name)?)))
        .collect();
    variables.push(("HOME".into(), work.into()));
    // In pods, a user id often has no name in /etc/passwd.
    variables.push(("USER".into(), username.into()));
    variables.push(("LC_ALL".into(), "C.UTF-8".into()));
    variables
}

fn read(secret: &Path, key: &str) -> Result<String, CredentialsError> {
    let path = secret.join(key);
    fs::read_to_string(&path).map_err(|error| CredentialsError::Read { path, error })
}

fn write(path: &Path, content: &str) -> Result<(), CredentialsError> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(|error| CredentialsError::Write {
            path: path.to_owned(),
            error,
        })
}

/// The server's own authority, or else the image's list of authorities.
fn authority(secret: &Path) -> Option<PathBuf> {
    let own = secret.join("ca.crt");
    if own.is_file() {
        return Some(own);
    }
    AUTHORITIES
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
}

/// A password file of one line that is for any server; the environment says which one it is.
fn pgpass(password: &str) -> Result<String, CredentialsError> {
    if password.contains(['\n', '\r', '\0']) {
        return Err(CredentialsError::Unusable("password"));
    }
    let escaped = password.replace('\\', "\\\\").replace(':', "\\:");
    Ok(format!("*:*:*:*:{escaped}\n"))
}

/// The connection as environment variables for libpq. Here no name can be mistaken for a connection string.
fn libpq(
    source: &Source,
    application: &str,
    username: &str,
    password_file: &Path,
    root: Option<PathBuf>,
) -> Vec<(OsString, OsString)> {
    let mut variables: Vec<(OsString, OsString)> = vec![
        ("PGHOST".into(), source.host.clone().into()),
        ("PGPORT".into(), source.port.to_string().into()),
        ("PGUSER".into(), username.into()),
        ("PGDATABASE".into(), source.database.clone().into()),
        ("PGPASSFILE".into(), password_file.into()),
        ("PGCONNECT_TIMEOUT".into(), "30".into()),
        ("PGAPPNAME".into(), application.into()),
        ("PGTARGETSESSIONATTRS".into(), "any".into()),
        ("PGGSSENCMODE".into(), "disable".into()),
        // Points in time are written in the session's zone: the same rows have the same text wherever they are.
        ("PGTZ".into(), "UTC".into()),
    ];
    // The operating system's list works with verify-full only, which is stricter.
    let mode = match &root {
        Some(root) if root.as_os_str() == "system" => "verify-full",
        _ => source.tls.as_str(),
    };
    variables.push(("PGSSLMODE".into(), mode.into()));
    if let Some(root) = root {
        variables.push(("PGSSLROOTCERT".into(), root.into()));
    }
    variables
}

/// An option file for the tools of MySQL and MariaDB.
fn options(
    source: &Source,
    protection: Protection,
    username: &str,
    password: &str,
    root: Option<&Path>,
) -> Result<String, CredentialsError> {
    let root = root.map(|path| path.to_string_lossy().into_owned());
    let mut lines = vec![
        "[client]".to_owned(),
        format!("host={}", quote("host", &source.host)?),
        format!("port={}", source.port),
        // Otherwise `localhost` would mean a socket.
        "protocol=tcp".to_owned(),
        format!("user={}", quote("username", username)?),
        format!("password={}", quote("password", password)?),
    ];
    if let Some(root) = root {
        lines.push(format!("ssl-ca={}", quote("ca.crt", &root)?));
    }
    let words: &[&str] = match (source.flavour, protection) {
        (Flavour::Mariadb, Protection::Off) => &["skip-ssl"],
        (Flavour::Mariadb, Protection::Encrypted) => &["ssl", "skip-ssl-verify-server-cert"],
        // It cannot check the authority without the name, so it checks both.
        (Flavour::Mariadb, Protection::Authority | Protection::Full) => {
            &["ssl", "ssl-verify-server-cert"]
        }
        (_, Protection::Off) => &["ssl-mode=DISABLED"],
        (_, Protection::Encrypted) => &["ssl-mode=REQUIRED"],
        (_, Protection::Authority) => &["ssl-mode=VERIFY_CA"],
        (_, Protection::Full) => &["ssl-mode=VERIFY_IDENTITY"],
    };
    lines.extend(words.iter().map(|&word| word.to_owned()));
    lines.push(String::new());
    Ok(lines.join("\n"))
}

/// A value for an option file. Within quotes, `#` does not begin a comment, spaces are kept, and backslashes escape.
fn quote(what: &'static str, value: &str) -> Result<String, CredentialsError> {
    // The tools read lines of at most 4 KiB.
    if value.contains('\0') || value.len() > 1500 {
        return Err(CredentialsError::Unusable(what));
    }
    let mut quoted = String::from("\"");
    for char in value.chars() {
        match char {
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{8}' => quoted.push_str("\\b"),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

#[cfg(test)]
#[path = "credentials_tests.rs"]
mod tests;
