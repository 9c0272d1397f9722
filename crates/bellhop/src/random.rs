//! The one source of random numbers. A parameter, so that tests repeat.

use std::{cell::RefCell, sync::Arc};

/// Gives random bytes.
pub trait Random: Send + Sync + std::fmt::Debug {
    /// Fills the buffer.
    fn fill(&self, buffer: &mut [u8]);

    /// A number in `0.0 .. 1.0`.
    fn unit(&self) -> f64 {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

/// A source that many parts share.
pub type SharedRandom = Arc<dyn Random>;

/// `N` random bytes.
pub fn bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut bytes = [0; N];
    random.fill(&mut bytes);
    bytes
}

/// The operating system's generator. That of aws-lc-rs measures the processor's jitter for its seed, some 50 ms
/// at its first use, which is half of what a start may take: see [`warm`].
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, buffer: &mut [u8]) {
        POOL.with_borrow_mut(|pool| pool.take(buffer));
    }
}

/// Bytes asked for at a time: a message needs some 80 in five pieces, and asking costs more than the bytes do.
const POOL_BYTES: usize = 1024;

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: [0; POOL_BYTES], left: 0 }) };
}

/// Random bytes that nobody has seen yet. They are wiped as they are given out.
struct Pool {
    bytes: [u8; POOL_BYTES],
    left: usize,
}

impl Pool {
    fn take(&mut self, buffer: &mut [u8]) {
        if buffer.len() > POOL_BYTES / 4 {
            ask_system(buffer);
            return;
        }
        if self.left < buffer.len() {
            ask_system(&mut self.bytes);
            self.left = POOL_BYTES;
        }
        let taken = &mut self.bytes[self.left - buffer.len()..self.left];
        buffer.copy_from_slice(taken);
        taken.fill(0);
        self.left -= buffer.len();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the source that all others are handed"
)]
fn ask_system(buffer: &mut [u8]) {
    getrandom::fill(buffer).expect("the operating system's generator answers");
}

/// Seeds the generator inside aws-lc-rs, which draws the nonces of the vault and the keys of TLS, on a thread of
/// its own: neither the start nor the first message waits for it.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing is drawn: it is only made ready"
)]
pub fn warm() {
    let seed = || {
        let _ = aws_lc_rs::rand::fill(&mut [0; 1]);
    };
    // If the thread cannot be had, the first message waits.
    drop(std::thread::Builder::new().name("seed".into()).spawn(seed));
}
