//! Signed requests for the parts of one upload, or for one object: what a pod gets instead of keys.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, Credentials};
use aws_sdk_s3::presigning::PresigningConfig;
use jiff::Timestamp;

use super::presign::Signer;
use super::{Store, StoreError};
use crate::agent::protocol::restore::SignedObject;
use crate::agent::protocol::signed_parts::Batch;

/// How long a signature may be valid at most.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// How many signatures are made before other tasks get their turn: they take a millisecond.
const TURN: u32 = 64;

/// The parameters of the URL that differ from part to part.
const PART: &str = "partNumber";
const SIGNATURE: &str = "X-Amz-Signature";

impl Store {
    /// Signs requests that upload the parts `first`, `first + 1`, … (`count` of them) of one upload, valid for at most a
    /// week. Each is good for `PUT`, its own part and this upload alone. Nothing is sent.
    ///
    /// `expires_at` is when they expire: after `valid_for`, or earlier, with the temporary keys that signed them. How long
    /// keys from a Secret are valid is unknown, even if they have a session token.
    pub async fn sign(
        &self,
        key: &str,
        upload_id: &str,
        first: u32,
        count: u32,
        valid_for: Duration,
    ) -> Result<Batch, StoreError> {
        // The same keys and the same second for all, or their URLs would have too little in common.
        let keys = self.valid_keys().await?;
        let valid_for = valid_for.min(LONGEST);
        let start = SystemTime::now();
        let config = PresigningConfig::builder()
            .start_time(start)
            .expires_in(valid_for)
            .build()
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        let sdk = async |number| {
            let uri = presigned(
                &self.client,
                &keys,
                &config,
                &self.s3.bucket,
                key,
                upload_id,
                number,
            );
            let uri = uri.await?;
            let signed = split(&uri, number)
                .map_err(|why| StoreError::Unexpected(format!("a signed URL {why}")))?;
            Ok::<_, StoreError>((uri, signed))
        };
        if count == 0 {
            return Err(StoreError::Unexpected("no part to sign".to_owned()));
        }
        let (uri, Signed { url, signature }) = sdk(first).await?;
        // It signs the others only if it signs the first part as the SDK does.
        let region = self.s3.effective_region();
        let signer = Signer::new(&uri, keys.clone(), region, start, valid_for);
        let quick = Some(signer).filter(|signer| signer.sign(first).as_ref() == Some(&signature));
        let mut signatures = vec![signature];
        for number in first.saturating_add(1)..first.saturating_add(count) {
            let quickly = quick.as_ref().and_then(|quick| quick.sign(number));
            let signature = if let Some(signature) = quickly {
                signature
            } else {
                let (_, signed) = sdk(number).await?;
                if signed.url != url {
                    return Err(StoreError::Unexpected(
                        "signed URLs of one upload have too little in common".to_owned(),
                    ));
                }
                signed.signature
            };
            signatures.push(signature);
            // Signing is all computing: other tasks get their turn.
            if number % TURN == 0 {
                tokio::task::yield_now().await;
            }
        }
        Ok(Batch {
            url,
            expires_at: ends(start, valid_for, keys.expiry())?,
            first,
            signatures,
        })
    }
}

impl Store {
    /// Signs a request that reads one object, in any ranges, valid for at most a week. It is good for `GET` and this object
    /// alone. Nothing is sent. `expires_at` as for [`Store::sign`].
    pub async fn sign_object(
        &self,
        key: &str,
        valid_for: Duration,
    ) -> Result<SignedObject, StoreError> {
        let keys = self.valid_keys().await?;
        let valid_for = valid_for.min(LONGEST);
        let start = SystemTime::now();
        let config = PresigningConfig::builder()
            .start_time(start)
            .expires_in(valid_for)
            .build()
            .map_err(|error| StoreError::Unexpected(error.to_string()))?;
        let request = self
            .client
            .get_object()
            .bucket(&self.s3.bucket)
            .key(key)
            .customize()
            .config_override(Builder::new().credentials_provider(keys.clone()))
            .presigned(config)
            .await
            .map_err(|error| StoreError::from_sdk(&error))?;
        no_headers(request.headers())?;
        Ok(SignedObject {
            url: request.uri().to_owned(),
            expires_at: ends(start, valid_for, keys.expiry())?,
        })
    }
}

/// The pod sends the URL and nothing else: a header that has to go with it would be missing.
fn no_headers<'a>(mut headers: impl Iterator<Item = (&'a str, &'a str)>) -> Result<(), StoreError> {
    match headers.next() {
        Some((name, _)) => Err(StoreError::Unexpected(format!(
            "a signed request needs the header {name}"
        ))),
        None => Ok(()),
    }
}

