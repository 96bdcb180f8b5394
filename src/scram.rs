//! SCRAM-SHA-256 (RFC 5802, RFC 7677), both sides: what enhanced authentication carries in its AUTH packets
//! (5.0 section 4.12). Without channel binding, which MQTT has no way to offer.
//!
//! Pure: whoever begins an exchange brings the nonce along.
//!
//! ```text
//! client                                server
//! Client::new, first      ── n,,n=user,r=… ──▶   Server::begin
//! Client::answer          ◀── r=…,s=…,i=… ───
//!                         ──── c=…,r=…,p=… ──▶   Server::finish
//! Client::verify          ◀───── v=… ────────
//! ```

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use thiserror::Error;

/// The name of the method, as Authentication Method spells it.
pub const METHOD: &str = "SCRAM-SHA-256";

/// The fewest iterations that a client accepts and a server should use (RFC 7677 section 4).
pub const ITERATIONS: u32 = 4096;

/// The most that a client accepts: a hostile server could keep it computing for hours.
const MOST_ITERATIONS: u32 = 1_000_000;

/// The header for "no channel binding", and its base64.
const GS2: &str = "n,,";
const GS2_BASE64: &str = "biws";

type Key = [u8; 32];

/// Why an exchange failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// The message is not one of SCRAM, or not the one that is due.
    #[error("not a SCRAM message")]
    Malformed,
    /// Channel binding or an extension is demanded that is not known here.
    #[error("the other side demands what is not supported")]
    Unsupported,
    /// The other side did not continue this exchange, but another one.
    #[error("the nonce is not that of this exchange")]
    Nonce,
    /// The number of iterations is too small to be safe or too large to be meant well.
    #[error("the number of iterations is not acceptable")]
    Iterations,
    /// The other side does not know the password.
    #[error("the proof is wrong")]
    Proof,
    /// The server refuses.
    #[error("the server refuses")]
    Refused,
}

/// A nonce of 24 characters from 18 bytes of chance.
pub fn nonce(mut draw: impl FnMut() -> u64) -> String {
    let mut bytes = [0; 24];
    for part in bytes.chunks_exact_mut(8) {
        part.copy_from_slice(&draw().to_le_bytes());
    }
    BASE64.encode(&bytes[..18])
}

/// The client's side of one exchange.
#[derive(Clone)]
pub struct Client {
    password: String,
    nonce: String,
    first_bare: String,
    /// The signature that the server must show, once the client's proof was made.
    expected: Option<Key>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("first_bare", &self.first_bare).finish_non_exhaustive()
    }
}

impl Client {
    /// Begins an exchange. The nonce is printable, holds no comma and is not used twice: see [`nonce`].
    pub fn new(username: &str, password: &str, nonce: String) -> Client {
        let username = prepared(username).replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={username},r={nonce}");
        Client { password: prepared(password).into_owned(), nonce, first_bare, expected: None }
    }

    /// The message that opens the exchange.
    pub fn first(&self) -> Vec<u8> {
        format!("{GS2}{}", self.first_bare).into_bytes()
    }

    /// The answer to the server's challenge: the proof that this side knows the password.
    ///
    /// # Errors
    /// If the challenge is not acceptable.
    pub fn answer(&mut self, server_first: &[u8]) -> Result<Vec<u8>, ScramError> {
        if self.expected.is_some() {
            return Err(ScramError::Malformed); // one challenge, one answer
        }
        let challenge = text(server_first)?;
        let mut parts = challenge.split(',');
        let nonce = attribute(&mut parts, 'r')?;
        let salt = BASE64.decode(attribute(&mut parts, 's')?).map_err(|_| ScramError::Malformed)?;
        let iterations: u32 = attribute(&mut parts, 'i')?.parse().map_err(|_| ScramError::Malformed)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ScramError::Nonce);
        }
        if !(ITERATIONS..=MOST_ITERATIONS).contains(&iterations) {
            return Err(ScramError::Iterations);
        }
        let salted = salted(&self.password, &salt, iterations);
        let without_proof = format!("c={GS2_BASE64},r={nonce}");
        let exchange = format!("{},{challenge},{without_proof}", self.first_bare);
        let client_key = sign(&salted, b"Client Key");
        let signature = sign(&Sha256::digest(client_key).into(), exchange.as_bytes());
        self.expected = Some(sign(&sign(&salted, b"Server Key"), exchange.as_bytes()));
        Ok(format!("{without_proof},p={}", BASE64.encode(xor(client_key, signature))).into_bytes())
    }

    /// Whether the server has shown that it, too, knows the password.
    ///
    /// # Errors
    /// If it has not.
    pub fn verify(&self, server_final: &[u8]) -> Result<(), ScramError> {
        let expected = self.expected.ok_or(ScramError::Malformed)?;
        let answer = text(server_final)?;
        let mut parts = answer.split(',');
        if answer.starts_with("e=") {
            return Err(ScramError::Refused);
        }
        let shown = BASE64.decode(attribute(&mut parts, 'v')?).map_err(|_| ScramError::Malformed)?;
        if bool::from(expected[..].ct_eq(&shown)) { Ok(()) } else { Err(ScramError::Proof) }
    }
}

