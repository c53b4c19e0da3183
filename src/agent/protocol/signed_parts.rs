//! The parts that may be uploaded now, with their signed requests: one JSON file in a Secret.
//!
//! Thousands of URLs do not fit into a Secret, but they are nearly identical: a batch holds what they have in common once,
//! plus one signature per part. The operator replaces the file while the Job runs; the kubelet shows the new one within
//! about two minutes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The parts that may be uploaded now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SignedParts {
    /// Where two hold the same part, the later one wins.
    pub batches: Vec<Batch>,
}

/// Consecutive parts that were signed together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The requests' URL, with its query but without `partNumber` and `X-Amz-Signature`.
    pub url: String,
    /// When these signatures expire.
    pub expires_at: Timestamp,
    /// The part that the first signature is for; S3 counts from one.
    pub first: u32,
    /// One per part, in order.
    pub signatures: Vec<String>,
}

/// A request that uploads one part: `PUT` with the part as its body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedPart {
    /// Where it goes.
    pub url: String,
    /// When its signature expires.
    pub expires_at: Timestamp,
}

impl SignedParts {
    /// The request for a part, if it is signed.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<SignedPart> {
        self.batches
            .iter()
            .rev()
            .find_map(|batch| batch.part(number))
    }

    /// The highest signed part; 0 if no part is signed.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.batches.iter().map(Batch::last).max().unwrap_or(0)
    }
}

impl Batch {
    fn part(&self, number: u32) -> Option<SignedPart> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let signature = self.signatures.get(index)?;
        Some(SignedPart {
            url: format!(
                "{}&partNumber={number}&X-Amz-Signature={signature}",
                self.url
            ),
            expires_at: self.expires_at,
        })
    }

    fn last(&self) -> u32 {
        let count = u32::try_from(self.signatures.len()).unwrap_or(u32::MAX);
        self.first.saturating_add(count).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(first: u32, signatures: &[&str]) -> Batch {
        Batch {
            url: "https://s3/b/k?uploadId=u".to_owned(),
            expires_at: Timestamp::UNIX_EPOCH,
            first,
            signatures: signatures.iter().map(|&s| s.to_owned()).collect(),
        }
    }

    #[test]
    fn a_part_has_the_request_that_was_signed_last() {
        let signed = SignedParts {
            batches: vec![batch(1, &["a", "b"]), batch(2, &["c", "d"])],
        };
        let url = |number| signed.part(number).map(|part| part.url);
        assert_eq!(
            url(1).unwrap(),
            "https://s3/b/k?uploadId=u&partNumber=1&X-Amz-Signature=a"
        );
        assert!(url(2).unwrap().ends_with("partNumber=2&X-Amz-Signature=c"));
        assert!(url(3).unwrap().ends_with("partNumber=3&X-Amz-Signature=d"));
        assert_eq!((url(0), url(4)), (None, None));
        assert_eq!(signed.last(), 3);
        assert_eq!(SignedParts::default().last(), 0);
    }
}
