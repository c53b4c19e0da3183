//! Whether the API and the providers reserve the same names. Neither imports the other, so each has its own list.

use crate::api::names::{RESERVED_NAMES, RESERVED_PREFIXES};
use crate::provider::reserved::{NAMES, PREFIXES};

#[test]
fn the_api_and_the_providers_reserve_the_same_names() {
    assert_eq!(RESERVED_NAMES, NAMES);
    assert_eq!(RESERVED_PREFIXES, PREFIXES);
}