/// What a server keeps of a user instead of the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verifier {
    salt: Vec<u8>,
    iterations: u32,
    stored_key: Key,
    server_key: Key,
}

impl Verifier {
    /// Of this password. Costs `iterations` rounds of hashing: to be made once, not for each exchange.
    pub fn new(password: &str, salt: &[u8], iterations: u32) -> Verifier {
        let salted = salted(&prepared(password), salt, iterations);
        Verifier {
            salt: salt.to_vec(),
            iterations,
            stored_key: Sha256::digest(sign(&salted, b"Client Key")).into(),
            server_key: sign(&salted, b"Server Key"),
        }
    }

    /// Of a user that does not exist: the exchange goes on and fails at its end, so that nobody learns who exists. The
    /// salt should be the same each time that this user is asked for.
    pub fn of_nobody(salt: &[u8], iterations: u32) -> Verifier {
        Verifier { salt: salt.to_vec(), iterations, stored_key: [0; 32], server_key: [0; 32] }
    }
}

impl fmt::Display for Verifier {
    /// As PostgreSQL writes it: `SCRAM-SHA-256$ITERATIONS:SALT$STORED:SERVER`, the last three in base64.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|part| BASE64.encode(part));
        write!(f, "{METHOD}${}:{salt}${stored}:{server}", self.iterations)
    }
}

impl FromStr for Verifier {
    type Err = VerifierError;

    fn from_str(text: &str) -> Result<Verifier, VerifierError> {
        let parts = || {
            let (iterations, rest) = text.strip_prefix(METHOD)?.strip_prefix('$')?.split_once(':')?;
            let (salt, keys) = rest.split_once('$')?;
            let (stored, server) = keys.split_once(':')?;
            let key = |text: &str| Key::try_from(BASE64.decode(text).ok()?).ok();
            let (salt, iterations) = (BASE64.decode(salt).ok()?, iterations.parse().ok()?);
            let takes = (ITERATIONS..=MOST_ITERATIONS).contains(&iterations) && !salt.is_empty();
            let verifier = Verifier { salt, iterations, stored_key: key(stored)?, server_key: key(server)? };
            takes.then_some(verifier)
        };
        parts().ok_or(VerifierError)
    }
}

/// A text is not what is kept of a user for SCRAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("what SCRAM needs is broken")]
pub struct VerifierError;

/// The server's side of one exchange.
#[derive(Clone, Debug)]
pub struct Server {
    username: String,
    verifier: Verifier,
    nonce: String,
    /// The client's first message without its header, and the challenge.
    exchange: String,
}

