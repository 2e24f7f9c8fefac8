//! rustls's chance, seeded: the bytes that it draws, and its key exchange, so that every byte of a handshake repeats itself.

use crate::dice::Dice;
use rustls::{
    Error, NamedGroup, PeerMisbehaved,
    crypto::{ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup, ring},
};
use std::cell::RefCell;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

thread_local! {
    /// Of the world that this thread plays: rustls asks static values, which cannot be a world's own.
    static CHANCE: RefCell<Dice> = const { RefCell::new(Dice::new(0)) };
}

/// Begins another world in this thread.
pub(super) fn seed(seed: u64) {
    CHANCE.with_borrow_mut(|dice| *dice = Dice::new(seed));
}

/// The cryptography of `ring` with a chance that is seeded.
pub(crate) fn provider() -> CryptoProvider {
    CryptoProvider { kx_groups: vec![&X25519], secure_random: &Seeded, ..ring::default_provider() }
}

#[derive(Debug)]
struct Seeded;

impl SecureRandom for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        CHANCE.with_borrow_mut(|dice| dice.fill(bytes));
        Ok(())
    }
}

/// The group that everybody offers first. `ring` draws its private keys from the operating system.
#[derive(Debug)]
struct X25519;

struct Exchange {
    private: [u8; 32],
    public: [u8; 32],
}

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut private = [0; 32];
        Seeded.fill(&mut private)?;
        Ok(Box::new(Exchange { private, public: x25519(private, X25519_BASEPOINT_BYTES) }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Exchange {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        let theirs = theirs.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let secret = x25519(self.private, theirs);
        // A point of small order leads to nothing else, and gives the secret away (RFC 8446, 7.4.2).
        if secret == [0; 32] {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&secret[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_come_to_the_same_secret_and_a_seed_to_the_same_keys() {
        let exchange = || {
            seed(7);
            let (one, two) = (X25519.start().expect("it draws"), X25519.start().expect("it draws"));
            let (to_one, to_two) = (two.pub_key().to_vec(), one.pub_key().to_vec());
            let secret = one.complete(&to_one).expect("a good share").secret_bytes().to_vec();
            assert_eq!(two.complete(&to_two).expect("a good share").secret_bytes(), secret);
            (to_one, to_two, secret)
        };
        assert_eq!(exchange(), exchange());
    }

    #[test]
    fn a_share_that_gives_the_secret_away_is_refused() {
        let exchange = || X25519.start().expect("it draws");
        assert!(exchange().complete(&[0; 32]).is_err(), "the point at infinity");
        assert!(exchange().complete(&[1; 31]).is_err(), "no point at all");
    }
}
