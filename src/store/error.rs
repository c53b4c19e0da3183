//! Why the store did not do what it was asked.

use std::error::Error as StdError;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::keys;
use crate::causes::causes;

/// How much of a store's message is repeated, in characters.
const QUOTED: usize = 300;

/// Why the store did not do what it was asked. No message contains a key, a signature or a signed URL.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum StoreError {
    /// There was no complete answer, so it is not known whether the request was carried out.
    #[error("the object store cannot be reached, or did not answer in time: {0}")]
    Unreachable(String),

    /// The store understood the request and refused it.
    #[error("the object store refuses ({status} {code}): {message}{}", advice(code, *status))]
    Refused {
        /// S3's code for it, such as `AccessDenied`; empty if the answer has none.
        code: String,
        /// The store's message.
        message: String,
        /// The HTTP status.
        status: u16,
    },

    /// The bucket does not exist.
    #[error("the bucket does not exist: create it, or correct spec.backup.s3.bucket")]
    NoBucket,

    /// The upload does not exist (any more): it was completed or aborted, by us or by the bucket's lifecycle rules.
    #[error(
        "the upload does not exist (any more): a lifecycle rule of the bucket that aborts unfinished uploads has to \
         leave them the time that a backup takes"
    )]
    NoUpload,

    /// There is already an object of this key, which must not be overwritten.
    #[error(
        "an object of this key exists already, and is not overwritten: move it away, or make another Backup"
    )]
    Exists,

    /// There are no keys to sign requests with, or they have expired.
    #[error("there are no valid keys for the object store: {0}")]
    Keys(String),

    /// The store's certificate is not trusted, or the TLS handshake failed for another reason.
    #[error(
        "the object store's TLS certificate is not accepted ({0}): name its authority in spec.backup.s3.caSecretRef, \
         or correct the endpoint's host name"
    )]
    Tls(String),

    /// The authorities that the store's certificate is checked against cannot be read.
    #[error(
        "the certificates of spec.backup.s3.caSecretRef cannot be used ({0}): put a PEM file there that begins with \
         -----BEGIN CERTIFICATE-----"
    )]
    Ca(String),

    /// The store is overloaded, or has a temporary fault of its own.
    #[error("the object store is busy or has a fault of its own ({code}): {message}")]
    Busy {
        /// S3's code for it, such as `SlowDown`, or the HTTP status.
        code: String,
        /// The store's message.
        message: String,
    },

    /// An answer that makes no sense.
    #[error("the object store gives an answer that makes no sense: {0}")]
    Unexpected(String),
}

impl StoreError {
    /// Whether asking again later may help, without anyone doing anything.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Busy { .. } => true,
            Self::Refused { .. }
            | Self::NoBucket
            | Self::NoUpload
            | Self::Exists
            | Self::Keys(_)
            | Self::Tls(_)
            | Self::Ca(_)
            | Self::Unexpected(_) => false,
        }
    }

    /// From a failed call of the SDK.
    pub(super) fn from_sdk<E>(error: &SdkError<E>) -> Self
    where
        E: ProvideErrorMetadata + StdError + 'static,
    {
        if let Some(keys) = keys::refusal(error) {
            return keys;
        }
        match error {
            SdkError::ServiceError(answer) => Self::from_answer(
                answer.raw().status().as_u16(),
                answer.err().code(),
                answer.err().message(),
            ),
            SdkError::TimeoutError(_) => Self::Unreachable("no answer in time".to_owned()),
            SdkError::DispatchFailure(_) => match tls(error) {
                Some(reason) => Self::Tls(reason),
                None => Self::Unreachable(root(error)),
            },
            // An answer that broke off is no better than none.
            SdkError::ResponseError(answer) if answer.raw().status().is_success() => {
                Self::Unreachable(root(error))
            }
            SdkError::ResponseError(answer) => {
                Self::from_answer(answer.raw().status().as_u16(), None, None)
            }
            _ => Self::Unexpected(root(error)),
        }
    }

    /// From an answer: its status, S3's code for the error, and its message.
    fn from_answer(status: u16, code: Option<&str>, message: Option<&str>) -> Self {
        let code = code.unwrap_or_default();
        let message = quoted(message.unwrap_or("no reason given"));
        let refused = |message| Self::Refused {
            code: code.to_owned(),
            message,
            status,
        };
        match code {
            "NoSuchBucket" => return Self::NoBucket,
            "NoSuchUpload" => return Self::NoUpload,
            "PreconditionFailed" => return Self::Exists,
            "ExpiredToken" | "TokenRefreshRequired" => {
                return Self::Keys(format!(
                    "the store says that they have expired ({message}); renew the Secret of \
                     spec.backup.s3.credentialsSecretRef"
                ));
            }
            "NotImplemented" => return refused(message),
            // The last one: another request for the same key was in progress.
            "SlowDown"
            | "Throttling"
            | "ThrottlingException"
            | "RequestTimeout"
            | "InternalError"
            | "ServiceUnavailable"
            | "ConditionalRequestConflict"
            | "OperationAborted" => {
                return Self::Busy {
                    code: code.to_owned(),
                    message,
                };
            }
            _ => {}
        }
        match status {
            412 => Self::Exists,
            501 => refused(message),
            // 200 is how S3 fails once it has begun to answer.
            200 | 408 | 425 | 429 | 500.. => Self::Busy {
                code: if code.is_empty() {
                    status.to_string()
                } else {
                    code.to_owned()
                },
                message,
            },
            300..=499 => refused(message),
            _ => Self::Unexpected(format!("HTTP status {status} {code}")),
        }
    }
}

