//! The way to the store: a client that trusts the right authorities.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// How long making a connection may take.
const CONNECT: Duration = Duration::from_secs(10);

/// Sends requests with a body of this kind.
pub(crate) type StoreClient<B> = Client<HttpsConnector<HttpConnector>, B>;

/// Why TLS with the store cannot be set up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {0}: {1}")]
    Read(std::path::PathBuf, io::Error),
    /// There is no certificate in it.
    #[error("{0} has no certificate in PEM: see the Secret of the destination's caSecretRef")]
    NoCertificate(std::path::PathBuf),
    /// TLS does not accept its settings.
    #[error("cannot prepare TLS: {0}")]
    Settings(#[from] rustls::Error),
}

/// A client that trusts the authorities in this file or, if it does not exist, the well-known ones.
pub(crate) fn client<B>(authorities: &Path) -> Result<StoreClient<B>, TlsError>
where
    B: Body<Data = Bytes> + Send,
{
    let tls = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()?
    .with_root_certificates(roots(authorities)?)
    .with_no_client_auth();
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_nodelay(true);
    let connector = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(20))
        .build(connector))
}

fn roots(file: &Path) -> Result<rustls::RootCertStore, TlsError> {
    let mut roots = rustls::RootCertStore::empty();
    match std::fs::read(file) {
        Ok(pem) => {
            let certificates = CertificateDer::pem_slice_iter(&pem).flatten();
            roots.add_parsable_certificates(certificates);
            if roots.is_empty() {
                return Err(TlsError::NoCertificate(file.to_owned()));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        Err(error) => return Err(TlsError::Read(file.to_owned(), error)),
    }
    Ok(roots)
}
