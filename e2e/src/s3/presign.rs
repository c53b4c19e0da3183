//! Requests presigned as in AWS Signature Version 4, for tests that look into a bucket from outside.

use db_operator::dump::report::hexadecimal;
use sha2::{Digest, Sha256};

/// The region that the cluster's S3 server says it is in.
const REGION: &str = "us-east-1";

/// Who asks.
#[derive(Clone)]
pub struct Keys {
    /// The access key's id.
    pub access: String,
    /// Its secret.
    pub secret: String,
}

/// Path and query of a request that is good for one method on one path, for a minute.
///
/// `query` holds names and values that need no encoding but that of slashes, the names in order and in small letters.
#[must_use]
pub fn presign(
    method: &str,
    host: &str,
    path: &str,
    query: &[(&str, &str)],
    keys: &Keys,
) -> String {
    let now = jiff::Timestamp::now()
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    let (day, _) = now.split_once('T').unwrap_or((&now, ""));
    let scope = format!("{day}/{REGION}/s3/aws4_request");
    let credential = format!("{}/{scope}", keys.access).replace('/', "%2F");
    let mut all = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={credential}&X-Amz-Date={now}&X-Amz-Expires=60&X-Amz-SignedHeaders=host"
    );
    for (name, value) in query {
        let value = value.replace('/', "%2F");
        all.extend(["&", name, "=", &value]);
    }
    let request = format!("{method}\n{path}\n{all}\nhost:{host}\n\nhost\nUNSIGNED-PAYLOAD");
    let to_sign = format!(
        "AWS4-HMAC-SHA256\n{now}\n{scope}\n{}",
        hexadecimal(&Sha256::digest(request))
    );
    let first = hmac(format!("AWS4{}", keys.secret).as_bytes(), day);
    let key = [REGION, "s3", "aws4_request"]
        .iter()
        .fold(first, |key, part| hmac(&key, part));
    format!(
        "{path}?{all}&X-Amz-Signature={}",
        hexadecimal(&hmac(&key, &to_sign))
    )
}

/// HMAC-SHA256 (RFC 2104) with a key of at most 64 bytes.
fn hmac(key: &[u8], message: &str) -> Vec<u8> {
    let padded = |with: u8| -> Vec<u8> {
        let mut block: Vec<u8> = key.iter().map(|byte| byte ^ with).collect();
        block.resize(64, with);
        block
    };
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(message)
        .finalize();
    Sha256::new()
        .chain_update(padded(0x5c))
        .chain_update(inner)
        .finalize()
        .to_vec()
}
