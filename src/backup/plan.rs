//! How large a backup becomes, and in which parts it is uploaded.

use super::blocked::Blocked;
use crate::agent::protocol::part_sizes::PartSizes;
use crate::api::BackupReason;
use crate::api::destination::S3;

/// What is assumed of the size of a compressed dump: half of what was dumped. Rows compress better, images do not.
const COMPRESSION_RATIO: u64 = 2;

/// What is expected before the dump begins.
pub(super) struct Plan {
    /// Bytes of the dump, as the catalog tells. Zero: nobody knows.
    pub dumped: u64,
    /// Sizes of the object's parts.
    pub schedule: PartSizes,
    /// The database has views that refer to something that is gone.
    pub has_broken_views: bool,
    /// Events that not every dump tool gets past.
    pub endless_events: Vec<String>,
}

impl Plan {
    /// For a dump of about so many bytes to this store.
    pub(super) fn of(dumped: u64, store: &S3) -> Result<Self, Blocked> {
        let max_parts = u32::try_from(store.max_parts).unwrap_or(1);
        let schedule = PartSizes::plan(dumped / COMPRESSION_RATIO, max_parts, store.equal_parts)
            .map_err(|error| Blocked::new(BackupReason::TooLarge, error.to_string()))?;
        Ok(Self {
            dumped,
            schedule,
            has_broken_views: false,
            endless_events: Vec::new(),
        })
    }

    /// How many parts there will be, as far as anybody knows.
    pub(super) fn parts(&self) -> Option<u32> {
        (self.dumped > 0)
            .then(|| self.schedule.parts(self.dumped / COMPRESSION_RATIO))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plan(dumped: u64, max_parts: i32) -> Result<Plan, Blocked> {
        let s3 = json!({"bucket": "b", "maxParts": max_parts, "equalParts": true});
        Plan::of(dumped, &serde_json::from_value(s3).unwrap())
    }

    #[test]
    fn how_many_parts_is_known_where_the_size_is() {
        assert_eq!(plan(0, 1000).unwrap().parts(), None);
        let large = plan(100 << 30, 1000).unwrap();
        let expected = (50_u64 << 30).div_ceil(large.schedule.first);
        assert_eq!(large.parts().map(u64::from), Some(expected));
        assert!((2..=1000).contains(&expected), "{expected}");
    }

    #[test]
    fn what_no_store_can_hold_is_too_large() {
        let refused = plan(1 << 50, 10).err().unwrap();
        assert_eq!(refused.reason, BackupReason::TooLarge);
    }
}
