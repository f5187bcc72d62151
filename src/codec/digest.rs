//! A fingerprint of many things.

use xxhash_rust::xxh3::Xxh3;

/// Makes one number of a row of things: the same row, the same number. Not for adversaries.
#[derive(Default)]
pub struct Digest(Xxh3);

impl Digest {
    /// Adds bytes. Their length counts, so that where one thing ends and the next begins matters.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    /// Adds a number.
    pub fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    /// Adds what another digest came to.
    pub fn print(&mut self, of: u128) {
        self.0.update(&of.to_le_bytes());
    }

    /// The xxh3-128 of all that was added.
    pub fn finish(&self) -> u128 {
        self.0.digest128()
    }
}
