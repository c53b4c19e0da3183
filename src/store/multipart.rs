//! Multipart uploads: begin, list, complete, abort.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::time::Duration;

use aws_sdk_s3::config::Builder;
use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::operation::list_multipart_uploads::ListMultipartUploadsOutput;
use aws_sdk_s3::types::{
    CompletedMultipartUpload, CompletedPart, MultipartUpload, Part as SdkPart,
};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use super::client::limits;
use super::objects::{missing, unquoted};
use super::{OpenUpload, Store, StoreError};
use crate::agent::protocol::result::Part;

/// How long a completion may take: some stores copy the parts together.
const COMPLETION: Duration = Duration::from_secs(300);

/// How long a list may take, over all its pages.
const LIST: Duration = Duration::from_secs(120);

/// What has to be encoded in a value of metadata, which is a header.
const NOT_IN_A_HEADER: &AsciiSet = &CONTROLS.add(b'%');

impl Store {
    /// Begins an upload that becomes an object with this metadata; returns the store's id for it.
    ///
    /// Anything but printable ASCII in the values of the metadata is percent-encoded. If the answer is lost, an upload may be
    /// open whose id is not known: [`Store::abort_all`] finds it.
    pub async fn begin(
        &self,
        key: &str,
        metadata: &BTreeMap<String, String>,
        content_type: &str,
    ) -> Result<String, StoreError> {
        let metadata: HashMap<_, _> = metadata
            .iter()
            .map(|(name, value)| (name.clone(), header_safe(value)))
            .collect();
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.s3.bucket)
            .key(key)
            .set_metadata(Some(metadata))
            .content_type(content_type)
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.s3.kms_key_id.clone())
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(&error))?;
        begun
            .upload_id
            .ok_or_else(|| missing("the id of the upload that was begun"))
    }

    /// The parts that the store has of an upload, by number.
    pub async fn parts(&self, key: &str, upload_id: &str) -> Result<Vec<Part>, StoreError> {
        bounded(self.all_parts(key, upload_id)).await
    }

    async fn all_parts(&self, key: &str, upload_id: &str) -> Result<Vec<Part>, StoreError> {
        let mut parts = Vec::new();
        let mut after: Option<String> = None;
        loop {
            let page = self
                .client
                .list_parts()
                .bucket(&self.s3.bucket)
                .key(key)
                .upload_id(upload_id)
                .set_part_number_marker(after.clone())
                .send()
                .await
                .map_err(|error| StoreError::from_sdk(&error))?;
            for part in page.parts() {
                parts.push(read_part(part)?);
            }
            if page.is_truncated() != Some(true) {
                break;
            }
            let next = page.next_part_number_marker().map(str::to_owned);
            if next.is_none() || next == after {
                return Err(missing("where its list of parts goes on"));
            }
            after = next;
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    /// Makes the object from these parts, which must be all of the upload's. The store is asked once, without retries: after
    /// any error but a refusal, [`Store::head`] tells whether it was done.
    pub async fn complete(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[Part],
    ) -> Result<(), StoreError> {
        let parts = parts.iter().map(written_part).collect::<Result<_, _>>()?;
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let unless_there = self.s3.conditional_writes.then(|| "*".to_owned());
        self.client
            .complete_multipart_upload()
            .bucket(&self.s3.bucket)
            .key(key)
            .upload_id(upload_id)
            .multipart_upload(parts)
            .set_if_none_match(unless_there)
            .customize()
            .config_override(
                Builder::new()
                    .timeout_config(limits(COMPLETION, COMPLETION))
                    .retry_config(RetryConfig::disabled()),
            )
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(&error))?;
        Ok(())
    }

    /// Ends an upload and removes its parts. It may be gone already.
    ///
    /// A part that is being uploaded meanwhile may be left over: stop what uploads first, or abort twice.
    pub async fn abort(&self, key: &str, upload_id: &str) -> Result<(), StoreError> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.s3.bucket)
            .key(key)
            .upload_id(upload_id)
            .send()
            .await;
        match aborted.map_err(|error| StoreError::from_sdk(&error)) {
            Ok(_) | Err(StoreError::NoUpload) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Aborts all uploads of this key, including those whose id is not known. Returns how many there were.
    pub async fn abort_all(&self, key: &str) -> Result<usize, StoreError> {
        let mut open = self.uploads(key).await?;
        open.retain(|upload| upload.key == key);
        for upload in &open {
            self.abort(key, &upload.upload_id).await?;
        }
        Ok(open.len())
    }

    /// The open uploads whose keys begin with `prefix`. MinIO lists those of a single key only, if `prefix` is that key.
    pub async fn uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        bounded(self.all_uploads(prefix)).await
    }

    async fn all_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>, StoreError> {
        let mut uploads = Vec::new();
        let mut after = Marker::default();
        loop {
            let page = match self.page_of_uploads(prefix, &after).await {
                // versitygw 1.8 does not recognise upload ids that it gave out itself. Without one, uploads of the last
                // key may be missing.
                Err(StoreError::Refused { code, .. })
                    if code == "InvalidArgument" && after.upload_id.is_some() =>
                {
                    after.upload_id = None;
                    self.page_of_uploads(prefix, &after).await?
                }
                page => page?,
            };
            for upload in page.uploads() {
                uploads.push(read_upload(upload)?);
            }
            if page.is_truncated() != Some(true) {
                return Ok(uploads);
            }
            let next = Marker {
                key: page.next_key_marker().map(str::to_owned),
                upload_id: page.next_upload_id_marker().map(str::to_owned),
            };
            if next.key.is_none() || next == after {
                return Err(missing("where its list of uploads goes on"));
            }
            after = next;
        }
    }

    async fn page_of_uploads(
        &self,
        prefix: &str,
        after: &Marker,
    ) -> Result<ListMultipartUploadsOutput, StoreError> {
        self.client
            .list_multipart_uploads()
            .bucket(&self.s3.bucket)
            .prefix(prefix)
            .set_key_marker(after.key.clone())
            .set_upload_id_marker(after.upload_id.clone())
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(&error))
    }
}

