//! Signatures (SigV4 in the query) for the parts of an upload, from the one that the SDK signed.
//!
//! The SDK builds and signs a whole request for each, which adds up over thousands of parts. All but the part's number is
//! the same in each of them, so what is left are two hashes. Source: "Authenticating Requests: Using Query Parameters (AWS
//! Signature Version 4)", in Amazon S3's API reference.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Signs the other parts of an upload.
pub(super) struct Signer {
    key: [u8; 32],
    /// What is signed, up to the hash of the request.
    preamble: String,
    /// The canonical request, before and after the part's number.
    request: (String, String),
}

impl Signer {
    /// From a signed URL of a part and the secret key that signed it. None where it is not signed in the way that is
    /// known here, which the caller sees by comparing signatures, too.
    pub(super) fn new(url: &str, secret: &str) -> Option<Self> {
        let (address, query) = url.split_once('?')?;
        let (_, address) = address.split_once("://")?;
        let host_ends = address.find('/')?;
        let (host, path) = address.split_at(host_ends);
        let mut pairs: Vec<&str> = query
            .split('&')
            .filter(|pair| !pair.starts_with("X-Amz-Signature="))
            .collect();
        // Names are followed by `=`, which sorts before all characters that a name has; none occurs twice.
        pairs.sort_unstable();
        let value = |name: &str| {
            let mut found = pairs.iter().filter_map(|pair| pair.split_once('='));
            found.find(|(known, _)| *known == name).map(|(_, v)| v)
        };
        if value("X-Amz-Algorithm")? != ALGORITHM || value("X-Amz-SignedHeaders")? != "host" {
            return None;
        }
        let date = value("X-Amz-Date")?;
        let credential = value("X-Amz-Credential")?.replace("%2F", "/");
        let (_, scope) = credential.split_once('/')?;
        let (day, rest) = scope.split_once('/')?;
        let mut key = hmac(format!("AWS4{secret}").as_bytes(), day)?;
        for word in rest.split('/') {
            key = hmac(&key, word)?;
        }
        let at = pairs
            .iter()
            .position(|pair| pair.starts_with("partNumber="))?;
        let before = pairs[..at]
            .iter()
            .fold(String::new(), |text, pair| text + pair + "&");
        let after = pairs[at + 1..]
            .iter()
            .fold(String::new(), |text, pair| text + "&" + pair);
        Some(Self {
            key,
            preamble: format!("{ALGORITHM}\n{date}\n{scope}\n"),
            request: (
                format!("PUT\n{path}\n{before}partNumber="),
                format!("{after}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD"),
            ),
        })
    }

    /// The signature for a part.
    pub(super) fn sign(&self, number: u32) -> Option<String> {
        let (before, after) = &self.request;
        let request = Sha256::digest(format!("{before}{number}{after}"));
        let text = format!("{}{}", self.preamble, hexadecimal(&request));
        Some(hexadecimal(&hmac(&self.key, &text)?))
    }
}

fn hmac(key: &[u8], text: &str) -> Option<[u8; 32]> {
    // Keys of all lengths are taken.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(text.as_bytes());
    Some(mac.finalize().into_bytes().into())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the SDK's signatures have to be compared with is in the tests of `sign.rs`.
    #[test]
    fn other_ways_of_signing_are_not_taken() {
        let query = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=id%2F20261124%2Feu%2Fs3%2Faws4_request&X-Amz-Date=20261124T000000Z&X-Amz-SignedHeaders=host&partNumber=7&uploadId=u";
        let signer = |query: &str| Signer::new(&format!("https://s3:1/b/k?{query}"), "secret");
        let known = signer(query).unwrap();
        assert_eq!(known.sign(7).unwrap().len(), 64);
        assert_ne!(known.sign(7), known.sign(8));
        for other in [
            query.replace("HMAC", "ECDSA-P256"),
            query.replace("=host", "=host%3Bx-amz-acl"),
            query.replace("partNumber", "part"),
            query.replace("X-Amz-Date", "Date"),
        ] {
            assert!(signer(&other).is_none(), "{other}");
        }
        assert!(Signer::new("https://s3", "secret").is_none());
    }
}
