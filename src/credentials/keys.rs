//! What the Secret of a Database contains: from the connection to the keys. Pure.
//!
//! The keys follow the Service Binding specification (servicebinding.io, version 1.1): `type` and `provider` beside
//! `host`, `port`, `database`, `username`, `password` and `uri`.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use crate::api::database::SECRET_KEYS;
use crate::provider::Flavour;
use crate::template::{self, TemplateError, percent_encode};

/// What all of the team's templates may grow to, in bytes: a quarter of what a Secret holds.
const LARGEST: usize = 256 * 1024;

/// Everything that is needed to use a database.
pub struct Connection {
    /// The engine as clients know it.
    pub engine: Flavour,
    /// The server's name or address, as the instance gives it.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The SQL database.
    pub database: String,
    /// The role that owns it.
    pub username: String,
    /// Its password.
    pub password: SecretString,
    /// How a client should use TLS, in PostgreSQL's words: `disable`, `require`, `verify-ca`, `verify-full`.
    pub sslmode: String,
    /// The server's certificate authority in PEM, where the instance names one.
    pub ca: Option<String>,
    /// The version that the server reports. For templates only.
    pub version: String,
    /// Further hosts of the server, by the names that the instance gives them. For templates only.
    pub hosts: BTreeMap<String, String>,
}

/// The `type` of servicebinding.io: the protocol.
#[must_use]
pub(crate) fn binding_type(engine: Flavour) -> &'static str {
    match engine {
        Flavour::Postgresql => "postgresql",
        Flavour::Mysql | Flavour::Mariadb => "mysql",
    }
}

/// The `provider` of servicebinding.io: the server.
fn binding_provider(engine: Flavour) -> &'static str {
    match engine {
        Flavour::Postgresql => "postgresql",
        Flavour::Mysql => "mysql",
        Flavour::Mariadb => "mariadb",
    }
}

/// Every key of the Secret, the team's own included. Fails when one of the team's templates does.
pub(crate) fn render(
    connection: &Connection,
    templates: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, SecretError> {
    let fixed = fixed_keys(connection);
    let values = template_values(connection, &fixed);
    let mut keys = BTreeMap::new();
    let mut length = 0;
    for (key, text) in templates {
        if SECRET_KEYS.contains(&key.as_str()) {
            return Err(SecretError::FixedKey { key: key.clone() });
        }
        let rendered = template::render(text, &values).map_err(|source| SecretError::Template {
            key: key.clone(),
            source,
        })?;
        length += rendered.len();
        if length > LARGEST {
            return Err(SecretError::TooLarge);
        }
        keys.insert(key.clone(), rendered);
    }
    keys.extend(fixed);
    Ok(keys)
}

/// Why a Secret cannot be written as its template says.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The template would replace a key that applications rely on.
    #[error("secretTemplate.data cannot replace the key {key}: choose another name")]
    FixedKey {
        /// The key.
        key: String,
    },
    /// There is too much of it.
    #[error("what secretTemplate.data makes is larger than {LARGEST} bytes in all")]
    TooLarge,
    /// A value does not render.
    #[error("secretTemplate.data[{key}]: {source}")]
    Template {
        /// The key whose template it is.
        key: String,
        /// What is wrong with it.
        source: TemplateError,
    },
}

pub(super) fn fixed_keys(connection: &Connection) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::from([
        ("host", connection.host.clone()),
        ("port", connection.port.to_string()),
        ("database", connection.database.clone()),
        ("username", connection.username.clone()),
        ("password", connection.password.expose_secret().to_owned()),
        ("uri", uri(connection)),
        ("jdbc-url", jdbc_url(connection)),
        ("type", binding_type(connection.engine).to_owned()),
        ("provider", binding_provider(connection.engine).to_owned()),
        ("sslmode", connection.sslmode.clone()),
    ]);
    if let Some(ca) = &connection.ca {
        keys.insert("ca.crt", ca.clone());
    }
    keys.into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}

