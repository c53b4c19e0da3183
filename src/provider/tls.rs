//! How a connection to a server is protected.

/// Like libpq's `sslmode`, without the modes that fall back to the clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// In the clear. MySQL is refused: its authentication needs TLS.
    Disable,
    /// Encrypted; whoever answers is believed.
    Require,
    /// Encrypted; the certificate was issued by the CA.
    VerifyCa,
    /// Encrypted; the certificate was issued by the CA, for this host.
    VerifyFull,
}

/// The protection that an instance asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsConfig {
    /// The mode.
    pub mode: TlsMode,
    /// Certificates to trust, in PEM, used by the verifying modes only. The driver trusts the public web's authorities
    /// besides, so [`TlsMode::VerifyCa`] believes any certificate of theirs: [`TlsMode::VerifyFull`] is the safe mode.
    pub ca: Option<Vec<u8>>,
}
