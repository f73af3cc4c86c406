//! SCRAM-SHA-256 (RFC 5802, RFC 7677), without channel binding: the method that enhanced authentication is
//! tested with. Both halves are here: the suite is the client, the model broker the server.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// The method's name in MQTT.
pub const METHOD: &str = "SCRAM-SHA-256";

/// What comes before the first message of a client: no channel binding, no other identity.
const HEADER: &str = "n,,";

/// A client that has sent its first message.
#[derive(Debug, Clone)]
pub struct Client {
    password: String,
    nonce: String,
    first_bare: String,
}

/// A server that has sent its first message.
#[derive(Debug, Clone)]
pub struct Server {
    salted: [u8; 32],
    nonce: String,
    client_first_bare: String,
    server_first: String,
}

impl Client {
    /// Begins for a user, with a nonce of printable characters other than a comma.
    #[must_use]
    pub fn new(user: &str, password: &str, nonce: &str) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        let first_bare = format!("n={user},r={nonce}");
        Self { password: password.to_owned(), nonce: nonce.to_owned(), first_bare }
    }

    /// The first message.
    #[must_use]
    pub fn first(&self) -> String {
        format!("{HEADER}{}", self.first_bare)
    }

    /// The answer to the server's first message, and the message that the server has to end with. None when the
    /// server's message is not one, or repeats another nonce.
    #[must_use]
    pub fn last(&self, server_first: &str) -> Option<(String, String)> {
        let nonce = field(server_first, 'r')?;
        let salt = STANDARD.decode(field(server_first, 's')?).ok()?;
        let iterations = field(server_first, 'i')?.parse().ok()?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return None;
        }
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(HEADER));
        let whole = format!("{},{server_first},{without_proof}", self.first_bare);
        let salted = salt_password(&self.password, &salt, iterations);
        let proof = xor(&client_key(&salted), &hmac(&Sha256::digest(client_key(&salted)), &whole));
        Some((format!("{without_proof},p={}", STANDARD.encode(proof)), signature(&salted, &whole)))
    }
}

impl Server {
    /// The user whom a client's first message names.
    #[must_use]
    pub fn user(client_first: &str) -> Option<String> {
        let bare = client_first.strip_prefix(HEADER)?;
        Some(field(bare, 'n')?.replace("=2C", ",").replace("=3D", "="))
    }

    /// Answers a client's first message: the nonce is lengthened, salt and iterations are told.
    #[must_use]
    pub fn new(
        client_first: &str,
        password: &str,
        salt: &[u8],
        iterations: u32,
        nonce: &str,
    ) -> Option<Self> {
        let bare = client_first.strip_prefix(HEADER)?;
        let nonce = format!("{}{nonce}", field(bare, 'r')?);
        let server_first = format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt));
        let salted = salt_password(password, salt, iterations);
        Some(Self { salted, nonce, client_first_bare: bare.to_owned(), server_first })
    }

    /// The first message.
    #[must_use]
    pub fn first(&self) -> &str {
        &self.server_first
    }

    /// The last message for a client whose proof is right; none for any other.
    #[must_use]
    pub fn last(&self, client_last: &str) -> Option<String> {
        let (without_proof, proof) = client_last.rsplit_once(",p=")?;
        let proof = STANDARD.decode(proof).ok()?;
        let whole = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        let stored = Sha256::digest(client_key(&self.salted));
        let key = xor(&proof, &hmac(&stored, &whole));
        let is_right = field(without_proof, 'r')? == self.nonce && Sha256::digest(key) == stored;
        is_right.then(|| signature(&self.salted, &whole))
    }
}

/// The value of `name=` in a message: up to the next comma.
fn field(message: &str, name: char) -> Option<&str> {
    message.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
}

fn salt_password(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut salted = [0; 32];
    pbkdf2::pbkdf2_hmac::<Sha256>(password.as_bytes(), salt, iterations, &mut salted);
    salted
}

fn client_key(salted: &[u8]) -> Vec<u8> {
    hmac(salted, "Client Key")
}

fn signature(salted: &[u8], whole: &str) -> String {
    format!("v={}", STANDARD.encode(hmac(&hmac(salted, "Server Key"), whole)))
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    // A key of any length is one: the error of the signature cannot come about.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn xor(one: &[u8], other: &[u8]) -> Vec<u8> {
    one.iter().zip(other).map(|(one, other)| one ^ other).collect()
}

#[cfg(test)]
mod tests {
    use super::{Client, Server};

    /// The exchange printed in RFC 7677, section 3.
    #[test]
    fn the_example_of_the_standard() {
        let client = Client::new("user", "pencil", "rOprNGfwEbeRWgbNEkqO");
        assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        let server_first =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        let (last, expected) = client.last(server_first).unwrap();
        assert_eq!(
            last,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        assert_eq!(expected, "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn both_halves_agree_and_a_wrong_password_does_not() {
        let client = Client::new("a,b=c", "secret", "nonce");
        assert_eq!(Server::user(&client.first()).unwrap(), "a,b=c");
        let server = Server::new(&client.first(), "secret", b"salt", 64, "more").unwrap();
        let (last, expected) = client.last(server.first()).unwrap();
        assert_eq!(server.last(&last), Some(expected));
        let (wrong, _) = Client::new("a,b=c", "Secret", "nonce").last(server.first()).unwrap();
        assert_eq!(server.last(&wrong), None);
        assert_eq!(client.last("r=other,s=YQ==,i=64"), None);
    }
}
