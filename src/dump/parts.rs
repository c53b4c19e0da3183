//! How large each part is.

use serde::{Deserialize, Serialize};

/// Sizes of parts, by number. Decided before the first one, from the catalog's estimate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Size of the first parts, in bytes.
    pub first: u64,
    /// All parts but the last have this one size.
    pub equal: bool,
    /// The most parts that the store accepts.
    pub max_parts: u32,
}
