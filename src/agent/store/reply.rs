//! What the store's replies mean, and how long a request that failed is left alone.

use std::time::Duration;

use bytes::Bytes;
use http::{StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt, Limited};

/// The most that is read of a reply, in bytes: they are short, and the page of a proxy need not be read to its end.
const REPLY: usize = 64 * 1024;

/// How often a request is tried: with the pauses in between, a store may be away for more than a minute.
pub(crate) const ATTEMPTS: u32 = 12;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(20);

/// How an attempt failed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    /// The next attempt may succeed.
    Transient(String),
    /// The signature was not accepted; another one may be.
    Forbidden(String),
    /// No attempt will succeed.
    Permanent(String),
}

/// Reads a reply that is not the one that was hoped for.
pub(crate) async fn refusal<B>(status: StatusCode, body: B) -> Refusal
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(body, REPLY).collect().await;
    let body = body.map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes);
    classify(status, &String::from_utf8_lossy(&body))
}

/// Reads the rest of a reply, of which nothing is needed: a connection can be used again only then.
pub(crate) async fn drain<B>(body: B)
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let _ = Limited::new(body, REPLY).collect().await;
}

/// The ETag in a reply, without its quotes.
pub(crate) fn etag(headers: &http::HeaderMap) -> Result<String, String> {
    let value = headers.get(header::ETAG).ok_or("the reply has no ETag")?;
    let text = value.to_str().unwrap_or_default();
    let name = text.trim().trim_start_matches("W/").trim_matches('"');
    let usable = !name.is_empty()
        && name.len() <= 200
        && name
            .chars()
            .all(|char| char.is_ascii_graphic() && char != '"');
    if usable {
        Ok(name.to_owned())
    } else {
        Err(format!("the reply has {text:?}, which is no ETag"))
    }
}

/// What a reply other than 200 means.
fn classify(status: StatusCode, body: &str) -> Refusal {
    let code = element(body, "Code").unwrap_or_default();
    let message = element(body, "Message").unwrap_or_default();
    let text = format!("{status} {code} {message}");
    let text = text.trim().to_owned();
    let transient = status.is_server_error()
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT
        )
        || matches!(
            code,
            "BadDigest"
                | "RequestTimeout"
                | "SlowDown"
                | "InternalError"
                | "IncompleteBody"
                | "OperationAborted"
                | "ThrottlingException"
        );
    if transient {
        Refusal::Transient(text)
    } else if status == StatusCode::FORBIDDEN
        || matches!(
            code,
            "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired"
        )
    {
        Refusal::Forbidden(text)
    } else {
        Refusal::Permanent(text)
    }
}

/// The text of the first element of this name: the XML of an error is small and flat.
fn element<'a>(xml: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = xml.split_once(&format!("<{name}>"))?;
    let (text, _) = rest.split_once(&format!("</{name}>"))?;
    Some(text.trim())
}

/// The pause after a failed attempt. It doubles each time, and is shortened by up to half at random, so that requests do not
/// all come back at once.
pub(crate) fn pause(attempt: u32, random: u32) -> Duration {
    let full = FIRST_PAUSE
        .saturating_mul(1 << attempt.saturating_sub(1).min(16))
        .min(LONGEST_PAUSE);
    full.mul_f64(0.5 + f64::from(random) / f64::from(u32::MAX) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};

    #[test]
    fn replies_have_their_meaning() {
        let error = |code: &str| format!("<Error><Code>{code}</Code><Message>m</Message></Error>");
        let of = |status, code: &str| classify(StatusCode::from_u16(status).unwrap(), &error(code));
        for (status, code) in [
            (500, "InternalError"),
            (503, "SlowDown"),
            (429, ""),
            (400, "BadDigest"),
            (400, "RequestTimeout"),
            (502, ""),
        ] {
            let failure = of(status, code);
            assert!(matches!(failure, Refusal::Transient(_)), "{failure:?}");
        }
        for (status, code) in [
            (403, "AccessDenied"),
            (403, "SignatureDoesNotMatch"),
            (400, "ExpiredToken"),
        ] {
            let failure = of(status, code);
            assert!(matches!(failure, Refusal::Forbidden(_)), "{failure:?}");
        }
        assert_eq!(
            of(404, "NoSuchUpload"),
            Refusal::Permanent("404 Not Found NoSuchUpload m".to_owned())
        );
        assert_eq!(
            classify(StatusCode::BAD_REQUEST, "<html>"),
            Refusal::Permanent("400 Bad Request".to_owned())
        );
    }

    #[test]
    fn a_part_needs_a_usable_etag() {
        let named = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ETAG, HeaderValue::from_str(value).unwrap());
            etag(&headers)
        };
        assert_eq!(named("\"abc-1\"").unwrap(), "abc-1");
        assert_eq!(named("abc").unwrap(), "abc");
        assert!(etag(&HeaderMap::new()).unwrap_err().contains("no ETag"));
        for odd in ["", "\"\"", "\"a b\"", "\"a\"b\"", &"x".repeat(300)] {
            assert!(named(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn pauses_grow_to_a_limit_and_are_not_all_alike() {
        assert_eq!(pause(1, u32::MAX), FIRST_PAUSE);
        assert_eq!(pause(1, 0), FIRST_PAUSE / 2);
        assert_eq!(pause(2, u32::MAX), 2 * FIRST_PAUSE);
        assert_eq!(pause(40, u32::MAX), LONGEST_PAUSE);
        let shortest: Duration = (1..ATTEMPTS).map(|attempt| pause(attempt, 0)).sum();
        assert!(shortest > Duration::from_secs(45), "{shortest:?}");
    }
}