/// The names a template can use. `ca.crt` would be read as a path, so it is `ca` here, and always there.
fn template_values(connection: &Connection, fixed: &BTreeMap<String, String>) -> Value {
    let mut values: Map<String, Value> = fixed
        .iter()
        .filter(|(key, _)| *key != "ca.crt")
        .map(|(key, value)| (key.clone(), value.as_str().into()))
        .collect();
    values.insert(
        "ca".into(),
        fixed.get("ca.crt").cloned().unwrap_or_default().into(),
    );
    values.insert("version".into(), connection.version.as_str().into());
    let hosts: Map<String, Value> = connection
        .hosts
        .iter()
        .map(|(name, host)| (name.clone(), host.as_str().into()))
        .collect();
    values.insert("hosts".into(), hosts.into());
    values.into()
}

fn uri(connection: &Connection) -> String {
    let (scheme, tls) = match connection.engine {
        Flavour::Postgresql => ("postgresql", format!("sslmode={}", connection.sslmode)),
        Flavour::Mysql | Flavour::Mariadb => (
            "mysql",
            format!("ssl-mode={}", mysql_tls(&connection.sslmode)),
        ),
    };
    format!(
        "{scheme}://{}:{}@{}/{}?{tls}",
        percent_encode(&connection.username),
        percent_encode(connection.password.expose_secret()),
        authority(connection),
        percent_encode(&connection.database),
    )
}

fn jdbc_url(connection: &Connection) -> String {
    let (scheme, tls) = match connection.engine {
        Flavour::Postgresql => ("postgresql", format!("sslmode={}", connection.sslmode)),
        Flavour::Mysql => (
            "mysql",
            format!("sslMode={}", mysql_tls(&connection.sslmode)),
        ),
        // MariaDB Connector/J has words of its own; what encrypts without verifying is `trust`.
        Flavour::Mariadb => {
            let mode = if connection.sslmode == "require" {
                "trust"
            } else {
                &connection.sslmode
            };
            ("mariadb", format!("sslMode={mode}"))
        }
    };
    format!(
        "jdbc:{scheme}://{}/{}?user={}&password={}&{tls}",
        authority(connection),
        percent_encode(&connection.database),
        percent_encode(&connection.username),
        percent_encode(connection.password.expose_secret()),
    )
}

/// Host and port; an IPv6 address goes into brackets.
fn authority(connection: &Connection) -> String {
    if connection.host.contains(':') {
        format!("[{}]:{}", connection.host, connection.port)
    } else {
        format!("{}:{}", connection.host, connection.port)
    }
}

