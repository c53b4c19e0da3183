//! What the servers and their clients share: accounts, certificates, keys.

use std::collections::BTreeMap;
use std::io::Read;

use db_operator::api::destination::{ACCESS_KEY_ID_KEY, SECRET_ACCESS_KEY_KEY};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use serde_json::Value;

use crate::cache::Key;
use crate::cluster::{Authority, Cluster};
use crate::{Error, Result, command};

use super::{DATABASES, NAMESPACE, OPERATOR_NAMESPACE, S3};

/// The role or account that the operator logs in as: what a managed server gives its customers, and no superuser.
const ADMINISTRATOR: &str = "dboperator_admin";

type Data = BTreeMap<String, String>;

/// The Secrets of one cluster, by namespace and name.
pub(super) struct Secrets(BTreeMap<(&'static str, String), Data>);

impl Secrets {
    /// The cluster's Secrets: as they are in the servers' namespace, or new where they are not.
    ///
    /// The servers' namespace is what counts, since their accounts were made from it: what the operator needs is a copy.
    pub(super) fn of(cluster: &Cluster) -> Result<Self> {
        let existing = read(cluster)?;
        Self::complete(&existing, &cluster.ca()?)
    }

    fn complete(existing: &BTreeMap<String, Data>, ca: &Authority) -> Result<Self> {
        let mut all = Self(BTreeMap::new());
        let authority = BTreeMap::from([("ca.crt".to_owned(), ca.certificate()?)]);
        for server in DATABASES {
            let superuser = if server == "postgres" {
                "postgres"
            } else {
                "root"
            };
            let administrator = all.keep(existing, format!("{server}-admin"), || {
                account(ADMINISTRATOR)
            })?;
            all.keep(existing, format!("{server}-superuser"), || {
                account(superuser)
            })?;
            all.keep_certificate(existing, server, ca)?;
            all.set(OPERATOR_NAMESPACE, format!("{server}-admin"), administrator);
            all.set(
                OPERATOR_NAMESPACE,
                format!("{server}-ca"),
                authority.clone(),
            );
        }
        let keys = all.keep(existing, format!("{S3}-keys"), || {
            Ok(BTreeMap::from([
                ("accessKeyId".to_owned(), random()?[..20].to_owned()),
                ("secretAccessKey".to_owned(), random()?),
            ]))
        })?;
        all.keep_certificate(existing, S3, ca)?;
        // The operator reads the names that S3's own tools have for them.
        let named = |from: &str, to: &str| Some((to.to_owned(), keys.get(from)?.clone()));
        let for_operator = [
            named("accessKeyId", ACCESS_KEY_ID_KEY),
            named("secretAccessKey", SECRET_ACCESS_KEY_KEY),
        ];
        all.set(
            OPERATOR_NAMESPACE,
            "backups-s3".to_owned(),
            for_operator.into_iter().flatten().collect(),
        );
        all.set(OPERATOR_NAMESPACE, format!("{S3}-ca"), authority);
        Ok(all)
    }

    /// The Secrets as objects to apply.
    pub(super) fn objects(&self) -> Result<Vec<Value>> {
        self.0
            .iter()
            .map(|((namespace, name), data)| {
                let secret = Secret {
                    metadata: ObjectMeta {
                        namespace: Some((*namespace).to_owned()),
                        name: Some(name.clone()),
                        ..ObjectMeta::default()
                    },
                    data: Some(
                        data.iter()
                            .map(|(key, value)| {
                                (key.clone(), ByteString(value.clone().into_bytes()))
                            })
                            .collect(),
                    ),
                    ..Secret::default()
                };
                serde_json::to_value(secret).map_err(|source| {
                    Error::Precondition(format!(
                        "the Secret {name} cannot be written as JSON: {source}"
                    ))
                })
            })
            .collect()
    }

    /// A key of each Secret in the servers' namespace whose name is wanted.
    pub(super) fn keys(&self, wanted: impl Fn(&str) -> bool) -> Vec<String> {
        self.0
            .iter()
            .filter(|((namespace, name), _)| *namespace == NAMESPACE && wanted(name))
            .map(|(_, data)| {
                let parts = data.iter().flat_map(|(key, value)| [key, value]);
                parts.fold(Key::new(), |key, part| key.text(part)).hex()
            })
            .collect()
    }

    fn set(&mut self, namespace: &'static str, name: String, data: Data) {
        self.0.insert((namespace, name), data);
    }

    fn keep(
        &mut self,
        existing: &BTreeMap<String, Data>,
        name: String,
        make: impl FnOnce() -> Result<Data>,
    ) -> Result<Data> {
        let data = existing.get(&name).cloned().map_or_else(make, Ok)?;
        self.set(NAMESPACE, name, data.clone());
        Ok(data)
    }

    /// A server's certificate for the names that its Service has, unless there is one of this authority.
    fn keep_certificate(
        &mut self,
        existing: &BTreeMap<String, Data>,
        server: &str,
        ca: &Authority,
    ) -> Result<()> {
        let authority = ca.certificate()?;
        let name = format!("{server}-tls");
        let make = || {
            let identity = ca.server(&[
                server,
                &format!("{server}.{NAMESPACE}"),
                &format!("{server}.{NAMESPACE}.svc"),
                &format!("{server}.{NAMESPACE}.svc.cluster.local"),
            ])?;
            Ok(BTreeMap::from([
                ("ca.crt".to_owned(), authority.clone()),
                ("tls.crt".to_owned(), identity.certificate),
                ("tls.key".to_owned(), identity.key),
            ]))
        };
        let current = existing
            .get(&name)
            .filter(|data| data.get("ca.crt") == Some(&authority));
        let data = current.cloned().map_or_else(make, Ok)?;
        self.set(NAMESPACE, name, data);
        Ok(())
    }
}

/// The Secrets in the servers' namespace; none if there is no such namespace.
fn read(cluster: &Cluster) -> Result<BTreeMap<String, Data>> {
    #[derive(Deserialize)]
    struct List {
        items: Vec<Secret>,
    }
    let mut get = cluster.kubectl();
    get.args(["get", "secrets", "--output=json", "--namespace", NAMESPACE]);
    let list: List = serde_json::from_str(&command::output(&mut get)?).map_err(|source| {
        Error::Precondition(format!("kubectl wrote no list of Secrets: {source}"))
    })?;
    let text = |value: ByteString| String::from_utf8_lossy(&value.0).into_owned();
    Ok(list
        .items
        .into_iter()
        .map(|secret| {
            let data = secret.data.unwrap_or_default();
            let data = data.into_iter().map(|(key, value)| (key, text(value)));
            (secret.metadata.name.unwrap_or_default(), data.collect())
        })
        .collect())
}

fn account(username: &str) -> Result<Data> {
    Ok(BTreeMap::from([
        ("username".to_owned(), username.to_owned()),
        ("password".to_owned(), random()?),
    ]))
}

/// 192 random bits in hex: nothing that SQL or a shell would have to quote.
fn random() -> Result<String> {
    let path = std::path::Path::new("/dev/urandom");
    let mut bytes = [0_u8; 24];
    std::fs::File::open(path)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Error::io("read", path))?;
    Ok(bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    fn of_servers(secrets: &Secrets) -> BTreeMap<String, Data> {
        let own = secrets
            .0
            .iter()
            .filter(|((namespace, _), _)| *namespace == NAMESPACE);
        own.map(|((_, name), data)| (name.clone(), data.clone()))
            .collect()
    }

    #[test]
    fn secrets_stay_and_certificates_follow_the_authority() {
        let folder = std::env::temp_dir().join(format!("secrets-test-{}", std::process::id()));
        let ca = Authority::open(&folder.join("one"), "test").unwrap();
        let first = Secrets::complete(&BTreeMap::new(), &ca).unwrap();
        let again = Secrets::complete(&of_servers(&first), &ca).unwrap();
        assert_eq!(first.0, again.0);

        let other = Authority::open(&folder.join("other"), "test").unwrap();
        let renewed = Secrets::complete(&of_servers(&first), &other).unwrap();
        let (first, renewed) = (of_servers(&first), of_servers(&renewed));
        assert_eq!(first["mysql-admin"], renewed["mysql-admin"]);
        assert_ne!(first["mysql-tls"], renewed["mysql-tls"]);
        assert_eq!(renewed["mysql-tls"]["ca.crt"], other.certificate().unwrap());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn the_operator_gets_copies_and_no_superuser() {
        let folder = std::env::temp_dir().join(format!("secrets-copy-test-{}", std::process::id()));
        let ca = Authority::open(&folder, "test").unwrap();
        let all = Secrets::complete(&BTreeMap::new(), &ca).unwrap().0;
        for server in DATABASES {
            let name = format!("{server}-admin");
            assert_eq!(
                all[&(NAMESPACE, name.clone())],
                all[&(OPERATOR_NAMESPACE, name)]
            );
            assert!(!all.contains_key(&(OPERATOR_NAMESPACE, format!("{server}-superuser"))));
        }
        assert_eq!(
            all[&(OPERATOR_NAMESPACE, "backups-s3".to_owned())][ACCESS_KEY_ID_KEY].len(),
            20
        );
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
