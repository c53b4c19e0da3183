//! The client of the store, with all its limits.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, IdentityCache, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider as TlsProvider, TlsContext, TrustStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::StoreError;
use super::keys::Provider;
use crate::api::destination::S3;

/// How long making a connection may take, not counting its TLS handshake.
const CONNECT: Duration = Duration::from_secs(5);

/// How long one request of a call may take, from its connection to the end of its answer.
const ATTEMPT: Duration = Duration::from_secs(12);

/// How long a call may take, with all its requests and the pauses between them.
pub(super) const CALL: Duration = Duration::from_secs(30);

/// How many requests a call makes at most, as long as they fail in a way that may pass.
const ATTEMPTS: u32 = 3;

/// A client of the store. It does not connect yet, and reads neither the environment nor files.
pub(super) fn client(s3: &S3, keys: Provider, ca: Option<&[u8]>) -> Result<Client, StoreError> {
    let tls = TlsContext::builder()
        .with_trust_store(trust_store(s3, ca)?)
        .build()
        .map_err(|error| StoreError::Ca(error.to_string()))?;
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(TlsProvider::Rustls(CryptoMode::AwsLc))
        .tls_context(tls)
        .build_https();
    let mut config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http)
        .region(Region::new(s3.effective_region().to_owned()))
        .force_path_style(s3.path_style)
        .credentials_provider(keys)
        // The provider caches and renews its keys itself.
        .identity_cache(IdentityCache::no_cache())
        .timeout_config(limits(ATTEMPT, CALL))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        // Older stores refuse requests with the checksums that the SDK would add.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        // A store may be silent for a long time while it completes an upload; the limits above are enough.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    if let Some(endpoint) = &s3.endpoint {
        config = config.endpoint_url(endpoint);
    }
    Ok(Client::from_conf(config.build()))
}

/// Limits for a call and for each request of it.
pub(super) fn limits(attempt: Duration, call: Duration) -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(CONNECT)
        .operation_attempt_timeout(attempt)
        .operation_timeout(call)
        .build()
}

/// What the store's certificate is checked against.
fn trust_store(s3: &S3, ca: Option<&[u8]>) -> Result<TrustStore, StoreError> {
    if let Some(pem) = ca {
        readable(pem)?;
        return Ok(TrustStore::empty().with_pem_certificate(pem));
    }
    let clear = s3
        .endpoint
        .as_deref()
        .is_some_and(|endpoint| endpoint.starts_with("http://"));
    // The image has Debian's.
    Ok(TrustStore::empty().with_native_roots(!clear))
}

/// Checks that certificates can be read: the SDK would end the process over one that cannot.
fn readable(pem: &[u8]) -> Result<(), StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|error| StoreError::Ca(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| StoreError::Ca(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(StoreError::Ca("there is no certificate in it".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_that_cannot_be_read_are_refused_before_they_are_used() {
        for pem in [
            "",
            "hello",
            "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n",
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
        ] {
            let refused = readable(pem.as_bytes());
            assert!(matches!(refused, Err(StoreError::Ca(_))), "{pem:?}");
        }
    }
}
