use std::os::unix::fs::PermissionsExt;

use super::*;

fn source(flavour: Flavour, tls: &str) -> Source {
    Source {
        flavour,
        series: "17".to_owned(),
        server_version: "17.6".to_owned(),
        host: "db.example".to_owned(),
        port: 5432,
        tls: tls.to_owned(),
        database: "-x = 'y'".to_owned(),
    }
}

fn tool() -> Tool {
    Tool::parse(
        "pg_dump (PostgreSQL) 17.6",
        crate::agent::tool::Purpose::Dump,
    )
    .unwrap()
}

/// A folder with a mounted Secret and a place to work.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, password: &str, ca: bool) -> Self {
        let path = std::env::temp_dir().join(format!("db-operator-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("username"), "o'r").unwrap();
        fs::write(path.join("password"), password).unwrap();
        if ca {
            fs::write(path.join("ca.crt"), "certificate").unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn postgresql_gets_a_password_file_and_an_environment_without_secrets() {
    let folder = Folder::new("pgpass", "a:b\\c #\"'", true);
    let source = source(Flavour::Postgresql, "verify-full");
    let Environment(variables) = prepare(&source, &tool(), "x", &folder.0, &folder.0).unwrap();
    let file = folder.0.join("pgpass");
    assert_eq!(
        fs::read_to_string(&file).unwrap(),
        "*:*:*:*:a\\:b\\\\c #\"'\n"
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    let get = |name: &str| {
        let found = variables.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.to_string_lossy().into_owned())
    };
    assert_eq!(get("PGDATABASE").as_deref(), Some("-x = 'y'"));
    assert_eq!(get("PGSSLMODE").as_deref(), Some("verify-full"));
    assert!(get("PGSSLROOTCERT").unwrap().ends_with("ca.crt"));
    assert!(
        variables
            .iter()
            .all(|(_, value)| !value.to_string_lossy().contains("a:b"))
    );
}

#[test]
fn a_password_that_a_password_file_cannot_hold_is_refused() {
    let folder = Folder::new("newline", "a\nb", false);
    let source = source(Flavour::Postgresql, "require");
    let error = prepare(&source, &tool(), "x", &folder.0, &folder.0).unwrap_err();
    assert!(matches!(error, CredentialsError::Unusable("password")));
}

#[test]
fn each_flavour_has_its_own_words_for_tls() {
    let words = |flavour, tls: &str| {
        let source = source(flavour, tls);
        let protection = Protection::of(&source).unwrap();
        let root = protection.verifies().then_some(Path::new("/c/ca.crt"));
        let text = options(&source, protection, "u", "p", root).unwrap();
        text.split_once("password=\"p\"\n")
            .unwrap()
            .1
            .replace('\n', " ")
    };
    assert_eq!(words(Flavour::Mysql, "disable"), "ssl-mode=DISABLED ");
    assert_eq!(words(Flavour::Mysql, "require"), "ssl-mode=REQUIRED ");
    assert_eq!(
        words(Flavour::Mysql, "verify-ca"),
        "ssl-ca=\"/c/ca.crt\" ssl-mode=VERIFY_CA "
    );
    assert_eq!(
        words(Flavour::Mysql, "verify-full"),
        "ssl-ca=\"/c/ca.crt\" ssl-mode=VERIFY_IDENTITY "
    );
    assert_eq!(words(Flavour::Mariadb, "disable"), "skip-ssl ");
    assert_eq!(
        words(Flavour::Mariadb, "require"),
        "ssl skip-ssl-verify-server-cert "
    );
    assert_eq!(
        words(Flavour::Mariadb, "verify-full"),
        "ssl-ca=\"/c/ca.crt\" ssl ssl-verify-server-cert "
    );
    assert!(Protection::of(&source(Flavour::Mysql, "prefer")).is_err());
}

#[test]
fn what_is_quoted_has_one_line() {
    assert_eq!(
        quote("x", "a\\\"'# \n\r\tü").unwrap(),
        "\"a\\\\\\\"'# \\n\\r\\tü\""
    );
    assert!(quote("x", "\0").is_err());
}
