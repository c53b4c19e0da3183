//! Uploads that were begun and forgotten, mostly by a crash between beginning one and recording it.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{OpenUpload, Store, StoreError};

/// Younger uploads are left alone: the Backup that needs them may not have been seen yet.
pub const GRACE: Duration = Duration::from_secs(15 * 60);

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Swept {
    /// How many uploads of ours were open, including those that were aborted.
    pub open: usize,
    /// How many uploads were aborted.
    pub aborted: usize,
}

/// Aborts uploads under `prefix` (see [`super::cluster_prefix`]) that began more than `grace` ago and that no Backup needs.
///
/// `needed` is asked after the uploads have been listed, since a Backup's key is recorded before its upload begins.
pub async fn sweep(
    store: &Store,
    prefix: &str,
    grace: Duration,
    needed: impl Fn(&str) -> bool,
) -> Result<Swept, StoreError> {
    let mut open = store.uploads(prefix).await?;
    let all = open.len();
    let now = Timestamp::now();
    open.retain(|upload| is_old(upload, grace, now));
    let unneeded = unneeded(&open, needed, prefix);
    for upload in &unneeded {
        store.abort(&upload.key, &upload.upload_id).await?;
    }
    Ok(Swept {
        open: all,
        aborted: unneeded.len(),
    })
}

/// The open uploads that are ours and that no Backup needs.
#[must_use]
pub fn unneeded<'a>(
    open: &'a [OpenUpload],
    needed: impl Fn(&str) -> bool,
    prefix: &str,
) -> Vec<&'a OpenUpload> {
    // An empty prefix would match everything, and one that is not a folder might match another cluster's, too.
    if !prefix.ends_with('/') {
        return Vec::new();
    }
    open.iter()
        .filter(|upload| upload.key.starts_with(prefix) && !needed(&upload.key))
        .collect()
}

/// If the store does not say when an upload began, it counts as old.
fn is_old(upload: &OpenUpload, grace: Duration, now: Timestamp) -> bool {
    let grace = SignedDuration::try_from(grace).unwrap_or(SignedDuration::MAX);
    upload
        .initiated
        .is_none_or(|begun| now.duration_since(begun) >= grace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn upload(key: &str) -> OpenUpload {
        OpenUpload {
            key: key.to_owned(),
            upload_id: format!("id of {key}"),
            initiated: None,
        }
    }

    #[test]
    fn only_ours_and_only_what_nobody_needs() {
        let open = [
            upload("prod/c1/a/forgotten"),
            upload("prod/c1/a/running"),
            upload("prod/c11/a/another-cluster"),
            upload("c1/a/another-prefix"),
            upload("movie.mp4"),
        ];
        let needed = |key: &str| key == "prod/c1/a/running";
        assert_eq!(unneeded(&open, needed, "prod/c1/"), [&open[0]]);
        assert!(unneeded(&open, |_| true, "prod/c1/").is_empty());
        for prefix in ["", "prod/c1", "prod"] {
            assert!(unneeded(&open, |_| false, prefix).is_empty(), "{prefix}");
        }
    }

    #[test]
    fn young_ones_are_left_alone() {
        let now = Timestamp::from_second(100_000).unwrap();
        let begun = |second| OpenUpload {
            initiated: Some(Timestamp::from_second(second).unwrap()),
            ..upload("k")
        };
        assert!(is_old(&begun(99_000), GRACE, now));
        assert!(!is_old(&begun(99_200), GRACE, now));
        assert!(!is_old(&begun(100_100), GRACE, now));
        assert!(is_old(&upload("k"), GRACE, now));
    }
}
