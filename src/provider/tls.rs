//! How a connection to a server is protected.

/// Like libpq's `sslmode`, without the modes that fall back to plaintext.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TlsMode {
    /// Plaintext. Refused for MySQL, whose authentication needs TLS, and not for MariaDB.
    Disable,
    /// Encrypted; the certificate is not verified.
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
    /// Certificates to trust, in PEM, used only by the verifying modes. The driver also trusts the public web's
    /// authorities, so [`TlsMode::VerifyCa`] accepts any certificate of theirs: [`TlsMode::VerifyFull`] is the safe
    /// mode.
    pub ca: Option<Vec<u8>>,
}
