//! Presigned requests (AWS Signature Version 4), for tests that look into a bucket from outside.

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;

use crate::{Error, Result};

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
/// `query` holds names and values that need no encoding except for slashes.
pub fn presign(
    method: &str,
    host: &str,
    path: &str,
    query: &[(&str, &str)],
    keys: &Keys,
) -> Result<String> {
    let pairs: Vec<String> = query
        .iter()
        .map(|(name, value)| format!("{name}={}", value.replace('/', "%2F")))
        .collect();
    let uri = format!("http://{host}{path}?{}", pairs.join("&"));
    let mut settings = SigningSettings::default();
    settings.percent_encoding_mode = PercentEncodingMode::Single;
    settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(Duration::from_secs(60));
    let identity = Credentials::new(&keys.access, &keys.secret, None, None, "test").into();
    let with = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("s3")
        .time(SystemTime::now())
        .settings(settings)
        .build()
        .map_err(Error::trial("sign a request"))?
        .into();
    let body = SignableBody::UnsignedPayload;
    let request = SignableRequest::new(method, &uri, std::iter::empty(), body);
    let (added, _) = request
        .and_then(|request| sign(request, &with))
        .map_err(Error::trial("sign a request"))?
        .into_parts();
    let mut request = http::Request::new(());
    *request.uri_mut() = uri.parse().map_err(Error::trial("read a request's URI"))?;
    added.apply_to_request_http1x(&mut request);
    let signed = request.uri().path_and_query();
    Ok(signed.map_or_else(String::new, ToString::to_string))
}
