//! From a delivery that is due to an attempt that is recorded.

pub mod egress;
pub mod sender;
