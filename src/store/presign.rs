//! Signatures (SigV4 in the query) for the parts of an upload, in addition to the one made by the SDK.
//!
//! The SDK builds a whole request to get a signed URL, which adds up over thousands of parts. All but the part's number is
//! the same in each of them, so the others need nothing but the signing itself: that of `aws_sigv4`, which is the SDK's, too.

use std::time::{Duration, SystemTime};

use aws_sdk_s3::config::Credentials;
use aws_sigv4::http_request::{
    PercentEncodingMode, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
    UriPathNormalizationMode, sign,
};
use aws_sigv4::sign::v4;

/// Signs the other parts of an upload.
pub(super) struct Signer<'a> {
    /// The request's URL without the part's number and without what signing adds.
    url: String,
    keys: Credentials,
    region: &'a str,
    start: SystemTime,
    settings: SigningSettings,
}

impl<'a> Signer<'a> {
    /// From the signed URL of a part, and what it was signed with. Whether its region is the right one shows when the
    /// signatures for that part are compared.
    pub(super) fn new(
        signed: &str,
        keys: Credentials,
        region: &'a str,
        start: SystemTime,
        valid_for: Duration,
    ) -> Self {
        let (address, query) = signed.split_once('?').unwrap_or((signed, ""));
        let added = |pair: &&str| pair.starts_with("X-Amz-") || pair.starts_with("partNumber=");
        let pairs: Vec<_> = query.split('&').filter(|pair| !added(pair)).collect();
        // As S3 wants it: what is in the URL is signed as it is there.
        let mut settings = SigningSettings::default();
        settings.percent_encoding_mode = PercentEncodingMode::Single;
        settings.uri_path_normalization_mode = UriPathNormalizationMode::Disabled;
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(valid_for);
        Self {
            url: format!("{address}?{}", pairs.join("&")),
            keys,
            region,
            start,
            settings,
        }
    }

    /// The signature for a part; `None` if it cannot be made, which the SDK can explain.
    pub(super) fn sign(&self, number: u32) -> Option<String> {
        let identity = self.keys.clone().into();
        let with = v4::SigningParams::builder()
            .identity(&identity)
            .region(self.region)
            .name("s3")
            .time(self.start)
            .settings(self.settings.clone())
            .build()
            .ok()?;
        let url = format!("{}&partNumber={number}", self.url);
        let body = SignableBody::UnsignedPayload;
        let request = SignableRequest::new("PUT", url, std::iter::empty(), body).ok()?;
        let (_, signature) = sign(request, &with.into()).ok()?.into_parts();
        Some(signature)
    }
}
