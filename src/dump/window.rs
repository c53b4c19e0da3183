//! Signed requests for the next parts, as one JSON file of a Secret.
//!
//! Thousands of URLs do not fit a Secret, but nearly all of each is the same: a batch holds that once, and one
//! signature a part. The operator replaces the file while the Job runs; a kubelet shows that within about two minutes.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The parts that may be uploaded now.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// Later ones win where two hold the same part.
    pub batches: Vec<Batch>,
}

/// Parts that were signed together.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Batch {
    /// The request's URL without `partNumber` and `X-Amz-Signature`; it has a query already.
    pub url: String,
    /// When these signatures end.
    pub expires_at: Timestamp,
    /// Number of the part that the first signature is for; S3 counts from one.
    pub first: u32,
    /// One a part, in order.
    pub signatures: Vec<String>,
}

/// A request that uploads one part: `PUT` with the part as its body.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedPart {
    /// Where to.
    pub url: String,
    /// Until when.
    pub expires_at: Timestamp,
}

impl Window {
    /// The request for a part, if it is signed.
    #[must_use]
    pub fn part(&self, number: u32) -> Option<SignedPart> {
        self.batches
            .iter()
            .rev()
            .find_map(|batch| batch.part(number))
    }

    /// The highest part that is signed; 0 for none.
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
        let window = Window {
            batches: vec![batch(1, &["a", "b"]), batch(2, &["c", "d"])],
        };
        let url = |number| window.part(number).map(|part| part.url);
        assert_eq!(
            url(1).unwrap(),
            "https://s3/b/k?uploadId=u&partNumber=1&X-Amz-Signature=a"
        );
        assert!(url(2).unwrap().ends_with("partNumber=2&X-Amz-Signature=c"));
        assert!(url(3).unwrap().ends_with("partNumber=3&X-Amz-Signature=d"));
        assert_eq!((url(0), url(4)), (None, None));
        assert_eq!(window.last(), 3);
        assert_eq!(Window::default().last(), 0);
    }
}