/// Where a list of uploads continues.
#[derive(Default, PartialEq)]
struct Marker {
    key: Option<String>,
    upload_id: Option<String>,
}

/// Gives a list its time limit.
async fn bounded<T>(list: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    tokio::time::timeout(LIST, list)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unreachable("a list took too long".to_owned())))
}

fn read_part(part: &SdkPart) -> Result<Part, StoreError> {
    let number = part
        .part_number()
        .and_then(|number| u32::try_from(number).ok());
    let size = part.size().and_then(|size| u64::try_from(size).ok());
    match (number, size) {
        (Some(number), Some(size)) => Ok(Part {
            number,
            size,
            etag: unquoted(part.e_tag()),
        }),
        _ => Err(missing("a part's number and size")),
    }
}

fn written_part(part: &Part) -> Result<CompletedPart, StoreError> {
    let number = i32::try_from(part.number)
        .map_err(|_| StoreError::Unexpected(format!("there is no part {}", part.number)))?;
    Ok(CompletedPart::builder()
        .part_number(number)
        .e_tag(format!("\"{}\"", part.etag))
        .build())
}

fn read_upload(upload: &MultipartUpload) -> Result<OpenUpload, StoreError> {
    let (Some(key), Some(upload_id)) = (upload.key(), upload.upload_id()) else {
        return Err(missing("an upload's key and id"));
    };
    Ok(OpenUpload {
        key: key.to_owned(),
        upload_id: upload_id.to_owned(),
        initiated: upload
            .initiated()
            .and_then(|time| Timestamp::from_second(time.secs()).ok()),
    })
}

fn header_safe(value: &str) -> String {
    utf8_percent_encode(value, NOT_IN_A_HEADER).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_fits_a_header() {
        assert_eq!(header_safe("team-a/orders 1"), "team-a/orders 1");
        assert_eq!(header_safe("ä%\n"), "%C3%A4%25%0A");
    }

    #[test]
    fn what_a_store_calls_a_part_is_kept_without_quotes_and_given_back_with_them() {
        let listed = SdkPart::builder()
            .part_number(2)
            .size(5)
            .e_tag("\"ab-1\"")
            .build();
        let part = read_part(&listed).unwrap();
        assert_eq!((part.number, part.size, part.etag.as_str()), (2, 5, "ab-1"));
        assert_eq!(written_part(&part).unwrap().e_tag(), listed.e_tag());
        let nothing = SdkPart::builder().part_number(2).build();
        assert!(matches!(
            read_part(&nothing),
            Err(StoreError::Unexpected(_))
        ));
    }
}
