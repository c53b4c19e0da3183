//! The way into a server past the operator, for tests and the demo: SQL as superuser, and what the server was told.

use crate::cluster::Cluster;
use crate::{Result, command};

use super::NAMESPACE;

/// Where each server writes every statement and connection.
pub const STATEMENTS: &str = "/var/log/database/statements.log";

/// Runs SQL as the server's superuser, inside its pod, and returns its rows: columns are divided by tabs, without headers.
///
/// `name` is one of [`DATABASES`](super::DATABASES). On PostgreSQL the statements run in the database `postgres`.
pub fn superuser(cluster: &Cluster, name: &str, sql: &str) -> Result<String> {
    let client: &[&str] = match name {
        "postgres" => &[
            "psql",
            "--host=/run/database",
            "--username=postgres",
            "--no-psqlrc",
            "--quiet",
            "--tuples-only",
            "--no-align",
            "--field-separator=\t",
            "--set=ON_ERROR_STOP=1",
            "--file=-",
        ],
        "mariadb" => &[
            "mariadb",
            "--no-defaults",
            "--socket=/run/database/mysqld.sock",
            "--user=root",
            "--batch",
            "--skip-column-names",
        ],
        _ => &[
            "mysql",
            "--no-defaults",
            "--socket=/run/database/mysqld.sock",
            "--user=root",
            "--batch",
            "--skip-column-names",
        ],
    };
    let mut exec = cluster.kubectl();
    exec.args(["exec", "--stdin", "--namespace", NAMESPACE])
        .args([&format!("deployment/{name}"), "--"])
        .args(client);
    command::output_with_input(&mut exec, sql)
}

/// How many lines of the server's statement log contain this text, as it stands.
pub fn statements_with(cluster: &Cluster, name: &str, text: &str) -> Result<u64> {
    let mut exec = cluster.kubectl();
    // The text is given on stdin, so that looking for a password does not show it.
    // No match is grep's 1, and no failure here.
    exec.args(["exec", "--stdin", "--namespace", NAMESPACE])
        .args([&format!("deployment/{name}"), "--"])
        .args([
            "sh",
            "-c",
            &format!("grep --count --text --fixed-strings --file=- {STATEMENTS} || [ $? = 1 ]"),
        ]);
    let count = command::output_with_input(&mut exec, text)?;
    count.trim().parse().map_err(|_| {
        crate::Error::Precondition(format!(
            "counting lines in {STATEMENTS} of {name} gave {count:?}"
        ))
    })
}
