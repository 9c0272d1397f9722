//! Ids begin with the time at which they were made, so that an index of ids finds a range of time.

use uuid::Uuid;

/// More than a clock falls between two ids.
const CLOCK_FALLS_MS: i64 = 60_000;

/// The least id that is made at this moment, in milliseconds since 1970.
pub fn first_id_at(ms: i64) -> Uuid {
    let ms = u64::try_from(ms).unwrap_or(0);
    Uuid::from_u128(u128::from(ms) << 80)
}

/// An id above each that was made before this moment. The clock may have fallen between two ids, so the exact test is
/// that of the column.
pub fn id_bound_after(ms: i64) -> Option<Uuid> {
    ms.checked_add(CLOCK_FALLS_MS).map(first_id_at)
}
