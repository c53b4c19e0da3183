//! The keys that requests are signed with.
//!
//! With [`Keys::OwnIdentity`] these are tried in this order, and the first that is configured counts:
//!
//! 1. the environment: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`;
//! 2. web identity (IRSA): `AWS_ROLE_ARN` and `AWS_WEB_IDENTITY_TOKEN_FILE`, which EKS puts into the pod of an annotated
//!    service account;
//! 3. EKS pod identity and ECS: `AWS_CONTAINER_CREDENTIALS_FULL_URI` with `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`;
//! 4. the instance profile of the node, from its metadata service (IMDSv2), where the pod may reach it.
//!
//! Personal files (`~/.aws`) and single sign-on are not among them: a pod has neither.

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::credentials::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::provider_config::ProviderConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, future};
use aws_sdk_s3::config::{Credentials, Region};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::StoreError;
use super::error::quoted;
use crate::causes::{self, causes};

/// Temporary keys are renewed when they are valid for less than this, because signatures expire with their keys.
const RENEW_BEFORE: Duration = Duration::from_secs(20 * 60);

/// How long to wait before asking again, if the same keys were given out once more.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// How long getting keys may take.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the keys come from.
pub enum Keys {
    /// From a Secret.
    Static {
        /// `AWS_ACCESS_KEY_ID`.
        access_key_id: String,
        /// `AWS_SECRET_ACCESS_KEY`.
        secret_access_key: SecretString,
        /// `AWS_SESSION_TOKEN`, of temporary keys. When those expire is unknown: it has to be after the backup.
        session_token: Option<SecretString>,
    },
    /// From where the operator runs; see the text of the module.
    OwnIdentity,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Static { .. } => "Static",
            Self::OwnIdentity => "OwnIdentity",
        })
    }
}

/// Gives out keys, and renews them in time.
#[derive(Clone)]
pub(super) struct Provider(Arc<Source>);

enum Source {
    Fixed(Credentials),
    Own {
        chain: CredentialsProviderChain,
        held: Mutex<Option<Held>>,
    },
}

struct Held {
    keys: Credentials,
    since: SystemTime,
}

impl Provider {
    /// Asks for nothing yet.
    pub(super) fn new(keys: Keys, region: &str) -> Self {
        Self(Arc::new(match keys {
            Keys::Static {
                access_key_id,
                secret_access_key,
                session_token,
            } => Source::Fixed(Credentials::new(
                access_key_id,
                secret_access_key.expose_secret(),
                session_token.map(|token| token.expose_secret().to_owned()),
                None,
                "Secret",
            )),
            Keys::OwnIdentity => Source::Own {
                chain: own_identity(region),
                held: Mutex::new(None),
            },
        }))
    }

    /// Keys that are valid now.
    pub(super) async fn keys(&self) -> Result<Credentials, CredentialsError> {
        let (chain, held) = match &*self.0 {
            Source::Fixed(keys) => return Ok(keys.clone()),
            Source::Own { chain, held } => (chain, held),
        };
        let mut held = held.lock().await;
        let now = SystemTime::now();
        if let Some(held) = &*held
            && is_fresh(held.keys.expiry(), held.since, now)
        {
            return Ok(held.keys.clone());
        }
        let asked = tokio::time::timeout(LIMIT, chain.provide_credentials())
            .await
            .unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(LIMIT)));
        match (asked, &*held) {
            (Ok(keys), _) => {
                *held = Some(Held {
                    keys: keys.clone(),
                    since: now,
                });
                Ok(keys)
            }
            // The old ones are still valid.
            (Err(_), Some(old)) if old.keys.expiry().is_none_or(|expiry| now < expiry) => {
                Ok(old.keys.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}

impl fmt::Debug for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Provider")
    }
}

impl ProvideCredentials for Provider {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.keys())
    }
}

/// Whether keys that expire at `expiry`, and that were got at `since`, will still do at `now`.
fn is_fresh(expiry: Option<SystemTime>, since: SystemTime, now: SystemTime) -> bool {
    let Some(expiry) = expiry else { return true };
    match expiry.duration_since(now) {
        Err(_) => false,
        Ok(left) if left > RENEW_BEFORE => true,
        Ok(left) => !left.is_zero() && now.duration_since(since).is_ok_and(|held| held < ASK_AGAIN),
    }
}

