//! The servers that the other tests rely on are what they should be. They need the cluster: `cargo xtask up`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test may end with a panic

mod clients;
mod s3;

use std::time::Duration;

use e2e::cluster::{Authority, Cluster};
use e2e::{command, servers};

use clients::Clients;

/// How each client connects as the administrator; `{tls}` stands for its options.
const CONNECT: [(&str, &str); 3] = [
    (
        "postgres",
        "PGPASSWORD=$(cat /clients/postgres/password) psql --no-psqlrc -qtA -v ON_ERROR_STOP=1 \"host={host} user=dboperator_admin dbname=postgres {tls}\"",
    ),
    (
        "mariadb",
        "MYSQL_PWD=$(cat /clients/mariadb/password) mariadb --no-defaults -BN -h {host} -u dboperator_admin {tls}",
    ),
    (
        "mysql",
        "MYSQL_PWD=$(cat /clients/mysql/password) mysql --no-defaults -BN -h {host} -u dboperator_admin {tls}",
    ),
];

/// The shell line that runs SQL as the administrator.
fn connect(server: &str, host: &str, tls: &str, sql: &str) -> String {
    let (_, line) = CONNECT.iter().find(|(name, _)| *name == server).unwrap();
    let line = line.replace("{host}", host).replace("{tls}", tls);
    format!("{line} <<'SQL'\n{sql}\nSQL")
}

/// The options that verify the server's certificate and name against this authority.
fn verify(server: &str, authority: &str) -> String {
    match server {
        "postgres" => format!("sslmode=verify-full sslrootcert=/clients/{authority}"),
        "mariadb" => format!("--ssl-ca=/clients/{authority} --ssl-verify-server-cert"),
        _ => format!("--ssl-ca=/clients/{authority} --ssl-mode=VERIFY_IDENTITY"),
    }
}

/// The statement that says whether the session is encrypted, and how.
fn tls_in_use(server: &str) -> &'static str {
    match server {
        "postgres" => "SELECT coalesce(version, '') FROM pg_stat_ssl WHERE pid = pg_backend_pid();",
        _ => "SHOW SESSION STATUS LIKE 'ssl_version';",
    }
}

#[test]
fn every_server_answers_over_tls_under_each_name_of_its_service() {
    let clients = Clients::start("tls");
    for server in servers::DATABASES {
        for suffix in ["", ".svc", ".svc.cluster.local"] {
            let host = format!("{server}.databases{suffix}");
            let line = connect(server, &host, &verify(server, "ca.crt"), tls_in_use(server));
            let answer = clients.run(server, &line).unwrap();
            assert!(answer.contains("TLSv1.3"), "{host}: {answer}");
        }
        let host = format!("{server}.databases.svc");
        let line = connect(
            server,
            &host,
            &verify(server, "other-ca.crt"),
            tls_in_use(server),
        );
        let refusal = clients.run(server, &line).unwrap_err().to_string();
        assert!(
            refusal.contains("certificate"),
            "{server} with another authority: {refusal}"
        );
    }
}

#[test]
fn only_mysql_insists_on_tls() {
    let clients = Clients::start("plain");
    for (server, off) in [
        ("postgres", "sslmode=disable"),
        ("mariadb", "--skip-ssl"),
        ("mysql", "--ssl-mode=DISABLED"),
    ] {
        let line = connect(
            server,
            &format!("{server}.databases.svc"),
            off,
            tls_in_use(server),
        );
        match clients.run(server, &line) {
            Ok(answer) => assert!(
                server != "mysql" && !answer.contains("TLS"),
                "{server}: {answer}"
            ),
            Err(refusal) => assert!(
                server == "mysql" && refusal.to_string().contains("insecure transport"),
                "{server}: {refusal}"
            ),
        }
    }
}

