//! Names that are made from a tenant's: of the database that a restore loads into, of its login, and of the database that
//! was replaced. They are made once, and from then on read from the tables on the server.

use sha2::{Digest, Sha256};

use super::SqlName;
use super::ident::InvalidName;

/// What something with a derived name is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A load: the database that is loaded into, and the login.
    Load,
    /// The database that was replaced.
    Former,
}

/// Characters of a UID, or of a hash, in a name.
const TAG: usize = 8;

impl Purpose {
    /// All that stands between the tenant's name and the tag.
    pub(super) const ALL: [Self; 2] = [Self::Load, Self::Former];

    /// What stands between the tenant's name and the tag.
    pub(super) const fn infix(self) -> &'static str {
        match self {
            Self::Load => "__r_",
            Self::Former => "__was_",
        }
    }
}

/// The name of something that a restore with this UID makes beside `base`, in at most `longest` bytes. A `base` that is too
/// long is cut, and gets a hash of all of it, so that two long names do not become one.
pub(super) fn derived(
    base: &SqlName,
    purpose: Purpose,
    uid: &str,
    longest: usize,
) -> Result<SqlName, InvalidName> {
    let end = format!("{}{}", purpose.infix(), tag(uid));
    let base = base.as_str();
    if base.len() + end.len() <= longest {
        return SqlName::new(format!("{base}{end}"));
    }
    let hash = format!("_{}", hash(base));
    let mut kept = longest.saturating_sub(end.len() + hash.len());
    while !base.is_char_boundary(kept) {
        kept -= 1;
    }
    let kept = base.get(..kept).unwrap_or_default();
    SqlName::new(format!("{kept}{hash}{end}"))
}

/// The first digits of a UID as Kubernetes makes them; of any other text a hash.
fn tag(uid: &str) -> String {
    match uid.get(..TAG) {
        Some(tag) if tag.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) => tag.to_owned(),
        Some(_) | None => hash(uid),
    }
}

fn hash(text: &str) -> String {
    let mut digits = hex::encode(Sha256::digest(text));
    digits.truncate(TAG);
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "0f1e2d3c-aaaa-bbbb-cccc-0123456789ab";

    fn name(base: &str, purpose: Purpose) -> String {
        let base = SqlName::new(base).unwrap();
        derived(&base, purpose, UID, 63).unwrap().to_string()
    }

    #[test]
    fn a_name_says_what_it_is_for() {
        assert_eq!(name("orders", Purpose::Load), "orders__r_0f1e2d3c");
        assert_eq!(name("orders", Purpose::Former), "orders__was_0f1e2d3c");
    }

    #[test]
    fn long_names_are_cut_and_stay_apart() {
        for purpose in Purpose::ALL {
            let one = name(&format!("{}1", "x".repeat(62)), purpose);
            let other = name(&format!("{}2", "x".repeat(62)), purpose);
            assert_eq!((one.len(), other.len()), (63, 63));
            assert_ne!(one, other);
            assert!(
                one.ends_with(&format!("{}0f1e2d3c", purpose.infix())),
                "{one}"
            );
            let fits = "x".repeat(63 - purpose.infix().len() - TAG);
            assert!(name(&fits, purpose).starts_with(&fits), "not cut");
        }
        // A character is never halved.
        let wide = name(&"é".repeat(31), Purpose::Former);
        assert!(wide.len() <= 63 && wide.starts_with("éé"), "{wide}");
        let short = SqlName::new("y".repeat(63)).unwrap();
        assert_eq!(
            derived(&short, Purpose::Load, UID, 32)
                .unwrap()
                .as_str()
                .len(),
            32
        );
    }

    #[test]
    fn a_uid_of_another_form_is_hashed() {
        for uid in ["", "uid-1", "ABCDEF01-x", "é'\";--"] {
            let tag = tag(uid);
            assert!(
                tag.len() == 8 && tag.chars().all(|c| c.is_ascii_hexdigit()),
                "{tag}"
            );
        }
    }
}