fn own_identity(region: &str) -> CredentialsProviderChain {
    let config = ProviderConfig::without_region().with_region(Some(Region::new(region.to_owned())));
    CredentialsProviderChain::first_try(
        "the environment",
        EnvironmentVariableCredentialsProvider::new(),
    )
    .or_else(
        "web identity",
        WebIdentityTokenCredentialsProvider::builder()
            .configure(&config)
            .build(),
    )
    .or_else(
        "pod identity",
        EcsCredentialsProvider::builder().configure(&config).build(),
    )
    .or_else(
        "instance profile",
        ImdsCredentialsProvider::builder()
            .configure(&config)
            .build(),
    )
}

/// Our error, if this one is about missing keys.
pub(super) fn refusal(error: &(dyn StdError + 'static)) -> Option<StoreError> {
    causes(error)
        .find_map(|cause| cause.downcast_ref::<CredentialsError>())
        .map(explain)
}

/// Our error for one of the keys'.
pub(super) fn explain(error: &CredentialsError) -> StoreError {
    // These causes are about files, variables and addresses, never about answers that hold keys.
    let why = causes::in_words(error);
    match error {
        CredentialsError::ProviderTimedOut(_) | CredentialsError::ProviderError(_) => {
            StoreError::Unreachable(quoted(&format!("the operator's own identity: {why}")))
        }
        CredentialsError::CredentialsNotLoaded(_) => StoreError::Keys(
            "the operator has no identity of its own here (no web identity, pod identity or instance profile): set \
             spec.backup.s3.credentialsSecretRef, or give the operator's service account a role"
                .to_owned(),
        ),
        _ => StoreError::Keys(quoted(&why)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn temporary_keys_are_renewed_in_time_but_not_all_the_time() {
        let now = SystemTime::now();
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3600));
        assert!(is_fresh(None, now - hour * 1000, now));
        assert!(is_fresh(Some(now + hour), now - hour, now));
        assert!(!is_fresh(Some(now + minute * 19), now - minute * 2, now));
        assert!(is_fresh(Some(now + minute * 19), now - minute / 2, now));
        assert!(!is_fresh(Some(now), now, now));
        assert!(!is_fresh(Some(now - minute), now, now));
    }

    /// Gives out keys that are valid for a while, so often, and fails from then on.
    #[derive(Debug)]
    struct Metadata {
        valid_for: Duration,
        times: AtomicU32,
    }

    impl ProvideCredentials for Metadata {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let left = self.times.load(Ordering::Relaxed);
            self.times.store(left.saturating_sub(1), Ordering::Relaxed);
            future::ProvideCredentials::ready(if left == 0 {
                Err(CredentialsError::provider_error("gone"))
            } else {
                let expiry = SystemTime::now() + self.valid_for;
                let name = format!("key {left}");
                Ok(Credentials::new(name, "s", None, Some(expiry), "test"))
            })
        }
    }

    fn own(valid_for: Duration, times: u32) -> Provider {
        let metadata = Metadata {
            valid_for,
            times: times.into(),
        };
        Provider(Arc::new(Source::Own {
            chain: CredentialsProviderChain::first_try("test", metadata),
            held: Mutex::new(None),
        }))
    }

    #[tokio::test]
    async fn keys_are_kept_while_they_are_fresh_and_renewed_when_they_end() {
        let id = async |provider: &Provider| {
            let keys = provider.keys().await;
            keys.map(|keys| keys.access_key_id().to_owned())
        };
        let hour = own(Duration::from_secs(3600), 1);
        assert_eq!(id(&hour).await.unwrap(), "key 1");
        assert_eq!(id(&hour).await.unwrap(), "key 1");

        let none = own(Duration::ZERO, 2);
        assert_eq!(id(&none).await.unwrap(), "key 2");
        assert_eq!(id(&none).await.unwrap(), "key 1");
        let gone = explain(&id(&none).await.unwrap_err());
        assert!(matches!(gone, StoreError::Unreachable(_)), "{gone:?}");
    }

    #[tokio::test]
    async fn keys_that_cannot_be_renewed_are_used_to_their_end() {
        let provider = own(Duration::from_secs(600), 1);
        let first = provider.keys().await.unwrap();
        if let Source::Own { held, .. } = &*provider.0 {
            // As if they had been asked for a while ago.
            held.lock().await.as_mut().unwrap().since -= ASK_AGAIN * 2;
        }
        assert_eq!(provider.keys().await.unwrap().expiry(), first.expiry());
    }

    #[test]
    fn keys_are_not_shown() {
        let keys = Keys::Static {
            access_key_id: "AKIDCANARY".to_owned(),
            secret_access_key: "canary".into(),
            session_token: Some("canary".into()),
        };
        let shown = format!("{keys:?}{:?}", Provider::new(Keys::OwnIdentity, "x"));
        assert_eq!(shown, "StaticProvider");
    }
}
