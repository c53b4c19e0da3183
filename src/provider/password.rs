//! Which passwords can be used. This is decided before anything is claimed, hashed or created.
//!
//! A password may come from a Secret that someone else wrote, so it may be anything: its length is checked before its
//! content, and messages about it never show it.

use std::collections::BTreeSet;

use secrecy::SecretString;

use super::Flavour;

/// The most bytes of a password for MySQL and MariaDB: MySQL's `caching_sha2_password` checks no more
/// (`MAX_PLAINTEXT_LENGTH` of its plugin, with the NUL at the end), and option files of the dump tools have lines of 4
/// KiB.
const MYSQL_LONGEST: usize = 255;

/// The most bytes of a password for PostgreSQL. The server and libpq have no limit since version 14; poolers, drivers
/// and libpq before it take this much.
const POSTGRESQL_LONGEST: usize = 1024;

/// Why a password cannot be used. Each message continues a sentence that begins with "the password".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is too long.
    #[error("has {bytes} bytes, and {server} takes at most {longest}: write a shorter one")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The longest that can be used.
        longest: usize,
        /// For which server.
        server: Flavour,
    },
    /// It is not UTF-8.
    #[error("is not UTF-8 text: write letters, digits and punctuation")]
    NotText,
    /// It contains a NUL, which ends a text on every server and in every client.
    #[error("holds a NUL character (U+0000), which no client can send: take it out")]
    Nul,
    /// It contains control characters that clients refuse.
    #[error(
        "has control characters ({0}), which SASLprep (RFC 4013) prohibits in a login with SCRAM: take them out, also a \
         line break at its end"
    )]
    Control(String),
    /// It contains other characters that clients refuse.
    #[error("has characters that SASLprep (RFC 4013) prohibits in a login with SCRAM: use others")]
    Prohibited,
}

/// The longest password that can be used on this server, in bytes.
#[must_use]
pub fn longest(flavour: Flavour) -> usize {
    match flavour {
        Flavour::Postgresql => POSTGRESQL_LONGEST,
        Flavour::Mysql | Flavour::Mariadb => MYSQL_LONGEST,
    }
}

/// The refusal of a password of this length, which is too long.
#[must_use]
pub fn too_long(flavour: Flavour, bytes: usize) -> Unusable {
    Unusable::TooLong {
        bytes,
        longest: longest(flavour),
        server: flavour,
    }
}

/// Accepts a password that the server, its clients and the dump tools can use.
pub fn usable(flavour: Flavour, password: &[u8]) -> Result<SecretString, Unusable> {
    if password.len() > longest(flavour) {
        return Err(too_long(flavour, password.len()));
    }
    let text = std::str::from_utf8(password).map_err(|_| Unusable::NotText)?;
    if text.contains('\0') {
        return Err(Unusable::Nul);
    }
    match flavour {
        Flavour::Postgresql => prohibited(text).map_or(Ok(()), Err)?,
        // It goes over the wire verbatim, and option files can escape what ends a line.
        Flavour::Mysql | Flavour::Mariadb => {}
    }
    Ok(SecretString::from(text))
}

/// Why clients of PostgreSQL would refuse to log in with this password, if they would. Names no characters of it but
/// control characters.
#[must_use]
pub fn prohibited(password: &str) -> Option<Unusable> {
    stringprep::saslprep(password).err()?;
    let controls: BTreeSet<String> = password
        .chars()
        .filter(|character| character.is_control())
        .map(|character| format!("U+{:04X}", u32::from(character)))
        .collect();
    if controls.is_empty() {
        return Some(Unusable::Prohibited);
    }
    let controls: Vec<String> = controls.into_iter().collect();
    Some(Unusable::Control(controls.join(", ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use secrecy::ExposeSecret;

    const FLAVOURS: [Flavour; 3] = [Flavour::Postgresql, Flavour::Mysql, Flavour::Mariadb];

    #[test]
    fn what_can_be_used_is_taken_as_it_is() {
        for flavour in FLAVOURS {
            for text in [
                "x",
                "p@ss/w:rd%#?&=+ '\"\\`$1{{x}}é✓;--",
                &"x".repeat(longest(flavour)),
            ] {
                let password = usable(flavour, text.as_bytes()).unwrap();
                assert_eq!(password.expose_secret(), text);
            }
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_and_not_shown() {
        for flavour in FLAVOURS {
            let long = "ü".repeat(60_000);
            let error = usable(flavour, long.as_bytes()).unwrap_err().to_string();
            let limit = format!("at most {}", longest(flavour));
            assert!(
                error.contains("120000 bytes") && error.contains(&limit),
                "{error}"
            );
            // In bytes, not in characters.
            let text = "ü".repeat(longest(flavour) / 2 + 1);
            assert!(matches!(
                usable(flavour, text.as_bytes()),
                Err(Unusable::TooLong { .. })
            ));
            assert_eq!(usable(flavour, b"\xffpass").unwrap_err(), Unusable::NotText);
            assert_eq!(usable(flavour, b"pa\0ss").unwrap_err(), Unusable::Nul);
        }
    }

    #[test]
    fn characters_that_a_client_refuses_are_said_where_they_are_refused() {
        let error = usable(Flavour::Postgresql, b"trailing\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("(U+000A)") && !error.contains("trailing"),
            "{error}"
        );
        let crab = "crab\u{1f980}".as_bytes();
        assert_eq!(
            usable(Flavour::Postgresql, crab).unwrap_err(),
            Unusable::Prohibited
        );
        for flavour in [Flavour::Mysql, Flavour::Mariadb] {
            assert!(usable(flavour, b"two\nlines").is_ok());
            assert!(usable(flavour, crab).is_ok());
        }
    }
}