/// What to do about a refusal.
fn advice(code: &str, status: u16) -> &'static str {
    match code {
        // The second is versitygw's.
        "InvalidAccessKeyId" | "XAdminUserNotFound" => {
            "; correct AWS_ACCESS_KEY_ID in the Secret of spec.backup.s3.credentialsSecretRef"
        }
        "SignatureDoesNotMatch" => {
            "; correct AWS_SECRET_ACCESS_KEY in the Secret of spec.backup.s3.credentialsSecretRef"
        }
        "RequestTimeTooSkewed" => "; set the clocks of this cluster and of the store",
        "AuthorizationHeaderMalformed"
        | "PermanentRedirect"
        | "IllegalLocationConstraintException" => "; correct spec.backup.s3.region",
        "NotImplemented" => NO_CONDITIONS,
        _ => match status {
            300..=399 => "; correct spec.backup.s3.region or spec.backup.s3.endpoint",
            401 | 403 => {
                "; the keys need s3:PutObject, s3:GetObject, s3:AbortMultipartUpload, s3:ListMultipartUploadParts and, \
                 on the bucket, s3:ListBucket and s3:ListBucketMultipartUploads"
            }
            501 => NO_CONDITIONS,
            _ => "",
        },
    }
}

/// What a store that lacks something usually lacks: the one header that not all of them know.
const NO_CONDITIONS: &str =
    "; spec.backup.s3.conditionalWrites: false is for stores that do not know If-None-Match";

/// The reason of a failed TLS handshake, if retrying cannot help.
fn tls(error: &(dyn StdError + 'static)) -> Option<String> {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<rustls::Error>())
        .map(|reason| quoted(&reason.to_string()))
}

/// The root cause of an error, such as `Connection refused`.
fn root(error: &(dyn StdError + 'static)) -> String {
    causes(error)
        .last()
        .map_or_else(String::new, |cause| quoted(&cause.to_string()))
}

/// A single line of limited length.
pub(super) fn quoted(text: &str) -> String {
    text.chars()
        .map(|character| {
            if character.is_control() {
                ' '
            } else {
                character
            }
        })
        .take(QUOTED)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_have_their_meaning() {
        let of = |status, code: &str| StoreError::from_answer(status, Some(code), Some("why"));
        assert_eq!(of(404, "NoSuchBucket"), StoreError::NoBucket);
        assert_eq!(of(404, "NoSuchUpload"), StoreError::NoUpload);
        assert_eq!(of(412, "PreconditionFailed"), StoreError::Exists);
        assert!(matches!(of(400, "ExpiredToken"), StoreError::Keys(_)));
        for (status, code) in [
            (503, "SlowDown"),
            (500, "InternalError"),
            (200, "InternalError"),
            (200, "Whatever"),
            (409, "ConditionalRequestConflict"),
            (429, ""),
            (502, ""),
        ] {
            assert!(of(status, code).is_retryable(), "{status} {code}");
        }
        for (status, code, word) in [
            (403, "AccessDenied", "s3:PutObject"),
            (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (301, "PermanentRedirect", "region"),
            (501, "NotImplemented", "conditionalWrites: false"),
            (501, "", "conditionalWrites: false"),
        ] {
            let error = of(status, code);
            assert!(error.to_string().contains(word), "{error}");
            assert!(!error.is_retryable(), "{error}");
        }
        assert!(!of(403, "AccessDenied").is_retryable());
    }

    #[test]
    fn the_reason_of_a_failed_handshake_is_found_below_any_wrapping() {
        let reason = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = std::io::Error::other(std::io::Error::other(reason));
        assert_eq!(
            tls(&wrapped).as_deref(),
            Some("invalid peer certificate: UnknownIssuer")
        );
        assert_eq!(tls(&std::io::Error::other("reset")), None);
    }

    #[test]
    fn what_a_store_says_is_cut_to_one_line() {
        let error = StoreError::from_answer(400, Some("X"), Some(&"a\n".repeat(5000)));
        let text = error.to_string();
        assert!(text.len() < 500 && !text.contains('\n'), "{text}");
    }
}
