//! Single objects, and the keys and the encryption that all calls use.

use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::ServerSideEncryption as SdkEncryption;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};

use super::client::CALL;
use super::error::quoted;
use super::{Object, Store, StoreError, keys};
use crate::api::destination::ServerSideEncryption;

impl Store {
    /// An object, if it exists. Not being able to tell is an error.
    pub async fn head(&self, key: &str) -> Result<Option<Object>, StoreError> {
        let found = self
            .client
            .head_object()
            .bucket(&self.s3.bucket)
            .key(key)
            .send()
            .await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                let status = error
                    .raw_response()
                    .map_or(0, |answer| answer.status().as_u16());
                if (300..500).contains(&status) {
                    self.why_not(key).await?;
                }
                if status == 404 {
                    return Ok(None);
                }
                return Err(StoreError::from_sdk(&error));
            }
        };
        let size = found
            .content_length()
            .and_then(|size| u64::try_from(size).ok());
        let metadata = found.metadata().into_iter().flatten();
        Ok(Some(Object {
            size: size.ok_or_else(|| missing("the object's size"))?,
            etag: unquoted(found.e_tag()),
            metadata: metadata
                .map(|(name, value)| (name.to_lowercase(), value.clone()))
                .collect(),
        }))
    }

    /// The answer to a refused HEAD has no text: 404 may mean that the object is missing, or the bucket, or (versitygw) that
    /// our keys are unknown. A refused list has one, and a list that succeeds shows that the object is missing.
    async fn why_not(&self, key: &str) -> Result<(), StoreError> {
        let list = self
            .client
            .list_objects_v2()
            .bucket(&self.s3.bucket)
            .prefix(key)
            .max_keys(1)
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(&error))?;
        if list
            .contents()
            .iter()
            .any(|object| object.key() == Some(key))
        {
            return Err(StoreError::Busy {
                code: "NotVisible".to_owned(),
                message: "it lists an object that it does not show".to_owned(),
            });
        }
        Ok(())
    }

    /// Reads a small object, if it exists: at most about its first `limit` bytes.
    pub async fn get(&self, key: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        tokio::time::timeout(CALL, self.read(key, limit))
            .await
            .unwrap_or_else(|_| Err(StoreError::Unreachable("no answer in time".to_owned())))
    }

    async fn read(&self, key: &str, limit: usize) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self
            .client
            .get_object()
            .bucket(&self.s3.bucket)
            .key(key)
            .send()
            .await;
        let mut body = match found {
            Ok(found) => found.body,
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(GetObjectError::is_no_such_key) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(StoreError::from_sdk(&error)),
        };
        let mut content = Vec::new();
        while content.len() < limit {
            match body.try_next().await {
                Ok(Some(bytes)) => content.extend_from_slice(&bytes),
                Ok(None) => break,
                Err(error) => return Err(StoreError::Unreachable(quoted(&error.to_string()))),
            }
        }
        Ok(Some(content))
    }

    /// Writes a small object, and overwrites an existing one.
    pub async fn put(
        &self,
        key: &str,
        body: Vec<u8>,
        content_type: &str,
    ) -> Result<(), StoreError> {
        self.client
            .put_object()
            .bucket(&self.s3.bucket)
            .key(key)
            .content_type(content_type)
            .content_md5(BASE64_STANDARD.encode(Md5::digest(&body)))
            .set_server_side_encryption(self.encryption())
            .set_ssekms_key_id(self.s3.kms_key_id.clone())
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| StoreError::from_sdk(&error))?;
        Ok(())
    }

    /// Keys that are valid now.
    pub(super) async fn valid_keys(&self) -> Result<Credentials, StoreError> {
        self.keys
            .keys()
            .await
            .map_err(|error| keys::explain(&error))
    }

    pub(super) fn encryption(&self) -> Option<SdkEncryption> {
        Some(match self.s3.server_side_encryption? {
            ServerSideEncryption::Aes256 => SdkEncryption::Aes256,
            ServerSideEncryption::Kms => SdkEncryption::AwsKms,
            ServerSideEncryption::KmsDsse => SdkEncryption::AwsKmsDsse,
        })
    }
}

pub(super) fn unquoted(etag: Option<&str>) -> String {
    etag.unwrap_or_default().trim_matches('"').to_owned()
}

pub(super) fn missing(what: &str) -> StoreError {
    StoreError::Unexpected(format!("{what} is missing"))
}