async fn presigned(
    client: &Client,
    keys: &Credentials,
    config: &PresigningConfig,
    bucket: &str,
    key: &str,
    upload_id: &str,
    number: u32,
) -> Result<String, StoreError> {
    let number = i32::try_from(number)
        .map_err(|_| StoreError::Unexpected(format!("there is no part {number}")))?;
    let request = client
        .upload_part()
        .bucket(bucket)
        .key(key)
        .upload_id(upload_id)
        .part_number(number)
        .customize()
        .config_override(Builder::new().credentials_provider(keys.clone()))
        .presigned(config.clone())
        .await
        .map_err(|error| StoreError::from_sdk(&error))?;
    no_headers(request.headers())?;
    Ok(request.uri().to_owned())
}

/// A signed URL, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Signed {
    /// All but the part's number and the signature.
    url: String,
    signature: String,
}

/// Takes the URL of part `number` apart.
fn split(url: &str, number: u32) -> Result<Signed, &'static str> {
    let (path, query) = url.split_once('?').ok_or("has no query")?;
    let mut common = Vec::new();
    let (mut numbers, mut signatures, mut headers) = (Vec::new(), Vec::new(), Vec::new());
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            PART => numbers.push(value),
            SIGNATURE => signatures.push(value),
            _ => {
                if name == "X-Amz-SignedHeaders" {
                    headers.push(value);
                }
                common.push(pair);
            }
        }
    }
    if headers != ["host"] {
        return Err("has other headers signed than its host");
    }
    if numbers != [number.to_string()] {
        return Err("is not for its part");
    }
    let [signature] = signatures[..] else {
        return Err("does not have one signature");
    };
    Ok(Signed {
        url: format!("{path}?{}", common.join("&")),
        signature: signature.to_owned(),
    })
}

