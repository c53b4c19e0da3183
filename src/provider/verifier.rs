//! The only place that turns a password into what a server stores.
//!
//! A server is sent the verifier and never the password, so none of its logs can hold the password.

use std::fmt;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::{Fingerprint, Flavour};

/// What a server stores to check a password: a hash in the server's own notation.
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    stored: String,
    /// What MariaDB would store instead of `stored`, as long as it is not known which of the two servers it is.
    mariadb: Option<String>,
}

impl Verifier {
    /// For PostgreSQL: `SCRAM-SHA-256$…`, RFC 5803, 4096 iterations, a fresh salt. The password is prepared by
    /// SASLprep where it can be and taken byte by byte where it cannot, as the server itself does.
    #[must_use]
    pub fn scram_sha_256(password: &str) -> Self {
        Self::of(postgres_protocol::password::scram_sha_256(
            password.as_bytes(),
        ))
    }

    /// For MySQL 8.4 and later: `$A$005$…`, what `caching_sha2_password` stores: SHA-256-crypt with a fresh salt of
    /// 20 characters and 5 × 1000 rounds.
    #[must_use]
    pub fn caching_sha2_password(password: &str) -> Self {
        let salt: [u8; CACHING_SHA2_SALT] =
            rand::random::<[u8; CACHING_SHA2_SALT]>().map(|byte| CRYPT64[usize::from(byte & 0x3f)]);
        let digest = sha256_crypt(password.as_bytes(), &salt, CACHING_SHA2_ROUNDS);
        Self::of(format!("$A$005${}{digest}", String::from_utf8_lossy(&salt)))
    }

    /// For MariaDB: `*…`, what `mysql_native_password` stores: the SHA-1 of the SHA-1 in hex, without a salt.
    #[must_use]
    pub fn mysql_native_password(password: &str) -> Self {
        let twice = Sha1::digest(Sha1::digest(password.as_bytes()));
        Self::of(
            twice
                .iter()
                .fold("*".to_owned(), |hex, byte| format!("{hex}{byte:02X}")),
        )
    }

    /// For a server that may be either MySQL or MariaDB: holds both.
    #[must_use]
    pub fn mysql_or_mariadb(password: &str) -> Self {
        Self {
            mariadb: Some(Self::mysql_native_password(password).stored),
            ..Self::caching_sha2_password(password)
        }
    }

    fn of(stored: String) -> Self {
        Self {
            stored,
            mariadb: None,
        }
    }