impl Server {
    /// Takes the client's first message and makes the challenge. `nonce` is this side's part of the nonce; `verifier`
    /// finds what is kept of the user, or stands in [`Verifier::of_nobody`].
    ///
    /// # Errors
    /// If the message is not acceptable.
    pub fn begin(
        client_first: &[u8],
        nonce: &str,
        verifier: impl FnOnce(&str) -> Verifier,
    ) -> Result<(Server, Vec<u8>), ScramError> {
        let message = text(client_first)?;
        if message.starts_with("p=") {
            return Err(ScramError::Unsupported);
        }
        // 'y': the client could bind to the channel, and rightly believes that we cannot.
        let rest = message.strip_prefix("n,").or_else(|| message.strip_prefix("y,")).ok_or(ScramError::Malformed)?;
        let (_authorize_as @ "", bare) = rest.split_once(',').ok_or(ScramError::Malformed)? else {
            return Err(ScramError::Unsupported);
        };
        if bare.starts_with("m=") {
            return Err(ScramError::Unsupported);
        }
        let header = &message[..message.len() - bare.len()];
        let mut parts = bare.split(',');
        let username = unescaped(attribute(&mut parts, 'n')?)?;
        let theirs = attribute(&mut parts, 'r')?;
        if username.is_empty() || theirs.is_empty() {
            return Err(ScramError::Malformed);
        }
        let verifier = verifier(&username);
        let nonce = format!("{theirs}{nonce}");
        let challenge = format!("r={nonce},s={},i={}", BASE64.encode(&verifier.salt), verifier.iterations);
        let exchange = format!("{bare},{challenge},c={},r={nonce}", BASE64.encode(header));
        Ok((Server { username, verifier, nonce, exchange }, challenge.into_bytes()))
    }

    /// Who the client says it is. Not to be believed before [`Server::finish`].
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Checks the client's proof. The answer shows the client that this side knows the password too.
    ///
    /// # Errors
    /// If the proof is wrong, or the message not acceptable.
    pub fn finish(&self, client_final: &[u8]) -> Result<Vec<u8>, ScramError> {
        let message = text(client_final)?;
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(ScramError::Malformed)?;
        let mut parts = without_proof.split(',');
        attribute(&mut parts, 'c')?;
        if attribute(&mut parts, 'r')? != self.nonce {
            return Err(ScramError::Nonce);
        }
        // Only what is due is signed: another header, or an extension, changes what comes before the proof.
        if !self.exchange.ends_with(without_proof) {
            return Err(ScramError::Unsupported);
        }
        let proof = BASE64.decode(proof).map_err(|_| ScramError::Malformed)?;
        let proof: Key = proof.try_into().map_err(|_| ScramError::Malformed)?;
        let signature = sign(&self.verifier.stored_key, self.exchange.as_bytes());
        let client_key = xor(proof, signature);
        if !bool::from(Sha256::digest(client_key)[..].ct_eq(&self.verifier.stored_key)) {
            return Err(ScramError::Proof);
        }
        let shown = sign(&self.verifier.server_key, self.exchange.as_bytes());
        Ok(format!("v={}", BASE64.encode(shown)).into_bytes())
    }
}

fn text(message: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(message).map_err(|_| ScramError::Malformed)
}

/// The value of the next attribute, which must have this name.
fn attribute<'a>(parts: &mut impl Iterator<Item = &'a str>, name: char) -> Result<&'a str, ScramError> {
    let part = parts.next().ok_or(ScramError::Malformed)?;
    if part.starts_with("m=") {
        return Err(ScramError::Unsupported);
    }
    part.strip_prefix(name).and_then(|part| part.strip_prefix('=')).ok_or(ScramError::Malformed)
}

/// A user name with `=2C` and `=3D` read as comma and equals sign; no other `=` may stand in it.
fn unescaped(name: &str) -> Result<String, ScramError> {
    let mut parts = name.split('=');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (character, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(ScramError::Malformed),
        };
        // Writing to a string does not fail.
        let _ = write!(plain, "{character}{rest}");
    }
    Ok(plain)
}

/// The form in which strings are compared (RFC 4013). What it forbids is taken as it is: refusing a password that was
/// accepted elsewhere helps nobody.
fn prepared(string: &str) -> Cow<'_, str> {
    stringprep::saslprep(string).unwrap_or(Cow::Borrowed(string))
}

fn salted(password: &str, salt: &[u8], iterations: u32) -> Key {
    pbkdf2::pbkdf2_hmac_array::<Sha256, 32>(password.as_bytes(), salt, iterations)
}

fn sign(key: &Key, message: &[u8]) -> Key {
    match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac.chain_update(message).finalize().into_bytes().into(),
        Err(_) => unreachable!("HMAC takes keys of any length"),
    }
}