/// When signatures expire.
fn ends(
    start: SystemTime,
    valid_for: Duration,
    keys_end: Option<SystemTime>,
) -> Result<Timestamp, StoreError> {
    let end = start + valid_for;
    let end = keys_end.map_or(end, |keys_end| end.min(keys_end));
    let end = Timestamp::try_from(end)
        .map_err(|error| StoreError::Unexpected(format!("the clock is wrong: {error}")))?;
    // Signatures know whole seconds only.
    Timestamp::from_second(end.as_second())
        .map_err(|error| StoreError::Unexpected(format!("the clock is wrong: {error}")))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::tests::offline;
    use super::*;
    use crate::agent::protocol::signed_parts::SignedParts;

    /// A URL's path and the set of its parameters.
    fn parts_of(url: &str) -> (String, BTreeSet<String>) {
        let (path, query) = url.split_once('?').unwrap();
        let parameters = query.split('&').map(str::to_owned).collect();
        (path.to_owned(), parameters)
    }

    #[test]
    fn urls_that_cannot_be_rebuilt_are_refused() {
        let url = |query: &str| split(&format!("https://s3/b/k?{query}"), 7);
        let good = "x=y&partNumber=7&X-Amz-SignedHeaders=host&X-Amz-Signature=aa";
        assert_eq!(url(good).unwrap().signature, "aa");
        for bad in [
            good.replace("=host", "=content-md5%3Bhost"),
            good.replace("&X-Amz-SignedHeaders=host", ""),
            good.replace("=7", "=8"),
            good.replace("partNumber=7&", ""),
            format!("{good}&partNumber=7"),
            good.replace("&X-Amz-Signature=aa", ""),
            format!("{good}&X-Amz-Signature=bb"),
        ] {
            assert!(url(&bad).is_err(), "{bad}");
        }
        assert!(split("https://s3/b/k", 7).is_err());
    }

    #[test]
    fn signatures_end_with_the_keys() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(1_000_700);
        let hour = Duration::from_secs(3600);
        let end = |keys| ends(start, hour, keys).unwrap().as_second();
        assert_eq!(end(None), 4600);
        assert_eq!(end(Some(start + hour * 2)), 4600);
        assert_eq!(end(Some(start + hour / 2)), 2800);
    }

    #[tokio::test]
    async fn a_batch_rebuilds_what_was_signed_for_keys_of_all_kinds() {
        for token in [None, Some("to/ken+with=odd&signs")] {
            let store = offline(token).await;
            let key = "prod/c 1/team=a/ö/x.dump.zst";
            let batch = store.sign(key, "up+lo/ad==", 9998, 3, Duration::from_secs(3600));
            let batch = batch.await.unwrap();
            assert_eq!((batch.first, batch.signatures.len()), (9998, 3));
            let left = batch.expires_at.duration_since(Timestamp::now()).as_secs();
            assert!((3590..=3600).contains(&left), "{left}");
            assert_eq!(batch.url.contains("X-Amz-Security-Token"), token.is_some());
            let (path, parameters) = parts_of(&batch.url);
            assert!(
                path.starts_with("http://127.0.0.1:1/backups/prod/c%201/"),
                "{path}"
            );
            assert!(parameters.contains("X-Amz-SignedHeaders=host"));
            let signed_parts = SignedParts {
                batches: vec![batch.clone()],
            };
            let (again, rebuilt) = parts_of(&signed_parts.part(9999).unwrap().url);
            assert_eq!(path, again);
            assert!(rebuilt.is_superset(&parameters) && rebuilt.len() == parameters.len() + 2);
            assert_ne!(batch.signatures[0], batch.signatures[1]);
        }
    }

    /// The SDK is the measure, for keys, paths and uploads of all kinds.
    #[tokio::test]
    async fn all_parts_are_signed_as_the_sdk_does() {
        for (token, key) in [
            (None, "prod/orders.dump.zst"),
            (
                Some("to/ken+with=odd&signs"),
                "prod/c 1/team=a/ö/~x*(1)!'.zst",
            ),
        ] {
            let store = offline(token).await;
            let start = SystemTime::now();
            let keys = store.valid_keys().await.unwrap();
            let hour = Duration::from_secs(3600);
            let config = PresigningConfig::builder();
            let config = config.start_time(start).expires_in(hour).build().unwrap();
            let sign = async |number| {
                let bucket = &store.s3.bucket;
                let url = presigned(
                    &store.client,
                    &keys,
                    &config,
                    bucket,
                    key,
                    "up+lo/ad==",
                    number,
                );
                url.await.unwrap()
            };
            let first = sign(1).await;
            let region = store.s3.effective_region();
            let signer = Signer::new(&first, keys.clone(), region, start, hour);
            for number in [1, 2, 9, 10, 10_000] {
                let signed = split(&sign(number).await, number).unwrap();
                assert_eq!(
                    signer.sign(number).unwrap(),
                    signed.signature,
                    "{key} {number}"
                );
            }
            for other in [
                Signer::new(&first, keys.clone(), "another", start, hour),
                Signer::new(&first, keys.clone(), region, start, hour * 2),
            ] {
                assert_ne!(other.sign(1), signer.sign(1));
            }
        }
    }

    #[tokio::test]
    async fn a_signed_object_is_read_by_its_url_alone() {
        let store = offline(None).await;
        let day = Duration::from_hours(24);
        let signed = store.sign_object("a/b.dump.zst", day).await.unwrap();
        assert!(
            signed.url.contains("/backups/a/b.dump.zst?"),
            "{}",
            signed.url
        );
        // Any range may be asked for: that header is not part of the signature.
        assert!(
            signed.url.contains("X-Amz-SignedHeaders=host&"),
            "{}",
            signed.url
        );
        let left = signed
            .expires_at
            .duration_since(Timestamp::now())
            .as_hours();
        assert!((23..=24).contains(&left), "{left}");
        let long = store.sign_object("k", LONGEST * 3).await.unwrap();
        assert!(long.url.contains("X-Amz-Expires=604800"), "{}", long.url);
    }

    #[tokio::test]
    async fn no_signature_is_valid_for_more_than_a_week() {
        let store = offline(None).await;
        let batch = store.sign("k", "u", 1, 1, LONGEST * 3).await.unwrap();
        assert!(batch.url.contains("X-Amz-Expires=604800"), "{}", batch.url);
    }

    proptest! {
        #[test]
        fn the_parameters_that_were_signed_are_rebuilt_exactly(
            number in 1u32..=10_000,
            signature in "[0-9a-f]{64}",
            others in proptest::collection::btree_map("[A-Za-z-]{1,12}", "[A-Za-z0-9%._~-]{0,20}", 0..6),
            turn in 0usize..9,
        ) {
            let mut pairs: Vec<_> = others
                .iter()
                .filter(|(name, _)| name.as_str() != "partNumber" && !name.starts_with("X-Amz-"))
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            pairs.push(format!("partNumber={number}"));
            pairs.push(format!("X-Amz-Signature={signature}"));
            pairs.push("X-Amz-SignedHeaders=host".to_owned());
            let turn = turn % pairs.len();
            pairs.rotate_left(turn);
            let url = format!("https://s3.example:9000/b/k?{}", pairs.join("&"));
            let signed = split(&url, number).unwrap();
            let signed_parts = SignedParts {
                batches: vec![Batch {
                    url: signed.url,
                    expires_at: Timestamp::UNIX_EPOCH,
                    first: number,
                    signatures: vec![signed.signature],
                }],
            };
            prop_assert_eq!(parts_of(&signed_parts.part(number).unwrap().url), parts_of(&url));
        }
    }
}
