//! Passwords as they are kept: hashes from which nobody reads the password. New ones are argon2id in the PHC string format;
//! those of mosquitto's password files, `$6$` (SHA-512) and `$7$` (PBKDF2-HMAC-SHA512), are read.
//!
//! Pure: whoever makes one brings the salt along. Slow on purpose: not for a thread on which others wait.

use std::fmt;
use std::str::FromStr;

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, STANDARD_NO_PAD as BASE64_UNPADDED};
use sha2::{Digest as _, Sha512};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// How many bytes an argon2id hash of ours has.
const LENGTH: usize = 32;
/// The most memory that a hash may ask for, in KiB: a line of a file is not to bring the broker down.
const MEMORY_MAXIMUM: u32 = 1 << 20;
/// The most work that a hash may ask for.
const ROUNDS_MAXIMUM: u32 = 10_000_000;

/// The hash of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    kind: Kind,
    salt: Vec<u8>,
    hash: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With so much memory in KiB, so many passes and lanes.
    Argon2id { memory: u32, passes: u32, lanes: u32 },
    /// mosquitto's `$6$`: SHA-512 of the password and the salt.
    Sha512,
    /// mosquitto's `$7$`: PBKDF2-HMAC-SHA512 with so many rounds.
    Pbkdf2 { rounds: u32 },
}

/// Why a text is no hash of a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum HashError {
    /// It begins like none that is known.
    #[error("this is no hash that is known: $argon2id$, and mosquitto's $6$ and $7$ are")]
    Unknown,
    /// A part is missing, or broken.
    #[error("the hash is broken")]
    Broken,
    /// It asks for more memory or work than anybody means.
    #[error("the hash asks for more memory or work than is granted")]
    Excessive,
}

impl PasswordHash {
    /// An argon2id hash of this password, with the parameters that the authors of argon2 recommend (19 MiB, two passes).
    pub fn new(password: &[u8], salt: [u8; 16]) -> PasswordHash {
        let (memory, passes, lanes) = (Params::DEFAULT_M_COST, Params::DEFAULT_T_COST, Params::DEFAULT_P_COST);
        let kind = Kind::Argon2id { memory, passes, lanes };
        let hash = hashed(kind, password, &salt, LENGTH);
        PasswordHash { kind, salt: salt.to_vec(), hash }
    }

    /// Whether it is the hash of this password. Compared in constant time.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let hash = hashed(self.kind, password, &self.salt, self.hash.len());
        bool::from(hash.ct_eq(&self.hash))
    }
}

fn hashed(kind: Kind, password: &[u8], salt: &[u8], length: usize) -> Vec<u8> {
    let mut hash = vec![0; length];
    match kind {
        Kind::Argon2id { memory, passes, lanes } => {
            let made = Params::new(memory, passes, lanes, Some(length)).and_then(|params| {
                Argon2::new(Algorithm::Argon2id, Version::V0x13, params).hash_password_into(password, salt, &mut hash)
            });
            if made.is_err() {
                // Only what was refused when it was read fails here; an empty hash is like no other.
                return Vec::new();
            }
        }
        Kind::Sha512 => return Sha512::new().chain_update(password).chain_update(salt).finalize().to_vec(),
        Kind::Pbkdf2 { rounds } => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, rounds, &mut hash),
    }
    hash
}

impl FromStr for PasswordHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<PasswordHash, HashError> {
        let parts: Vec<&str> = text.split('$').collect();
        let plain = |text: &str| BASE64.decode(text).map_err(|_| HashError::Broken);
        let unpadded = |text: &str| BASE64_UNPADDED.decode(text).map_err(|_| HashError::Broken);
        match parts.as_slice() {
            ["", "argon2id", "v=19", parameters, salt, hash] => {
                let kind = argon2id(parameters)?;
                let (salt, hash) = (unpadded(salt)?, unpadded(hash)?);
                let fits = (8..=64).contains(&salt.len()) && (16..=64).contains(&hash.len());
                if fits { Ok(PasswordHash { kind, salt, hash }) } else { Err(HashError::Broken) }
            }
            ["", "6", salt, hash] => {
                let (salt, hash) = (plain(salt)?, plain(hash)?);
                if hash.len() == 64 {
                    Ok(PasswordHash { kind: Kind::Sha512, salt, hash })
                } else {
                    Err(HashError::Broken)
                }
            }
            ["", "7", rounds, salt, hash] => {
                let rounds = number(rounds)?;
                if rounds > ROUNDS_MAXIMUM {
                    return Err(HashError::Excessive);
                }
                let (salt, hash) = (plain(salt)?, plain(hash)?);
                let fits = rounds > 0 && (16..=64).contains(&hash.len());
                if fits {
                    Ok(PasswordHash { kind: Kind::Pbkdf2 { rounds }, salt, hash })
                } else {
                    Err(HashError::Broken)
                }
            }
            ["", "argon2id" | "6" | "7", ..] => Err(HashError::Broken),
            _ => Err(HashError::Unknown),
        }
    }
}