fn xor(one: Key, other: Key) -> Key {
    std::array::from_fn(|at| one[at] ^ other[at])
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: &[u8] = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const PROOF: &[u8] = b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const SHOWN: &[u8] = b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn client() -> Client {
        Client::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO".to_owned())
    }

    fn verifier(password: &str) -> Verifier {
        Verifier::new(password, &BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap(), 4096)
    }

    /// The exchange of RFC 7677 section 3.
    #[test]
    fn the_example_of_rfc_7677() {
        let mut client = client();
        let first = client.first();
        assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let (server, challenge) = Server::begin(&first, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", |username| {
            assert_eq!(username, "user");
            verifier("pencil")
        })
        .unwrap();
        assert_eq!(challenge, CHALLENGE);
        let proof = client.answer(&challenge).unwrap();
        assert_eq!(proof, PROOF);
        let shown = server.finish(&proof).unwrap();
        assert_eq!(shown, SHOWN);
        assert_eq!(client.verify(&shown), Ok(()));
    }

    #[test]
    fn a_wrong_password_and_nobody_are_refused_alike() {
        for wrong in [verifier("pen"), Verifier::of_nobody(b"salt of sixteen", 4096)] {
            let mut client = client();
            let (server, challenge) = Server::begin(&client.first(), "mine", |_| wrong).unwrap();
            let proof = client.answer(&challenge).unwrap();
            assert_eq!(server.finish(&proof), Err(ScramError::Proof));
        }
    }

    #[test]
    fn a_client_does_not_believe_a_server_that_lacks_the_password() {
        let mut client = client();
        assert_eq!(client.verify(SHOWN), Err(ScramError::Malformed), "before its own proof");
        client.answer(CHALLENGE).unwrap();
        assert_eq!(client.verify(b"v=AAAA"), Err(ScramError::Proof));
        assert_eq!(client.verify(b"e=other-error"), Err(ScramError::Refused));
        assert_eq!(client.verify(b""), Err(ScramError::Malformed));
    }

    #[test]
    fn a_client_accepts_no_bad_challenge() {
        for (challenge, error) in [
            ("r=other,s=AAAA,i=4096", ScramError::Nonce),
            ("r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", ScramError::Nonce),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4095", ScramError::Iterations),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4000000000", ScramError::Iterations),
            ("r=rOprNGfwEbeRWgbNEkqOx,s=!,i=4096", ScramError::Malformed),
            ("m=x,r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=4096", ScramError::Unsupported),
            ("", ScramError::Malformed),
        ] {
            assert_eq!(client().answer(challenge.as_bytes()), Err(error), "{challenge}");
        }
    }

    #[test]
    fn a_server_accepts_no_bad_message() {
        for (first, error) in [
            ("p=tls-unique,,n=user,r=x", ScramError::Unsupported),
            ("n,a=other,n=user,r=x", ScramError::Unsupported),
            ("n,,m=x,n=user,r=x", ScramError::Unsupported),
            ("n,,n=a=b,r=x", ScramError::Malformed),
            ("n,,n=,r=x", ScramError::Malformed),
            ("n,,n=user", ScramError::Malformed),
            ("", ScramError::Malformed),
        ] {
            assert_eq!(Server::begin(first.as_bytes(), "n", |_| verifier("")).unwrap_err(), error, "{first}");
        }
        let (server, _) = Server::begin(b"n,,n=user,r=x", "y", |_| verifier("pencil")).unwrap();
        for (last, error) in [
            ("c=biws,r=xz,p=AAAA", ScramError::Nonce),
            ("c=eSws,r=xy,p=AAAA", ScramError::Unsupported),
            ("c=biws,r=xy,x=1,p=AAAA", ScramError::Unsupported),
            ("c=biws,r=xy,p=AAAA", ScramError::Malformed),
            ("c=biws,r=xy", ScramError::Malformed),
        ] {
            assert_eq!(server.finish(last.as_bytes()), Err(error), "{last}");
        }
    }

    #[test]
    fn names_may_hold_commas_and_equals_signs() {
        let client = Client::new("a=b,c", "x", "n".to_owned());
        assert_eq!(client.first(), b"n,,n=a=3Db=2Cc,r=n");
        let (server, _) = Server::begin(&client.first(), "m", |_| verifier("x")).unwrap();
        assert_eq!(server.username(), "a=b,c");
    }

    #[test]
    fn a_nonce_is_made_of_what_is_drawn() {
        let mut drawn = 0;
        let nonce = nonce(|| {
            drawn += 1;
            drawn
        });
        assert_eq!(nonce, "AQAAAAAAAAACAAAAAAAAAAMA");
    }
}