/// The same modes in the words of MySQL's clients.
fn mysql_tls(sslmode: &str) -> &'static str {
    match sslmode {
        "disable" => "DISABLED",
        "verify-ca" => "VERIFY_CA",
        "verify-full" => "VERIFY_IDENTITY",
        _ => "REQUIRED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(engine: Flavour) -> Connection {
        Connection {
            engine,
            host: "db.example".into(),
            port: 5432,
            database: "my db".into(),
            username: "o'rders".into(),
            password: "p@ss/w:rd%#?&=+ \"\\é".to_owned().into(),
            sslmode: "verify-full".into(),
            ca: Some("-----BEGIN CERTIFICATE-----".into()),
            version: "17.6".into(),
            hosts: BTreeMap::from([("reader".to_owned(), "replica.example".to_owned())]),
        }
    }

    #[test]
    fn every_fixed_key_is_there() {
        let keys = render(&connection(Flavour::Postgresql), &BTreeMap::new()).unwrap();
        let mut expected = SECRET_KEYS.map(str::to_owned).to_vec();
        expected.sort();
        assert_eq!(keys.into_keys().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn uris_are_percent_encoded_and_say_how_to_use_tls() {
        let password = "p%40ss%2Fw%3Ard%25%23%3F%26%3D%2B%20%22%5C%C3%A9";
        let expected = [
            (
                Flavour::Postgresql,
                format!(
                    "postgresql://o%27rders:{password}@db.example:5432/my%20db?sslmode=verify-full"
                ),
                format!(
                    "jdbc:postgresql://db.example:5432/my%20db?user=o%27rders&password={password}&sslmode=verify-full"
                ),
            ),
            (
                Flavour::Mysql,
                format!(
                    "mysql://o%27rders:{password}@db.example:5432/my%20db?ssl-mode=VERIFY_IDENTITY"
                ),
                format!(
                    "jdbc:mysql://db.example:5432/my%20db?user=o%27rders&password={password}&sslMode=VERIFY_IDENTITY"
                ),
            ),
            (
                Flavour::Mariadb,
                format!(
                    "mysql://o%27rders:{password}@db.example:5432/my%20db?ssl-mode=VERIFY_IDENTITY"
                ),
                format!(
                    "jdbc:mariadb://db.example:5432/my%20db?user=o%27rders&password={password}&sslMode=verify-full"
                ),
            ),
        ];
        for (engine, uri, jdbc) in expected {
            let keys = render(&connection(engine), &BTreeMap::new()).unwrap();
            assert_eq!((&keys["uri"], &keys["jdbc-url"]), (&uri, &jdbc));
        }
    }

    #[test]
    fn an_ipv6_host_goes_into_brackets() {
        let connection = Connection {
            host: "fd00::1".into(),
            ..connection(Flavour::Postgresql)
        };
        assert!(uri(&connection).contains("@[fd00::1]:5432/"));
    }

    #[test]
    fn templates_add_keys_but_replace_none() {
        let connection = connection(Flavour::Postgresql);
        let own = BTreeMap::from([(
            "DATABASE_URL".to_owned(),
            "pg://{{uriencode username}}@{{host}}".to_owned(),
        )]);
        assert_eq!(
            render(&connection, &own).unwrap()["DATABASE_URL"],
            "pg://o%27rders@db.example"
        );
        for key in SECRET_KEYS {
            let replacing = BTreeMap::from([(key.to_owned(), "x".to_owned())]);
            assert!(
                matches!(
                    render(&connection, &replacing),
                    Err(SecretError::FixedKey { .. })
                ),
                "{key}"
            );
        }
    }

    #[test]
    fn templates_know_the_version_and_the_named_hosts() {
        let connection = connection(Flavour::Postgresql);
        let own = |template: &str| {
            let own = BTreeMap::from([("OWN".to_owned(), template.to_owned())]);
            render(&connection, &own)
        };
        let keys = own("{{version}} {{hosts.reader}}").unwrap();
        assert_eq!(keys["OWN"], "17.6 replica.example");
        assert!(!keys.contains_key("version"), "they are for templates only");
        let error = own("{{hosts.writer}}").unwrap_err().to_string();
        assert!(
            error.contains("'hosts.writer'") && error.contains("hosts.reader, jdbc-url"),
            "{error}"
        );
    }

    #[test]
    fn a_template_that_fails_names_its_key() {
        let own = BTreeMap::from([("DATABASE_URL".to_owned(), "{{pasword}}".to_owned())]);
        let error = render(&connection(Flavour::Mysql), &own)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("DATABASE_URL") && error.contains("pasword"),
            "{error}"
        );
    }

    /// As much as the API takes, with values as long as they may be: all of it is one piece of work.
    #[test]
    fn what_templates_make_is_bounded_in_all() {
        let of = |keys: usize| -> BTreeMap<String, String> {
            let template = "{{uriencode password}}".repeat(20);
            (0..keys)
                .map(|n| (format!("K{n}"), template.clone()))
                .collect()
        };
        let connection = Connection {
            password: "%".repeat(1024).into(),
            ..connection(Flavour::Postgresql)
        };
        let each = 20 * 3 * 1024;
        assert!(each < 64 * 1024, "each may be so long");
        assert!(render(&connection, &of(LARGEST / each)).is_ok());
        let error = render(&connection, &of(LARGEST / each + 1)).unwrap_err();
        assert!(matches!(error, SecretError::TooLarge), "{error}");
    }
}
