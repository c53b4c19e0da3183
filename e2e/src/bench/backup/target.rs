//! The S3 server, and the programs that upload to it.

use std::path::{Path, PathBuf};
use std::process::Command;

use db_operator::store::{Keys, Store, StoreConfig};

use crate::cache::Cache;
use crate::s3::{ACCESS_KEY_ID, S3Server, SECRET_ACCESS_KEY};
use crate::{Error, Result, host, tools};

/// The bucket.
pub(in crate::bench) const BUCKET: &str = "backups";

/// Debian's package has it here.
const AWS: &str = "/usr/bin/aws";

/// A server over TLS, because that is where stores are, and there none of the programs hashes what it uploads a second
/// time.
pub(in crate::bench) struct Target {
    server: S3Server,
    pub(in crate::bench) folder: PathBuf,
    s5cmd: PathBuf,
}

impl Target {
    pub(in crate::bench) fn start(cache: &Cache) -> Result<Self> {
        install(cache)?;
        let mut folders = tools::ensure(cache, &[tools::S5CMD])?;
        let s5cmd = folders.pop().unwrap_or_default().join("s5cmd");
        let folder = std::env::temp_dir().join(format!("db-operator-bench-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(Error::io("create", &folder))?;
        let server = S3Server::start_tls()?;
        server.make_bucket(BUCKET)?;
        let target = Self {
            server,
            folder,
            s5cmd,
        };
        let file = target.ca_file();
        std::fs::write(&file, target.ca()).map_err(Error::io("write", &file))?;
        Ok(target)
    }

    /// The certificate of the server's authority.
    pub(in crate::bench) fn ca(&self) -> &str {
        let certificates = self.server.certificates.as_ref();
        certificates.map_or("", |certificates| &certificates.ca)
    }

    fn ca_file(&self) -> PathBuf {
        self.folder.join("store-ca.crt")
    }

    /// The library's view of it.
    pub(in crate::bench) async fn store(&self) -> Result<Store> {
        let config = StoreConfig {
            s3: self.server.s3(BUCKET)?,
            keys: Keys::Static {
                access_key_id: ACCESS_KEY_ID.to_owned(),
                secret_access_key: SECRET_ACCESS_KEY.into(),
                session_token: None,
            },
            ca: Some(self.ca().as_bytes().to_vec()),
        };
        Store::open(config)
            .await
            .map_err(Error::trial("open the bench's store"))
    }

    /// A shell's words that upload their input with the AWS CLI.
    pub(in crate::bench) fn aws_words(&self, key: &str) -> String {
        let endpoint = self.server.endpoint();
        format!("{AWS} s3 cp - s3://{BUCKET}/{key} --endpoint-url {endpoint} --only-show-errors")
    }

    /// The same with s5cmd.
    pub(in crate::bench) fn s5cmd_words(&self, key: &str) -> String {
        let endpoint = self.server.endpoint();
        let s5cmd = self.s5cmd.display();
        format!("{s5cmd} --endpoint-url {endpoint} pipe s3://{BUCKET}/{key}")
    }

    /// A shell's words that print an object with the AWS CLI.
    pub(in crate::bench) fn aws_print_words(&self, key: &str) -> String {
        let endpoint = self.server.endpoint();
        format!("{AWS} s3 cp s3://{BUCKET}/{key} - --endpoint-url {endpoint} --only-show-errors")
    }

    /// The same with s5cmd.
    pub(in crate::bench) fn s5cmd_print_words(&self, key: &str) -> String {
        let endpoint = self.server.endpoint();
        let s5cmd = self.s5cmd.display();
        format!("{s5cmd} --endpoint-url {endpoint} cat s3://{BUCKET}/{key}")
    }

    /// Keys and authorities for both.
    pub(in crate::bench) fn environment(&self, command: &mut Command) {
        command
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID)
            .env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_CA_BUNDLE", self.ca_file())
            .env("SSL_CERT_FILE", self.ca_file());
    }

    /// Size of an object; it is removed, so that the disk does not fill.
    pub(in crate::bench) fn take(&self, key: &str) -> Result<u64> {
        let path = self.server.object_path(BUCKET, key);
        let size = std::fs::metadata(&path).map_err(Error::io("find the object", &path))?;
        std::fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        Ok(size.len())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // What cannot be removed is below the system's temporary folder.
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Debian's packages of the AWS CLI and of zstd, where they are missing.
fn install(cache: &Cache) -> Result<()> {
    for (program, package) in [(AWS, "awscli"), ("/usr/bin/zstd", "zstd")] {
        if Path::new(program).exists() {
            continue;
        }
        host::install(cache, &[package])?;
    }
    Ok(())
}
