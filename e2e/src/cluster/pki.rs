//! Certificates: an authority in a folder, and what it signs.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::{Error, Result};

/// A certificate and its private key, as PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate (`tls.crt`).
    pub certificate: String,
    /// Its private key, PKCS #8 (`tls.key`).
    pub key: String,
}

/// A certificate authority of the cluster's: its key lives in the state folder and dies with it.
#[derive(Debug, Clone)]
pub struct Authority {
    folder: PathBuf,
    name: String,
}

impl Authority {
    /// The authority `name` in this folder, made if it is not there.
    pub fn open(folder: &Path, name: &str) -> Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(Error::io("create", folder))?;
        let authority = Self {
            folder: folder.to_owned(),
            name: name.to_owned(),
        };
        if !authority.certificate_path().is_file() {
            authority.create()?;
        }
        Ok(authority)
    }

    /// Where its certificate is, as PEM.
    #[must_use]
    pub fn certificate_path(&self) -> PathBuf {
        self.folder.join(format!("{}-ca.crt", self.name))
    }

    /// Where its private key is, as PEM.
    #[must_use]
    pub fn key_path(&self) -> PathBuf {
        self.folder.join(format!("{}-ca.key", self.name))
    }

    /// Its certificate as PEM (`ca.crt`).
    pub fn certificate(&self) -> Result<String> {
        read(&self.certificate_path())
    }

    /// A new identity for a server that answers under these DNS names and IP addresses. The first is its common name.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        let mut params = self.params(names.first().copied().unwrap_or_default(), names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.sign(&params)
    }

    /// A new identity for a Kubernetes client: its user name and its groups.
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Identity> {
        let mut params = self.params(user, &[])?;
        for group in groups {
            params
                .distinguished_name
                .push(DnType::OrganizationName, *group);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(&params)
    }

    fn create(&self) -> Result<()> {
        let key = KeyPair::generate().map_err(self.error("make a key"))?;
        let mut params = self.params(&format!("db-operator e2e {} CA", self.name), &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params
            .self_signed(&key)
            .map_err(self.error("make the certificate of"))?;
        // The certificate is what `open` looks for, so it comes last.
        write_private(&self.key_path(), &key.serialize_pem())?;
        write_private(&self.certificate_path(), &certificate.pem())
    }

    fn params(&self, common_name: &str, names: &[&str]) -> Result<CertificateParams> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params =
            CertificateParams::new(names).map_err(self.error("name a certificate of"))?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        // The key never leaves the state folder and lives as long as a test cluster: an early end would only get in the way.
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        Ok(params)
    }

    fn sign(&self, params: &CertificateParams) -> Result<Identity> {
        let mut params = params.clone();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let own_key =
            KeyPair::from_pem(&read(&self.key_path())?).map_err(self.error("read the key of"))?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate()?, own_key)
            .map_err(self.error("read the certificate of"))?;
        let key = KeyPair::generate().map_err(self.error("make a key"))?;
        let certificate = params
            .signed_by(&key, &issuer)
            .map_err(self.error("sign with"))?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    fn error(&self, what: &str) -> impl FnOnce(rcgen::Error) -> Error + use<> {
        let what = format!("{what} the {} authority", self.name);
        move |source| Error::Certificate { what, source }
    }
}

/// A key pair that signs service accounts' tokens: the private and the public key, as PEM.
pub fn signing_key() -> Result<(String, String)> {
    let key = KeyPair::generate().map_err(|source| Error::Certificate {
        what: "make the key of service accounts".to_owned(),
        source,
    })?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}

/// Writes a file that only its owner may read, in one step: it is there whole or not at all.
pub(super) fn write_private(path: &Path, content: &str) -> Result<()> {
    use std::io::Write;
    let unfinished = path.with_added_extension("new");
    let open = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished);
    open.and_then(|mut file| file.write_all(content.as_bytes()))
        .map_err(Error::io("write", &unfinished))?;
    fs::rename(&unfinished, path).map_err(Error::io("write", path))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io("read", path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)] // a test may end with a panic

    use super::*;

    #[test]
    fn an_authority_is_made_once_and_signs_for_names_and_addresses() {
        let folder = std::env::temp_dir().join(format!("pki-test-{}", std::process::id()));
        let authority = Authority::open(&folder, "test").unwrap();
        let certificate = authority.certificate().unwrap();
        assert_eq!(
            Authority::open(&folder, "test")
                .unwrap()
                .certificate()
                .unwrap(),
            certificate
        );
        let server = authority
            .server(&["postgres.databases.svc", "10.1.2.3"])
            .unwrap();
        let leaf = folder.join("leaf.crt");
        fs::write(&leaf, &server.certificate).unwrap();
        let verify = |option: &str, value: &str| {
            let mut openssl = std::process::Command::new("openssl");
            openssl
                .arg("verify")
                .arg("-CAfile")
                .arg(authority.certificate_path())
                .args([option, value])
                .arg(&leaf);
            openssl.output().unwrap().status.success()
        };
        assert!(verify("-verify_hostname", "postgres.databases.svc"));
        assert!(verify("-verify_ip", "10.1.2.3"));
        assert!(!verify("-verify_hostname", "mysql.databases.svc"));
        fs::remove_dir_all(&folder).unwrap();
    }
}