#[test]
fn administrators_make_databases_and_users_and_are_no_superusers() {
    let clients = Clients::start("admin");
    let name = format!("e2e_admin_{}", std::process::id());
    let run = |server: &str, sql: &str| {
        let host = format!("{server}.databases.svc");
        clients.run(
            server,
            &connect(server, &host, &verify(server, "ca.crt"), sql),
        )
    };

    let rights = run("postgres", "SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls FROM pg_roles WHERE rolname = current_user;").unwrap();
    assert_eq!(rights, "f|t|t|f|f");
    run("postgres", &format!("CREATE ROLE {name} LOGIN; GRANT {name} TO CURRENT_USER; CREATE DATABASE {name} OWNER {name};")).unwrap();
    run("postgres", &format!("DROP DATABASE {name};")).unwrap();
    run("postgres", &format!("DROP ROLE {name};")).unwrap();
    let refusal = run("postgres", "SELECT * FROM pg_authid;")
        .unwrap_err()
        .to_string();
    assert!(refusal.contains("permission denied"), "{refusal}");

    for server in ["mariadb", "mysql"] {
        run(server, &format!("CREATE DATABASE {name}; CREATE USER {name}@'%'; GRANT ALL ON {name}.* TO {name}@'%'; DROP USER {name}@'%'; DROP DATABASE {name};")).unwrap();
        let grants = run(server, "SHOW GRANTS;").unwrap();
        for power in [
            "SUPER",
            "ALL PRIVILEGES",
            "SYSTEM_USER",
            "RELOAD",
            "FILE",
            "SHUTDOWN",
        ] {
            assert!(!grants.contains(power), "{server}: {grants}");
        }
        let refusal = run(server, "SET GLOBAL general_log = ON;")
            .unwrap_err()
            .to_string();
        assert!(refusal.contains("Access denied"), "{server}: {refusal}");
    }
}

#[test]
fn statements_show_in_the_log_and_passwords_of_accounts_do_not() {
    let cluster = Cluster::main();
    for server in servers::DATABASES {
        let marker = format!("marker-{}-{server}", std::process::id());
        let logged = |text: &str| servers::statements_with(&cluster, server, text).unwrap();
        assert_eq!(logged(&marker), 0, "{server}");
        assert_eq!(
            servers::superuser(&cluster, server, &format!("SELECT '{marker}'")).unwrap(),
            marker
        );
        // PostgreSQL writes its log in another process.
        command::wait_until(
            "the statement's line",
            Duration::from_secs(10),
            None,
            || Ok(logged(&marker) > 0),
        )
        .unwrap();
        for account in ["admin", "superuser"] {
            let mut get = cluster.kubectl();
            get.args([
                "get",
                "secret",
                &format!("{server}-{account}"),
                "-n",
                servers::NAMESPACE,
            ])
            .args(["-o", "go-template={{.data.password | base64decode}}"]);
            let password = command::output(&mut get).unwrap();
            assert_eq!(password.len(), 48);
            assert_eq!(
                logged(&password),
                0,
                "{server}: the password of {account} is in the log"
            );
        }
    }
}

#[test]
fn the_bucket_takes_an_object_over_tls_and_only_with_the_right_key() {
    s3::put_get_delete();
}

#[test]
fn nothing_changes_when_nothing_did() {
    let cluster = Cluster::main();
    let cache = e2e::cache::Cache::open().unwrap();
    let pods = || {
        let mut get = cluster.kubectl();
        get.args([
            "get",
            "pods",
            "-n",
            servers::NAMESPACE,
            "-o",
            "jsonpath={.items[*].metadata.uid}",
        ]);
        command::output(&mut get).unwrap()
    };
    let before = pods();
    assert!(!servers::up(&cluster, &cache).unwrap());
    assert_eq!(pods(), before);
}

/// An authority that signed nothing in the cluster.
fn other_authority() -> String {
    let folder = std::env::temp_dir().join(format!(
        "other-authority-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    ));
    let certificate = Authority::open(&folder, "other")
        .unwrap()
        .certificate()
        .unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    certificate
}