    /// The server's notation. To someone with time it is as good as a password: keep it out of logs.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.stored
    }

    /// What [`super::RoleFacts::password`] is once a server of this flavour stores it.
    #[must_use]
    pub fn fingerprint(&self, flavour: Flavour) -> Fingerprint {
        Fingerprint::of(match flavour {
            Flavour::Mariadb => self.expose_for_mariadb(),
            Flavour::Mysql | Flavour::Postgresql => self.expose(),
        })
    }

    /// The same for MariaDB, also for a verifier that was made for either server.
    #[must_use]
    pub fn expose_for_mariadb(&self) -> &str {
        self.mariadb.as_ref().unwrap_or(&self.stored)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// Rounds of `caching_sha2_password`, written in its notation as `005` thousands.
const CACHING_SHA2_ROUNDS: usize = 5000;

/// Length of its salt; the crypt function's own limit would be 16.
const CACHING_SHA2_SALT: usize = 20;

/// The alphabet of crypt's base 64.
const CRYPT64: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digest of SHA-256-crypt, in crypt's base 64, by the steps of "Unix crypt using SHA-256 and SHA-512"
/// (U. Drepper, 2008; the numbers below are its steps). The salt is taken at any length, as MySQL does.
fn sha256_crypt(password: &[u8], salt: &[u8], rounds: usize) -> String {
    // 4-8: the alternate sum.
    let alternate = Sha256::new()
        .chain_update(password)
        .chain_update(salt)
        .chain_update(password)
        .finalize();

    // 1-3, 9-12: the first sum, mixed with the alternate one by the bits of the password's length.
    let mut first = Sha256::new().chain_update(password).chain_update(salt);
    first.update(repeated(&alternate, password.len()));
    let mut bits = password.len();
    while bits > 0 {
        if bits & 1 == 1 {
            first.update(alternate);
        } else {
            first.update(password);
        }
        bits >>= 1;
    }
    let first = first.finalize();

    // 13-16: as many bytes as the password has.
    let mut sum = Sha256::new();
    for _ in 0..password.len() {
        sum.update(password);
    }
    let password_bytes = repeated(&sum.finalize(), password.len());

    // 17-20: as many bytes as the salt has.
    let mut sum = Sha256::new();
    for _ in 0..16 + usize::from(first[0]) {
        sum.update(salt);
    }
    let salt_bytes = repeated(&sum.finalize(), salt.len());

    // 21: the rounds.
    let mut last = first;
    for round in 0..rounds {
        let odd = round % 2 == 1;
        let mut sum = Sha256::new();
        if odd {
            sum.update(&password_bytes);
        } else {
            sum.update(last);
        }
        if round % 3 != 0 {
            sum.update(&salt_bytes);
        }
        if round % 7 != 0 {
            sum.update(&password_bytes);
        }
        if odd {
            sum.update(last);
        } else {
            sum.update(&password_bytes);
        }
        last = sum.finalize();
    }

    // 22: base 64 of the bytes in crypt's own order.
    let mut text = String::with_capacity(43);
    let (mut a, mut b, mut c) = (0, 10, 20);
    for _ in 0..10 {
        push_crypt64(&mut text, [last[a], last[b], last[c]], 4);
        (a, b, c) = (c + 1, a + 1, b + 1);
    }
    push_crypt64(&mut text, [0, last[31], last[30]], 3);
    text
}

/// The first `length` bytes of `digest` repeated for ever.
fn repeated(digest: &[u8], length: usize) -> Vec<u8> {
    digest.iter().copied().cycle().take(length).collect()
}

/// Three bytes as `characters` characters of crypt's base 64, the lowest six bits first.
fn push_crypt64(text: &mut String, [high, middle, low]: [u8; 3], characters: usize) {
    let mut bits = u32::from(high) << 16 | u32::from(middle) << 8 | u32::from(low);
    for _ in 0..characters {
        text.push(char::from(CRYPT64[(bits & 0x3f) as usize]));
        bits >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Drepper's own vectors, without the prefix; the second salt is cut to 16 characters as crypt does.
    #[test]
    fn sha256_crypt_matches_the_published_vectors() {
        let vectors = [
            (
                "saltstring",
                5000,
                "Hello world!",
                "5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
            ),
            (
                "saltstringsaltst",
                10_000,
                "Hello world!",
                "3xv.VbSHBb41AL9AvLeujZkZRBAwqFMz2.opqey6IcA",
            ),
            (
                "toolongsaltstrin",
                5000,
                "This is just a test",
                "Un/5jzAHMgOGZ5.mWJpuVolil07guHPvOW8mGRcvxa5",
            ),
            (
                "short",
                77_777,
                "we have a short salt string but not a short password",
                "JiO1O3ZpDAxGJeaDIuqCoEFysAe1mZNJRs3pw0KQRd/",
            ),
            (
                "asaltof16chars..",
                123_456,
                "a very much longer text to encrypt.  This one even stretches over morethan one line.",
                "BPvhuOqHaBZ0k/mF6gC6GctwzU1ZwdHQ0jEDCRmIw07",
            ),
        ];
        for (salt, rounds, password, digest) in vectors {
            assert_eq!(
                sha256_crypt(password.as_bytes(), salt.as_bytes(), rounds),
                digest
            );
        }
    }

    #[test]
    fn caching_sha2_has_the_servers_notation() {
        let verifier = Verifier::caching_sha2_password("secret");
        let text = verifier.expose();
        assert_eq!(text.len(), 7 + CACHING_SHA2_SALT + 43);
        let salt = &text[7..7 + CACHING_SHA2_SALT];
        let digest = sha256_crypt(b"secret", salt.as_bytes(), CACHING_SHA2_ROUNDS);
        assert_eq!(text, format!("$A$005${salt}{digest}"));
        assert_ne!(
            text,
            Verifier::caching_sha2_password("secret").expose(),
            "each has a salt of its own"
        );
    }

    /// The vector of MySQL's manual for `PASSWORD('mypass')`.
    #[test]
    fn native_password_matches_the_manual() {
        let verifier = Verifier::mysql_native_password("mypass");
        assert_eq!(
            verifier.expose(),
            "*6C8989366EAF75BB670AD8EA7A7FC1176A95CEF4"
        );
    }

    #[test]
    fn a_verifier_for_either_server_holds_both() {
        let either = Verifier::mysql_or_mariadb("mypass");
        assert!(either.expose().starts_with("$A$005$"));
        let native = Verifier::mysql_native_password("mypass");
        assert_eq!(either.expose_for_mariadb(), native.expose());
        assert_eq!(native.expose_for_mariadb(), native.expose());
    }

    #[test]
    fn a_verifier_does_not_show_itself() {
        assert_eq!(
            format!("{:?}", Verifier::scram_sha_256("secret")),
            "Verifier(…)"
        );
    }
}
