//! Which server may be worked on: the known one, or the one that was acknowledged in its place.
//!
//! The server behind an address can change at any moment (a DNS name, a rebuilt server). So each session is checked
//! when it is opened, before anything is written in it except its registration with the fence, which needs an epoch
//! that this process wrote there. Checking only now and then would put claims on a stranger's server, and take a
//! database that is still on the other server for gone.

use super::ProviderError;

/// Which servers a provider may work on. By default any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    known: Option<String>,
    acknowledged: Option<String>,
}

impl Expected {
    /// The known server, and another one that was acknowledged in its place.
    #[must_use]
    pub fn new(known: Option<&str>, acknowledged: Option<&str>) -> Self {
        // An acknowledgement stays on its object, and means nothing once it was followed.
        let other = |acknowledged: &&str| known.is_some_and(|known| known != *acknowledged);
        Self {
            known: known.map(str::to_owned),
            acknowledged: acknowledged.filter(other).map(str::to_owned),
        }
    }

    /// Whether any server will do.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.known.is_none()
    }

    /// Whether sessions that were opened under this may be with a server that `next` does not accept. The first server
    /// that becomes known is the one of the sessions that discovered it.
    pub(super) fn differs(&self, next: &Self) -> bool {
        !self.is_any() && self != next
    }

    /// Whether a server with this identity may be worked on.
    #[must_use]
    pub fn accepts(&self, found: &str) -> bool {
        self.known.as_deref().is_none_or(|known| known == found)
            || self.acknowledged.as_deref() == Some(found)
    }

    /// Like [`Self::accepts`], as a result.
    pub(super) fn check(&self, found: &str) -> Result<(), ProviderError> {
        match &self.known {
            Some(known) if !self.accepts(found) => Err(ProviderError::IdentityChanged {
                known: known.clone(),
                found: found.to_owned(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// The identity to give to a server that has none yet. If another server is known, `proposed` is shown for
    /// acknowledgement first, and given once it was acknowledged: also by a process that started since and proposes
    /// another one.
    pub(super) fn founding(
        &self,
        proposed: &str,
        is_ours: impl Fn(&str) -> bool,
    ) -> Result<String, ProviderError> {
        if let Some(acknowledged) = self.acknowledged.as_ref().filter(|text| is_ours(text)) {
            return Ok(acknowledged.clone());
        }
        self.check(proposed).map(|()| proposed.to_owned())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn before_one_is_known_any_server_will_do() {
        for expected in [Expected::default(), Expected::new(None, Some("two"))] {
            assert!(expected.is_any() && expected.accepts("one"));
            assert_eq!(expected.founding("new", |_| true).unwrap(), "new");
        }
    }

    #[test]
    fn another_server_is_left_alone_until_it_is_acknowledged() {
        let expected = Expected::new(Some("one"), None);
        assert_eq!(expected.check("one"), Ok(()));
        let changed = expected.check("two").unwrap_err();
        assert!(
            matches!(changed, ProviderError::IdentityChanged { .. }),
            "{changed}"
        );
        let acknowledged = Expected::new(Some("one"), Some("two"));
        for (found, accepted) in [("one", true), ("two", true), ("three", false)] {
            assert_eq!(acknowledged.accepts(found), accepted, "{found}");
        }
    }

    #[test]
    fn an_acknowledgement_that_was_followed_is_worth_nothing() {
        let followed = Expected::new(Some("two"), Some("two"));
        assert_eq!(followed, Expected::new(Some("two"), None));
        assert!(!followed.accepts("one"));
    }

    #[test]
    fn a_server_without_an_identity_gets_the_acknowledged_one() {
        let ours = |text: &str| text.len() == 3;
        let known = Expected::new(Some("one"), None);
        let changed = known.founding("new", ours).unwrap_err();
        assert!(
            matches!(&changed, ProviderError::IdentityChanged { found, .. } if found == "new"),
            "{changed}"
        );
        let acknowledged = Expected::new(Some("one"), Some("old"));
        assert_eq!(acknowledged.founding("new", ours).unwrap(), "old");
        // Nobody else's text becomes an identity.
        let strange = Expected::new(Some("one"), Some("yes please"));
        assert!(strange.founding("new", ours).is_err());
    }
}
