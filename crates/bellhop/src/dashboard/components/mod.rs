//! Parts of pages: functions of values, without a store and without a clock.

#![expect(
    clippy::needless_pass_by_value,
    reason = "markup is made where it is handed over, and is of no use afterwards"
)]

pub mod body;
pub mod charts;
pub mod controls;
pub mod deliveries;
pub mod figures;
pub mod frame;
pub mod marks;
pub mod moments;
pub mod waterfall;
