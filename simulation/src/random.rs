//! Random numbers that a seed repeats.

use std::sync::{Arc, Mutex};

use bellhop::random::Random;

/// SplitMix64 (Steele, Lea, Flood 2014). Clones share the state.
#[derive(Debug, Clone)]
pub struct Seeded(Arc<Mutex<u64>>);

impl Seeded {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// Numbers of their own for one part, so that parts do not disturb one another.
    pub fn part(seed: u64, name: &str) -> Self {
        let folded = name
            .bytes()
            .fold(seed ^ 0xcbf2_9ce4_8422_2325, |seed, byte| {
                (seed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        Self::new(folded)
    }

    /// Any number.
    pub fn next(&self) -> u64 {
        let mut state = self.0.lock().expect("no holder panics");
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `least` to `most`.
    pub fn within(&self, least: u64, most: u64) -> u64 {
        least + self.next() % (most - least + 1)
    }

    /// True so many times in a thousand.
    pub fn per_mille(&self, times: u64) -> bool {
        self.next() % 1000 < times
    }

    /// One of these.
    pub fn one_of<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[(self.next() % of.len() as u64) as usize]
    }
}

impl Random for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
    }
}