/// `m=19456,t=2,p=1`.
fn argon2id(parameters: &str) -> Result<Kind, HashError> {
    let parts: Vec<&str> = parameters.split(',').collect();
    let [memory, passes, lanes] = parts.as_slice() else { return Err(HashError::Broken) };
    let named = |part: &str, name| part.strip_prefix(name).ok_or(HashError::Broken).and_then(number);
    let (memory, passes, lanes) = (named(memory, "m=")?, named(passes, "t=")?, named(lanes, "p=")?);
    if memory > MEMORY_MAXIMUM || passes > 1000 || lanes > 64 {
        return Err(HashError::Excessive);
    }
    Params::new(memory, passes, lanes, None).map_err(|_| HashError::Broken)?;
    Ok(Kind::Argon2id { memory, passes, lanes })
}

fn number(text: &str) -> Result<u32, HashError> {
    text.parse().map_err(|_| HashError::Broken)
}

impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |bytes: &[u8]| BASE64.encode(bytes);
        let unpadded = |bytes: &[u8]| BASE64_UNPADDED.encode(bytes);
        match self.kind {
            Kind::Argon2id { memory, passes, lanes } => {
                let (salt, hash) = (unpadded(&self.salt), unpadded(&self.hash));
                write!(f, "$argon2id$v=19$m={memory},t={passes},p={lanes}${salt}${hash}")
            }
            Kind::Sha512 => write!(f, "$6${}${}", plain(&self.salt), plain(&self.hash)),
            Kind::Pbkdf2 { rounds } => write!(f, "$7${rounds}${}${}", plain(&self.salt), plain(&self.hash)),
        }
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by mosquitto_passwd 2.0 (`-H sha512` and as it does by default) and by Python's argon2-cffi.
    const KNOWN: [&str; 3] = [
        "$6$1gbA/UCnUGgGuZkJ$AWNhDg+BMvsCceBvhRBp3EeDKHRC1D8Tkyo0XVYWG3WcLMEpFD+b/r1M/CHyLZO/fdQkDSOvb6YoiWp5Ia193A==",
        "$7$101$tfki9jXuoue7zzY3$5fPwVam5IlmsUZ7BVwDbTOUDMmcwVm/vhHFr3pPX3Y57JTl5zQt0UFaS9u0UWH6x+krJ1spftecLryHMe40COQ==",
        "$argon2id$v=19$m=1024,t=1,p=2$2s06REt881e6mmFbHq5Reg$pJiKDbepPn5ub7PiQkr+CD7hjfqL+K5iYNlCTYUx3GU",
    ];

    #[test]
    fn hashes_of_others_are_read_and_written_as_they_were() {
        for text in KNOWN {
            let hash: PasswordHash = text.parse().expect(text);
            assert_eq!(hash.to_string(), text);
            assert!(hash.is_of(b"lovelace"), "{text}");
            assert!(!hash.is_of(b"lovelacE") && !hash.is_of(b""), "{text}");
        }
    }

    #[test]
    fn ours_holds_for_its_password_alone() {
        let hash = PasswordHash::new("süß".as_bytes(), [7; 16]);
        let read: PasswordHash = hash.to_string().parse().expect("ours");
        assert_eq!(read, hash);
        assert!(read.is_of("süß".as_bytes()) && !read.is_of(b"suss"));
        assert!(!format!("{hash:?}").contains('$'), "a log has no use for it");
    }

    #[test]
    fn what_is_no_hash_is_refused() {
        let salt = "c29tZXNhbHQxMjM0NTY3OA";
        let [broken, excessive, unknown] = [HashError::Broken, HashError::Excessive, HashError::Unknown];
        for (text, error) in [
            (String::new(), unknown),
            ("password".into(), unknown),
            ("$2b$12$abcdefghijklmnopqrstuu".into(), unknown),
            ("$6$AAAA$AAAA".into(), broken),
            ("$6$AAAA".into(), broken),
            ("$7$0$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA".into(), broken),
            ("$7$4000000000$AAAA$AAAAAAAAAAAAAAAAAAAAAAAA".into(), excessive),
            (format!("$argon2id$v=16$m=19456,t=2,p=1${salt}${salt}"), broken),
            (format!("$argon2id$v=19$m=1,t=2,p=1${salt}${salt}"), broken),
            (format!("$argon2id$v=19$m=4000000000,t=2,p=1${salt}${salt}"), excessive),
            (format!("$argon2id$v=19$m=19456,t=2${salt}${salt}"), broken),
            (format!("$argon2id$v=19$m=19456,t=2,p=1$AA${salt}"), broken),
        ] {
            assert_eq!(text.parse::<PasswordHash>(), Err(error), "{text}");
        }
    }
}
