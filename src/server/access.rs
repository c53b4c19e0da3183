//! Reads what a provider needs to connect, from an instance and its Secrets. Client required: two Secrets, by name.

use std::fmt::Write as _;

use k8s_openapi::api::core::v1::Secret;
use kube::api::Api;
use kube::{Client, ResourceExt};
use secrecy::SecretString;

use crate::api::instance::{ADMIN_PASSWORD_KEY, ADMIN_USERNAME_KEY, Provider, TlsMode};
use crate::api::{DatabaseInstance, InstanceReason};
use crate::client::ApiError;
use crate::provider::{self, Engine, ServerConfig, SqlName, Timeouts, TlsConfig};

/// How to reach a server, and a word that changes whenever something of that does.
#[derive(Clone)]
pub struct Access {
    /// What a provider is opened with.
    pub config: ServerConfig,
    /// The server's certificate authority in PEM, for the Secrets of applications.
    pub ca: Option<String>,
    /// Equal for two that are the same. Holds no password.
    pub fingerprint: String,
}

/// Why there is no way to the server yet, in the words of the instance's conditions.
pub(crate) struct Incomplete {
    /// The condition's reason.
    pub reason: InstanceReason,
    /// Its message.
    pub message: String,
}

/// Reads what is needed to reach the server of `instance`; `namespace` is the operator's own.
pub(crate) async fn read(
    client: &Client,
    namespace: &str,
    instance: &DatabaseInstance,
) -> Result<Result<Access, Incomplete>, ApiError> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let spec = &instance.spec;
    let admin_name = &spec.admin_secret_ref.name;
    let admin = secrets
        .get_opt(admin_name)
        .await
        .map_err(ApiError::of("read the administrator's Secret"))?;
    let Some(admin) = admin else {
        return Ok(Err(missing(format!(
            "there is no Secret {admin_name} in namespace {namespace}: create it with the keys username and password"
        ))));
    };
    let (Some(username), Some(password)) = (
        text(&admin, ADMIN_USERNAME_KEY),
        text(&admin, ADMIN_PASSWORD_KEY),
    ) else {
        return Ok(Err(missing(format!(
            "the Secret {admin_name} in namespace {namespace} needs the keys username and password"
        ))));
    };
    let mut versions = version(&admin);

    let mut ca = None;
    if let Some(reference) = spec.tls.ca.as_ref().map(|ca| &ca.secret_ref) {
        let secret = secrets
            .get_opt(&reference.name)
            .await
            .map_err(ApiError::of("read the Secret of the certificate authority"))?;
        let Some((secret, pem)) =
            secret.and_then(|secret| text(&secret, &reference.key).map(|pem| (secret, pem)))
        else {
            let message = format!(
                "there is no Secret {} with the key {} in namespace {namespace} (spec.tls.ca)",
                reference.name, reference.key
            );
            return Ok(Err(missing(message)));
        };
        let _ = write!(versions, " {}", version(&secret));
        ca = Some(pem);
    }
    Ok(assemble(instance, username, password.into(), ca, &versions))
}

/// The same without a client.
fn assemble(
    instance: &DatabaseInstance,
    username: String,
    password: SecretString,
    ca: Option<String>,
    versions: &str,
) -> Result<Access, Incomplete> {
    let spec = &instance.spec;
    let maintenance = spec
        .maintenance_database()
        .unwrap_or_else(|| "mysql".to_owned());
    let maintenance_database = SqlName::new(maintenance).map_err(|error| Incomplete {
        reason: InstanceReason::ClaimsUnusable,
        message: format!("spec.postgresql.maintenanceDatabase: {error}"),
    })?;
    let port = u16::try_from(spec.effective_port()).unwrap_or_default();
    let fingerprint = format!(
        "{:?} {}:{port} {:?} {} {maintenance_database} {username} {versions}",
        spec.provider, spec.host, spec.tls.mode, spec.max_connections,
    );
    let config = ServerConfig {
        engine: match spec.provider {
            Provider::Postgresql => Engine::Postgresql,
            Provider::Mysql => Engine::Mysql,
        },
        host: spec.host.clone(),
        port,
        tls: TlsConfig {
            mode: tls_mode(spec.tls.mode),
            ca: ca.clone().map(String::into_bytes),
        },
        username,
        password,
        max_connections: u32::try_from(spec.max_connections).unwrap_or(1),
        maintenance_database,
        timeouts: Timeouts::default(),
    };
    Ok(Access {
        config,
        ca,
        fingerprint,
    })
}

fn tls_mode(mode: TlsMode) -> provider::TlsMode {
    match mode {
        TlsMode::Disable => provider::TlsMode::Disable,
        TlsMode::Require => provider::TlsMode::Require,
        TlsMode::VerifyCa => provider::TlsMode::VerifyCa,
        TlsMode::VerifyFull => provider::TlsMode::VerifyFull,
    }
}

fn missing(message: String) -> Incomplete {
    Incomplete {
        reason: InstanceReason::CredentialsMissing,
        message,
    }
}

/// A Secret's value as text; `None` where it is missing, empty, or not text.
fn text(secret: &Secret, key: &str) -> Option<String> {
    let value = String::from_utf8(secret.data.as_ref()?.get(key)?.0.clone()).ok()?;
    (!value.is_empty()).then_some(value)
}

fn version(secret: &Secret) -> String {
    format!(
        "{} {}",
        secret.uid().unwrap_or_default(),
        secret.resource_version().unwrap_or_default()
    )
}
