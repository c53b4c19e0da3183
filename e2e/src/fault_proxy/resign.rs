//! Session tokens of temporary keys, for a store that knows none.

use axum::extract::Request;
use http::header;

use crate::s3::presign::{Keys, presign};
use crate::s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};

/// The session token of a request: that of a header, or of a signed URL.
pub(super) fn token(request: &Request) -> Option<String> {
    if let Some(value) = request.headers().get("x-amz-security-token") {
        return value.to_str().ok().map(str::to_owned);
    }
    let query = request.uri().query()?;
    query
        .split('&')
        .find_map(|pair| pair.strip_prefix("X-Amz-Security-Token="))
        .map(str::to_owned)
}

/// The request without its token, signed anew with the keys that the server knows.
pub(super) fn without_token(request: Request) -> Request {
    let (mut parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let mut query: Vec<(&str, &str)> = query
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("X-Amz-"))
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .collect();
    query.sort_unstable();
    let host = parts.headers.get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let keys = Keys {
        access: ACCESS_KEY_ID.to_owned(),
        secret: SECRET_ACCESS_KEY.to_owned(),
    };
    let signed = presign(parts.method.as_str(), host, parts.uri.path(), &query, &keys);
    if let Some(signed) = signed.ok().and_then(|signed| signed.parse().ok()) {
        parts.uri = signed;
    }
    parts.headers.remove(header::AUTHORIZATION);
    // Those would have to be signed, too.
    let theirs = parts.headers.keys();
    let theirs = theirs.filter(|name| name.as_str().starts_with("x-amz-"));
    for name in theirs.cloned().collect::<Vec<_>>() {
        parts.headers.remove(name);
    }
    Request::from_parts(parts, body)
}
